//! Computes again from movements and claims what rows and numbers must be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use holdfast::domain::claim::{ClaimKey, ClaimKind};
use holdfast::domain::event::EventType;
use holdfast::domain::stock::{Counters, Status, StockRow};
use holdfast::domain::words::{Reference, StockKey};
use holdfast::store::{Difference, Verification};

use super::tables::{SetAside, Tables};

/// How many differences are told of each check; all are counted.
const MOST_TOLD: usize = 100;

/// Where, what should be there, and what is.
type Differing = (String, String, String);
/// How many places were looked at, and those that differ.
type Looked = (usize, Vec<Differing>);

/// Every check, in the order in which stores tell of them.
pub fn run_checks(
    tables: &Tables,
    ignore_cart_holds: bool,
    mut begins: impl FnMut(usize, &'static str),
) -> Vec<Verification> {
    type Check = fn(&Tables) -> Looked;
    let checks: [(&'static str, Check); 8] = [
        ("counters equal the sum of their movements", sums),
        ("movement versions run from 1 to the row's version without a hole", versions),
        ("cart_held and order_reserved equal the sum of claim lines", holds),
        ("what claim lines set aside is what their claims say", set_aside),
        ("what is reserved is on hand", on_hand),
        ("what is waited for, and by whom, is what claims say", waiting),
        ("nobody waits for units that are available", available),
        ("outbox numbers and seq run without a hole up to the counter", numbers),
    ];
    let mut results = Vec::new();
    for (number, (name, check)) in checks.into_iter().enumerate() {
        begins(number, name);
        results.push(result(name, check(tables)));
    }
    let name = "levels follow from available and the thresholds";
    begins(results.len(), name);
    results.push(result(name, levels(tables, ignore_cart_holds)));
    results
}

fn result(check: &'static str, (looked_at, differing): Looked) -> Verification {
    Verification {
        check,
        looked_at: looked_at as u64,
        differing: differing.len() as u64,
        differences: differing
            .into_iter()
            .take(MOST_TOLD)
            .map(|(place, expected, found)| Difference { check, place, expected, found })
            .collect(),
    }
}

/// What is not there is told as nothing.
fn or_nothing(value: Option<impl Display>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn all_counters(counters: Option<Counters>) -> String {
    format!(
        "on_hand {}, cart_held {}, order_reserved {}, safety_stock {}",
        or_nothing(counters.map(|it| it.on_hand)),
        or_nothing(counters.map(|it| it.cart_held)),
        or_nothing(counters.map(|it| it.order_reserved)),
        or_nothing(counters.map(|it| it.safety_stock)),
    )
}

fn sums(tables: &Tables) -> Looked {
    let mut sums: BTreeMap<&StockKey, Counters> = BTreeMap::new();
    for ((key, _), movement) in &tables.movements {
        let sum = sums.entry(key).or_default();
        sum.on_hand += movement.change.on_hand;
        sum.cart_held += movement.change.cart_held;
        sum.order_reserved += movement.change.order_reserved;
        sum.safety_stock += movement.change.safety_stock;
    }
    let keys: BTreeSet<&StockKey> = tables.stock.keys().chain(sums.keys().copied()).collect();
    let mut differing = Vec::new();
    for key in keys {
        let (sum, row) = (sums.get(key).copied(), tables.stock.get(key).map(|row| row.counters));
        if sum != row {
            differing.push((key.to_string(), all_counters(sum), all_counters(row)));
        }
    }
    (tables.stock.len(), differing)
}

fn versions(tables: &Tables) -> Looked {
    let mut differing = Vec::new();
    for row in tables.stock.values() {
        let of_row = (row.key.clone(), i64::MIN)..=(row.key.clone(), i64::MAX);
        let found: Vec<i64> = tables.movements.range(of_row).map(|((_, version), _)| *version).collect();
        if !found.iter().copied().eq(1..=row.version) {
            let count = Some(found.len()).filter(|count| *count > 0);
            let (first, last) = (or_nothing(found.first()), or_nothing(found.last()));
            let told = format!("{} movements from {first} to {last}", or_nothing(count));
            differing.push((row.key.to_string(), format!("1 to {}", row.version), told));
        }
    }
    (tables.movements.len(), differing)
}

fn holds(tables: &Tables) -> Looked {
    let mut sums: BTreeMap<&StockKey, (i64, i64)> = BTreeMap::new();
    for ((key, claim), SetAside { units, .. }) in &tables.set_aside {
        let (carts, orders) = sums.entry(key).or_default();
        match claim.kind {
            ClaimKind::Cart => *carts += units,
            ClaimKind::Order => *orders += units,
            ClaimKind::Receipt | ClaimKind::Return | ClaimKind::Adjustment | ClaimKind::Sync | ClaimKind::Count => {}
        }
    }
    let keys: BTreeSet<&StockKey> = tables.stock.keys().chain(sums.keys().copied()).collect();
    let mut differing = Vec::new();
    for key in keys {
        let (carts, orders) = sums.get(key).copied().unwrap_or_default();
        let row = tables.stock.get(key).map(|row| (row.counters.cart_held, row.counters.order_reserved));
        if row != Some((carts, orders)) {
            let (held, reserved) = (or_nothing(row.map(|row| row.0)), or_nothing(row.map(|row| row.1)));
            let found = format!("cart_held {held}, order_reserved {reserved}");
            differing.push((key.to_string(), format!("carts {carts}, orders {orders}"), found));
        }
    }
    (tables.set_aside.len(), differing)
}

fn set_aside(tables: &Tables) -> Looked {
    let mut said: BTreeMap<(StockKey, ClaimKey), i64> = BTreeMap::new();
    for kept in tables.claims.values() {
        for (row, line) in kept.claim.lines.iter().filter(|(_, line)| line.reserved != 0) {
            said.insert((row.clone(), kept.claim.key.clone()), line.reserved);
        }
    }
    let places: BTreeSet<&(StockKey, ClaimKey)> = said.keys().chain(tables.set_aside.keys()).collect();
    let mut differing = Vec::new();
    for place in places {
        let (said, found) = (said.get(place).copied(), tables.set_aside.get(place).map(|aside| aside.units));
        if said != found {
            let (row, claim) = place;
            let told = format!("{} {}, {row}", claim.kind.as_str(), claim.reference);
            differing.push((told, said.unwrap_or(0).to_string(), found.unwrap_or(0).to_string()));
        }
    }
    (tables.claims.len(), differing)
}

fn on_hand(tables: &Tables) -> Looked {
    let short = tables.stock.values().filter(|row| row.counters.reserved() > row.counters.on_hand);
    let short = short.filter(|row| !is_known_short(tables, &row.key));
    let told = short.map(|row| {
        let counters = row.counters;
        (row.key.to_string(), format!("at most {}", counters.on_hand), counters.reserved().to_string())
    });
    (tables.stock.len(), told.collect())
}

fn waiting(tables: &Tables) -> Looked {
    let mut totals: BTreeMap<&StockKey, i64> = BTreeMap::new();
    let mut places: BTreeMap<(&Reference, &StockKey), (usize, usize)> = BTreeMap::new();
    for kept in tables.claims.values() {
        for (row, line) in kept.claim.lines.iter().filter(|(_, line)| line.waiting != 0) {
            *totals.entry(row).or_default() += line.waiting;
            places.entry((&kept.claim.key.reference, row)).or_default().0 += 1;
        }
    }
    for ((row, _), order) in &tables.waiting_lines {
        places.entry((order, row)).or_default().1 += 1;
    }
    let keys: BTreeSet<&StockKey> = tables.stock.keys().chain(totals.keys().copied()).collect();
    let told = |units: i64| format!("{units} units waited for");
    let mut differing = Vec::new();
    for key in keys {
        let (total, row) = (totals.get(key).copied().unwrap_or(0), tables.stock.get(key).map_or(0, |row| row.waiting));
        if total != row {
            differing.push((key.to_string(), told(total), told(row)));
        }
    }
    let told = |places: usize| format!("{places} places in the line");
    for ((order, row), (expected, found)) in places {
        if expected != found {
            differing.push((format!("order {order}, {row}"), told(expected), told(found)));
        }
    }
    (tables.claims.len(), differing)
}

fn available(tables: &Tables) -> Looked {
    let waits = |row: &&StockRow| row.waiting > 0 && row.status == Status::Active && row.counters.available() > 0;
    let told = |units: i64| format!("{units} units waited for");
    let differing = tables.stock.values().filter(waits).map(|row| (row.key.to_string(), told(0), told(row.waiting)));
    (tables.stock.len(), differing.collect())
}

/// Whether what last made the reserved units of a row more, compared with those on hand, was a count, a sync or a repair.
fn is_known_short(tables: &Tables, key: &StockKey) -> bool {
    let of_row = (key.clone(), i64::MIN)..=(key.clone(), i64::MAX);
    let mut newest_first = tables.movements.range(of_row).rev().map(|(_, movement)| movement);
    newest_first.find(|movement| movement.change.reserved() > movement.change.on_hand).is_some_and(|it| {
        matches!(it.cause.event_type, EventType::StockCounted | EventType::StockSynced | EventType::Reconciliation)
    })
}

fn numbers(tables: &Tables) -> Looked {
    let told = |number: i64, seq: i64| format!("batch {number}, seq {seq}");
    let mut differing = Vec::new();
    let batches = tables.outbox.values();
    for (previous, batch) in batches.clone().zip(batches.skip(1)) {
        let (number, seq) = (batch.number - 1, batch.first_seq - 1);
        if (previous.number, previous.last_seq()) != (number, seq) {
            let expected = format!("after {}", told(number, seq));
            differing.push((format!("batch {}", batch.number), expected, told(previous.number, previous.last_seq())));
        }
    }
    let counter = (tables.last_number, tables.last_seq);
    if let Some(last) = tables.outbox.values().last().map(|last| (last.number, last.last_seq()))
        && last != counter
    {
        differing.push(("counter".to_owned(), told(last.0, last.1), told(counter.0, counter.1)));
    }
    if tables.mark.number > counter.0 || tables.mark.seq > counter.1 {
        let expected = format!("at most {}", told(counter.0, counter.1));
        differing.push(("published".to_owned(), expected, told(tables.mark.number, tables.mark.seq)));
    }
    (tables.outbox.len(), differing)
}

fn levels(tables: &Tables, ignore_cart_holds: bool) -> Looked {
    let mut differing = Vec::new();
    for row in tables.stock.values() {
        let held = if ignore_cart_holds { row.counters.cart_held } else { 0 };
        let expected = row.next_level(row.counters.available() + held);
        if expected != row.level {
            differing.push((row.key.to_string(), expected.as_str().to_owned(), row.level.as_str().to_owned()));
        }
    }
    (tables.stock.len(), differing)
}
