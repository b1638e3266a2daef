//! Alerts: two statements of the batches that announce levels, and what people ask and acknowledge.

use sqlx::types::Uuid;
use sqlx::types::time::OffsetDateTime;
use sqlx::{PgConnection, PgPool};

use super::error;
use super::queries::unanswered;
use crate::domain::alert::{Alert, AlertId};
use crate::domain::words::{StockKey, Timestamp};
use crate::ports::{AlertFilter, AlertPlace, QueryError, StoreError};
use crate::store::alerts::{self, AlertWalk, uuid};
use crate::store::instant;

macro_rules! columns {
    () => {
        $crate::store::alerts::alert_columns!("::text")
    };
}

/// Locks the alerts of rows that are not resolved, in key order, and reads them. The rows are locked already, so that
/// only somebody who acknowledges one can be waited for, and they wait for nobody.
pub(super) async fn lock_unresolved(
    connection: &mut PgConnection,
    keys: &[&StockKey],
) -> Result<Vec<Alert>, StoreError> {
    let rows = sqlx::query(concat!(
        "select ",
        columns!(),
        " from unnest($1::text[], $2::text[]) as k (sku, location)
          join alert on alert.sku = k.sku and alert.location = k.location and alert.state <> 'resolved'
          order by alert.sku collate \"C\", alert.location collate \"C\"
          for update of alert"
    ))
    .bind(keys.iter().map(|key| key.sku.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.location.as_str()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await
    .map_err(error::classify)?;
    rows.iter().map(alerts::alert).collect()
}

/// Writes alerts that are locked or new, in their order: of a row, the one that is resolved comes before the one that is
/// not. They are few, so that one statement may log a row twice.
pub(super) async fn write(connection: &mut PgConnection, rows: &[Alert]) -> Result<(), sqlx::Error> {
    let instants = |read: fn(&Alert) -> Option<Timestamp>| -> Vec<Option<OffsetDateTime>> {
        rows.iter().map(|alert| read(alert).map(instant::write)).collect()
    };
    sqlx::query(
        "insert into alert (id, sku, location, level, available, version, state, opened_at, acknowledged_at,
                            acknowledged_by, resolved_at)
         select k.id, k.sku, k.location, k.level::stock_level, k.available, k.version, k.state::alert_state,
                k.opened_at, k.acknowledged_at, k.acknowledged_by, k.resolved_at
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[],
                     $8::timestamptz[], $9::timestamptz[], $10::text[], $11::timestamptz[]) with ordinality
              as k (id, sku, location, level, available, version, state, opened_at, acknowledged_at, acknowledged_by,
                    resolved_at, ordinal)
         order by k.ordinal
         on conflict (id) do update
         set level = excluded.level, available = excluded.available, version = excluded.version,
             state = excluded.state, acknowledged_at = excluded.acknowledged_at,
             acknowledged_by = excluded.acknowledged_by, resolved_at = excluded.resolved_at",
    )
    .bind(rows.iter().map(|alert| uuid(alert.id)).collect::<Vec<Uuid>>())
    .bind(rows.iter().map(|alert| alert.key.sku.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|alert| alert.key.location.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|alert| alert.level.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|alert| alert.available).collect::<Vec<_>>())
    .bind(rows.iter().map(|alert| alert.version).collect::<Vec<_>>())
    .bind(rows.iter().map(|alert| alert.state.as_str()).collect::<Vec<_>>())
    .bind(instants(|alert| Some(alert.opened_at)))
    .bind(instants(|alert| alert.acknowledged_at))
    .bind(rows.iter().map(|alert| alert.acknowledged_by.as_deref()).collect::<Vec<_>>())
    .bind(instants(|alert| alert.resolved_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// A list that walks along an index; `$walk` is what bounds it. The place behind which it begins is always there, since
/// no index is searched by a condition that may be switched off.
macro_rules! page {
    ($walk:literal) => {
        concat!(
            "select ",
            columns!(),
            " from alert
              where (alert.opened_at, alert.id) < (coalesce($1::timestamptz, 'infinity'),
                                           coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
                and ($3::text is null or alert.state = $3::alert_state) and ($4::text is null or alert.location = $4)
                and ($5::text is null or alert.sku = $5)",
            $walk,
            " order by alert.opened_at desc, alert.id desc limit $6"
        )
    };
}

pub(super) async fn page(
    pool: &PgPool,
    filter: &AlertFilter,
    after: Option<&AlertPlace>,
    limit: u32,
) -> Result<Vec<Alert>, QueryError> {
    let statement = match AlertWalk::of(filter) {
        AlertWalk::OfSku => page!(" and alert.sku = $5"),
        AlertWalk::Unresolved => page!(" and alert.state <> 'resolved'"),
        AlertWalk::All => page!(""),
    };
    let rows = sqlx::query(statement)
        .bind(after.map(|place| instant::write(place.opened_at)))
        .bind(after.map(|place| uuid(place.id)))
        .bind(filter.state.map(|state| state.as_str()))
        .bind(filter.location.as_ref().map(|location| location.as_str()))
        .bind(filter.sku.as_ref().map(|sku| sku.as_str()))
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await
        .map_err(unanswered)?;
    Ok(rows.iter().map(alerts::alert).collect::<Result<_, _>>()?)
}

pub(super) async fn one(pool: &PgPool, id: AlertId) -> Result<Option<Alert>, QueryError> {
    let row = sqlx::query(concat!("select ", columns!(), " from alert where alert.id = $1"))
        .bind(uuid(id))
        .fetch_optional(pool)
        .await
        .map_err(unanswered)?;
    Ok(row.as_ref().map(alerts::alert).transpose()?)
}

/// Acknowledges an alert that is open and answers how it stands then. Written whatever its state is, so that what is
/// answered is the newest row, also where somebody else had it locked.
pub(super) async fn acknowledge(
    pool: &PgPool,
    id: AlertId,
    operator: Option<&str>,
) -> Result<Option<Alert>, QueryError> {
    let row = sqlx::query(concat!(
        "update alert
         set state = case alert.state when 'open' then 'acknowledged' else alert.state end,
             acknowledged_at = case alert.state when 'open' then clock_timestamp() else alert.acknowledged_at end,
             acknowledged_by = case alert.state when 'open' then $2::text else alert.acknowledged_by end
         where alert.id = $1 returning ",
        columns!()
    ))
    .bind(uuid(id))
    .bind(operator)
    .fetch_optional(pool)
    .await
    .map_err(unanswered)?;
    Ok(row.as_ref().map(alerts::alert).transpose()?)
}
