//! Old records dropped, a bounded number in each round, so that no batch waits long for its turn.

use std::time::Duration;

use sqlx::SqlitePool;

use super::error::LocalFailure;
use super::log::LocalLog;
use super::topics::{self, Topic};
use crate::domain::words::Timestamp;
use crate::one_file::clock;

/// How long a record waits for a group that does not come, whatever the retention of its topic: a group that nobody
/// works in any more must not fill the disk.
pub const LONGEST_UNREAD: Duration = Duration::from_secs(400 * 86_400);
/// How many records one round drops at most.
const MOST_DROPPED: i64 = 10_000;
/// How many bytes of payload one round drops at most, but for its last record: freeing a page costs as much as writing it.
const MOST_BYTES: i64 = 16 << 20;

/// What one round of [`drop_old`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DroppedRecords {
    /// Records that were dropped.
    pub records: u64,
    /// Whether records that are due were left for another round, which should follow soon.
    pub is_unfinished: bool,
}

/// One round of dropping records that are older than the retention of their topic and were read by every group that
/// ever read the topic, or that are older than [`LONGEST_UNREAD`]. Drops from one topic, in one transaction of bounded
/// size, so that it can be stopped after any.
///
/// # Errors
/// [`LocalFailure::Database`]; nothing is dropped then.
pub async fn drop_old(log: &LocalLog) -> Result<DroppedRecords, LocalFailure> {
    let doing = || LocalFailure::database("dropping old records");
    let kept: Vec<Topic> =
        sqlx::query_as("select id, name, retention_ms, next_offset from log_topic where retention_ms >= 0 order by id")
            .fetch_all(log.readers())
            .await
            .map_err(doing())?;
    let now: i64 = sqlx::query_scalar(concat!("select ", clock!())).fetch_one(log.readers()).await.map_err(doing())?;
    let mut dropped = DroppedRecords::default();
    for topic in kept {
        let until = old_until(log.readers(), &topic, now).await.map_err(doing())?;
        if !has_below(log.readers(), &topic, until).await.map_err(doing())? {
            continue;
        }
        if dropped.records > 0 {
            return Ok(DroppedRecords { is_unfinished: true, ..dropped });
        }
        dropped.records = drop_below(log, &topic, until).await.map_err(doing())?;
        dropped.is_unfinished = has_below(log.readers(), &topic, until).await.map_err(doing())?;
        if dropped.is_unfinished {
            return Ok(dropped);
        }
    }
    Ok(dropped)
}

/// The offset below which records are to go.
async fn old_until(pool: &SqlitePool, topic: &Topic, now: i64) -> Result<i64, sqlx::Error> {
    let retention = topic.retention_ms.saturating_mul(1_000);
    let old = topics::offset_at(pool, topic, Timestamp(now.saturating_sub(retention))).await?;
    let unread: Option<i64> = sqlx::query_scalar("select min(next_offset) from log_offset where topic = ?1")
        .bind(topic.id)
        .fetch_one(pool)
        .await?;
    let Some(unread) = unread.filter(|unread| *unread < old) else { return Ok(old) };
    let longest = i64::try_from(LONGEST_UNREAD.as_micros()).unwrap_or(i64::MAX).max(retention);
    Ok(unread.max(topics::offset_at(pool, topic, Timestamp(now.saturating_sub(longest))).await?))
}

/// Whether a topic has a record below an offset.
async fn has_below(pool: &SqlitePool, topic: &Topic, until: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select 1 from log_record where topic = ?1 and record_offset < ?2)")
        .bind(topic.id)
        .bind(until)
        .fetch_one(pool)
        .await
}

/// Drops the first records of a topic, at least one where there is one below `until`. The length of a payload is read off
/// its row, without the payload.
async fn drop_below(log: &LocalLog, topic: &Topic, until: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "delete from log_record where id in (
             select id from (
                 select id, sum(bytes) over (order by record_offset rows unbounded preceding) - bytes as bytes_before
                 from (
                     select id, record_offset, coalesce(length(payload), 0) as bytes
                     from log_record where topic = ?1 and record_offset < ?2 order by record_offset limit ?3
                 )
             ) where bytes_before < ?4
         )",
    )
    .bind(topic.id)
    .bind(until)
    .bind(MOST_DROPPED)
    .bind(MOST_BYTES)
    .execute(log.notes())
    .await?;
    Ok(done.rows_affected())
}
