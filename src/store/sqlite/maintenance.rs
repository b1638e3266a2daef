//! What the clock asks of the database: old rows deleted, a bounded number in each transaction, so that no batch waits
//! long for its turn.

use super::{SqliteStore, today};
use crate::one_file::clock;
use crate::store::MaintenanceReport;

/// How many small rows one deletion takes at most.
const MOST_DELETED: i64 = 10_000;
/// How many batches one deletion takes at most. Each may be some megabytes, whose pages are freed one by one.
const MOST_BATCHES: i64 = 500;

impl SqliteStore {
    pub(super) async fn run_round(&self) -> Result<MaintenanceReport, sqlx::Error> {
        let days_dropped = self.drop_days().await?;
        let keys_deleted = self.delete_keys().await?;
        let batches_deleted = self.delete_published().await?;
        let positions_deleted = self.delete_positions().await?;
        let alerts_deleted = self.delete_alerts().await?;
        let is_unfinished = keys_deleted.max(positions_deleted).max(alerts_deleted) >= MOST_DELETED as u64
            || batches_deleted >= MOST_BATCHES as u64;
        Ok(MaintenanceReport { days_dropped, batches_deleted, positions_deleted, alerts_deleted, is_unfinished })
    }

    /// Drops days that are over, and whose last key is. From the mark on, their events are refused, so that it does not
    /// matter how far their keys are deleted.
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
        Ok(dropped.len() as u64)
    }

    /// Deletes keys of dropped days, from the end at which they lie together.
    async fn delete_keys(&self) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(
            "delete from inbox where (event_day, source, event_key) in (
                 select i.event_day, i.source, i.event_key
                 from inbox_day d cross join inbox i on i.event_day = d.event_day
                 where d.dropped_at is not null limit ?1
             )",
        )
        .bind(MOST_DELETED)
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected())
    }

    /// Deletes published batches up to the first that is younger than the grace period, so that a clock that was set back
    /// leaves no hole. The newest published one stays, so that the numbers can be followed from it.
    async fn delete_published(&self) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(concat!(
            "delete from outbox where number in (
                 select o.number from outbox o, relay r
                 where o.number < r.published_number and o.number < coalesce((
                     select kept.number from outbox kept where kept.recorded_at >= ",
            clock!(),
            " - ?1 * 1000000 order by kept.number limit 1
                 ), r.published_number)
                 order by o.number limit ?2
             )"
        ))
        .bind(self.settings.retention.keep_published_seconds)
        .bind(MOST_BATCHES)
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

    /// Deletes resolved alerts. Those that are not resolved stay however old they are: a row has one at most.
    async fn delete_alerts(&self) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(concat!(
            "delete from alert where id in (
                 select id from alert where resolved_at < ",
            clock!(),
            " - ?1 * 86400000000 limit ?2
             )"
        ))
        .bind(i64::from(self.settings.retention.alert_keep_days))
        .bind(MOST_DELETED)
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected())
    }
}
