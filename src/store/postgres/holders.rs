//! Who holds the units of a stock row.

use sqlx::{PgConnection, PgPool, Row};

use super::error;
use super::queries::unanswered;
use crate::domain::words::StockKey;
use crate::ports::{HolderPlace, HolderView, QueryError, StoreError};
use crate::store::{instant, rows};

/// Open claims of one row. A row of `claim_line` is there only while something is set aside, so that every claim found
/// is open. The whole list of a row is sorted for a page of it: a claim's deadline stands in the claim, and an index on
/// it for this question alone would cost every order.
pub(super) async fn holders(
    pool: &PgPool,
    key: &StockKey,
    after: Option<&HolderPlace>,
    limit: u32,
) -> Result<Vec<HolderView>, QueryError> {
    let found = sqlx::query(
        "select l.kind::text, l.reference, l.reserved::bigint, c.state::text, c.expires_at
         from claim_line l
         join claim c on c.kind = l.kind and c.reference = l.reference
         cross join lateral (select coalesce(c.expires_at, '-infinity') as deadline) d
         where l.sku = $1 and l.location = $2
           and ($4::text is null or d.deadline < coalesce($3::timestamptz, '-infinity')
                or (d.deadline = coalesce($3, '-infinity')
                    and (l.kind, l.reference collate \"C\") > ($4::text::claim_kind, $5)))
         order by d.deadline desc, l.kind, l.reference collate \"C\" limit $6",
    )
    .bind(key.sku.as_str())
    .bind(key.location.as_str())
    .bind(after.and_then(|place| place.expires_at).map(instant::write))
    .bind(after.map(|place| place.key.kind.as_str()))
    .bind(after.map(|place| place.key.reference.as_str()))
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await
    .map_err(unanswered)?;
    found.iter().map(rows::holder).collect()
}

/// The first `most` holders of each of several rows, as (index into `keys`, holder), in the same order. The rows are
/// locked, so that nobody else sets aside or gives back.
pub(super) async fn of_rows(
    connection: &mut PgConnection,
    keys: &[&StockKey],
    most: i64,
) -> Result<Vec<(i64, HolderView)>, StoreError> {
    let found = sqlx::query(
        "select h.kind::text, h.reference, h.reserved, h.state::text, h.expires_at, k.ordinal - 1
         from unnest($1::text[], $2::text[]) with ordinality as k (sku, location, ordinal)
         cross join lateral (
             select l.kind, l.reference, l.reserved::bigint as reserved, c.state, c.expires_at
             from claim_line l
             join claim c on c.kind = l.kind and c.reference = l.reference
             where l.sku = k.sku and l.location = k.location
             order by coalesce(c.expires_at, '-infinity') desc, l.kind, l.reference collate \"C\" limit $3
         ) h
         order by k.ordinal",
    )
    .bind(keys.iter().map(|key| key.sku.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.location.as_str()).collect::<Vec<_>>())
    .bind(most)
    .fetch_all(connection)
    .await
    .map_err(error::classify)?;
    found.iter().map(|row| Ok((row.try_get(5).map_err(error::classify)?, rows::held(row)?))).collect()
}
