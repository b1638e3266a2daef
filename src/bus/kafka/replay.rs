//! Setting a group back (or forth): a plan to look at, then the commit.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::bus::replay::{PartitionOffset, ReplayMove, ReplayPlan, ReplayTarget};
use crate::domain::words::Timestamp;

use super::connection::KafkaConnection;
use super::error::KafkaFailure;
use super::offset::{NextOffset, Partition, offset_list};
use super::patience;
use super::reader::{self, Reader};
use super::topics;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Why a replay is refused.
pub type ReplayError = crate::bus::replay::ReplayError<KafkaFailure>;

/// Works out where a group would go on. Changes nothing, but refuses already while the group has members. Blocks for
/// some requests to the broker, one for each partition; `looked_at` is told before the first and after each how many
/// partitions were looked at, and of how many.
pub fn plan_replay(
    connection: &KafkaConnection,
    group: &str,
    topics: &[String],
    target: &ReplayTarget,
    mut looked_at: impl FnMut(usize, usize),
) -> Result<ReplayPlan, ReplayError> {
    let observer = observer(connection, group)?;
    refuse_active_group(&observer, group)?;
    let partitions = topics::partitions(&observer, connection, topics, REQUEST_TIMEOUT, topics::UNKNOWN_FOR)?;
    let named = named_offsets(target, &partitions)?;
    let partitions: Vec<Partition> = match &named {
        Some(named) => partitions.into_iter().filter(|partition| named.contains_key(partition)).collect(),
        None => partitions,
    };
    let committed = committed(&observer, &partitions)?;
    let at_time = match target {
        ReplayTarget::Time(time) => offsets_at(&observer, &partitions, *time)?,
        ReplayTarget::Start | ReplayTarget::Offsets(_) => BTreeMap::new(),
    };
    let count = partitions.len();
    let mut moves = Vec::with_capacity(count);
    looked_at(0, count);
    for partition in partitions {
        let ends = patience::ask(REQUEST_TIMEOUT, || {
            observer.fetch_watermarks(&partition.topic, partition.number, REQUEST_TIMEOUT)
        });
        let doing = || format!("reading the ends of {}/{}", partition.topic, partition.number);
        let (first, end) = ends.map_err(KafkaFailure::client(doing()))?;
        let named = named.as_ref().and_then(|named| named.get(&partition));
        let new = match named {
            Some(offset) if (first..=end).contains(offset) => *offset,
            Some(offset) => return Err(out_of_range(&partition, *offset, first, end)),
            None => match target {
                ReplayTarget::Time(_) => at_time.get(&partition).copied().unwrap_or(end),
                ReplayTarget::Start | ReplayTarget::Offsets(_) => first,
            },
        };
        moves.push(ReplayMove {
            topic: partition.topic.to_string(),
            partition: partition.number,
            current: committed.get(&partition).copied(),
            new,
            records: end - new,
        });
        looked_at(moves.len(), count);
    }
    Ok(ReplayPlan { group: group.to_owned(), moves })
}

/// Commits what was planned. The broker itself refuses it when a member has joined meanwhile. Blocks.
pub fn apply_replay(connection: &KafkaConnection, plan: &ReplayPlan) -> Result<(), ReplayError> {
    if plan.moves.is_empty() {
        return Ok(());
    }
    let observer = observer(connection, &plan.group)?;
    refuse_active_group(&observer, &plan.group)?;
    let offset = |planned: &ReplayMove| {
        let partition = Partition { topic: planned.topic.as_str().into(), number: planned.partition };
        (partition, NextOffset::at(planned.new))
    };
    let offsets: Vec<_> = plan.moves.iter().map(offset).collect();
    let committed = offset_list(&offsets).and_then(|list| observer.commit(&list, CommitMode::Sync));
    match committed {
        Ok(()) => Ok(()),
        Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::RebalanceInProgress)) => {
            Err(ReplayError::GroupActive { group: plan.group.clone(), members: vec!["joined just now".to_owned()] })
        }
        Err(cause) => {
            let doing = format!("committing offsets of group {}", plan.group);
            Err(KafkaFailure::Client { doing, cause }.into())
        }
    }
}

