//! What the adapters connect with, after the addresses have been judged.

use super::error::SettingsError;
use super::properties::{Properties, is_about_the_connection};
use super::secret::SecretUrl;
use super::settings::{Encoding, Settings};

/// How a Kafka cluster is reached. `Debug` hides secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaAddress {
    /// `kafka://host:port,host:port`, without credentials.
    pub url: String,
    /// Properties handed to librdkafka.
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

    /// The Kafka cluster that events come from.
    pub fn kafka_source(&self) -> Result<KafkaAddress, SettingsError> {
        let url = kafka_url("source.url", &self.source.url)?;
        Ok(KafkaAddress { url, properties: self.source.kafka.clone() })
    }

    /// The Kafka cluster that announcements go to. A sink without an address of its own is the source's cluster and
    /// shares its properties of security and sockets; the sink's own properties go over them.
    pub fn kafka_sink(&self) -> Result<KafkaAddress, SettingsError> {
        let (url, shared) = match &self.sink.url {
            Some(url) => (kafka_url("sink.url", url)?, None),
            None => (kafka_url("source.url", &self.source.url)?, Some(&self.source.kafka)),
        };
        let shared = shared.into_iter().flat_map(Properties::iter).filter(|(name, _)| is_about_the_connection(name));
        let properties = shared.chain(self.sink.kafka.iter()).collect();
        Ok(KafkaAddress { url, properties })
    }

    /// How bodies are written: what is set, else Avro, as on every broker.
    pub fn encoding(&self) -> Encoding {
        self.sink.encoding.unwrap_or(Encoding::Avro)
    }
}

fn kafka_url(key: &str, url: &SecretUrl) -> Result<String, SettingsError> {
    match url.scheme() {
        "kafka" => Ok(url.expose().to_owned()),
        scheme => {
            let what = if scheme == "nats" { "NATS" } else { "the embedded log" };
            Err(SettingsError::Missing(format!(
                "{key} is {url}, and {what} comes with a later release; set a Kafka address, for instance \
                 --source-url kafka://localhost:9092, or HOLDFAST__SOURCE__URL"
            )))
        }
    }
}
