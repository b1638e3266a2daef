//! The end by the naive model, which shares no rule with the core.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast::domain::announce::Movement;
use holdfast::domain::claim::{Claim, ClaimKey};
use holdfast::domain::words::StockKey;
use holdfast::ports::MovementView;

use super::ends::{by_key, in_order};
use super::{Checked, Evidence};
use crate::reference::{self, convert};
use crate::simulation::reference::Applied;

/// I8 by the naive model: ends, announcements, ledger, rows, claims, who holds since when, and who waits before whom.
pub(super) fn is_the_naive_one(evidence: &Evidence, applied: &[Applied]) -> Checked {
    let naive = reference::fold(&evidence.rules, applied.iter().map(|it| (&it.envelope, it.now)));
    let tables = &evidence.tables;
    let name = |index: usize| applied.get(index).map(|it| format!("{:?}", it.envelope.cause)).unwrap_or_default();
    let found: Vec<_> = applied.iter().map(|applied| convert::ended(applied.verdict)).collect();
    in_order("end by the naive model", &found, &naive.ended, name)?;
    let outbox = evidence.journal.iter().filter_map(|transaction| transaction.outbox.as_ref());
    let found: Vec<_> = outbox.flat_map(|batch| batch.announcements.iter().map(convert::announcement)).collect();
    in_order("announcement by the naive model", &found, &naive.announcements, |_| String::new())?;
    let found = tables.movements.iter().map(|((key, version), view)| {
        let movement = convert::movement(&movement(key, *version, view));
        ((movement.place.clone(), movement.version), movement)
    });
    let expected = naive.movements.into_iter().map(|mut movement| {
        // The ledger keeps no trace state.
        movement.cause.trace.1 = None;
        ((movement.place.clone(), movement.version), movement)
    });
    by_key("movement by the naive model", &found.collect(), &expected.collect())?;
    let found = tables.stock.values().map(|row| (convert::place(&row.key), convert::row(row))).collect();
    by_key("row by the naive model", &found, &naive.stock)?;
    let claims = tables.claims.values().map(|kept| &kept.claim);
    let found = claims.map(|claim: &Claim| (name_of(&claim.key), convert::claim(claim))).collect();
    by_key("claim by the naive model", &found, &naive.claims)?;
    let held = tables.set_aside.iter();
    let found = held.map(|((row, claim), held)| ((convert::place(row), name_of(claim)), held.since.map(|it| it.0)));
    by_key("beginning of a hold by the naive model", &found.collect(), &naive.held_since)?;
    let mut found: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for ((row, _), order) in &tables.waiting_lines {
        found.entry(convert::place(row)).or_default().push(order.to_string());
    }
    by_key("line of who waits by the naive model", &found, &naive.waiting)
}

fn name_of(claim: &ClaimKey) -> (&'static str, String) {
    (claim.kind.as_str(), claim.reference.to_string())
}

/// A ledger entry as it was written.
fn movement(key: &StockKey, version: i64, view: &MovementView) -> Movement {
    Movement {
        key: key.clone(),
        version,
        kind: view.kind,
        change: view.change,
        after: view.after,
        cause: Arc::new(view.cause.clone()),
        trace: view.trace.clone(),
        reason: view.reason.clone(),
        operator: view.operator.clone(),
    }
}
