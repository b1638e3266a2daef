//! Rows against their ledger and their claims.

use std::collections::BTreeMap;

use holdfast::domain::claim::ClaimKind;
use holdfast::domain::stock::Counters;
use holdfast::domain::words::StockKey;

use super::{Checked, Evidence};

/// What happened to units by itself, and may leave less than was promised.
const FACTS: [&str; 2] = ["stock-counted", "stock-synced"];

/// I1, at every version that a row ever had. Nothing but a fact makes a row short, or shorter than it is.
pub(super) fn counters_are_possible(evidence: &Evidence) -> Checked {
    let tables = &evidence.tables;
    let mut short: BTreeMap<&StockKey, i64> = BTreeMap::new();
    let versions = tables.movements.iter().map(|((key, version), movement)| {
        (key, *version, movement.after, FACTS.contains(&movement.cause.event_type.as_str()))
    });
    let rows = tables.stock.values().map(|row| (&row.key, row.version, row.counters, false));
    for (key, version, counters, is_fact) in versions.chain(rows) {
        let Counters { on_hand, cart_held, order_reserved, safety_stock } = counters;
        if [on_hand, cart_held, order_reserved, safety_stock].iter().any(|units| *units < 0) {
            return Err(format!("{key} at version {version} is negative: {counters:?}"));
        }
        let lacks = (counters.reserved() - on_hand).max(0);
        if lacks > short.insert(key, lacks).unwrap_or(0) && !is_fact {
            return Err(format!("{key} at version {version} has more reserved than on hand: {counters:?}"));
        }
    }
    Ok(())
}

/// I2.
pub(super) fn movements_add_up(evidence: &Evidence) -> Checked {
    let tables = &evidence.tables;
    let mut reached: BTreeMap<&StockKey, (i64, Counters)> = BTreeMap::new();
    for ((key, version), movement) in &tables.movements {
        let (last, sum) = reached.entry(key).or_default();
        if *version != *last + 1 {
            return Err(format!("the ledger of {key} goes from version {last} to {version}"));
        }
        let change = movement.change;
        *sum = Counters {
            on_hand: sum.on_hand + change.on_hand,
            cart_held: sum.cart_held + change.cart_held,
            order_reserved: sum.order_reserved + change.order_reserved,
            safety_stock: sum.safety_stock + change.safety_stock,
        };
        if *sum != movement.after {
            return Err(format!(
                "{key} at version {version}: movements add up to {sum:?}, after is {:?}",
                movement.after
            ));
        }
        *last = *version;
    }
    for row in tables.stock.values() {
        let (version, sum) = reached.get(&row.key).copied().unwrap_or_default();
        if (version, sum) != (row.version, row.counters) {
            let (now, counters) = (row.version, row.counters);
            return Err(format!("{} is {counters:?} at version {now}, its ledger {sum:?} at {version}", row.key));
        }
    }
    match reached.keys().find(|key| !tables.stock.contains_key(**key)) {
        Some(key) => Err(format!("{key} has movements and no row")),
        None => Ok(()),
    }
}

/// I3, by what claims say and by what is kept beside them.
pub(super) fn claims_add_up(evidence: &Evidence) -> Checked {
    let tables = &evidence.tables;
    let mut said: BTreeMap<StockKey, (i64, i64)> = BTreeMap::new();
    for kept in tables.claims.values() {
        for (key, line) in kept.claim.lines.iter().filter(|(_, line)| line.reserved != 0) {
            let (carts, orders) = said.entry(key.clone()).or_default();
            match kept.claim.key.kind {
                ClaimKind::Cart => *carts += line.reserved,
                ClaimKind::Order => *orders += line.reserved,
                kind @ (ClaimKind::Receipt
                | ClaimKind::Return
                | ClaimKind::Adjustment
                | ClaimKind::Sync
                | ClaimKind::Count) => {
                    return Err(format!("the {} {} reserves {key}", kind.as_str(), kept.claim.key.reference));
                }
            }
            let place = (key.clone(), kept.claim.key.clone());
            if tables.set_aside.get(&place).map(|held| held.units) != Some(line.reserved) {
                return Err(format!("{} {} has {key} set aside otherwise", place.1.kind.as_str(), place.1.reference));
            }
        }
    }
    let lines = tables.claims.values().flat_map(|kept| kept.claim.lines.values());
    let held = lines.filter(|line| line.reserved != 0).count();
    if held != tables.set_aside.len() {
        return Err(format!("{held} claim lines reserve and {} are kept", tables.set_aside.len()));
    }
    for row in tables.stock.values() {
        let (carts, orders) = said.remove(&row.key).unwrap_or_default();
        let Counters { cart_held, order_reserved, .. } = row.counters;
        if (carts, orders) != (cart_held, order_reserved) {
            return Err(format!(
                "{}: carts hold {carts} and orders {orders}, the row says {cart_held} and {order_reserved}",
                row.key
            ));
        }
    }
    match said.keys().next() {
        Some(key) => Err(format!("{key} is reserved and has no row")),
        None => Ok(()),
    }
}
