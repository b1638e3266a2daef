//! The statements that read, one function each. None locks anything: within a batch the file's lock is held already,
//! and elsewhere a reader sees the last commit.
//!
//! Keys of a batch come as one JSON parameter, see [`super::write`]. `cross join` keeps the order of the tables: the keys
//! are gone through and each row is found by its own key, whatever the statistics say.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqlitePool};
use uuid::Uuid;

use super::write::json;
use crate::domain::claim::{Claim, ClaimKey};
use crate::domain::stock::StockRow;
use crate::domain::words::{Day, StockKey, Timestamp};
use crate::one_file::clock;
use crate::ports::{DueClaim, StoreError};
use crate::store::batch::InboxKey;
use crate::store::rows::{self, Columns};
use crate::store::waiting::WaitingLine;

macro_rules! columns {
    ($table:literal) => {
        $crate::store::rows::stock_columns!($table, "")
    };
}
pub(super) use columns;

impl Columns for SqliteRow {
    fn instant(&self, column: usize) -> Result<Option<Timestamp>, sqlx::Error> {
        Ok(self.try_get::<Option<i64>, _>(column)?.map(Timestamp))
    }

    fn texts(&self, column: usize) -> Result<Vec<String>, sqlx::Error> {
        let Some(list) = self.try_get::<Option<&str>, _>(column)? else { return Ok(Vec::new()) };
        serde_json::from_str(list).map_err(|error| sqlx::Error::Decode(Box::new(error)))
    }
}

/// The database's clock.
pub(super) async fn clock(connection: &mut SqliteConnection) -> Result<Timestamp, sqlx::Error> {
    sqlx::query_scalar(concat!("select ", clock!())).fetch_one(connection).await.map(Timestamp)
}

/// Which identities are there, as (index into `keys`, fingerprint).
pub(super) async fn inbox(
    connection: &mut SqliteConnection,
    keys: &[InboxKey],
) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    #[derive(Serialize)]
    struct Key(i32, i32, uuid::fmt::Simple);
    sqlx::query_as(
        "select k.key, i.fingerprint from jsonb_each(?1) as k
         cross join inbox i
             on i.event_day = k.value ->> 0 and i.source = k.value ->> 1 and i.event_key = unhex(k.value ->> 2)",
    )
    .bind(json(keys.iter().map(|key| Key(key.day.0, key.source, Uuid::from_bytes(key.key.0).simple()))))
    .fetch_all(connection)
    .await
}

/// The columns of a claim as [`rows::claim`] reads them.
macro_rules! claim_columns {
    () => {
        "c.kind, c.reference, c.state, c.confirmed, c.revision, c.version, c.updated_time, c.first_held_at,
         c.expires_at, c.shipments, c.remembered, c.lines"
    };
}
pub(super) use claim_columns;

/// The claims that exist.
pub(super) async fn claims(
    connection: &mut SqliteConnection,
    keys: &BTreeSet<ClaimKey>,
) -> Result<Vec<Claim>, StoreError> {
    let found = sqlx::query(concat!(
        "select ",
        claim_columns!(),
        " from jsonb_each(?1) as k
          cross join claim c on c.kind = k.value ->> 0 and c.reference = k.value ->> 1"
    ))
    .bind(json(keys.iter().map(|key| (key.kind.as_str(), key.reference.as_str()))))
    .fetch_all(connection)
    .await
    .map_err(super::error::classify)?;
    found.iter().map(rows::claim).collect()
}

/// The stock rows that exist.
pub(super) async fn stock(connection: &mut SqliteConnection, keys: &[&StockKey]) -> Result<Vec<StockRow>, StoreError> {
    let found = sqlx::query(concat!(
        "select ",
        columns!("s"),
        " from jsonb_each(?1) as k
          cross join stock s on s.sku = k.value ->> 0 and s.location = k.value ->> 1"
    ))
    .bind(json(keys.iter().map(|key| (key.sku.as_str(), key.location.as_str()))))
    .fetch_all(connection)
    .await
    .map_err(super::error::classify)?;
    found.iter().map(rows::stock).collect()
}

/// Who waits for stock rows.
pub(super) async fn waiting_lines(
    connection: &mut SqliteConnection,
    keys: &[&StockKey],
) -> Result<Vec<WaitingLine>, sqlx::Error> {
    let lines: Vec<(String, String, i64, String)> = sqlx::query_as(
        "select w.sku, w.location, w.ticket, w.reference from jsonb_each(?1) as k
         cross join waiting_line w on w.sku = k.value ->> 0 and w.location = k.value ->> 1",
    )
    .bind(json(keys.iter().map(|key| (key.sku.as_str(), key.location.as_str()))))
    .fetch_all(connection)
    .await?;
    Ok(lines.into_iter().map(WaitingLine::from).collect())
}

/// What is known of a day.
pub(super) struct KnownDay {
    pub dropped: bool,
    pub last_written_on: Day,
}

/// Those of the days that were ever opened.
pub(super) async fn days(
    connection: &mut SqliteConnection,
    days: &BTreeSet<Day>,
) -> Result<HashMap<Day, KnownDay>, sqlx::Error> {
    let known: Vec<(i32, bool, i32)> = sqlx::query_as(
        "select d.event_day, d.dropped_at is not null, d.last_written_on
         from json_each(?1) as k cross join inbox_day d on d.event_day = k.value",
    )
    .bind(json(days.iter().map(|day| day.0)))
    .fetch_all(connection)
    .await?;
    let day = |(day, dropped, on): (i32, bool, i32)| (Day(day), KnownDay { dropped, last_written_on: Day(on) });
    Ok(known.into_iter().map(day).collect())
}

/// How many days are open.
pub(super) async fn open_days(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("select count(*) from inbox_day where dropped_at is null").fetch_one(connection).await
}

/// The numbers of sources that have one.
pub(super) async fn sources(
    connection: &mut SqliteConnection,
    names: &[&str],
) -> Result<Vec<(String, i32)>, sqlx::Error> {
    sqlx::query_as("select s.name, s.id from json_each(?1) as k cross join source s on s.name = k.value")
        .bind(json(names.iter()))
        .fetch_all(connection)
        .await
}

/// Claims past their deadline, oldest first.
pub(super) async fn due_claims(pool: &SqlitePool, limit: usize) -> Result<Vec<DueClaim>, StoreError> {
    let due: Vec<(String, String, i64, i64)> = sqlx::query_as(concat!(
        "select kind, reference, expires_at, ",
        clock!(),
        " from claim where expires_at <= ",
        clock!(),
        " order by expires_at limit ?1"
    ))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await
    .map_err(super::error::classify)?;
    due.iter()
        .map(|(kind, reference, deadline, seen_at)| {
            rows::due_claim(kind, reference, Timestamp(*deadline), Timestamp(*seen_at))
        })
        .collect()
}

/// Versions and checksums of the migrations that were applied; none when there is no schema yet.
pub(super) async fn applied_migrations(pool: &SqlitePool) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar("select count(*) from sqlite_schema where name = '_sqlx_migrations'")
        .fetch_one(pool)
        .await?;
    if tables == 0 {
        return Ok(Vec::new());
    }
    sqlx::query_as("select version, checksum from _sqlx_migrations where success order by version")
        .fetch_all(pool)
        .await
}
