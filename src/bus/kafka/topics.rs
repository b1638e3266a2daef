//! Which topics are there, and how many partitions they have.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::connection::KafkaConnection;
use super::error::{KafkaFailure, is_unreachable};
use super::offset::Partition;
use super::patience;
use super::reader::{self, Reader};

/// How long a topic may be unknown before it counts as missing: a broker learns a moment later than the controller
/// what was made.
pub(super) const UNKNOWN_FOR: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The partitions of topics. Blocks until the broker answers; fails when a topic is missing for longer than
/// `unknown_for`, and names all that are.
pub(super) fn partitions(
    reader: &Reader,
    connection: &KafkaConnection,
    topics: &[String],
    timeout: Duration,
    unknown_for: Duration,
) -> Result<Vec<Partition>, KafkaFailure> {
    let give_up = Instant::now() + unknown_for;
    loop {
        let mut partitions = Vec::new();
        let mut missing = Vec::new();
        for name in topics {
            match shape(reader, connection, name, timeout)? {
                Some(shape) => {
                    let topic: Arc<str> = name.as_str().into();
                    partitions.extend((0..shape.partitions).map(|number| Partition { topic: topic.clone(), number }));
                }
                None => missing.push(name.clone()),
            }
        }
        if missing.is_empty() {
            return Ok(partitions);
        }
        if Instant::now() >= give_up {
            return Err(KafkaFailure::MissingTopics { servers: connection.servers().to_owned(), topics: missing });
        }
        thread::sleep(LOOK_AGAIN_AFTER);
    }
}

/// How a topic is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// How many partitions it has.
    pub partitions: i32,
    /// How many copies the partition with the fewest has.
    pub replication: i32,
}

/// The layout of a topic, `None` when it does not exist. The topic is not created by asking.
pub(super) fn shape(
    reader: &Reader,
    connection: &KafkaConnection,
    topic: &str,
    timeout: Duration,
) -> Result<Option<Shape>, KafkaFailure> {
    let asked = patience::ask(timeout, || {
        let metadata = reader.fetch_metadata(Some(topic), timeout)?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
        match found.error() {
            None => {
                let copies = found.partitions().iter().map(|partition| count(partition.replicas()));
                Ok(Some(Shape { partitions: count(found.partitions()), replication: copies.min().unwrap_or(0) }))
            }
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => Ok(None),
            Some(code) => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::from(code))),
        }
    });
    asked.map_err(|error| unreachable_or(reader, connection, timeout, format!("looking for topic {topic}"), error))
}

fn count<T>(items: &[T]) -> i32 {
    i32::try_from(items.len()).unwrap_or(i32::MAX)
}

/// Turns a failed call into one that names the address when nobody was reached.
pub(super) fn unreachable_or(
    reader: &Reader,
    connection: &KafkaConnection,
    waited: Duration,
    doing: String,
    error: KafkaError,
) -> KafkaFailure {
    if !is_unreachable(error.rdkafka_error_code()) {
        return KafkaFailure::Client { doing, cause: error };
    }
    let reason = reader::trouble(reader).unwrap_or_else(|| error.to_string());
    KafkaFailure::Unreachable { servers: connection.servers().to_owned(), waited, reason }
}
