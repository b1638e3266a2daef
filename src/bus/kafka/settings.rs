//! What a source and a sink are told.

use std::time::Duration;

use super::backlog::BufferLimit;
use super::connection::{KafkaConnection, LARGEST_RECORD_BYTES};

/// What a source needs to know.
#[derive(Clone, Debug)]
pub struct KafkaSourceSettings {
    /// The cluster.
    pub connection: KafkaConnection,
    /// The consumer group.
    pub group: String,
    /// The topics as the broker names them.
    pub topics: Vec<String>,
    /// How long the start may wait for the broker.
    pub start_timeout: Duration,
    /// How long a partition that moves to another member waits for its batch to be settled.
    pub rebalance_drain: Duration,
    /// How long closing may take before the client is left to itself.
    pub close_timeout: Duration,
    /// How often lag is measured.
    pub statistics_interval: Duration,
    /// How much is held between the broker and the engine.
    pub buffer: BufferLimit,
}

impl KafkaSourceSettings {
    /// The usual limits.
    pub fn new(connection: KafkaConnection, group: &str, topics: Vec<String>) -> Self {
        Self {
            connection,
            group: group.to_owned(),
            topics,
            start_timeout: Duration::from_secs(10),
            rebalance_drain: Duration::from_secs(10),
            close_timeout: Duration::from_secs(10),
            statistics_interval: Duration::from_secs(1),
            buffer: BufferLimit { records: 8_192, bytes: 16 * 1024 * 1024 },
        }
    }
}

/// What publishing promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkGuarantee {
    /// Records and progress become visible together, once.
    ExactlyOnce {
        /// Every producer with this id ends the ones before it.
        transactional_id: String,
    },
    /// Every record is confirmed, and the progress after them; after a failure some are repeated.
    AtLeastOnce,
}

/// What a sink needs to know.
#[derive(Clone, Debug)]
pub struct KafkaSinkSettings {
    /// The cluster.
    pub connection: KafkaConnection,
    /// The promise.
    pub guarantee: SinkGuarantee,
    /// The compacted topic with one partition that keeps the progress under either promise, so that one can be exchanged
    /// for the other.
    pub progress_topic: String,
    /// The topics that must exist, as the broker names them; the progress topic need not be among them.
    pub topics: Vec<String>,
    /// The largest record that the client takes, in bytes, uncompressed, with key and headers. The topics must take a
    /// batch that holds such a record.
    pub largest_record_bytes: usize,
    /// How long opening may take.
    pub open_timeout: Duration,
    /// How long the records of one call may take to be confirmed, and how long their commit.
    pub publish_timeout: Duration,
    /// How long a producer that was given up may take to end before it is left to itself.
    pub close_timeout: Duration,
}

impl KafkaSinkSettings {
    /// The usual limits.
    pub fn new(
        connection: KafkaConnection,
        guarantee: SinkGuarantee,
        progress_topic: String,
        topics: Vec<String>,
    ) -> Self {
        Self {
            connection,
            guarantee,
            progress_topic,
            topics,
            largest_record_bytes: LARGEST_RECORD_BYTES,
            open_timeout: Duration::from_secs(30),
            publish_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
        }
    }
}
