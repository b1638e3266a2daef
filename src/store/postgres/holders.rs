//! Who holds the units of a stock row.

use sqlx::postgres::PgRow;
use sqlx::types::time::OffsetDateTime;
use sqlx::{PgPool, Row};

use super::queries::unanswered;
use super::{instant, read};
use crate::domain::claim::{ClaimKey, ClaimState};
use crate::domain::words::{Reference, StockKey};
use crate::ports::{HolderPlace, HolderView, QueryError};

/// Open claims of one row. A row of `claim_line` is there only while something is set aside, so that every claim found
/// is open. The whole list of a row is sorted for a page of it: a claim's deadline stands in the claim, and an index on
/// it for this question alone would cost every order.
pub(super) async fn holders(
    pool: &PgPool,
    key: &StockKey,
    after: Option<&HolderPlace>,
    limit: u32,
) -> Result<Vec<HolderView>, QueryError> {
    let rows = sqlx::query(
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
    rows.iter().map(|row| holder(row).map_err(unanswered)?).collect()
}

fn holder(row: &PgRow) -> Result<Result<HolderView, QueryError>, sqlx::Error> {
    let (kind, state): (&str, &str) = (row.try_get(0)?, row.try_get(3)?);
    let reference = Reference::from(row.try_get::<&str, _>(1)?);
    let reserved = row.try_get(2)?;
    let expires_at = row.try_get::<Option<OffsetDateTime>, _>(4)?.map(instant::read);
    let known = || {
        let key = ClaimKey { kind: read::claim_kind(kind)?, reference };
        Ok(HolderView { key, reserved, state: read::word(state, ClaimState::parse)?, expires_at })
    };
    Ok(known())
}
