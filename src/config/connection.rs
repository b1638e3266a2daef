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

/// A bus. `Debug` hides secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusAddress {
    /// A Kafka cluster.
    Kafka(KafkaAddress),
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
        if is_local(&self.source.url) {
            return self.local_log("source.url").map(BusAddress::Local);
        }
        self.kafka_source().map(BusAddress::Kafka)
    }

    /// Where announcements go: the bus of the source, unless the settings say otherwise.
    pub fn sink_bus(&self) -> Result<BusAddress, SettingsError> {
        if is_local(self.sink_url()) {
            let key = if self.sink.url.is_some() { "sink.url" } else { "source.url" };
            return self.local_log(key).map(BusAddress::Local);
        }
        self.kafka_sink().map(BusAddress::Kafka)
    }

    fn sink_url(&self) -> &SecretUrl {
        self.sink.url.as_ref().unwrap_or(&self.source.url)
    }

    fn local_log(&self, key: &str) -> Result<PathBuf, SettingsError> {
        match self.store_address() {
            StoreAddress::Sqlite(file) => Ok(file),
            StoreAddress::Postgres(_) => Err(SettingsError::Missing(format!(
                "{key} is local:, a log in the SQLite file of the store, and store.url is {}; set a Kafka address, for \
                 instance --source-url kafka://localhost:9092, or --store-url sqlite://holdfast.db",
                self.store.url
            ))),
        }
    }

    /// The Kafka cluster that events come from.
    fn kafka_source(&self) -> Result<KafkaAddress, SettingsError> {
        let url = kafka_url("source.url", &self.source.url)?;
        Ok(KafkaAddress { url, properties: self.source.kafka.clone() })
    }

    /// The Kafka cluster that announcements go to. A sink without an address of its own is the source's cluster and
    /// shares its properties of security and sockets; the sink's own properties go over them.
    fn kafka_sink(&self) -> Result<KafkaAddress, SettingsError> {
        let (url, shared) = match &self.sink.url {
            Some(url) => (kafka_url("sink.url", url)?, None),
            None => (kafka_url("source.url", &self.source.url)?, Some(&self.source.kafka)),
        };
        let shared = shared.into_iter().flat_map(Properties::iter).filter(|(name, _)| is_about_the_connection(name));
        let properties = shared.chain(self.sink.kafka.iter()).collect();
        Ok(KafkaAddress { url, properties })
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

fn kafka_url(key: &str, url: &SecretUrl) -> Result<String, SettingsError> {
    match url.scheme() {
        "kafka" => Ok(url.expose().to_owned()),
        _ => Err(SettingsError::Missing(format!(
            "{key} is {url}, and NATS comes with a later release; set a Kafka address, for instance \
             --source-url kafka://localhost:9092, or HOLDFAST__SOURCE__URL, or leave it out for the embedded log"
        ))),
    }
}
