//! Who holds the units of a stock row.

use sqlx::{Row, SqliteConnection, SqlitePool};

use super::error;
use super::queries::unanswered;
use super::write::json;
use crate::domain::words::StockKey;
use crate::ports::{HolderPlace, HolderView, QueryError, StoreError};
use crate::store::{instant, rows};

/// Stands for the deadline of a claim without one, before every other.
const NO_DEADLINE: i64 = i64::MIN;

/// Open claims of one row. A row of `claim_line` is there only while something is set aside, so that every claim found
/// is open. The whole list of a row is sorted for a page of it, as on PostgreSQL.
pub(super) async fn holders(
    pool: &SqlitePool,
    key: &StockKey,
    after: Option<&HolderPlace>,
    limit: u32,
) -> Result<Vec<HolderView>, QueryError> {
    let deadline = |place: &HolderPlace| place.expires_at.map_or(NO_DEADLINE, |instant| instant::held(instant).0);
    let found = sqlx::query(
        "select l.kind, l.reference, l.reserved, c.state, c.expires_at
         from claim_line l cross join claim c on c.kind = l.kind and c.reference = l.reference
         where l.sku = ?1 and l.location = ?2
           and (?4 is null or coalesce(c.expires_at, ?7) < ?3
                or (coalesce(c.expires_at, ?7) = ?3 and (l.kind, l.reference) > (?4, ?5)))
         order by coalesce(c.expires_at, ?7) desc, l.kind, l.reference limit ?6",
    )
    .bind(key.sku.as_str())
    .bind(key.location.as_str())
    .bind(after.map(deadline))
    .bind(after.map(|place| place.key.kind.as_str()))
    .bind(after.map(|place| place.key.reference.as_str()))
    .bind(i64::from(limit))
    .bind(NO_DEADLINE)
    .fetch_all(pool)
    .await
    .map_err(unanswered)?;
    found.iter().map(rows::holder).collect()
}

/// The first `most` holders of each of several rows, as (index into `keys`, holder), in the same order.
pub(super) async fn of_rows(
    connection: &mut SqliteConnection,
    keys: &[&StockKey],
    most: i64,
) -> Result<Vec<(i64, HolderView)>, StoreError> {
    let found = sqlx::query(
        "select h.kind, h.reference, h.reserved, h.state, h.expires_at, h.key
         from (
             select l.kind, l.reference, l.reserved, c.state, c.expires_at, k.key,
                    row_number() over (
                        partition by k.key order by coalesce(c.expires_at, ?3) desc, l.kind, l.reference
                    ) as place
             from jsonb_each(?1) as k
             cross join claim_line l on l.sku = k.value ->> 0 and l.location = k.value ->> 1
             cross join claim c on c.kind = l.kind and c.reference = l.reference
         ) h
         where h.place <= ?2 order by h.key, h.place",
    )
    .bind(json(keys.iter().map(|key| (key.sku.as_str(), key.location.as_str()))))
    .bind(most)
    .bind(NO_DEADLINE)
    .fetch_all(connection)
    .await
    .map_err(error::classify)?;
    found.iter().map(|row| Ok((row.try_get(5).map_err(error::classify)?, rows::held(row)?))).collect()
}
