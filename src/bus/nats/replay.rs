//! Setting a group back (or forth): a plan to look at, then the consumers made anew.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{self, Context};
use tokio::sync::watch;

use crate::bus::replay::{PartitionOffset, ReplayMove, ReplayPlan, ReplayTarget};
use crate::wire::nats_names as names;

use super::admin::{find_consumer, make_consumer, stream_of};
use super::connection::{Link, NatsConnection};
use super::error::NatsFailure;

/// How long the server is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a consumer that only looks stays when nobody deletes it.
const LOOK_EXPIRES: Duration = Duration::from_secs(10);

/// Why a replay is refused.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Somebody works in the group.
    #[error("group {group} is active: {waiting} requests wait at consumer {consumer}; stop its workers first")]
    GroupActive {
        /// The group.
        group: String,
        /// The durable consumer.
        consumer: String,
        /// How many requests.
        waiting: usize,
    },
    /// A topic that the group does not read, or a partition other than 0.
    #[error("{topic}/{partition} is none of the group's topics; on NATS every topic has partition 0 and no other")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// A sequence that the stream does not have.
    #[error("{topic}/0 has no sequence {offset}; it reaches from {first} to {end}")]
    OffsetOutOfRange {
        /// The topic.
        topic: String,
        /// What was asked for.
        offset: i64,
        /// The first message that the stream still has.
        first: i64,
        /// Where the next message will stand.
        end: i64,
    },
    /// A failed call.
    #[error(transparent)]
    Nats(#[from] NatsFailure),
}

/// Works out where a group would go on. Changes nothing, but refuses already while a worker of the group has requests at
/// the server.
pub async fn plan_replay(
    connection: &NatsConnection,
    group: &str,
    topics: &[String],
    target: &ReplayTarget,
) -> Result<ReplayPlan, ReplayError> {
    let context = context(connection).await?;
    let named: &[PartitionOffset] = match target {
        ReplayTarget::Offsets(named) => named,
        ReplayTarget::Start | ReplayTarget::Time(_) => &[],
    };
    if let Some(PartitionOffset { topic, partition, .. }) =
        named.iter().find(|named| named.partition != 0 || !topics.contains(&named.topic))
    {
        return Err(ReplayError::UnknownPartition { topic: topic.clone(), partition: *partition });
    }
    let mut moves = Vec::with_capacity(topics.len());
    for topic in topics {
        let offset = named.iter().rfind(|named| named.topic == *topic).map(|named| named.offset);
        let stream = demand_stream(&context, connection, topic).await?;
        // Looked for first, so that a group that works is refused whatever else is wrong.
        let current = position(&context, connection, group, topic, &stream).await?;
        let policy = match (target, offset) {
            (ReplayTarget::Start, _) => DeliverPolicy::All,
            (ReplayTarget::Time(time), _) => DeliverPolicy::ByStartTime {
                start_time: async_nats::datetime::from_nanos(i128::from(time.0) * 1_000)
                    .map_err(NatsFailure::client("reading the time"))?,
            },
            (ReplayTarget::Offsets(_), None) => continue,
            (ReplayTarget::Offsets(_), Some(offset)) => {
                let (first, end) = ends(&context, &stream).await?;
                if !(first..=end).contains(&offset) {
                    return Err(ReplayError::OffsetOutOfRange { topic: topic.clone(), offset, first, end });
                }
                DeliverPolicy::ByStartSequence { start_sequence: u64::try_from(offset).unwrap_or(1).max(1) }
            }
        };
        let (new, records) = look(&context, topic, &stream, policy).await?;
        moves.push(ReplayMove { topic: topic.clone(), partition: 0, current: Some(current), new, records });
    }
    Ok(ReplayPlan { group: group.to_owned(), moves })
}

