//! Proves what foreign keys would, and more: counters against claims and ledger, levels against thresholds, numbers
//! without a hole.

use sqlx::PgConnection;

use super::read::columns;
use super::{PostgresStore, error};
use crate::ports::StoreError;
use crate::store::rows;
use crate::store::verify::{CHECKS, Check, LEVELS, Verification, checks, levels, waiting_against_claims};

/// What the lines of claims say is set aside, beside what is.
const CLAIMS_AGAINST_LINES: &str = "
            select format('%s %s, %s@%s', coalesce(c.kind, l.kind), coalesce(c.reference, l.reference),
                          coalesce(c.sku, l.sku), coalesce(c.location, l.location)),
                   format('%s', coalesce(c.reserved, 0)), format('%s', coalesce(l.reserved, 0))
            from (
                select claim.kind, claim.reference, line ->> 'sku' as sku, coalesce(line ->> 'location', 'default') as location,
                       (line ->> 'reserved')::bigint as reserved
                from claim, json_array_elements(lines) as line
                where line ->> 'reserved' is not null
            ) c
            full join claim_line l using (kind, reference, sku, location)
            where c.reserved is distinct from l.reserved";

/// Who waits by the lines of claims.
const WAITING_AGAINST_CLAIMS: &str = waiting_against_claims!(
    "
                select claim.reference, line ->> 'sku' as sku, coalesce(line ->> 'location', 'default') as location,
                       (line ->> 'waiting')::bigint as waiting
                from claim, json_array_elements(lines) as line
                where line ->> 'waiting' is not null"
);

impl PostgresStore {
    pub(super) async fn run_checks(
        &self,
        ignore_cart_holds: bool,
        mut begins: impl FnMut(usize, &'static str) + Send,
    ) -> Result<Vec<Verification>, StoreError> {
        let mut connection = self.hold().await.map_err(error::classify)?;
        let mut transaction = connection.begin().await.map_err(error::classify)?;
        // Whole tables are compared here: the planner may use everything that it has.
        for setting in [
            "set transaction isolation level repeatable read, read only",
            "set local enable_hashjoin = on",
            "set local enable_mergejoin = on",
            "set local enable_seqscan = on",
        ] {
            sqlx::query(setting).execute(&mut *transaction).await.map_err(error::classify)?;
        }
        let mut results = Vec::with_capacity(CHECKS);
        for (number, check) in checks(CLAIMS_AGAINST_LINES, WAITING_AGAINST_CLAIMS).iter().enumerate() {
            begins(number, check.name);
            results.push(run(&mut transaction, check).await.map_err(error::classify)?);
        }
        begins(results.len(), LEVELS);
        let rows = sqlx::query(concat!("select ", columns!("stock"), " from stock order by sku, location"))
            .fetch_all(&mut *transaction)
            .await
            .map_err(error::classify)?;
        transaction.rollback().await.map_err(error::classify)?;
        let rows: Vec<_> = rows.iter().map(rows::stock).collect::<Result<_, _>>()?;
        results.push(levels(&rows, ignore_cart_holds));
        Ok(results)
    }
}

async fn run(connection: &mut PgConnection, check: &Check) -> Result<Verification, sqlx::Error> {
    let looked_at = sqlx::query_scalar(check.places).fetch_one(&mut *connection).await?;
    let rows = sqlx::query_as(check.differing).fetch_all(connection).await?;
    Ok(check.result(looked_at, rows))
}
