//! Setting a group back (or forth): a plan to look at, then the change.

use std::collections::BTreeMap;

use super::error::LocalFailure;
use super::log::LocalLog;
use super::membership::{self, Group, GroupLock};
use super::topics::{self, Topic};
use crate::bus::replay::{self, PartitionOffset, ReplayMove, ReplayPlan, ReplayTarget};

/// Why a replay is refused.
pub type ReplayError = replay::ReplayError<LocalFailure>;

/// Works out where a group would go on. Changes nothing, but refuses already while a member of the group reads.
pub async fn plan_replay(
    log: &LocalLog,
    group: &str,
    topics: &[String],
    target: &ReplayTarget,
) -> Result<ReplayPlan, ReplayError> {
    let known = Group::known(log, group).await?;
    let mut current = BTreeMap::new();
    if let Some(known) = &known {
        // Given back at once: the plan is only looked at.
        drop(refuse_active(log, known).await?);
        current = membership::offsets(log, known).await?;
    }
    let topics = topics::all(log, topics).await?;
    let named = named_offsets(target, &topics)?;
    let mut moves = Vec::with_capacity(topics.len());
    for topic in topics {
        let named = match &named {
            None => None,
            Some(named) => match named.get(&topic.id) {
                None => continue,
                Some(offset) => Some(*offset),
            },
        };
        moves.push(ReplayMove {
            topic: topic.name.to_string(),
            partition: 0,
            current: current.get(&topic.id).copied(),
            new: new_offset(log, &topic, target, named).await?,
            records: 0,
        });
        if let Some(last) = moves.last_mut() {
            last.records = topic.end - last.new;
        }
    }
    Ok(ReplayPlan { group: group.to_owned(), moves })
}

/// Sets the group's offsets as planned, in one transaction. No member reads meanwhile.
pub async fn apply_replay(log: &LocalLog, plan: &ReplayPlan) -> Result<(), ReplayError> {
    if plan.moves.is_empty() {
        return Ok(());
    }
    let group = Group::named(log, &plan.group).await?;
    let _lock = refuse_active(log, &group).await?;
    let doing = || LocalFailure::database(format!("setting the offsets of group {}", plan.group));
    let moves: Vec<(&str, i64)> = plan.moves.iter().map(|planned| (planned.topic.as_str(), planned.new)).collect();
    let mut transaction = log.begin_writing().await.map_err(doing())?;
    sqlx::query(
        "insert into log_offset (group_id, topic, next_offset)
         select ?1, t.id, m.value ->> 1 from json_each(?2) m join log_topic t on t.name = m.value ->> 0 where true
         on conflict (group_id, topic) do update set next_offset = excluded.next_offset",
    )
    .bind(group.id)
    .bind(serde_json::json!(moves).to_string())
    .execute(&mut *transaction)
    .await
    .map_err(doing())?;
    // A member that took the reading over from a stopped one has no lock for a moment: it joins again, and reads from here.
    sqlx::query(
        "update log_group set epoch = epoch + 1, holder = null, member = null, expires_at = null where id = ?1",
    )
    .bind(group.id)
    .execute(&mut *transaction)
    .await
    .map_err(doing())?;
    Ok(transaction.commit().await.map_err(doing())?)
}

/// The group's lock, which keeps members from joining as long as it is held.
async fn refuse_active(log: &LocalLog, group: &Group) -> Result<GroupLock, ReplayError> {
    match group.try_lock(log)? {
        Some(lock) => Ok(lock),
        None => {
            let member = group.member(log).await?.unwrap_or_else(|| "about to leave".to_owned());
            Err(ReplayError::GroupActive { group: group.name.clone(), members: vec![member] })
        }
    }
}

/// The offsets that were named, when the target names any; fails on partitions that are not there.
fn named_offsets(target: &ReplayTarget, topics: &[Topic]) -> Result<Option<BTreeMap<i64, i64>>, ReplayError> {
    let ReplayTarget::Offsets(offsets) = target else { return Ok(None) };
    let mut named = BTreeMap::new();
    for PartitionOffset { topic, partition, offset } in offsets {
        let Some(known) = topics.iter().find(|known| *known.name == **topic && *partition == 0) else {
            return Err(ReplayError::UnknownPartition { topic: topic.clone(), partition: *partition });
        };
        named.insert(known.id, *offset);
    }
    Ok(Some(named))
}

async fn new_offset(
    log: &LocalLog,
    topic: &Topic,
    target: &ReplayTarget,
    named: Option<i64>,
) -> Result<i64, ReplayError> {
    let doing = || LocalFailure::database(format!("looking for records of {}", topic.name));
    let first = topics::first_offset(log.readers(), topic).await.map_err(doing())?;
    match (target, named) {
        (_, Some(offset)) if (first..=topic.end).contains(&offset) => Ok(offset),
        (_, Some(offset)) => Err(ReplayError::OffsetOutOfRange {
            topic: topic.name.to_string(),
            partition: 0,
            offset,
            first,
            end: topic.end,
        }),
        (ReplayTarget::Time(time), None) => Ok(topics::offset_at(log.readers(), topic, *time).await.map_err(doing())?),
        (ReplayTarget::Start | ReplayTarget::Offsets(_), None) => Ok(first),
    }
}