/// Makes the consumers anew where they are to go on. Traps: the start of a consumer cannot be edited. Should it fail
/// between, `holdfast topics apply` makes a consumer that is missing, which then begins at the start.
pub async fn apply_replay(connection: &NatsConnection, plan: &ReplayPlan) -> Result<(), ReplayError> {
    let context = context(connection).await?;
    for ReplayMove { topic, new, .. } in &plan.moves {
        let stream = demand_stream(&context, connection, topic).await?;
        let name = names::durable(&plan.group, topic);
        let found = find_consumer(&context, &stream, &name).await?;
        let Some(found) = found else { return Err(missing(connection, &name, &stream).into()) };
        refuse_active(&plan.group, &name, found.num_waiting)?;
        let kept = pull::Config {
            durable_name: found.config.durable_name,
            filter_subject: found.config.filter_subject,
            filter_subjects: found.config.filter_subjects,
            ack_policy: found.config.ack_policy,
            ack_wait: found.config.ack_wait,
            max_deliver: found.config.max_deliver,
            max_ack_pending: found.config.max_ack_pending,
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: u64::try_from(*new).unwrap_or(1).max(1) },
            ..Default::default()
        };
        let doing = format!("deleting consumer {name} of stream {stream}");
        context.delete_consumer_from_stream(&name, &stream).await.map_err(NatsFailure::client(doing))?;
        make_consumer(&context, &stream, kept).await?;
    }
    Ok(())
}

async fn context(connection: &NatsConnection) -> Result<Context, NatsFailure> {
    Ok(jetstream::new(connection.connect(PATIENCE, watch::Sender::new(Link::default())).await?))
}

async fn demand_stream(context: &Context, connection: &NatsConnection, topic: &str) -> Result<String, NatsFailure> {
    stream_of(context, topic).await?.ok_or_else(|| NatsFailure::Missing {
        servers: connection.servers().to_owned(),
        missing: vec![format!("a stream with subject {topic}")],
    })
}

/// The sequence behind everything that the group has acknowledged of a topic.
async fn position(
    context: &Context,
    connection: &NatsConnection,
    group: &str,
    topic: &str,
    stream: &str,
) -> Result<i64, ReplayError> {
    let name = names::durable(group, topic);
    let found = find_consumer(context, stream, &name).await?;
    let Some(found) = found else { return Err(missing(connection, &name, stream).into()) };
    refuse_active(group, &name, found.num_waiting)?;
    Ok(number(found.ack_floor.stream_sequence) + 1)
}

fn refuse_active(group: &str, consumer: &str, waiting: usize) -> Result<(), ReplayError> {
    if waiting == 0 {
        return Ok(());
    }
    Err(ReplayError::GroupActive { group: group.to_owned(), consumer: consumer.to_owned(), waiting })
}

/// The first sequence that a stream still has, and the one that its next message will get.
async fn ends(context: &Context, stream: &str) -> Result<(i64, i64), NatsFailure> {
    let doing = format!("reading the ends of stream {stream}");
    let handle = context.get_stream(stream).await.map_err(NatsFailure::client(doing))?;
    let state = &handle.cached_info().state;
    Ok((number(state.first_sequence), number(state.last_sequence) + 1))
}

/// Where a consumer that begins so would begin, and how many messages lie ahead of it. A consumer that nobody reads from
/// finds it out.
async fn look(
    context: &Context,
    topic: &str,
    stream: &str,
    deliver_policy: DeliverPolicy,
) -> Result<(i64, i64), NatsFailure> {
    let doing = || format!("looking into stream {stream}");
    let config = pull::Config {
        filter_subjects: names::subjects(topic).to_vec(),
        ack_policy: AckPolicy::None,
        deliver_policy,
        inactive_threshold: LOOK_EXPIRES,
        ..Default::default()
    };
    let looker = context.create_consumer_on_stream(config, stream).await.map_err(NatsFailure::client(doing()))?;
    let info = looker.cached_info();
    let found = (number(info.delivered.stream_sequence) + 1, number(info.num_pending));
    if let Err(error) = context.delete_consumer_from_stream(&info.name, stream).await {
        tracing::debug!(%error, stream, "the server drops the consumer that looked by itself");
    }
    Ok(found)
}

fn missing(connection: &NatsConnection, consumer: &str, stream: &str) -> NatsFailure {
    let missing = vec![format!("consumer {consumer} of stream {stream}")];
    NatsFailure::Missing { servers: connection.servers().to_owned(), missing }
}

fn number(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}
