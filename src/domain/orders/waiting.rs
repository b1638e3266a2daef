//! Backorders: who may wait, and who gets the units that come.

use std::collections::HashMap;

use super::{answer, deducts_now, take};
use crate::domain::announce::{Answer, AnswerLine, AnswerOutcome, Reason};
use crate::domain::books::{Broken, Work};
use crate::domain::claim::{Claim, ClaimKey, ClaimKind};
use crate::domain::event::{OrderCreated, Policy};
use crate::domain::words::{Reference, StockKey};

/// The policy that counts: `backorder` is `partial` where nobody may wait.
pub(super) fn policy(work: &Work<'_, '_>, event: &OrderCreated) -> Policy {
    match event.policy {
        Policy::Backorder if work.rules().order_max_waiting == 0 => Policy::Partial,
        policy @ (Policy::All | Policy::Partial | Policy::Backorder) => policy,
    }
}

/// Whether an order may wait for a row: it has a place already, or there is one left.
pub(super) fn may_wait(work: &Work<'_, '_>, key: &StockKey, order: &Reference) -> bool {
    work.waiting_list(key).is_none_or(|list| list.units_of(order) > 0 || list.orders() < work.rules().order_max_waiting)
}

/// Gives what the event left available to those who wait for it, row by row and strictly in the order in which they
/// came: whoever gets only a part stays first. Returns an answer for each order that got something, in the order in
/// which they got it. Comes after everything else of an event.
pub(in crate::domain) fn fill(work: &mut Work<'_, '_>) -> Result<Vec<Answer>, Broken> {
    let mut filled: Vec<(ClaimKey, Vec<AnswerLine>)> = Vec::new();
    let mut places: HashMap<ClaimKey, usize> = HashMap::new();
    for key in work.waited_for()? {
        while let Some(order) = work.next_in_line(&key) {
            let order = ClaimKey { kind: ClaimKind::Order, reference: order };
            let line = fill_line(work, &key, &order)?;
            let place = *places.entry(order.clone()).or_insert(filled.len());
            if place == filled.len() {
                filled.push((order, Vec::new()));
            }
            filled[place].1.push(line);
        }
    }
    let answer = |(order, lines): (ClaimKey, Vec<AnswerLine>)| Some(told(work.claim(&order)?, lines));
    Ok(filled.into_iter().filter_map(answer).collect())
}

/// Gives an order as much of a row as it waits for and is there.
fn fill_line(work: &mut Work<'_, '_>, key: &StockKey, order: &ClaimKey) -> Result<AnswerLine, Broken> {
    let available = work.available(key);
    let waits = work.claim(order).and_then(|claim| claim.lines.get(key)).is_some_and(|line| line.waiting > 0);
    let claim = if waits { work.take_claim(order) } else { None };
    let Some(mut claim) = claim else {
        let counters = work.row(key).map(|row| row.counters).unwrap_or_default();
        return Err(Broken { key: key.clone(), rule: "the waiting list", counters });
    };
    let deduct = deducts_now(work, &claim);
    let line = claim.lines.entry(key.clone()).or_default();
    let (held, units) = (line.held(), available.min(line.waiting));
    line.waiting -= units;
    let (requested, waiting) = (line.requested, line.waiting);
    take(work, &mut claim, key, units, deduct)?;
    work.put_claim(claim);
    work.note_filled(key);
    Ok(AnswerLine {
        key: key.clone(),
        requested,
        granted: (held + units).min(requested),
        available: held + available,
        reason: (waiting > 0).then_some(Reason::InsufficientStock),
        waiting,
    })
}

fn told(claim: &Claim, lines: Vec<AnswerLine>) -> Answer {
    match claim.waits() {
        true => answer(claim, AnswerOutcome::Partial, Some(Reason::InsufficientStock), lines),
        false => answer(claim, AnswerOutcome::Granted, None, lines),
    }
}
