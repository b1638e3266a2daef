//! What the adapters connect with, after the addresses have been judged.

use super::error::SettingsError;
use super::properties::{Properties, is_about_the_connection};
use super::secret::SecretUrl;
use super::settings::{Encoding, Settings};

/// The property of NATS that is about consuming and nothing else.
const ACK_WAIT: &str = "ack.wait.ms";

/// The bus that an address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusAddress {
    /// A Kafka cluster.
    Kafka(KafkaAddress),
    /// NATS servers.
    Nats(NatsAddress),
}

/// How a Kafka cluster is reached. `Debug` hides secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaAddress {
    /// `kafka://host:port,host:port`, without credentials.
    pub url: String,
    /// Properties handed to librdkafka.
    pub properties: Properties,
}

/// How NATS servers are reached. `Debug` hides secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsAddress {
    /// `nats://host:port,host:port` or `tls://`, perhaps with credentials.
    pub url: SecretUrl,
    /// Properties of the connection.
    pub properties: Properties,
}

impl Settings {
    /// The address of the PostgreSQL database.
    pub fn postgres(&self) -> Result<&SecretUrl, SettingsError> {
        let url = &self.store.url;
        match url.scheme() {
            "postgres" | "postgresql" => Ok(url),
            _ => Err(SettingsError::Missing(format!(
                "store.url is {url}, and SQLite comes with a later release; set a PostgreSQL address, for instance \
                 --store-url postgres://user:password@localhost/holdfast, or HOLDFAST__STORE__URL or store.url_file"
            ))),
        }
    }

    /// The bus that events come from.
    pub fn source_bus(&self) -> Result<BusAddress, SettingsError> {
        let nats = self.source.nats.iter().filter(|(name, _)| *name != ACK_WAIT).collect();
        address("source.url", &self.source.url, self.source.kafka.clone(), nats)
    }

    /// The bus that announcements go to. A sink without an address of its own is the source's bus and shares its
    /// properties of security and sockets; the sink's own properties go over them.
    pub fn sink_bus(&self) -> Result<BusAddress, SettingsError> {
        let own = &self.sink;
        let Some(url) = &own.url else {
            let kafka = self.source.kafka.iter().filter(|(name, _)| is_about_the_connection(name));
            let nats = self.source.nats.iter().filter(|(name, _)| *name != ACK_WAIT);
            let (kafka, nats) = (kafka.chain(own.kafka.iter()).collect(), nats.chain(own.nats.iter()).collect());
            return address("source.url", &self.source.url, kafka, nats);
        };
        address("sink.url", url, own.kafka.clone(), own.nats.clone())
    }

    /// How long a NATS server waits for an acknowledgement, in milliseconds, where it is set.
    pub fn nats_ack_wait_ms(&self) -> Result<Option<u64>, SettingsError> {
        let Some(text) = self.source.nats.get(ACK_WAIT) else { return Ok(None) };
        // Below a second a worker that is merely slow loses what it works on; above an hour it is a slip of the unit.
        match text.parse() {
            Ok(milliseconds @ 1_000..=3_600_000) => Ok(Some(milliseconds)),
            Ok(_) | Err(_) => Err(SettingsError::Missing(format!(
                "setting source.nats.{ACK_WAIT} = {text:?} must be a whole number of milliseconds from 1000 to 3600000"
            ))),
        }
    }

    /// How bodies are written: what is set, else Avro, as on every broker.
    pub fn encoding(&self) -> Encoding {
        self.sink.encoding.unwrap_or(Encoding::Avro)
    }
}

fn address(key: &str, url: &SecretUrl, kafka: Properties, nats: Properties) -> Result<BusAddress, SettingsError> {
    match url.scheme() {
        "kafka" => Ok(BusAddress::Kafka(KafkaAddress { url: url.expose().to_owned(), properties: kafka })),
        "nats" | "tls" => Ok(BusAddress::Nats(NatsAddress { url: url.clone(), properties: nats })),
        _ => Err(SettingsError::Missing(format!(
            "{key} is {url}, and the embedded log comes with a later release; set the address of a broker, for \
             instance --source-url kafka://localhost:9092 or nats://localhost:4222, or HOLDFAST__SOURCE__URL"
        ))),
    }
}
