//! Orders: creation and change, confirmation, shipment, cancellation, expiry.

mod cancelled;
mod changed;
mod created;
mod fulfilled;
pub(crate) mod table;
mod waiting;

use std::collections::BTreeMap;

pub(super) use cancelled::{cancelled, expired};
pub(super) use created::created;
pub(super) use fulfilled::{confirmed, shipped};
pub(super) use waiting::fill;

use super::announce::{Answer, AnswerKind, AnswerLine, AnswerOutcome, Reason};
use super::books::{Broken, Work};
use super::claim::{Claim, ClaimLine, ClaimState};
use super::rules::DeductOn;
use super::stock::{Counters, Status};
use super::verdict::Verdict;
use super::words::{Line, StockKey};
use crate::planted_bug::{PlantedBug, is_planted};

/// The end of an event: how it is counted, and the answer if it gets one.
pub(super) type Conclusion = (Verdict, Option<Answer>);

/// An event that changes nothing and is not answered.
pub(super) const IGNORED: Conclusion = (Verdict::Ignored, None);

/// An answer about an order.
fn answer(claim: &Claim, outcome: AnswerOutcome, reason: Option<Reason>, lines: Vec<AnswerLine>) -> Answer {
    Answer {
        kind: AnswerKind::Order,
        reference: claim.key.reference.clone(),
        request_version: None,
        outcome,
        state: Some(claim.state),
        reason,
        lines,
        expires_at: claim.expires_at,
    }
}

/// An event that contradicts what is known: it is answered and nothing moves.
fn conflict(claim: &Claim, reason: Option<Reason>) -> Conclusion {
    (Verdict::Refused(reason), Some(answer(claim, AnswerOutcome::Conflict, reason, Vec::new())))
}

/// Why a row cannot be promised from at all.
pub(super) fn unsellable(work: &Work<'_, '_>, key: &StockKey) -> Option<Reason> {
    match work.row(key) {
        None => Some(Reason::UnknownSku),
        Some(row) if row.status != Status::Active => Some(Reason::NotSellable),
        Some(_) => None,
    }
}

/// The reason that the contract ranks first among those of the lines.
pub(super) fn first_reason(lines: &[AnswerLine]) -> Option<Reason> {
    lines.iter().filter_map(|line| line.reason).min()
}

/// The units of each row that a claim would have to get for `targets`, beside what it has and waits for, where it lacks
/// any.
fn missing(claim: &Claim, targets: &BTreeMap<StockKey, i64>) -> Vec<Line> {
    let standing = |key| claim.lines.get(key).map_or(0, ClaimLine::standing);
    targets
        .iter()
        .filter(|(key, target)| **target > standing(key))
        .map(|(key, target)| Line { key: key.clone(), quantity: target - standing(key) })
        .collect()
}

/// The lines that cannot be had, each with what could be.
fn short_lines(work: &Work<'_, '_>, wanted: &[Line]) -> Vec<AnswerLine> {
    wanted
        .iter()
        .filter_map(|line| {
            let available = available_with(work, &line.key, 0);
            let reason = unsellable(work, &line.key)
                .or_else(|| (available < line.quantity).then_some(Reason::InsufficientStock))?;
            Some(AnswerLine {
                key: line.key.clone(),
                requested: line.quantity,
                granted: 0,
                available,
                reason: Some(reason),
                waiting: 0,
            })
        })
        .collect()
}

/// What a request could have of a row: what is free, and all of its own hold as far as the units are there; never below
/// 0. Units that are kept back or promised twice take nothing from a hold that stands.
pub(super) fn available_with(work: &Work<'_, '_>, key: &StockKey, own_hold: i64) -> i64 {
    let Some(row) = work.row(key) else { return 0 };
    let free = row.counters.available().max(0) + own_hold;
    let held_by_others = row.counters.reserved() - own_hold;
    free.min(row.counters.on_hand - held_by_others).max(0)
}

/// Moves an order on that is left without anything to ship: called off when it holds nothing, shipped when all that it
/// holds is. One that waits is not done.
fn close_if_done(claim: &mut Claim) {
    if claim.waits() {
        return;
    }
    let state = if claim.lines.values().all(|line| line.held() == 0) {
        ClaimState::Cancelled
    } else if claim.lines.values().all(|line| line.unshipped() == 0) {
        ClaimState::Shipped
    } else {
        return;
    };
    claim.state = state;
    claim.expires_at = None;
}

/// Whether units that join a standing order leave on_hand at once, as its other units did.
fn deducts_now(work: &Work<'_, '_>, claim: &Claim) -> bool {
    match work.rules().deduct_on {
        DeductOn::Created => claim.state != ClaimState::Reserved,
        DeductOn::Confirmed => claim.confirmed,
        DeductOn::Shipped => false,
    }
}

/// Adds units to a line: out of on_hand at once, or set aside.
fn take(work: &mut Work<'_, '_>, claim: &mut Claim, key: &StockKey, units: i64, deduct: bool) -> Result<(), Broken> {
    let line = claim.lines.entry(key.clone()).or_default();
    if deduct {
        line.deducted += units;
        work.add(key, Counters { on_hand: -units, ..Counters::default() })
    } else {
        line.reserved += units;
        work.add(key, Counters { order_reserved: units, ..Counters::default() })
    }
}

/// Gives back up to `units` of a line that are waited for, or held and not shipped: those that are waited for first, for
/// which nothing moves, then set-aside ones. Returns how many.
fn give_back(work: &mut Work<'_, '_>, claim: &mut Claim, key: &StockKey, units: i64) -> Result<i64, Broken> {
    let Some(line) = claim.lines.get_mut(key) else { return Ok(0) };
    let units = units.clamp(0, line.open());
    let from_waiting = units.min(line.waiting);
    line.waiting -= from_waiting;
    let held = units - from_waiting;
    if held == 0 {
        return Ok(units);
    }
    let from_reserved = held.min(line.reserved);
    let from_deducted = held - from_reserved;
    if !is_planted(PlantedBug::ReleasedTwice) {
        line.reserved -= from_reserved;
    }
    line.deducted -= from_deducted;
    work.add(key, Counters { on_hand: from_deducted, order_reserved: -from_reserved, ..Counters::default() })?;
    Ok(units)
}

/// Moves up to `units` of a line from set aside to taken out, as far as they are on hand: of a row that a count left
/// short, what is not there stays set aside. Returns how many.
fn deduct_reserved(work: &mut Work<'_, '_>, claim: &mut Claim, key: &StockKey, units: i64) -> Result<i64, Broken> {
    let Some(line) = claim.lines.get_mut(key) else { return Ok(0) };
    let on_hand = work.row(key).map_or(units, |row| row.counters.on_hand);
    let units = units.clamp(0, line.reserved).min(on_hand);
    if units.is_positive() {
        line.reserved -= units;
        line.deducted += units;
        work.add(key, Counters { on_hand: -units, order_reserved: -units, ..Counters::default() })?;
    }
    Ok(units)
}
