//! What an installation needs on NATS servers.

use std::time::Duration;

use super::Failure;
use crate::bus::nats::{ConsumerSpec, StreamSpec, USUAL_ACK_WAIT};
use crate::config::Settings;
use crate::wire::topics::{Direction, Topics};

/// The stream of announcements, behind the prefix of the settings.
const OUT_STREAM: &str = "holdfast-out";

/// How many times as large as its event an answer may be: the shortest line of an order is a few bytes of Avro, that of
/// its answer some hundred of JSON.
const MOST_GROWTH: usize = 64;

/// What streams and consumers this installation should have on the NATS server that events come from.
///
/// # Errors
/// [`Failure::Settings`] for a wait that cannot be.
pub fn read(settings: &Settings, topics: &Topics) -> Result<Vec<StreamSpec>, Failure> {
    let ack_wait = settings
        .nats_ack_wait_ms()
        .map_err(|error| Failure::Settings(error.to_string()))?
        .map_or(USUAL_ACK_WAIT, Duration::from_millis);
    let inputs = topics.inputs();
    let mut specs: Vec<StreamSpec> = Vec::new();
    for (definition, topic) in topics.all().filter(|(definition, _)| definition.direction == Direction::In) {
        let consumer = inputs.contains(topic).then(|| ConsumerSpec::new(&settings.source.group, topic, ack_wait));
        let spec = StreamSpec::read(topic, consumer, max_age(definition.retention_ms));
        // Several input events may share a topic.
        if !specs.iter().any(|known| known.name == spec.name) {
            specs.push(spec.with_replicas(replicas(settings)));
        }
    }
    Ok(specs)
}

/// What streams this installation should have on the NATS server that announcements go to. All announcements are kept
/// as long as those that are kept longest.
pub fn written(settings: &Settings, topics: &Topics) -> Vec<StreamSpec> {
    let of = |direction| topics.all().filter(move |(definition, _)| definition.direction == direction);
    let announced: Vec<&str> = of(Direction::Out).chain(of(Direction::Internal)).map(|(_, topic)| &**topic).collect();
    let kept: Vec<Option<Duration>> =
        of(Direction::Out).map(|(definition, _)| max_age(definition.retention_ms)).collect();
    let longest = if kept.contains(&None) { None } else { kept.into_iter().flatten().max() };
    let largest = topics.largest_record_bytes().min(settings.max_event_bytes.saturating_mul(MOST_GROWTH));
    let out = StreamSpec::written(&announcements(settings), &announced, longest).with_largest(largest);
    let buried = of(Direction::DeadLetters)
        .map(|(definition, topic)| StreamSpec::written(topic, &[topic], max_age(definition.retention_ms)));
    std::iter::once(out).chain(buried).map(|spec| spec.with_replicas(replicas(settings))).collect()
}

/// How long records are kept; `None` for ever.
fn max_age(retention_ms: i64) -> Option<Duration> {
    u64::try_from(retention_ms).ok().map(Duration::from_millis)
}

fn replicas(settings: &Settings) -> Option<usize> {
    settings.topics.replication.and_then(|replication| usize::try_from(replication).ok())
}

/// The name of the stream of announcements, as people write it.
pub(super) fn announcements(settings: &Settings) -> String {
    format!("{}{OUT_STREAM}", settings.topics.prefix)
}
