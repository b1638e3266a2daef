//! Proves that the file can be read, what foreign keys would prove, and more: counters against claims and ledger, levels
//! against thresholds, numbers without a hole.

use sqlx::{SqliteConnection, SqlitePool};

use super::error;
use super::read::columns;
use crate::ports::StoreError;
use crate::store::rows;
use crate::store::verify::{CHECKS, Check, Verification, levels};

/// The statements of the checks, in their order.
const DIFFERING: [&str; CHECKS.len()] = [
    "
            select format('%s@%s', coalesce(s.sku, m.sku), coalesce(s.location, m.location)),
                   format('on_hand %s, cart_held %s, order_reserved %s, safety_stock %s', m.on_hand, m.cart_held,
                          m.order_reserved, m.safety_stock),
                   format('on_hand %s, cart_held %s, order_reserved %s, safety_stock %s', s.on_hand, s.cart_held,
                          s.order_reserved, s.safety_stock)
            from stock s
            full join (
                select sku, location, coalesce(sum(on_hand_change), 0) as on_hand,
                       coalesce(sum(cart_held_change), 0) as cart_held,
                       coalesce(sum(order_reserved_change), 0) as order_reserved,
                       coalesce(sum(safety_stock_change), 0) as safety_stock
                from movement group by sku, location
            ) m on m.sku = s.sku and m.location = s.location
            where (s.on_hand, s.cart_held, s.order_reserved, s.safety_stock)
                  is not (m.on_hand, m.cart_held, m.order_reserved, m.safety_stock)",
    "
            select format('%s@%s', s.sku, s.location), format('1 to %s', s.version),
                   format('%s movements from %s to %s', m.movements, m.first, m.last)
            from stock s
            left join (
                select sku, location, count(*) as movements, min(version) as first, max(version) as last
                from movement group by sku, location
            ) m on m.sku = s.sku and m.location = s.location
            where (m.movements, m.first, m.last) is not (s.version, 1, s.version)",
    "
            select format('%s@%s', coalesce(s.sku, l.sku), coalesce(s.location, l.location)),
                   format('carts %s, orders %s', coalesce(l.carts, 0), coalesce(l.orders, 0)),
                   format('cart_held %s, order_reserved %s', s.cart_held, s.order_reserved)
            from stock s
            full join (
                select sku, location, sum(reserved) filter (where kind = 'cart') as carts,
                       sum(reserved) filter (where kind = 'order') as orders
                from claim_line group by sku, location
            ) l on l.sku = s.sku and l.location = s.location
            where (s.cart_held, s.order_reserved) is not (coalesce(l.carts, 0), coalesce(l.orders, 0))",
    "
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
            where c.reserved is not l.reserved",
    "
            select format('%s@%s', sku, location), format('at most %s', on_hand),
                   format('%s', cart_held + order_reserved)
            from stock where cart_held + order_reserved > on_hand",
    "
            select format('batch %s', number), format('after batch %s, seq %s', number - 1, first_seq - 1),
                   format('batch %s, seq %s', previous, previous_seq)
            from (
                select number, first_seq, lag(number) over w as previous,
                       lag(first_seq + announcements - 1) over w as previous_seq
                from outbox window w as (order by number)
            ) o
            where previous is not null and (previous <> number - 1 or previous_seq <> first_seq - 1)
            union all
            select 'counter', format('batch %s, seq %s', o.number, o.first_seq + o.announcements - 1),
                   format('batch %s, seq %s', c.last_number, c.last_seq)
            from outbox_counter c, (select * from outbox order by number desc limit 1) o
            where (c.last_number, c.last_seq) <> (o.number, o.first_seq + o.announcements - 1)
            union all
            select 'published', format('at most batch %s, seq %s', c.last_number, c.last_seq),
                   format('batch %s, seq %s', r.published_number, r.published_seq)
            from outbox_counter c, relay r
            where r.published_number > c.last_number or r.published_seq > c.last_seq",
];

/// Reads every page of the file and proves that it hangs together.
pub(super) async fn check_integrity(pool: &SqlitePool) -> Result<(), StoreError> {
    let found: Vec<String> =
        sqlx::query_scalar("pragma quick_check(1)").fetch_all(pool).await.map_err(error::classify)?;
    match found.first().map(String::as_str) {
        Some("ok") => Ok(()),
        what => Err(StoreError::Fatal(error::damaged(what.unwrap_or("the check gave no answer")))),
    }
}

/// Runs every check in one transaction that reads, and so on one snapshot.
pub(super) async fn run_checks(pool: &SqlitePool, ignore_cart_holds: bool) -> Result<Vec<Verification>, StoreError> {
    let mut transaction = pool.begin().await.map_err(error::classify)?;
    let mut results = Vec::with_capacity(CHECKS.len() + 1);
    for (check, differing) in CHECKS.iter().zip(DIFFERING) {
        results.push(run(&mut transaction, check, differing).await.map_err(error::classify)?);
    }
    let stock = sqlx::query(concat!("select ", columns!("stock"), " from stock order by sku, location"))
        .fetch_all(&mut *transaction)
        .await
        .map_err(error::classify)?;
    transaction.rollback().await.map_err(error::classify)?;
    let stock: Vec<_> = stock.iter().map(rows::stock).collect::<Result<_, _>>()?;
    results.push(levels(&stock, ignore_cart_holds));
    Ok(results)
}

async fn run(
    connection: &mut SqliteConnection,
    check: &Check,
    differing: &'static str,
) -> Result<Verification, sqlx::Error> {
    let looked_at = sqlx::query_scalar(check.places).fetch_one(&mut *connection).await?;
    let rows = sqlx::query_as(differing).fetch_all(connection).await?;
    Ok(check.result(looked_at, rows))
}
