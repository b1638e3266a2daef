//! A row of stock as it stood at an instant.

use sqlx::PgPool;

use super::queries::unanswered;
use crate::domain::words::{StockKey, Timestamp};
use crate::ports::{QueryError, StockAsOf};
use crate::store::{as_of, instant};

/// Versions have no hole, and the later ones were recorded later: halving finds the last one by an instant with some
/// twenty searches of the ledger's key, in each month's partition. To walk back from the newest version would read all
/// that happened since in the month of the instant, and an index by time would cost each change another place to write.
/// What is missing was recorded before: a month that was dropped is an old one.
pub(super) async fn stock_as_of(pool: &PgPool, key: &StockKey, instant: Timestamp) -> Result<StockAsOf, QueryError> {
    let row = sqlx::query(
        "with recursive search (low, high) as (
             select 0::bigint, s.version + 1 from stock s where s.sku = $1 and s.location = $2
             union all
             select case when coalesce(m.recorded_at <= $3, true) then (s.low + s.high) / 2 else s.low end,
                    case when coalesce(m.recorded_at <= $3, true) then s.high else (s.low + s.high) / 2 end
             from search s
             left join movement m on m.sku = $1 and m.location = $2 and m.version = (s.low + s.high) / 2
             where s.high - s.low > 1
         )
         select clock_timestamp(), m.version, m.on_hand, m.cart_held, m.order_reserved, m.safety_stock, m.recorded_at,
                n.recorded_at
         from search s
         left join movement m on m.sku = $1 and m.location = $2 and m.version = s.low
         left join movement n on n.sku = $1 and n.location = $2 and n.version = s.high
         where s.high - s.low = 1",
    )
    .bind(key.sku.as_str())
    .bind(key.location.as_str())
    .bind(instant::write(instant))
    .fetch_optional(pool)
    .await
    .map_err(unanswered)?;
    as_of::stock_as_of(row.as_ref(), instant)
}
