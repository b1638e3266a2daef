//! What is proved of a store, and how a difference is told. The statements are each adapter's own.

use crate::domain::stock::StockRow;

/// How many checks there are.
pub const CHECKS: usize = IN_SQL + 1;
/// How many of them are statements; the last one asks the domain.
const IN_SQL: usize = 8;
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

/// A check in SQL.
pub(super) struct Check {
    pub name: &'static str,
    /// Counts the places that it looks at.
    pub places: &'static str,
    /// Each row is a place that differs, as (place, expected, found).
    pub differing: &'static str,
}

/// Compares what stock rows and the lists of who waits say with what the lines of claims wait for, which `$waiting`
/// selects as `reference, sku, location, waiting`.
#[cfg(feature = "adapters")]
macro_rules! waiting_against_claims {
    ($waiting:literal) => {
        concat!(
            "
            with line as (",
            $waiting,
            "),
            total as (select sku, location, sum(waiting) as waiting from line group by sku, location),
            place as (
                select reference, sku, location, count(*) as places from waiting_line
                group by reference, sku, location
            )
            select format('%s@%s', coalesce(s.sku, t.sku), coalesce(s.location, t.location)),
                   format('%s units waited for', coalesce(t.waiting, 0)),
                   format('%s units waited for', coalesce(s.waiting, 0))
            from stock s
            full join total t on t.sku = s.sku and t.location = s.location
            where coalesce(s.waiting, 0) <> coalesce(t.waiting, 0)
            union all
            select format('order %s, %s@%s', coalesce(l.reference, p.reference), coalesce(l.sku, p.sku),
                          coalesce(l.location, p.location)),
                   format('%s places in the line', case when l.reference is null then 0 else 1 end),
                   format('%s places in the line', coalesce(p.places, 0))
            from line l
            full join place p on p.reference = l.reference and p.sku = l.sku and p.location = l.location
            where coalesce(p.places, 0) <> case when l.reference is null then 0 else 1 end"
        )
    };
}
#[cfg(feature = "adapters")]
pub(super) use waiting_against_claims;

/// The checks that a statement can make, in SQL that every store understands. How JSON is read differs from store to
/// store: `claims_against_lines` compares the lines in claims with the table of what is set aside, `waiting` with those
/// of what is waited for, see [`waiting_against_claims`].
pub(super) const fn checks(claims_against_lines: &'static str, waiting: &'static str) -> [Check; IN_SQL] {
    [
        Check {
            name: "counters equal the sum of their movements",
            places: "select count(*) from stock",
            differing: "
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
            where (m.movements, m.versions, m.first, m.last) is distinct from (s.version, s.version, 1, s.version)",
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
            differing: claims_against_lines,
        },
        Check {
            name: "what is reserved is on hand",
            places: "select count(*) from stock",
            // A count, a sync and a repair may leave a row short. Whatever made it shorter after them is a fault.
            differing: "
            select format('%s@%s', s.sku, s.location), format('at most %s', s.on_hand),
                   format('%s', s.cart_held + s.order_reserved)
            from stock s
            where s.cart_held + s.order_reserved > s.on_hand and not coalesce((
                select m.cause_type in ('stock-counted', 'stock-synced', 'reconciliation') from movement m
                where m.sku = s.sku and m.location = s.location
                  and coalesce(m.cart_held_change, 0) + coalesce(m.order_reserved_change, 0)
                      > coalesce(m.on_hand_change, 0)
                order by m.version desc limit 1
            ), false)",
        },
        Check {
            name: "what is waited for, and by whom, is what claims say",
            places: "select count(*) from claim",
            differing: waiting,
        },
        Check {
            name: "nobody waits for units that are available",
            places: "select count(*) from stock",
            differing: "
            select format('%s@%s', sku, location), '0 units waited for', format('%s units waited for', waiting)
            from stock
            where waiting > 0 and status = 'active' and on_hand - cart_held - order_reserved - safety_stock > 0",
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
    ]
}

pub(super) const LEVELS: &str = "levels follow from available and the thresholds";

/// A place that differs, as a statement tells it.
pub(super) type Told = (Option<String>, Option<String>, Option<String>);

impl Check {
    /// The result, from the number of places and those that differ.
    pub fn result(&self, looked_at: i64, rows: Vec<Told>) -> Verification {
        let told = |(place, expected, found): Told| Difference {
            check: self.name,
            place: place.unwrap_or_default(),
            expected: expected.unwrap_or_default(),
            found: found.unwrap_or_default(),
        };
        Verification {
            check: self.name,
            looked_at: u64::try_from(looked_at).unwrap_or_default(),
            differing: rows.len() as u64,
            differences: rows.into_iter().take(MOST_TOLD).map(told).collect(),
        }
    }
}

/// The rule of levels is the domain's; asked again, it must answer what is stored.
pub(super) fn levels(rows: &[StockRow], ignore_cart_holds: bool) -> Verification {
    let mut result =
        Verification { check: LEVELS, looked_at: rows.len() as u64, differing: 0, differences: Vec::new() };
    for row in rows {
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
    result
}
