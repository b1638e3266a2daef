//! Proves that the file can be read, what foreign keys would prove, and more: counters against claims and ledger, levels
//! against thresholds, numbers without a hole.

use std::time::Instant;

use sqlx::{SqliteConnection, SqlitePool};

use super::error;
use super::read::columns;
use crate::ports::StoreError;
use crate::store::rows;
use crate::store::verify::{CHECKS, Check, LEVELS, Verification, checks, levels, waiting_against_claims};

/// From when on people wonder what a start is at, in seconds.
const LONG_CHECK_SECONDS: f64 = 1.0;
/// What the lines of claims say is set aside, beside what is.
const CLAIMS_AGAINST_LINES: &str = "
            select format('%s %s, %s@%s', coalesce(c.kind, l.kind), coalesce(c.reference, l.reference),
                          coalesce(c.sku, l.sku), coalesce(c.location, l.location)),
                   format('%s', coalesce(c.reserved, 0)), format('%s', coalesce(l.reserved, 0))
            from (
                select claim.kind, claim.reference, line.value ->> 'sku' as sku,
                       coalesce(line.value ->> 'location', 'default') as location, line.value ->> 'reserved' as reserved
                from claim, jsonb_each(claim.lines) as line
                where line.value ->> 'reserved' is not null
            ) c
            full join claim_line l
                on l.kind = c.kind and l.reference = c.reference and l.sku = c.sku and l.location = c.location
            where c.reserved is not l.reserved";

/// Who waits by the lines of claims.
const WAITING_AGAINST_CLAIMS: &str = waiting_against_claims!(
    "
                select claim.reference, line.value ->> 'sku' as sku,
                       coalesce(line.value ->> 'location', 'default') as location, line.value ->> 'waiting' as waiting
                from claim, jsonb_each(claim.lines) as line
                where line.value ->> 'waiting' is not null"
);

/// Reads every page of the file and proves that it hangs together.
pub(super) async fn check_integrity(pool: &SqlitePool) -> Result<(), StoreError> {
    let started = Instant::now();
    let found: Vec<String> =
        sqlx::query_scalar("pragma quick_check(1)").fetch_all(pool).await.map_err(error::classify)?;
    match found.first().map(String::as_str) {
        Some("ok") => {}
        what => return Err(StoreError::Fatal(error::damaged(what.unwrap_or("the check gave no answer")))),
    }
    let bytes: i64 = sqlx::query_scalar("select page_count * page_size from pragma_page_count, pragma_page_size")
        .fetch_one(pool)
        .await
        .map_err(error::classify)?;
    let seconds = started.elapsed().as_secs_f64();
    if seconds > LONG_CHECK_SECONDS {
        tracing::info!(seconds, bytes, "checked the file, it is whole");
    } else {
        tracing::debug!(seconds, bytes, "checked the file, it is whole");
    }
    Ok(())
}

/// Runs every check in one transaction that reads, and so on one snapshot.
pub(super) async fn run_checks(
    pool: &SqlitePool,
    ignore_cart_holds: bool,
    mut begins: impl FnMut(usize, &'static str) + Send,
) -> Result<Vec<Verification>, StoreError> {
    let mut transaction = pool.begin().await.map_err(error::classify)?;
    let mut results = Vec::with_capacity(CHECKS);
    for (number, check) in checks(CLAIMS_AGAINST_LINES, WAITING_AGAINST_CLAIMS).iter().enumerate() {
        begins(number, check.name);
        results.push(run(&mut transaction, check).await.map_err(error::classify)?);
    }
    begins(results.len(), LEVELS);
    let stock = sqlx::query(concat!("select ", columns!("stock"), " from stock order by sku, location"))
        .fetch_all(&mut *transaction)
        .await
        .map_err(error::classify)?;
    transaction.rollback().await.map_err(error::classify)?;
    let stock: Vec<_> = stock.iter().map(rows::stock).collect::<Result<_, _>>()?;
    results.push(levels(&stock, ignore_cart_holds));
    Ok(results)
}

async fn run(connection: &mut SqliteConnection, check: &Check) -> Result<Verification, sqlx::Error> {
    let looked_at = sqlx::query_scalar(check.places).fetch_one(&mut *connection).await?;
    let rows = sqlx::query_as(check.differing).fetch_all(connection).await?;
    Ok(check.result(looked_at, rows))
}
