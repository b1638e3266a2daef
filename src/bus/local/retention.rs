//! Old records dropped, a bounded number in each transaction, so that no batch waits long for its turn.

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
/// How many records one transaction drops at most.
const MOST_DROPPED: i64 = 10_000;

/// Drops records that are older than the retention of their topic and were read by every group that ever read the
/// topic, or that are older than [`LONGEST_UNREAD`]. Returns how many.
pub async fn drop_old(log: &LocalLog) -> Result<u64, LocalFailure> {
    let doing = || LocalFailure::database("dropping old records");
    let kept: Vec<Topic> =
        sqlx::query_as("select id, name, retention_ms, next_offset from log_topic where retention_ms >= 0 order by id")
            .fetch_all(log.readers())
            .await
            .map_err(doing())?;
    let now: i64 = sqlx::query_scalar(concat!("select ", clock!())).fetch_one(log.readers()).await.map_err(doing())?;
    let mut dropped = 0;
    for topic in kept {
        let until = old_until(log.readers(), &topic, now).await.map_err(doing())?;
        dropped += drop_below(log, &topic, until).await.map_err(doing())?;
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

async fn drop_below(log: &LocalLog, topic: &Topic, until: i64) -> Result<u64, sqlx::Error> {
    let mut dropped = 0;
    loop {
        let done = sqlx::query(
            "delete from log_record where id in (
                 select id from log_record where topic = ?1 and record_offset < ?2 order by record_offset limit ?3
             )",
        )
        .bind(topic.id)
        .bind(until)
        .bind(MOST_DROPPED)
        .execute(log.notes())
        .await?;
        dropped += done.rows_affected();
        if done.rows_affected() < MOST_DROPPED as u64 {
            return Ok(dropped);
        }
    }
}
