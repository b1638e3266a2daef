//! What the clock asks of the database: old rows deleted, a bounded number in each transaction, so that no batch waits
//! long for its turn.

use super::{SqliteStore, clock, today};
use crate::store::MaintenanceReport;

/// How many rows one deletion takes at most.
const MOST_DELETED: i64 = 10_000;

impl SqliteStore {
    pub(super) async fn run_round(&self) -> Result<MaintenanceReport, sqlx::Error> {
        Ok(MaintenanceReport {
            days_dropped: self.drop_days().await?,
            batches_deleted: self.delete_published().await?,
            positions_deleted: self.delete_positions().await?,
        })
    }

    /// Drops days that are over, and whose last key is. From the mark on, their events are refused, so that it does not
    /// matter how far their keys are deleted; what an earlier round left is deleted now.
    async fn drop_days(&self) -> Result<u64, sqlx::Error> {
        let dropped: Vec<i64> = sqlx::query_scalar(concat!(
            "update inbox_day set dropped_at = ",
            clock!(),
            " where dropped_at is null and max(event_day, last_written_on) < ",
            today!(),
            " - ?1 returning event_day"
        ))
        .bind(self.settings.retention.inbox_keep_days)
        .fetch_all(&self.writer)
        .await?;
        for day in &dropped {
            tracing::info!(day, "dropped the inbox keys of a day");
        }
        let left: Vec<i64> = sqlx::query_scalar(
            "select event_day from inbox_day d
             where dropped_at is not null and exists (select 1 from inbox i where i.event_day = d.event_day)",
        )
        .fetch_all(&self.writer)
        .await?;
        for day in left {
            while self.delete_keys(day).await? > 0 {}
        }
        Ok(dropped.len() as u64)
    }

    async fn delete_keys(&self, day: i64) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(
            "delete from inbox where event_day = ?1 and (source, event_key) in (
                 select source, event_key from inbox where event_day = ?1 order by source, event_key limit ?2
             )",
        )
        .bind(day)
        .bind(MOST_DELETED)
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected())
    }

    /// Deletes published batches that are older than the grace period. The newest published one stays, so that the
    /// numbers can be followed from it.
    async fn delete_published(&self) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(concat!(
            "delete from outbox where number in (
                 select o.number from outbox o, relay r
                 where o.number < r.published_number and o.recorded_at < ",
            clock!(),
            " - ?1 * 1000000 order by o.number limit ?2
             )"
        ))
        .bind(self.settings.retention.keep_published_seconds)
        .bind(MOST_DELETED)
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected())
    }

    async fn delete_positions(&self) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(concat!(
            "delete from dead_letter where id in (
                 select id from dead_letter where recorded_at < ",
            clock!(),
            " - ?1 * 86400000000 limit ?2
             )"
        ))
        .bind(i64::from(self.settings.retention.dead_letter_keep_days))
        .bind(MOST_DELETED)
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected())
    }
}
