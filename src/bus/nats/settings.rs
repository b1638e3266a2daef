//! What a source and a sink are told.

use std::time::Duration;

use super::connection::NatsConnection;

/// How long the server waits for an acknowledgement before it gives a message to somebody else. A worker that lives
/// asks for more time for whatever it holds, so this is how long the messages of one that died are missing.
pub const USUAL_ACK_WAIT: Duration = Duration::from_secs(15);

/// What a source needs to know.
#[derive(Clone, Debug)]
pub struct NatsSourceSettings {
    /// The server.
    pub connection: NatsConnection,
    /// The first part of the names of the durable consumers.
    pub group: String,
    /// The topics, each a subject.
    pub topics: Vec<String>,
    /// How long the start may wait for the server.
    pub start_timeout: Duration,
    /// How long closing may take.
    pub close_timeout: Duration,
    /// How often lag is measured.
    pub status_interval: Duration,
    /// After which time a message that was taken and not settled is given to somebody else when this source closes.
    pub redelivery_delay: Duration,
    /// How many messages of one topic are held between the server and the engine.
    pub most_waiting: usize,
}

impl NatsSourceSettings {
    /// The usual limits.
    pub fn new(connection: NatsConnection, group: &str, topics: Vec<String>) -> Self {
        Self {
            connection,
            group: group.to_owned(),
            topics,
            start_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(10),
            status_interval: Duration::from_secs(1),
            redelivery_delay: Duration::from_millis(250),
            most_waiting: 2_048,
        }
    }
}

/// What a sink needs to know.
#[derive(Clone, Debug)]
pub struct NatsSinkSettings {
    /// The server.
    pub connection: NatsConnection,
    /// Whether an announcement may be seen twice after a fault. Otherwise every publication says what must stand before
    /// it.
    pub at_least_once: bool,
    /// The name of the stream of announcements, as people write it.
    pub out: String,
    /// The topic of dead letters, which has a stream of its own.
    pub dead_letters: String,
    /// The subject of records that say nothing but how far publishing is.
    pub progress: String,
    /// How long opening may take.
    pub open_timeout: Duration,
    /// How long the records of one call may take to be confirmed.
    pub publish_timeout: Duration,
}

impl NatsSinkSettings {
    /// The usual limits, exactly once.
    pub fn new(connection: NatsConnection, out: &str, dead_letters: &str, progress: &str) -> Self {
        Self {
            connection,
            at_least_once: false,
            out: out.to_owned(),
            dead_letters: dead_letters.to_owned(),
            progress: progress.to_owned(),
            open_timeout: Duration::from_secs(30),
            publish_timeout: Duration::from_secs(30),
        }
    }
}
