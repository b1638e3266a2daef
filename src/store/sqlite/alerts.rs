//! Alerts: two statements of the batches that announce levels, and what people ask and acknowledge.

use serde::Serialize;
use sqlx::{SqliteConnection, SqlitePool};

use super::error;
use super::queries::unanswered;
use super::write::json;
use crate::domain::alert::{Alert, AlertId};
use crate::domain::words::StockKey;
use crate::one_file::clock;
use crate::ports::{AlertFilter, AlertPlace, QueryError, StoreError};
use crate::store::alerts::{self, AlertWalk, uuid};
use crate::store::instant;

macro_rules! columns {
    () => {
        $crate::store::alerts::alert_columns!("")
    };
}

/// The alerts of rows that are not resolved.
pub(super) async fn unresolved(
    connection: &mut SqliteConnection,
    keys: &[&StockKey],
) -> Result<Vec<Alert>, StoreError> {
    let rows = sqlx::query(concat!(
        "select ",
        columns!(),
        " from jsonb_each(?1) as k
          cross join alert on alert.sku = k.value ->> 0 and alert.location = k.value ->> 1 and alert.state <> 'resolved'"
    ))
    .bind(json(keys.iter().map(|key| (key.sku.as_str(), key.location.as_str()))))
    .fetch_all(connection)
    .await
    .map_err(error::classify)?;
    rows.iter().map(alerts::alert).collect()
}

/// One alert, in the order of the columns in [`write`].
#[derive(Serialize)]
struct AlertRow<'a>(
    uuid::fmt::Simple,
    &'a str,
    &'a str,
    &'a str,
    i64,
    i64,
    &'a str,
    i64,
    Option<i64>,
    Option<&'a str>,
    Option<i64>,
);

fn alert_row(alert: &Alert) -> AlertRow<'_> {
    AlertRow(
        uuid(alert.id).simple(),
        alert.key.sku.as_str(),
        alert.key.location.as_str(),
        alert.level.as_str(),
        alert.available,
        alert.version,
        alert.state.as_str(),
        alert.opened_at.0,
        alert.acknowledged_at.map(|instant| instant.0),
        alert.acknowledged_by.as_deref(),
        alert.resolved_at.map(|instant| instant.0),
    )
}

/// Writes alerts that are there or new, in their order: of a row, the one that is resolved comes before the one that is
/// not.
pub(super) async fn write(connection: &mut SqliteConnection, rows: &[Alert]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into alert (id, sku, location, level, available, version, state, opened_at, acknowledged_at,
                            acknowledged_by, resolved_at)
         select unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
                value ->> 7, value ->> 8, value ->> 9, value ->> 10
         from jsonb_each(?1) where true
         on conflict (id) do update
         set level = excluded.level, available = excluded.available, version = excluded.version,
             state = excluded.state, acknowledged_at = excluded.acknowledged_at,
             acknowledged_by = excluded.acknowledged_by, resolved_at = excluded.resolved_at",
    )
    .bind(json(rows.iter().map(alert_row)))
    .execute(connection)
    .await?;
    Ok(())
}

/// A list that walks along an index; `$walk` is what bounds it.
macro_rules! page {
    ($index:literal, $walk:literal) => {
        concat!(
            "select ",
            columns!(),
            " from alert indexed by ",
            $index,
            " where (alert.opened_at, alert.id) < (?1, ?2) and (?3 is null or alert.state = ?3) and (?4 is null or alert.location = ?4)
                and (?5 is null or alert.sku = ?5)",
            $walk,
            " order by alert.opened_at desc, alert.id desc limit ?6"
        )
    };
}

pub(super) async fn page(
    pool: &SqlitePool,
    filter: &AlertFilter,
    after: Option<&AlertPlace>,
    limit: u32,
) -> Result<Vec<Alert>, QueryError> {
    // Behind every alert that there can be.
    let (opened_at, id) = match after {
        Some(place) => (instant::held(place.opened_at).0, place.id),
        None => (i64::MAX, AlertId([u8::MAX; 16])),
    };
    let rows = sqlx::query(match AlertWalk::of(filter) {
        AlertWalk::OfSku => page!("alert_row", " and alert.sku = ?5"),
        AlertWalk::Unresolved => page!("alert_unresolved_opened_at", " and alert.state <> 'resolved'"),
        AlertWalk::All => page!("alert_opened_at", ""),
    })
    .bind(opened_at)
    .bind(uuid(id))
    .bind(filter.state.map(|state| state.as_str()))
    .bind(filter.location.as_ref().map(|location| location.as_str()))
    .bind(filter.sku.as_ref().map(|sku| sku.as_str()))
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await
    .map_err(unanswered)?;
    Ok(rows.iter().map(alerts::alert).collect::<Result<_, _>>()?)
}

pub(super) async fn one(pool: &SqlitePool, id: AlertId) -> Result<Option<Alert>, QueryError> {
    let row = sqlx::query(concat!("select ", columns!(), " from alert where alert.id = ?1"))
        .bind(uuid(id))
        .fetch_optional(pool)
        .await
        .map_err(unanswered)?;
    Ok(row.as_ref().map(alerts::alert).transpose()?)
}

/// Acknowledges an alert that is open and answers how it stands then.
pub(super) async fn acknowledge(
    writer: &SqlitePool,
    id: AlertId,
    operator: Option<&str>,
) -> Result<Option<Alert>, QueryError> {
    let rows = sqlx::query(concat!(
        "update alert
         set state = case alert.state when 'open' then 'acknowledged' else alert.state end,
             acknowledged_at = case alert.state when 'open' then ",
        clock!(),
        " else alert.acknowledged_at end,
             acknowledged_by = case alert.state when 'open' then ?2 else alert.acknowledged_by end
         where alert.id = ?1 returning ",
        columns!()
    ))
    .bind(uuid(id))
    .bind(operator)
    // To its end: a statement that is left halfway keeps the file's lock.
    .fetch_all(writer)
    .await
    .map_err(unanswered)?;
    Ok(rows.first().map(alerts::alert).transpose()?)
}
