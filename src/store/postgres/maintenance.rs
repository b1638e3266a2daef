//! What the clock asks of the database: partitions made ahead, old ones dropped behind.

use sqlx::AssertSqlSafe;
use sqlx::types::time::{Date, OffsetDateTime};

use super::days::{PARTITION_LOCK, day_partition};
use super::held::Held;
use super::{PostgresStore, error};
use crate::ports::StoreError;
use crate::store::MaintenanceReport;

/// How many months of ledger partitions are made ahead.
const MONTHS_AHEAD: u32 = 2;
/// How many rows one deletion takes at most, so that no transaction is long.
const MOST_DELETED: u64 = 10_000;

impl PostgresStore {
    pub(super) async fn run_round(&self) -> Result<MaintenanceReport, StoreError> {
        self.make_months_ahead().await?;
        let days_dropped = self.drop_days().await.map_err(error::classify)?;
        let batches_deleted = self.delete_published().await.map_err(error::classify)?;
        let positions_deleted = self.delete_positions().await.map_err(error::classify)?;
        let alerts_deleted = self.delete_alerts().await.map_err(error::classify)?;
        let is_unfinished = batches_deleted.max(positions_deleted).max(alerts_deleted) >= MOST_DELETED;
        Ok(MaintenanceReport { days_dropped, batches_deleted, positions_deleted, alerts_deleted, is_unfinished })
    }

    /// Makes the ledger's partitions for this month and the next ones.
    pub(super) async fn make_months_ahead(&self) -> Result<(), StoreError> {
        let mut connection = self.hold().await.map_err(error::classify)?;
        make_months(&mut connection).await.map_err(error::classify)
    }

    /// Drops the partitions of days that are over, and whose last key is.
    async fn drop_days(&self) -> Result<u64, sqlx::Error> {
        let mut connection = self.hold().await?;
        let due: Vec<Date> = sqlx::query_scalar(
            "select event_day from inbox_day
             where dropped_at is null and greatest(event_day, last_written_on) < (clock_timestamp() at time zone 'utc')::date - $1
             order by event_day",
        )
        .bind(self.settings.retention.inbox_keep_days)
        .fetch_all(connection.plain())
        .await?;
        let mut dropped = 0;
        for day in due {
            dropped += u64::from(self.drop_day(&mut connection, day).await?);
        }
        Ok(dropped)
    }

    async fn drop_day(&self, connection: &mut Held, day: Date) -> Result<bool, sqlx::Error> {
        let mut transaction = connection.begin().await?;
        sqlx::query("select pg_advisory_xact_lock($1)").bind(PARTITION_LOCK).execute(&mut *transaction).await?;
        // Looked at again under the lock: a key may have come meanwhile.
        let marked = sqlx::query(
            "update inbox_day set dropped_at = clock_timestamp()
             where event_day = $1 and dropped_at is null
               and greatest(event_day, last_written_on) < (clock_timestamp() at time zone 'utc')::date - $2",
        )
        .bind(day)
        .bind(self.settings.retention.inbox_keep_days)
        .execute(&mut *transaction)
        .await?;
        if marked.rows_affected() == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        // Nothing but a date goes into the text.
        let statement = format!("drop table if exists {}", day_partition(day));
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
        transaction.commit().await?;
        tracing::info!(%day, "dropped the inbox keys of a day");
        Ok(true)
    }

    /// Deletes published batches up to the first that is younger than the grace period, so that a clock that was set back
    /// leaves no hole. The newest published one stays, so that the numbers can be followed from it.
    async fn delete_published(&self) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(
            "delete from outbox where number in (
                 select o.number from outbox o, relay r
                 where o.number < r.published_number and o.number < coalesce((
                     select kept.number from outbox kept
                     where kept.recorded_at >= clock_timestamp() - make_interval(secs => $1)
                     order by kept.number limit 1
                 ), r.published_number)
                 order by o.number limit $2
             )",
        )
        .bind(self.settings.retention.keep_published_seconds as f64)
        .bind(MOST_DELETED as i64)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    async fn delete_positions(&self) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(
            "delete from dead_letter where id in (
                 select id from dead_letter where recorded_at < clock_timestamp() - make_interval(days => $1) limit $2
             )",
        )
        .bind(self.settings.retention.dead_letter_keep_days)
        .bind(MOST_DELETED as i64)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// Deletes resolved alerts. Those that are not resolved stay however old they are: a row has one at most.
    async fn delete_alerts(&self) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(
            "delete from alert where id in (
                 select id from alert where resolved_at < clock_timestamp() - make_interval(days => $1) limit $2
             )",
        )
        .bind(self.settings.retention.alert_keep_days)
        .bind(MOST_DELETED as i64)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}

async fn make_months(connection: &mut Held) -> Result<(), sqlx::Error> {
    let now: OffsetDateTime = sqlx::query_scalar("select clock_timestamp()").fetch_one(connection.plain()).await?;
    let mut first = first_of_month(now.date());
    for _ in 0..=MONTHS_AHEAD {
        let next = first_of_month(first + time::Duration::days(31));
        let name = format!("movement_{:04}{:02}", first.year(), u8::from(first.month()));
        make_month(connection, &name, first, next).await?;
        first = next;
    }
    Ok(())
}

/// Makes one month's partition unless it is there: apart and then attached, so that no writer stops meanwhile.
async fn make_month(connection: &mut Held, name: &str, first: Date, next: Date) -> Result<(), sqlx::Error> {
    let exists = "select to_regclass($1) is not null";
    if sqlx::query_scalar::<_, bool>(exists).bind(name).fetch_one(connection.plain()).await? {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(PARTITION_LOCK).execute(&mut *transaction).await?;
    if !sqlx::query_scalar::<_, bool>(exists).bind(name).fetch_one(&mut *transaction).await? {
        let statements = [
            format!("create table {name} (like movement including all)"),
            format!(
                "alter table movement attach partition {name} for values from ('{first} 00:00+00') to ('{next} 00:00+00')"
            ),
        ];
        for statement in statements {
            // Nothing but dates go into the text.
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await
}

fn first_of_month(date: Date) -> Date {
    // The first of a month that exists is a day that exists.
    date.replace_day(1).unwrap_or(date)
}
