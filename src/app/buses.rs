//! The buses that the settings name: how they are reached, and what should be there.

use std::time::Duration;

use super::Failure;
use crate::bus::TopicSpec;
use crate::bus::kafka::{KafkaConnection, KafkaSinkSettings, KafkaSourceSettings, SinkGuarantee};
use crate::bus::nats::{
    ConsumerSpec, NatsConnection, NatsSinkSettings, NatsSourceSettings, StreamSpec, USUAL_ACK_WAIT,
};
use crate::config::{BusAddress, Guarantee, Settings};
use crate::sweeper::OWN_SOURCE;
use crate::wire::topics::{Direction, Topics};

/// The stream of announcements, behind the prefix of the settings.
const OUT_STREAM: &str = "holdfast-out";

/// How a bus is reached. Connects to nothing.
#[derive(Clone, Debug)]
pub enum Bus {
    /// A Kafka cluster.
    Kafka(KafkaConnection),
    /// NATS servers.
    Nats(NatsConnection),
}

/// What a source is opened with.
pub(super) enum SourceOf {
    Kafka(KafkaSourceSettings),
    Nats(NatsSourceSettings),
}

/// What a sink is opened with.
pub(super) enum SinkOf {
    Kafka(KafkaSinkSettings),
    Nats(NatsSinkSettings),
}

/// The bus that events come from.
///
/// # Errors
/// [`Failure::Settings`] for an address or property that cannot be.
pub fn source_bus(settings: &Settings) -> Result<Bus, Failure> {
    bus(settings.source_bus().map_err(wrong)?)
}

/// The bus that announcements go to.
///
/// # Errors
/// As [`source_bus`].
pub fn sink_bus(settings: &Settings) -> Result<Bus, Failure> {
    bus(settings.sink_bus().map_err(wrong)?)
}

fn bus(address: BusAddress) -> Result<Bus, Failure> {
    match address {
        BusAddress::Kafka(address) => {
            KafkaConnection::new(&address.url, OWN_SOURCE, address.properties.to_map()).map(Bus::Kafka).map_err(wrong)
        }
        BusAddress::Nats(address) => NatsConnection::new(address.url.expose(), OWN_SOURCE, address.properties.to_map())
            .map(Bus::Nats)
            .map_err(wrong),
    }
}

pub(super) fn source(settings: &Settings, topics: &Topics) -> Result<SourceOf, Failure> {
    let (group, inputs) = (&settings.source.group, topics.inputs().iter().map(ToString::to_string).collect());
    Ok(match source_bus(settings)? {
        Bus::Kafka(connection) => SourceOf::Kafka(KafkaSourceSettings::new(connection, group, inputs)),
        Bus::Nats(connection) => SourceOf::Nats(NatsSourceSettings::new(connection, group, inputs)),
    })
}

pub(super) fn sink(settings: &Settings, topics: &Topics) -> Result<SinkOf, Failure> {
    let prefix = &settings.topics.prefix;
    Ok(match sink_bus(settings)? {
        Bus::Kafka(connection) => {
            let guarantee = match settings.sink.guarantee {
                Guarantee::ExactlyOnce => SinkGuarantee::ExactlyOnce {
                    transactional_id: format!("{prefix}holdfast-relay"),
                    progress_topic: topics.progress().to_string(),
                },
                Guarantee::AtLeastOnce => SinkGuarantee::AtLeastOnce,
            };
            let mut outputs: Vec<String> = topics.outputs().iter().map(ToString::to_string).collect();
            outputs.push(topics.dead_letters().to_string());
            SinkOf::Kafka(KafkaSinkSettings::new(connection, guarantee, outputs))
        }
        Bus::Nats(connection) => {
            let out = format!("{prefix}{OUT_STREAM}");
            let usual = NatsSinkSettings::new(connection, &out, topics.dead_letters(), topics.progress());
            let at_least_once = settings.sink.guarantee == Guarantee::AtLeastOnce;
            SinkOf::Nats(NatsSinkSettings { at_least_once, ..usual })
        }
    })
}

/// What every topic of this installation should look like on Kafka.
pub fn topic_specs(settings: &Settings, topics: &Topics) -> Vec<TopicSpec> {
    let mut specs: Vec<TopicSpec> = Vec::new();
    for (definition, name) in topics.all() {
        // Several input events may share a topic.
        if specs.iter().any(|spec| spec.name == **name) {
            continue;
        }
        specs.push(TopicSpec {
            name: name.to_string(),
            partitions: match (definition.partitions, settings.topics.partitions) {
                (1, _) | (_, None) => definition.partitions,
                (_, Some(partitions)) => partitions,
            },
            replication: settings.topics.replication,
            config: definition.config(),
        });
    }
    specs
}

/// What streams and consumers this installation should have on the NATS server that events come from.
///
/// # Errors
/// [`Failure::Settings`] for a wait that cannot be.
pub fn read_streams(settings: &Settings, topics: &Topics) -> Result<Vec<StreamSpec>, Failure> {
    let ack_wait = settings.nats_ack_wait_ms().map_err(wrong)?.map_or(USUAL_ACK_WAIT, Duration::from_millis);
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
pub fn written_streams(settings: &Settings, topics: &Topics) -> Vec<StreamSpec> {
    let of = |direction| topics.all().filter(move |(definition, _)| definition.direction == direction);
    let announced: Vec<&str> = of(Direction::Out).chain(of(Direction::Internal)).map(|(_, topic)| &**topic).collect();
    let kept: Vec<Option<Duration>> =
        of(Direction::Out).map(|(definition, _)| max_age(definition.retention_ms)).collect();
    let longest = if kept.contains(&None) { None } else { kept.into_iter().flatten().max() };
    let out = StreamSpec::written(&format!("{}{OUT_STREAM}", settings.topics.prefix), &announced, longest);
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

fn wrong(error: impl ToString) -> Failure {
    Failure::Settings(error.to_string())
}
