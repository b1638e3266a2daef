//! Clients of the bus that an address names, for commands and for the worker.

use std::path::Path;

use super::Failure;
use crate::bus::any::{AnyPublisher, AnyTail};
use crate::bus::kafka::{KafkaConnection, KafkaPublisher, KafkaTail, KafkaTailSettings, TailOrder};
use crate::bus::local::{LocalLog, LocalPublisher, LocalTail, LocalTailSettings};
use crate::bus::nats::{NatsConnection, NatsPublisher, NatsTail, NatsTailSettings};
use crate::bus::tail::TailStart;
use crate::config::{BusAddress, KafkaAddress, NatsAddress};
use crate::wire::identity::OWN_SOURCE;
use crate::wire::sequence::sequence_number;

/// How a Kafka cluster is reached.
///
/// # Errors
/// [`Failure::Settings`] for an address or property that cannot be.
pub fn kafka_connection(address: KafkaAddress) -> Result<KafkaConnection, Failure> {
    KafkaConnection::new(&address.url, OWN_SOURCE, address.properties.to_map())
        .map_err(|error| Failure::Settings(error.to_string()))
}

/// How NATS servers are reached.
///
/// # Errors
/// [`Failure::Settings`] for an address or property that cannot be.
pub fn nats_connection(address: NatsAddress) -> Result<NatsConnection, Failure> {
    NatsConnection::new(address.url.expose(), OWN_SOURCE, address.properties.to_map())
        .map_err(|error| Failure::Settings(error.to_string()))
}

/// The embedded log in the store's file.
///
/// # Errors
/// [`Failure`] with what to do about it.
pub async fn local_log(file: &Path) -> Result<LocalLog, Failure> {
    LocalLog::open(file).await.map_err(Failure::failed)
}

/// A publisher of events to a bus on which these topics exist.
///
/// # Errors
/// [`Failure`] with what to do about it.
pub async fn publisher(address: BusAddress, topics: &[String]) -> Result<AnyPublisher, Failure> {
    Ok(match address {
        BusAddress::Kafka(address) => {
            let opened = KafkaPublisher::open(&kafka_connection(address)?, topics).await;
            AnyPublisher::Kafka(opened.map_err(Failure::failed)?)
        }
        BusAddress::Nats(address) => {
            let opened = NatsPublisher::open(&nats_connection(address)?, topics).await;
            AnyPublisher::Nats(opened.map_err(Failure::failed)?)
        }
        BusAddress::Local(file) => {
            let opened = LocalPublisher::open(&local_log(&file).await?, topics).await;
            AnyPublisher::Local(opened.map_err(Failure::failed)?)
        }
    })
}

/// What to read of what is published.
pub struct TailWish {
    /// The topics as the bus names them.
    pub topics: Vec<String>,
    /// Where to begin.
    pub from: TailStart,
    /// Whether to end at what was there at the beginning.
    pub until_end: bool,
    /// What the numbers are like, for a bus that has to put topics into one order.
    pub order: TailOrder,
}

/// A reader of what is published on a bus.
///
/// # Errors
/// [`Failure`] with what to do about it.
pub async fn tail(address: BusAddress, wish: TailWish) -> Result<AnyTail, Failure> {
    let TailWish { topics, from, until_end, order } = wish;
    Ok(match address {
        BusAddress::Kafka(address) => {
            let connection = kafka_connection(address)?;
            let number = sequence_number;
            let settings = KafkaTailSettings { connection, topics, from, until_end, order, number };
            AnyTail::Kafka(KafkaTail::open(settings).await.map_err(Failure::failed)?)
        }
        BusAddress::Nats(address) => {
            let connection = nats_connection(address)?;
            let settings = NatsTailSettings { connection, topics, from, until_end };
            AnyTail::Nats(NatsTail::open(settings).await.map_err(Failure::failed)?)
        }
        BusAddress::Local(file) => {
            let log = local_log(&file).await?;
            let settings = LocalTailSettings { log, topics, from, until_end };
            AnyTail::Local(LocalTail::open(settings).await.map_err(Failure::failed)?)
        }
    })
}
