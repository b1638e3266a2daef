//! A row of stock as it stood at an instant.

use sqlx::SqlitePool;

use super::queries::unanswered;
use crate::domain::words::{StockKey, Timestamp};
use crate::one_file::clock;
use crate::ports::{QueryError, StockAsOf};
use crate::store::{as_of, instant};

/// Found by halving the versions, as on PostgreSQL: the ledger has no index by time, and the history of a row is long.
const STOCK_AS_OF: &str = concat!(
    "with recursive search (low, high) as (
         select 0, s.version + 1 from stock s where s.sku = ?1 and s.location = ?2
         union all
         select iif(coalesce(m.recorded_at <= ?3, 1), (s.low + s.high) / 2, s.low),
                iif(coalesce(m.recorded_at <= ?3, 1), s.high, (s.low + s.high) / 2)
         from search s
         left join movement m on m.sku = ?1 and m.location = ?2 and m.version = (s.low + s.high) / 2
         where s.high - s.low > 1
     )
     select ",
    clock!(),
    ", m.version, m.on_hand, m.cart_held, m.order_reserved, m.safety_stock, m.recorded_at, n.recorded_at
     from search s
     left join movement m on m.sku = ?1 and m.location = ?2 and m.version = s.low
     left join movement n on n.sku = ?1 and n.location = ?2 and n.version = s.high
     where s.high - s.low = 1"
);

/// What the ledger knows of a row at an instant.
pub(super) async fn stock_as_of(
    pool: &SqlitePool,
    key: &StockKey,
    instant: Timestamp,
) -> Result<StockAsOf, QueryError> {
    let row = sqlx::query(STOCK_AS_OF)
        .bind(key.sku.as_str())
        .bind(key.location.as_str())
        .bind(instant::held(instant).0)
        .fetch_optional(pool)
        .await
        .map_err(unanswered)?;
    as_of::stock_as_of(row.as_ref(), instant)
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqlitePoolOptions;
    use sqlx::{AssertSqlSafe, Row};

    use super::super::MIGRATIONS;
    use super::*;

    #[tokio::test]
    async fn the_key_of_the_ledger_is_searched_for_one_version_at_a_time() {
        let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        MIGRATIONS.run(&pool).await.unwrap();
        let explained = AssertSqlSafe(format!("explain query plan {STOCK_AS_OF}"));
        let steps: Vec<String> =
            sqlx::query(explained).fetch_all(&pool).await.unwrap().iter().map(|step| step.get("detail")).collect();
        let of_ledger: Vec<_> = steps.iter().filter(|step| step.contains(" m ") || step.contains(" n ")).collect();
        assert_eq!(of_ledger.len(), 3, "{steps:?}");
        for step in of_ledger {
            assert!(step.contains("USING PRIMARY KEY (sku=? AND location=? AND version=?)"), "{steps:?}");
        }
    }
}
