//! What the adapters connect with, after the addresses have been judged.

use std::path::PathBuf;

use super::error::SettingsError;
use super::properties::{Properties, is_about_the_connection};
use super::secret::SecretUrl;
use super::settings::{Encoding, Settings};

/// The property of NATS that is about consuming and nothing else.
const ACK_WAIT: &str = "ack.wait.ms";

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

/// A bus. `Debug` hides secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusAddress {
    /// A Kafka cluster.
    Kafka(KafkaAddress),
    /// NATS servers.
    Nats(NatsAddress),
    /// The log in the store's SQLite file.
    Local(PathBuf),
}

/// Where state is kept. `Debug` hides secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAddress<'a> {
    /// A PostgreSQL database.
    Postgres(&'a SecretUrl),
    /// A SQLite file.
    Sqlite(PathBuf),
}

impl Settings {
    /// Where state is kept.
    pub fn store_address(&self) -> StoreAddress<'_> {
        let url = &self.store.url;
        match url.expose().strip_prefix("sqlite://") {
            Some(file) => StoreAddress::Sqlite(file.into()),
            None => StoreAddress::Postgres(url),
        }
    }

    /// Where events come from.
    pub fn source_bus(&self) -> Result<BusAddress, SettingsError> {
        let nats = self.source.nats.iter().filter(|(name, _)| *name != ACK_WAIT).collect();
        self.bus("source.url", &self.source.url, self.source.kafka.clone(), nats)
    }

    /// Where announcements go: the bus of the source, unless the settings say otherwise. A sink without an address of
    /// its own shares the source's properties of security and sockets; the sink's own properties go over them.
    pub fn sink_bus(&self) -> Result<BusAddress, SettingsError> {
        let own = &self.sink;
        let Some(url) = &own.url else {
            let kafka = self.source.kafka.iter().filter(|(name, _)| is_about_the_connection(name));
            let nats = self.source.nats.iter().filter(|(name, _)| *name != ACK_WAIT);
            let (kafka, nats) = (kafka.chain(own.kafka.iter()).collect(), nats.chain(own.nats.iter()).collect());
            return self.bus("source.url", &self.source.url, kafka, nats);
        };
        self.bus("sink.url", url, own.kafka.clone(), own.nats.clone())
    }

    fn bus(
        &self,
        key: &str,
        url: &SecretUrl,
        kafka: Properties,
        nats: Properties,
    ) -> Result<BusAddress, SettingsError> {
        match url.scheme() {
            "kafka" => Ok(BusAddress::Kafka(KafkaAddress { url: url.expose().to_owned(), properties: kafka })),
            "nats" | "tls" => Ok(BusAddress::Nats(NatsAddress { url: url.clone(), properties: nats })),
            // No other address passes the rules.
            _ => self.local_log(key).map(BusAddress::Local),
        }
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

    fn sink_url(&self) -> &SecretUrl {
        self.sink.url.as_ref().unwrap_or(&self.source.url)
    }

    fn local_log(&self, key: &str) -> Result<PathBuf, SettingsError> {
        match self.store_address() {
            StoreAddress::Sqlite(file) => Ok(file),
            StoreAddress::Postgres(_) => Err(SettingsError::Missing(format!(
                "{key} is local:, a log in the SQLite file of the store, and store.url is {}; set the address of a broker, for \
                 instance --source-url kafka://localhost:9092 or nats://localhost:4222, or --store-url sqlite://holdfast.db",
                self.store.url
            ))),
        }
    }

    /// How bodies are written: what is set, else JSON in the embedded log and Avro on brokers.
    pub fn encoding(&self) -> Encoding {
        let usual = if is_local(self.sink_url()) { Encoding::Json } else { Encoding::Avro };
        self.sink.encoding.unwrap_or(usual)
    }
}

fn is_local(url: &SecretUrl) -> bool {
    url.expose() == "local:"
}
