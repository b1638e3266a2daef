//! The statements that read, one function each; the comment says what it locks.

use sqlx::types::Uuid;
use sqlx::types::time::{Date, OffsetDateTime};
use sqlx::{PgConnection, PgPool, Row};

use super::{instant, lines};
use crate::domain::claim::{Claim, ClaimKey, ClaimKind, ClaimState};
use crate::domain::stock::{Counters, Level, Status, StockRow};
use crate::domain::words::{Reference, StockKey, Timestamp};
use crate::ports::StoreError;
use crate::wire::stored;

/// The columns of a stock row in the order in which [`stock_row`] reads them.
macro_rules! stock_columns {
    ($table:literal) => {
        concat!(
            $table,
            ".sku, ",
            $table,
            ".location, ",
            $table,
            ".name, ",
            $table,
            ".on_hand, ",
            $table,
            ".cart_held, ",
            $table,
            ".order_reserved, ",
            $table,
            ".safety_stock, ",
            $table,
            ".warning_threshold, ",
            $table,
            ".critical_threshold, ",
            $table,
            ".max_stock, ",
            $table,
            ".status::text, ",
            $table,
            ".level::text, ",
            $table,
            ".version, ",
            $table,
            ".sku_version, ",
            $table,
            ".updated_at"
        )
    };
}
pub(super) use stock_columns;

/// One identity to look up.
pub(super) struct InboxKey {
    pub day: Date,
    pub source: i32,
    pub key: Uuid,
}

/// Which identities are there, as (index into `keys`, fingerprint). Locks nothing: the insert at the end decides.
///
/// Planned anew each time, so that only the partitions of `days` are opened, not every day that there is.
pub(super) async fn inbox(connection: &mut PgConnection, keys: &[InboxKey]) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let mut days: Vec<Date> = keys.iter().map(|key| key.day).collect();
    days.sort_unstable();
    days.dedup();
    sqlx::query_as(
        "select k.ordinal - 1, i.fingerprint
         from unnest($1::date[], $2::int[], $3::uuid[]) with ordinality as k (event_day, source, event_key, ordinal)
         join inbox i on i.event_key = k.event_key and i.source = k.source and i.event_day = k.event_day
         where i.event_day = any($4)",
    )
    .persistent(false)
    .bind(keys.iter().map(|key| key.day).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.source).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.key).collect::<Vec<_>>())
    .bind(days)
    .fetch_all(connection)
    .await
}

/// Locks the claims that exist, in key order, and reads them.
pub(super) async fn lock_claims(connection: &mut PgConnection, keys: &[ClaimKey]) -> Result<Vec<Claim>, StoreError> {
    let (kinds, references) = claim_arrays(keys);
    let rows = sqlx::query(
        "select c.kind::text, c.reference, c.state::text, c.confirmed, c.revision, c.version, c.updated_time,
                c.first_held_at, c.expires_at, c.shipments, c.remembered, c.lines::text
         from unnest($1::text[]::claim_kind[], $2::text[]) as k (kind, reference)
         join claim c on c.kind = k.kind and c.reference = k.reference
         order by c.kind, c.reference collate \"C\"
         for update of c",
    )
    .bind(kinds)
    .bind(references)
    .fetch_all(connection)
    .await
    .map_err(super::error::classify)?;
    rows.iter().map(claim).collect()
}