fn observer(connection: &KafkaConnection, group: &str) -> Result<std::sync::Arc<Reader>, KafkaFailure> {
    let doing = format!("looking at group {group}");
    reader::new(&connection.group_observer(group)).map_err(KafkaFailure::client(doing))
}

fn refuse_active_group(observer: &Reader, group: &str) -> Result<(), ReplayError> {
    let listed = observer
        .fetch_group_list(Some(group), REQUEST_TIMEOUT)
        .map_err(KafkaFailure::client(format!("looking for members of group {group}")))?;
    let members: Vec<String> = listed
        .groups()
        .iter()
        .filter(|listed| listed.name() == group)
        .flat_map(|listed| listed.members())
        .map(|member| format!("{} at {}", member.client_id(), member.client_host().trim_start_matches('/')))
        .collect();
    if members.is_empty() { Ok(()) } else { Err(ReplayError::GroupActive { group: group.to_owned(), members }) }
}

/// The offsets that were named, when the target names any; fails on partitions that are not there.
fn named_offsets(
    target: &ReplayTarget,
    partitions: &[Partition],
) -> Result<Option<BTreeMap<Partition, i64>>, ReplayError> {
    let ReplayTarget::Offsets(offsets) = target else { return Ok(None) };
    let mut named = BTreeMap::new();
    for PartitionOffset { topic, partition, offset } in offsets {
        let wanted = Partition { topic: topic.as_str().into(), number: *partition };
        if !partitions.contains(&wanted) {
            return Err(ReplayError::UnknownPartition { topic: topic.clone(), partition: *partition });
        }
        named.insert(wanted, *offset);
    }
    Ok(Some(named))
}

fn committed(observer: &Reader, partitions: &[Partition]) -> Result<BTreeMap<Partition, i64>, KafkaFailure> {
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found = patience::ask(REQUEST_TIMEOUT, || {
        complete(observer.committed_offsets(list_at(partitions, Offset::Invalid), REQUEST_TIMEOUT)?)
    });
    Ok(known_offsets(&found.map_err(KafkaFailure::client("reading committed offsets"))?))
}

/// Where the first record of a time stands, for partitions that have one.
pub(super) fn offsets_at(
    reader: &Reader,
    partitions: &[Partition],
    time: Timestamp,
) -> Result<BTreeMap<Partition, i64>, KafkaFailure> {
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    // The client takes the time, in the milliseconds of the broker, where the offset would stand. Rounded down: a
    // record too many is recognised as seen, a record too few would be missed.
    let milliseconds = time.0.max(0).div_euclid(1_000);
    let found = patience::ask(REQUEST_TIMEOUT, || {
        complete(reader.offsets_for_times(list_at(partitions, Offset::Offset(milliseconds)), REQUEST_TIMEOUT)?)
    });
    Ok(known_offsets(&found.map_err(KafkaFailure::client("looking for offsets by time"))?))
}

/// An answer about many partitions; one that was not answered is an error, or it would look like one without records.
fn complete(found: TopicPartitionList) -> KafkaResult<TopicPartitionList> {
    for element in found.elements() {
        element.error()?;
    }
    Ok(found)
}

fn list_at(partitions: &[Partition], offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        // It fails for negative offsets only, and there are none here.
        let _ = list.add_partition_offset(&partition.topic, partition.number, offset);
    }
    list
}

fn known_offsets(list: &TopicPartitionList) -> BTreeMap<Partition, i64> {
    let elements = list.elements();
    let known = elements.iter().filter_map(|element| match element.offset() {
        Offset::Offset(offset) => {
            Some((Partition { topic: element.topic().into(), number: element.partition() }, offset))
        }
        _ => None,
    });
    known.collect()
}

fn out_of_range(partition: &Partition, offset: i64, first: i64, end: i64) -> ReplayError {
    ReplayError::OffsetOutOfRange {
        topic: partition.topic.to_string(),
        partition: partition.number,
        offset,
        first,
        end,
    }
}
