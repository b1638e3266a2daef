//! What the adapters connect with, after the addresses have been judged.

use std::path::PathBuf;

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