/// Reads a claim for a query; locks nothing.
pub(super) fn claim(row: &sqlx::postgres::PgRow) -> Result<Claim, StoreError> {
    let damaged = |error: sqlx::Error| StoreError::Fatal(format!("a claim cannot be read: {error}"));
    let key = ClaimKey {
        kind: claim_kind(row.try_get(0).map_err(damaged)?)?,
        reference: row.try_get::<&str, _>(1).map_err(damaged)?.into(),
    };
    let instant = |column: usize| -> Result<Option<Timestamp>, StoreError> {
        Ok(row.try_get::<Option<OffsetDateTime>, _>(column).map_err(damaged)?.map(instant::read))
    };
    let shipments: Option<Vec<String>> = row.try_get(9).map_err(damaged)?;
    let remembered: Option<&[u8]> = row.try_get(10).map_err(damaged)?;
    let lines: &str = row.try_get(11).map_err(damaged)?;
    let mut claim = Claim::new(key, word(row.try_get(2).map_err(damaged)?, ClaimState::parse)?);
    claim.confirmed = row.try_get(3).map_err(damaged)?;
    claim.revision = i64::from(row.try_get::<i32, _>(4).map_err(damaged)?);
    claim.version = row.try_get(5).map_err(damaged)?;
    claim.updated_time = instant(6)?;
    claim.first_held_at = instant(7)?;
    claim.expires_at = instant(8)?;
    claim.shipments = shipments.unwrap_or_default().into_iter().map(Reference::new).collect();
    claim.lines = lines::read(lines)
        .map_err(|error| StoreError::Fatal(format!("the lines of {:?} are damaged: {error}", claim.key)))?;
    if let Some(bytes) = remembered {
        claim.remembered = stored::decode_remembered(bytes)
            .map_err(|error| StoreError::Fatal(format!("the remembered events of a claim are damaged: {error}")))?;
    }
    Ok(claim)
}

/// Locks stock rows that exist, in key order, and reads them; with the database's clock after the last lock. The rows
/// are locked one by one as they are returned, so that the latest of the clock's readings is later than every lock.
pub(super) async fn lock_stock(
    connection: &mut PgConnection,
    keys: &[&StockKey],
) -> Result<(Vec<StockRow>, Option<Timestamp>), StoreError> {
    let rows = sqlx::query(concat!(
        "select s.*, clock_timestamp() from (select ",
        stock_columns!("s"),
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
        stock.push(stock_row(row)?);
        let clock: OffsetDateTime =
            row.try_get(15).map_err(|error| StoreError::Fatal(format!("the clock cannot be read: {error}")))?;
        now = now.max(Some(instant::read(clock)));
    }
    Ok((stock, now))
}

/// Reads a row that was selected by [`stock_columns`].
pub(super) fn stock_row(row: &sqlx::postgres::PgRow) -> Result<StockRow, StoreError> {
    let damaged = |error: sqlx::Error| StoreError::Fatal(format!("a stock row cannot be read: {error}"));
    Ok(StockRow {
        key: StockKey::new(row.try_get::<&str, _>(0).map_err(damaged)?, row.try_get::<&str, _>(1).map_err(damaged)?),
        name: row.try_get::<Option<&str>, _>(2).map_err(damaged)?.map(Into::into),
        counters: Counters {
            on_hand: row.try_get(3).map_err(damaged)?,
            cart_held: row.try_get(4).map_err(damaged)?,
            order_reserved: row.try_get(5).map_err(damaged)?,
            safety_stock: row.try_get(6).map_err(damaged)?,
        },
        warning_threshold: row.try_get(7).map_err(damaged)?,
        critical_threshold: row.try_get(8).map_err(damaged)?,
        max_stock: row.try_get(9).map_err(damaged)?,
        status: word(row.try_get(10).map_err(damaged)?, Status::parse)?,
        level: word(row.try_get(11).map_err(damaged)?, Level::parse)?,
        version: row.try_get(12).map_err(damaged)?,
        sku_version: row.try_get(13).map_err(damaged)?,
        updated_at: instant::read(row.try_get(14).map_err(damaged)?),
    })
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
pub(super) fn claim_arrays(keys: &[ClaimKey]) -> (Vec<&'static str>, Vec<&str>) {
    keys.iter().map(|key| (key.kind.as_str(), key.reference.as_str())).unzip()
}

/// The kind that a word names.
pub(super) fn claim_kind(text: &str) -> Result<ClaimKind, StoreError> {
    word(text, |text| ClaimKind::ALL.into_iter().find(|kind| kind.as_str() == text))
}

pub(super) fn word<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
    parse(text)
        .ok_or_else(|| StoreError::Fatal(format!("the database holds {text:?}, which this version does not know")))
}
