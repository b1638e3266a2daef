//! What the relay asks of the database: batches in order, the lease, the mark.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlitePool};
use uuid::Uuid;

use super::error;
use crate::domain::words::Timestamp;
use crate::one_file::clock;
use crate::ports::{LONGEST_LEASE_SECONDS, Lease, OutboxBatch, OutboxStatus, Progress, StoreError};
use crate::store::kept::{self, OutboxRow};

/// Batches after a number, in order without a hole.
pub(super) async fn unpublished(pool: &SqlitePool, after: i64, limit: usize) -> Result<Vec<OutboxBatch>, StoreError> {
    let rows = sqlx::query(
        "select number, first_seq, recorded_at, content from outbox where number > ?1 order by number limit ?2",
    )
    .bind(after)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await
    .map_err(error::classify)?;
    kept::batches(after, rows.iter().map(outbox_row).collect::<Result<_, _>>().map_err(error::classify)?)
}

/// A row of number, first seq, instant and content.
pub(super) fn outbox_row(row: &SqliteRow) -> Result<OutboxRow, sqlx::Error> {
    Ok(OutboxRow {
        number: row.try_get(0)?,
        first_seq: row.try_get(1)?,
        recorded_at: Timestamp(row.try_get(2)?),
        content: row.try_get(3)?,
    })
}

/// How the outbox stands.
pub(super) async fn status(pool: &SqlitePool) -> Result<OutboxStatus, sqlx::Error> {
    let row = sqlx::query(concat!(
        "select i.id, c.last_number, c.last_seq, r.published_number, r.published_seq,
                (select recorded_at from outbox where number > r.published_number order by number limit 1), ",
        clock!(),
        " from installation i, outbox_counter c, relay r"
    ))
    .fetch_one(pool)
    .await?;
    Ok(OutboxStatus {
        installation: row.try_get(0)?,
        last_number: row.try_get(1)?,
        last_seq: row.try_get(2)?,
        published_number: row.try_get(3)?,
        published_seq: row.try_get(4)?,
        oldest_unpublished: row.try_get::<Option<i64>, _>(5)?.map(Timestamp),
        now: Timestamp(row.try_get(6)?),
    })
}

/// Takes or renews the lease. Each takeover raises the epoch; a renewal keeps it.
pub(super) async fn take_lease(writer: &SqlitePool, holder: Uuid, seconds: i64) -> Result<Option<Lease>, sqlx::Error> {
    // All rows are fetched, so that the statement runs to the end of its commit, whose error would be lost otherwise.
    let epochs: Vec<i64> = sqlx::query_scalar(concat!(
        "update relay
         set epoch = epoch + case when holder = ?1 then 0 else 1 end, holder = ?1,
             expires_at = ",
        clock!(),
        " + ?2 * 1000000
         where holder is null or holder = ?1
            or expires_at not between ",
        clock!(),
        " and ",
        clock!(),
        " + ?3 * 1000000 returning epoch"
    ))
    .bind(holder)
    .bind(seconds)
    .bind(LONGEST_LEASE_SECONDS)
    .fetch_all(writer)
    .await?;
    Ok(epochs.first().map(|epoch| Lease { holder, epoch: *epoch }))
}

/// Gives the lease back, if it is still one's own.
pub(super) async fn give_lease(writer: &SqlitePool, lease: Lease) -> Result<(), sqlx::Error> {
    sqlx::query("update relay set holder = null, expires_at = null where holder = ?1 and epoch = ?2")
        .bind(lease.holder)
        .bind(lease.epoch)
        .execute(writer)
        .await?;
    Ok(())
}

/// Marks batches as published, if the lease is still one's own. The mark never goes back.
pub(super) async fn mark_published(writer: &SqlitePool, lease: Lease, progress: Progress) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "update relay
         set published_number = max(published_number, ?3), published_seq = max(published_seq, ?4)
         where holder = ?1 and epoch = ?2",
    )
    .bind(lease.holder)
    .bind(lease.epoch)
    .bind(progress.batch)
    .bind(progress.seq)
    .execute(writer)
    .await?;
    Ok(done.rows_affected() == 1)
}
