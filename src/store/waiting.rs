//! Who waits for the rows of a batch: which claims that brings in, the lists that the batch is judged on, and what of
//! them is written. Pure; the statements and their locks are each adapter's own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::claim::{Claim, ClaimKey, ClaimKind};
use crate::domain::stock::StockRow;
use crate::domain::waiting::WaitingList;
use crate::domain::words::{Reference, StockKey};
use crate::ports::StoreError;

/// One place in the line for a stock row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WaitingLine {
    pub key: StockKey,
    pub ticket: i64,
    pub order: Reference,
}

impl From<(String, String, i64, String)> for WaitingLine {
    /// From `sku, location, ticket, reference`.
    fn from((sku, location, ticket, order): (String, String, i64, String)) -> Self {
        Self { key: StockKey::new(sku, location), ticket, order: Reference::new(order) }
    }
}

impl WaitingLine {
    fn claim(&self) -> ClaimKey {
        ClaimKey { kind: ClaimKind::Order, reference: self.order.clone() }
    }
}

/// The rows that somebody waits for.
pub(super) fn waited_for(stock: &[StockRow]) -> Vec<&StockKey> {
    stock.iter().filter(|row| row.waiting > 0).map(|row| &row.key).collect()
}

/// The claims of all who wait, in the order of their locks.
pub(super) fn waiters(lines: &[WaitingLine]) -> BTreeSet<ClaimKey> {
    lines.iter().map(WaitingLine::claim).collect()
}

/// The lists of the rows that anybody waits for, with the units that the claims say.
pub(super) fn lists(
    lines: &[WaitingLine],
    claims: &HashMap<ClaimKey, Claim>,
) -> Result<HashMap<StockKey, WaitingList>, StoreError> {
    let mut lists: HashMap<StockKey, WaitingList> = HashMap::new();
    for line in lines {
        let units =
            claims.get(&line.claim()).and_then(|claim| claim.lines.get(&line.key)).map_or(0, |line| line.waiting);
        if units <= 0 {
            return Err(StoreError::Fatal(format!(
                "order {} is listed as waiting for {}, but its claim does not wait for it; `holdfast verify` tells more",
                line.order, line.key
            )));
        }
        lists.entry(line.key.clone()).or_default().put(line.ticket, line.order.clone(), units);
    }
    Ok(lists)
}

/// The places of lists as they were loaded: what a batch leaves of them is compared with it.
#[derive(Default)]
pub(super) struct Places(BTreeMap<(StockKey, i64), Reference>);

impl Places {
    pub fn of(lists: &HashMap<StockKey, WaitingList>) -> Self {
        let place = |(key, ticket, order): (&StockKey, i64, &Reference)| ((key.clone(), ticket), order.clone());
        Self(all(lists).map(place).collect())
    }

    /// The places that are no longer held by whom they were, as (row, ticket), in their order.
    pub fn left(&self, now: &HashMap<StockKey, WaitingList>) -> Vec<(&StockKey, i64)> {
        let held: BTreeSet<(&StockKey, i64, &Reference)> = all(now).collect();
        let left = self.0.iter().filter(|((key, ticket), order)| !held.contains(&(key, *ticket, *order)));
        left.map(|((key, ticket), _)| (key, *ticket)).collect()
    }

    /// The places that are held anew, in their order. They are written after those that were left are gone.
    pub fn joined<'j>(&self, now: &'j HashMap<StockKey, WaitingList>) -> Vec<(&'j StockKey, i64, &'j Reference)> {
        let held = |(key, ticket, order): &(&StockKey, i64, &Reference)| {
            self.0.get(&((*key).clone(), *ticket)).is_some_and(|before| before == *order)
        };
        let mut joined: Vec<_> = all(now).filter(|place| !held(place)).collect();
        joined.sort_unstable();
        joined
    }
}

fn all(lists: &HashMap<StockKey, WaitingList>) -> impl Iterator<Item = (&StockKey, i64, &Reference)> {
    lists.iter().flat_map(|(key, list)| list.places().map(move |(ticket, order)| (key, ticket, order)))
}
