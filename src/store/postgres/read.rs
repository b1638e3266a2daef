//! The statements that read, one function each; the comment says what it locks.

use std::collections::BTreeSet;

use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::types::time::{Date, OffsetDateTime};
use sqlx::{PgConnection, PgPool, Row};

use crate::domain::claim::{Claim, ClaimKey};
use crate::domain::stock::StockRow;
use crate::domain::words::{StockKey, Timestamp};
use crate::ports::StoreError;
use crate::store::batch::InboxKey;
use crate::store::instant;
use crate::store::rows::{self, Columns};
use crate::store::waiting::WaitingLine;

macro_rules! columns {
    ($table:literal) => {
        $crate::store::rows::stock_columns!($table, "::text")
    };
}
pub(super) use columns;

impl Columns for PgRow {
    fn instant(&self, column: usize) -> Result<Option<Timestamp>, sqlx::Error> {
        Ok(self.try_get::<Option<OffsetDateTime>, _>(column)?.map(instant::read))
    }

    fn texts(&self, column: usize) -> Result<Vec<String>, sqlx::Error> {
        Ok(self.try_get::<Option<Vec<String>>, _>(column)?.unwrap_or_default())
    }
}

/// Which identities are there, as (index into `keys`, fingerprint). Locks nothing: the insert at the end decides.
///
/// Planned anew each time, so that only the partitions of `days` are opened, not every day that there is.
pub(super) async fn inbox(connection: &mut PgConnection, keys: &[InboxKey]) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let of_keys: Vec<Option<Date>> = keys.iter().map(|key| instant::write_day(key.day)).collect();
    let mut days = of_keys.clone();
    days.sort_unstable();
    days.dedup();
    sqlx::query_as(
        "select k.ordinal - 1, i.fingerprint
         from unnest($1::date[], $2::int[], $3::uuid[]) with ordinality as k (event_day, source, event_key, ordinal)
         join inbox i on i.event_key = k.event_key and i.source = k.source and i.event_day = k.event_day
         where i.event_day = any($4)",
    )
    .persistent(false)
    .bind(of_keys)
    .bind(keys.iter().map(|key| key.source).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| Uuid::from_bytes(key.key.0)).collect::<Vec<_>>())
    .bind(days)
    .fetch_all(connection)
    .await
}

/// Locks claims and reads them as [`rows::claim`] does.
macro_rules! lock_claims {
    ($unless:literal) => {
        concat!(
            "select c.kind::text, c.reference, c.state::text, c.confirmed, c.revision, c.version, c.updated_time,
                    c.first_held_at, c.expires_at, c.shipments, c.remembered, c.lines::text
             from unnest($1::text[]::claim_kind[], $2::text[]) as k (kind, reference)
             join claim c on c.kind = k.kind and c.reference = k.reference
             order by c.kind, c.reference collate \"C\"
             for update of c",
            $unless
        )
    };
}

/// Locks the claims that exist, in key order, and reads them.
pub(super) async fn lock_claims(
    connection: &mut PgConnection,
    keys: &BTreeSet<ClaimKey>,
) -> Result<Vec<Claim>, StoreError> {
    claims(connection, lock_claims!(""), keys).await
}

/// Locks the claims that exist and that nobody else has locked, and reads them. Waits for nobody.
pub(super) async fn lock_free_claims(
    connection: &mut PgConnection,
    keys: &BTreeSet<ClaimKey>,
) -> Result<Vec<Claim>, StoreError> {
    claims(connection, lock_claims!(" skip locked"), keys).await
}

async fn claims(
    connection: &mut PgConnection,
    statement: &'static str,
    keys: &BTreeSet<ClaimKey>,
) -> Result<Vec<Claim>, StoreError> {
    let (kinds, references) = claim_arrays(keys);
    let rows = sqlx::query(statement)
        .bind(kinds)
        .bind(references)
        .fetch_all(connection)
        .await
        .map_err(super::error::classify)?;
    rows.iter().map(rows::claim).collect()
}

/// Locks stock rows that exist, in key order, and reads them; with the database's clock after the last lock. The rows
/// are locked one by one as they are returned, so that the latest of the clock's readings is later than every lock.
pub(super) async fn lock_stock(
    connection: &mut PgConnection,
    keys: &[&StockKey],
) -> Result<(Vec<StockRow>, Option<Timestamp>), StoreError> {
    let rows = sqlx::query(concat!(
        "select s.*, clock_timestamp() from (select ",
        columns!("s"),
        " from unnest($1::text[], $2::text[]) as k (sku, location)
          join stock s on s.sku = k.sku and s.location = k.location
          order by s.sku collate \"C\", s.location collate \"C\"
          for update of s) s"
    ))
    .bind(keys.iter().map(|key| key.sku.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.location.as_str()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await
    .map_err(super::error::classify)?;
    let mut now = None;
    let mut stock = Vec::with_capacity(rows.len());
    for row in &rows {
        stock.push(rows::stock(row)?);
        let clock: OffsetDateTime =
            row.try_get(16).map_err(|error| StoreError::Fatal(format!("the clock cannot be read: {error}")))?;
        now = now.max(Some(instant::read(clock)));
    }
    Ok((stock, now))
}

/// Who waits for stock rows. Locks nothing: whoever changes it has locked the row, as the caller has.
pub(super) async fn waiting_lines(
    connection: &mut PgConnection,
    keys: &[&StockKey],
) -> Result<Vec<WaitingLine>, sqlx::Error> {
    let lines: Vec<(String, String, i64, String)> = sqlx::query_as(
        "select w.sku, w.location, w.ticket, w.reference
         from unnest($1::text[], $2::text[]) as k (sku, location)
         join waiting_line w on w.sku = k.sku and w.location = k.location",
    )
    .bind(keys.iter().map(|key| key.sku.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.location.as_str()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(lines.into_iter().map(WaitingLine::from).collect())
}

/// The numbers of sources that have one. Locks nothing.
pub(super) async fn sources(connection: &mut PgConnection, names: &[&str]) -> Result<Vec<(String, i32)>, sqlx::Error> {
    sqlx::query_as("select name, id from source where name = any($1)").bind(names).fetch_all(connection).await
}

/// The database's clock.
pub(super) async fn clock(connection: &mut PgConnection) -> Result<Timestamp, sqlx::Error> {
    let now: OffsetDateTime = sqlx::query_scalar("select clock_timestamp()").fetch_one(connection).await?;
    Ok(instant::read(now))
}

/// Claims past their deadline, oldest first; claims that a writer has locked are passed over, and none stays locked.
pub(super) async fn due_claims(
    pool: &PgPool,
    limit: usize,
) -> Result<Vec<(String, String, OffsetDateTime, OffsetDateTime)>, sqlx::Error> {
    sqlx::query_as(
        "select kind::text, reference, expires_at, clock_timestamp() from claim
         where expires_at <= clock_timestamp() order by expires_at limit $1 for update skip locked",
    )
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await
}

/// Versions and checksums of the migrations that were applied; none when there is no schema yet.
pub(super) async fn applied_migrations(pool: &PgPool) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(pool).await?;
    if !exists {
        return Ok(Vec::new());
    }
    sqlx::query_as("select version, checksum from _sqlx_migrations where success order by version")
        .fetch_all(pool)
        .await
}

/// Keys as arrays for `unnest`: of equal length, since unequal ones would give NULLs in silence.
pub(super) fn claim_arrays<'k>(keys: impl IntoIterator<Item = &'k ClaimKey>) -> (Vec<&'static str>, Vec<&'k str>) {
    keys.into_iter().map(|key| (key.kind.as_str(), key.reference.as_str())).unzip()
}
