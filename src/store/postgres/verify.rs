//! Proves what foreign keys would, and more: counters against claims and ledger, levels against thresholds, numbers
//! without a hole.

use sqlx::{PgConnection, Row};

use super::{PostgresStore, error, read};
use crate::ports::StoreError;

/// How many differences are told of each check; all are counted.
const MOST_TOLD: usize = 100;

/// One invariant that does not hold somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which check.
    pub check: &'static str,
    /// Where: SKU and location, or a number.
    pub place: String,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Which check.
    pub check: &'static str,
    /// How many places were looked at.
    pub looked_at: u64,
    /// How many of them differ.
    pub differing: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
}

/// A check in SQL: every row is a place that differs, as (place, expected, found).
struct Check {
    name: &'static str,
    places: &'static str,
    differing: &'static str,
}

const CHECKS: [Check; 6] = [
    Check {
        name: "counters equal the sum of their movements",
        places: "select count(*) from stock",
        differing: "
            select format('%s@%s', s.sku, s.location),
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
                  is distinct from (m.on_hand, m.cart_held, m.order_reserved, m.safety_stock)",
    },
    Check {
        name: "movement versions run from 1 to the row's version without a hole",
        places: "select count(*) from movement",
        differing: "
            select format('%s@%s', s.sku, s.location), format('1 to %s', s.version),
                   format('%s movements from %s to %s', m.movements, m.first, m.last)
            from stock s
            left join (
                select sku, location, count(*) as movements, count(distinct version) as versions,
                       min(version) as first, max(version) as last
                from movement group by sku, location
            ) m on m.sku = s.sku and m.location = s.location
            where (m.movements, m.versions, m.first, m.last) is distinct from (s.version, s.version, 1::bigint, s.version)",
    },
    Check {
        name: "cart_held and order_reserved equal the sum of claim lines",
        places: "select count(*) from claim_line",
        differing: "
            select format('%s@%s', coalesce(s.sku, l.sku), coalesce(s.location, l.location)),
                   format('carts %s, orders %s', coalesce(l.carts, 0), coalesce(l.orders, 0)),
                   format('cart_held %s, order_reserved %s', s.cart_held, s.order_reserved)
            from stock s
            full join (
                select sku, location, sum(reserved) filter (where kind = 'cart') as carts,
                       sum(reserved) filter (where kind = 'order') as orders
                from claim_line group by sku, location
            ) l on l.sku = s.sku and l.location = s.location
            where (s.cart_held, s.order_reserved) is distinct from (coalesce(l.carts, 0), coalesce(l.orders, 0))",
    },
    Check {
        name: "what claim lines set aside is what their claims say",
        places: "select count(*) from claim",
        differing: "
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
            where c.reserved is distinct from l.reserved",
    },
    Check {
        name: "what is reserved is on hand",
        places: "select count(*) from stock",
        differing: "
            select format('%s@%s', sku, location), format('at most %s', on_hand),
                   format('%s', cart_held + order_reserved)
            from stock where cart_held + order_reserved > on_hand",
    },
    Check {
        name: "outbox numbers and seq run without a hole up to the counter",
        places: "select count(*) from outbox",
        differing: "
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
    },
];

const LEVELS: &str = "levels follow from available and the thresholds";

impl PostgresStore {
    /// How many checks there are.
    pub const CHECKS: usize = CHECKS.len() + 1;

    /// Runs every check on one snapshot of the database, while workers go on. Locks nothing.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn verify(&self, ignore_cart_holds: bool) -> Result<Vec<Verification>, StoreError> {
        self.verify_with(ignore_cart_holds, |_, _| {}).await
    }

    /// [`Self::verify`]; `begins` is told the number of each check, from 0, and what it proves, before it runs. There
    /// are [`Self::CHECKS`] of them.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn verify_with(
        &self,
        ignore_cart_holds: bool,
        mut begins: impl FnMut(usize, &'static str),
    ) -> Result<Vec<Verification>, StoreError> {
        let mut connection = self.hold().await.map_err(error::classify)?;
        let mut transaction = connection.begin().await.map_err(error::classify)?;
        let mut results = Vec::with_capacity(Self::CHECKS);
        // Whole tables are compared here: the planner may use everything that it has.
        for setting in [
            "set transaction isolation level repeatable read, read only",
            "set local enable_hashjoin = on",
            "set local enable_mergejoin = on",
            "set local enable_seqscan = on",
        ] {
            sqlx::query(setting).execute(&mut *transaction).await.map_err(error::classify)?;
        }
        for (number, check) in CHECKS.iter().enumerate() {
            begins(number, check.name);
            results.push(run(&mut transaction, check).await.map_err(error::classify)?);
        }
        begins(CHECKS.len(), LEVELS);
        results.push(levels(&mut transaction, ignore_cart_holds).await?);
        transaction.rollback().await.map_err(error::classify)?;
        Ok(results)
    }
}

async fn run(connection: &mut PgConnection, check: &Check) -> Result<Verification, sqlx::Error> {
    let looked_at: i64 = sqlx::query_scalar(check.places).fetch_one(&mut *connection).await?;
    let rows = sqlx::query(check.differing).fetch_all(connection).await?;
    let mut differences = Vec::new();
    for row in rows.iter().take(MOST_TOLD) {
        differences.push(Difference {
            check: check.name,
            place: row.try_get::<Option<String>, _>(0)?.unwrap_or_default(),
            expected: row.try_get::<Option<String>, _>(1)?.unwrap_or_default(),
            found: row.try_get::<Option<String>, _>(2)?.unwrap_or_default(),
        });
    }
    Ok(Verification {
        check: check.name,
        looked_at: u64::try_from(looked_at).unwrap_or_default(),
        differing: rows.len() as u64,
        differences,
    })
}

/// The rule of levels is the domain's; asked again, it must answer what is stored.
async fn levels(connection: &mut PgConnection, ignore_cart_holds: bool) -> Result<Verification, StoreError> {
    let rows = sqlx::query(concat!("select ", read::stock_columns!("stock"), " from stock order by sku, location"))
        .fetch_all(connection)
        .await
        .map_err(error::classify)?;
    let mut result =
        Verification { check: LEVELS, looked_at: rows.len() as u64, differing: 0, differences: Vec::new() };
    for row in &rows {
        let row = read::stock_row(row)?;
        let held = if ignore_cart_holds { row.counters.cart_held } else { 0 };
        let expected = row.next_level(row.counters.available() + held);
        if expected != row.level {
            result.differing += 1;
            if result.differences.len() < MOST_TOLD {
                result.differences.push(Difference {
                    check: LEVELS,
                    place: row.key.to_string(),
                    expected: expected.as_str().to_owned(),
                    found: row.level.as_str().to_owned(),
                });
            }
        }
    }
    Ok(result)
}
