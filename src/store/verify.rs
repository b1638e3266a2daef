//! What is proved of a store, and how a difference is told. The statements are each adapter's own.

use crate::domain::stock::StockRow;

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
}

/// The checks that a statement can make. An adapter keeps their statements in this order; each row of a statement is a
/// place that differs, as (place, expected, found).
pub(super) const CHECKS: [Check; 6] = [
    Check { name: "counters equal the sum of their movements", places: "select count(*) from stock" },
    Check {
        name: "movement versions run from 1 to the row's version without a hole",
        places: "select count(*) from movement",
    },
    Check {
        name: "cart_held and order_reserved equal the sum of claim lines",
        places: "select count(*) from claim_line",
    },
    Check { name: "what claim lines set aside is what their claims say", places: "select count(*) from claim" },
    Check { name: "what is reserved is on hand", places: "select count(*) from stock" },
    Check {
        name: "outbox numbers and seq run without a hole up to the counter",
        places: "select count(*) from outbox",
    },
];

const LEVELS: &str = "levels follow from available and the thresholds";

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
