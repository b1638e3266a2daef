//! Pages of stock. A statement a way to search, so that the key is searched whatever is asked for: a condition that may
//! be switched off is no bound of a search.

use sqlx::SqlitePool;

use super::queries::unanswered;
use super::read::columns;
use super::write::json;
use crate::domain::stock::StockRow;
use crate::domain::words::StockKey;
use crate::ports::{QueryError, StockFilter};
use crate::store::rows;
use crate::store::stock_range::StockRange;

/// What every statement ends with. A location is looked for in the span that is searched.
macro_rules! page {
    ($from:literal) => {
        concat!(
            "select ",
            columns!("s"),
            " from ",
            $from,
            " and (?3 is null or s.location = ?3) order by s.sku, s.location limit ?4"
        )
    };
}

const BEHIND: &str = page!("stock s where (s.sku, s.location) > (?1, ?2)");
const BETWEEN: &str = page!("stock s where (s.sku, s.location) > (?1, ?2) and s.sku < ?5");
/// Each SKU is searched for by itself; those that are not asked for are not touched.
const NAMED: &str = page!(
    "(select distinct value from json_each(?6)) named cross join stock s
     where s.sku = named.value and (s.sku, s.location) > (?1, ?2) and (?5 is null or s.sku < ?5)"
);

/// The first rows behind a key that a filter lets through.
pub(super) async fn stock_page(
    pool: &SqlitePool,
    filter: &StockFilter,
    after: Option<&StockKey>,
    limit: u32,
) -> Result<Vec<StockRow>, QueryError> {
    let range = StockRange::of(filter, after);
    let mut page = sqlx::query(statement(filter, &range))
        .bind(&range.behind.0)
        .bind(&range.behind.1)
        .bind(filter.location.as_ref().map(|location| location.as_str()))
        .bind(i64::from(limit));
    if !filter.skus.is_empty() {
        let named = json(filter.skus.iter().map(|sku| sku.as_str()));
        page = page.bind(&range.before).bind(named);
    } else if let Some(before) = &range.before {
        page = page.bind(before);
    }
    let found = page.fetch_all(pool).await.map_err(unanswered)?;
    Ok(found.iter().map(rows::stock).collect::<Result<_, _>>()?)
}

fn statement(filter: &StockFilter, range: &StockRange) -> &'static str {
    match (filter.skus.is_empty(), &range.before) {
        (false, _) => NAMED,
        (true, Some(_)) => BETWEEN,
        (true, None) => BEHIND,
    }
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqlitePoolOptions;
    use sqlx::{AssertSqlSafe, Row};

    use super::super::MIGRATIONS;
    use super::*;

    /// What SQLite does for a page, step by step.
    async fn plan(pool: &SqlitePool, filter: &StockFilter) -> Vec<String> {
        let explained = format!("explain query plan {}", statement(filter, &StockRange::of(filter, None)));
        let steps = sqlx::query(AssertSqlSafe(explained)).fetch_all(pool).await.unwrap();
        steps.iter().map(|step| step.get("detail")).collect()
    }

    #[tokio::test]
    async fn the_key_of_stock_is_searched_for_every_filter() {
        let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        MIGRATIONS.run(&pool).await.unwrap();
        for location in [None, Some("north".into())] {
            let filter = StockFilter { location, ..StockFilter::default() };
            assert_eq!(plan(&pool, &filter).await, ["SEARCH s USING PRIMARY KEY ((sku,location)>(?,?))"]);
            let begins = StockFilter { prefix: Some("shoe".into()), ..filter.clone() };
            assert_eq!(plan(&pool, &begins).await, ["SEARCH s USING PRIMARY KEY ((sku,location)>(?,?) AND sku<?)"]);
            for prefix in [None, Some("shoe".into())] {
                let named = StockFilter { skus: vec!["A".into(), "B".into()], prefix, ..filter.clone() };
                let steps = plan(&pool, &named).await;
                let of_stock: Vec<_> = steps.iter().filter(|step| step.contains(" s ")).collect();
                assert_eq!(of_stock, ["SEARCH s USING PRIMARY KEY (sku=?)"], "{steps:?}");
            }
        }
    }
}
