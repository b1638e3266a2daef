//! `order-confirmed` and `order-shipped`: what makes an order final.

use std::collections::BTreeMap;

use super::table::{Step, Trigger, step};
use super::{Conclusion, IGNORED, answer, close_if_done, conflict, deduct_reserved, missing, short_lines, take};
use crate::domain::announce::{AnswerLine, AnswerOutcome, Reason};
use crate::domain::books::{Broken, Work};
use crate::domain::claim::{Claim, ClaimKey, ClaimKind, ClaimLine, ClaimState, Remembered};
use crate::domain::event::{Event, OrderShipped};
use crate::domain::rules::DeductOn;
use crate::domain::verdict::Verdict;
use crate::domain::words::{Reference, StockKey};

/// Events that may wait for an order, and ids of shipments that were refused: far more than any order has.
const MOST_KEPT: usize = 1_000;

/// Applies `order-confirmed`.
pub(in crate::domain) fn confirmed(work: &mut Work<'_, '_>, order: &Reference) -> Result<Conclusion, Broken> {
    let key = ClaimKey { kind: ClaimKind::Order, reference: order.clone() };
    let known = work.take_claim(&key);
    let state = known.as_ref().map(|claim| claim.state);
    let mut claim = known.unwrap_or_else(|| Claim::new(key, ClaimState::Awaited));
    let conclusion = match step(state, Trigger::Confirmed) {
        Step::Remember => remember(work, &mut claim, Event::OrderConfirmed { order: order.clone() }),
        Step::RecordConfirmation if claim.confirmed => IGNORED,
        Step::Confirm | Step::RecordConfirmation => confirm(work, &mut claim)?,
        Step::ReserveAgain if claim.is_lost() && claim.confirmed => IGNORED,
        Step::ReserveAgain if claim.is_lost() => {
            claim.confirmed = true;
            lost(work, &claim)
        }
        Step::ReserveAgain => match reserve_again(work, &mut claim)? {
            Err(lost) => {
                claim.confirmed = true;
                lost
            }
            Ok(()) => confirm(work, &mut claim)?,
        },
        Step::Closed => conflict(&claim, Some(Reason::Closed)),
        Step::Conflict => conflict(&claim, None),
        Step::Nothing
        | Step::RecordVersion
        | Step::Tombstone
        | Step::Attempt
        | Step::Change
        | Step::RefuseAsCancelled
        | Step::Ship
        | Step::CancelWhole
        | Step::CancelPart
        | Step::NothingToRelease
        | Step::Expire => IGNORED,
    };
    conclude(work, claim, conclusion)
}

/// Applies `order-shipped`. The same shipment counts once.
pub(in crate::domain) fn shipped(work: &mut Work<'_, '_>, event: &OrderShipped) -> Result<Conclusion, Broken> {
    let key = ClaimKey { kind: ClaimKind::Order, reference: event.order.clone() };
    let known = work.take_claim(&key);
    let state = known.as_ref().map(|claim| claim.state);
    let mut claim = known.unwrap_or_else(|| Claim::new(key, ClaimState::Awaited));
    if claim.shipments.contains(&event.shipment) {
        work.restore_claim(claim);
        return Ok(IGNORED);
    }
    let conclusion = match step(state, Trigger::Shipped) {
        Step::Remember => remember(work, &mut claim, Event::OrderShipped(event.clone())),
        Step::Ship => ship(work, &mut claim, event)?,
        Step::ReserveAgain if claim.is_lost() => lost(work, &claim),
        Step::ReserveAgain if !names_lapsed(&claim, event) => ship(work, &mut claim, event)?,
        Step::ReserveAgain => match reserve_again(work, &mut claim)? {
            Err(lost) => lost,
            Ok(()) => ship(work, &mut claim, event)?,
        },
        Step::Closed => conflict(&claim, Some(Reason::Closed)),
        Step::Conflict => conflict(&claim, None),
        Step::Nothing
        | Step::RecordVersion
        | Step::Tombstone
        | Step::Attempt
        | Step::Change
        | Step::RefuseAsCancelled
        | Step::Confirm
        | Step::RecordConfirmation
        | Step::CancelWhole
        | Step::CancelPart
        | Step::NothingToRelease
        | Step::Expire => IGNORED,
    };
    // What was answered is not answered again; what waits for its order has its turn yet.
    if conclusion.1.is_some() && (conclusion.0 == Verdict::Applied || claim.shipments.len() < MOST_KEPT) {
        claim.shipments.push(event.shipment.clone());
    }
    conclude(work, claim, conclusion)
}

/// Keeps an event for the order that will come; the same fact is kept once. Where too many wait, the event is answered
/// as a conflict: the order's row is read and written with each of them.
pub(super) fn remember(work: &Work<'_, '_>, claim: &mut Claim, event: Event) -> Conclusion {
    if claim.remembered.iter().any(|kept| kept.event == event) {
        return IGNORED;
    }
    if claim.remembered.len() >= MOST_KEPT {
        return conflict(claim, None);
    }
    let (cause, trace) = work.origin();
    claim.remembered.push(Remembered { cause, trace, event });
    (Verdict::Applied, None)
}

fn conclude(work: &mut Work<'_, '_>, claim: Claim, conclusion: Conclusion) -> Result<Conclusion, Broken> {
    if conclusion == IGNORED {
        work.restore_claim(claim);
    } else {
        work.put_claim(claim);
    }
    Ok(conclusion)
}

/// Makes an order final. One of which a part was shipped already keeps its state; what is left of it is deducted like
/// any other reservation. What was reserved before the shop chose to deduct at creation is deducted here.
fn confirm(work: &mut Work<'_, '_>, claim: &mut Claim) -> Result<Conclusion, Broken> {
    let deduct = work.rules().deduct_on != DeductOn::Shipped;
    claim.confirmed = true;
    claim.expires_at = None;
    if deduct {
        for (key, reserved) in reserved_lines(claim) {
            deduct_reserved(work, claim, &key, reserved)?;
        }
    }
    if claim.state == ClaimState::Reserved {
        claim.state = if deduct { ClaimState::Deducted } else { ClaimState::Confirmed };
    }
    let lines = claim.lines.iter().filter(|(_, line)| line.requested > 0);
    let lines =
        lines.map(|(key, line)| told(work, claim, key, line.requested, line.held().min(line.requested))).collect();
    Ok((Verdict::Applied, Some(answer(claim, AnswerOutcome::Confirmed, None, lines))))
}

fn reserved_lines(claim: &Claim) -> Vec<(StockKey, i64)> {
    claim.lines.iter().map(|(key, line)| (key.clone(), line.reserved)).collect()
}

/// Gets back every unit that the deadline took from the order, or none: then it is lost and says so.
fn reserve_again(work: &mut Work<'_, '_>, claim: &mut Claim) -> Result<Result<(), Conclusion>, Broken> {
    let targets: BTreeMap<StockKey, i64> =
        claim.lines.iter().map(|(key, line)| (key.clone(), line.held() + line.lapsed)).collect();
    let wanted = missing(claim, &targets);
    let short = short_lines(work, &wanted);
    if !short.is_empty() {
        claim.lines.values_mut().for_each(|line| line.lost = line.lapsed);
        let reason = super::first_reason(&short);
        return Ok(Err((Verdict::Refused(reason), Some(answer(claim, AnswerOutcome::Lost, reason, short)))));
    }
    for line in &wanted {
        take(work, claim, &line.key, line.quantity, false)?;
    }
    claim.lines.values_mut().for_each(|line| line.lapsed = 0);
    claim.state = ClaimState::Reserved;
    Ok(Ok(()))
}

/// The answer to what comes for an order that was told to be lost before.
fn lost(work: &Work<'_, '_>, claim: &Claim) -> Conclusion {
    let lapsed = claim.lines.iter().filter(|(_, line)| line.lapsed > 0);
    let mut lines: Vec<AnswerLine> = lapsed.map(|(key, line)| told(work, claim, key, line.lapsed, 0)).collect();
    if lines.is_empty() {
        // It only waited.
        let asked = claim.lines.iter().filter(|(_, line)| line.requested > 0);
        lines = asked.map(|(key, line)| told(work, claim, key, line.requested, 0)).collect();
    }
    (Verdict::Refused(None), Some(answer(claim, AnswerOutcome::Lost, None, lines)))
}

/// Whether a shipment of an expired order names anything that the order lost to its deadline.
fn names_lapsed(claim: &Claim, event: &OrderShipped) -> bool {
    let lapsed = |key| claim.lines.get(key).is_some_and(|line| line.lapsed > 0);
    event.lines.as_ref().is_none_or(|lines| lines.iter().any(|line| lapsed(&line.key)))
}

/// Marks lines shipped, at most what the order holds of each, and deducts those that were only reserved.
fn ship(work: &mut Work<'_, '_>, claim: &mut Claim, event: &OrderShipped) -> Result<Conclusion, Broken> {
    let asked: Vec<(StockKey, i64)> = match &event.lines {
        Some(lines) => lines.iter().map(|line| (line.key.clone(), line.quantity)).collect(),
        None => unshipped_lines(claim),
    };
    let mut lines = Vec::with_capacity(asked.len());
    for (key, quantity) in asked {
        let units = quantity.min(claim.lines.get(&key).map_or(0, ClaimLine::unshipped));
        if let Some(line) = claim.lines.get(&key) {
            // Deducted units that are not shipped yet go first; only the rest leaves on_hand now.
            let deducted = line.deducted - line.shipped;
            deduct_reserved(work, claim, &key, units - deducted.min(units))?;
        }
        if let Some(line) = claim.lines.get_mut(&key) {
            line.shipped += units;
        }
        lines.push((key, quantity, units));
    }
    let nothing = lines.iter().all(|(_, _, units)| *units == 0);
    let lines = lines.iter().map(|(key, asked, got)| told(work, claim, key, *asked, *got)).collect();
    if nothing {
        return Ok((Verdict::Refused(None), Some(answer(claim, AnswerOutcome::Conflict, None, lines))));
    }
    claim.expires_at = None;
    claim.state = ClaimState::Deducted;
    close_if_done(claim);
    Ok((Verdict::Applied, Some(answer(claim, AnswerOutcome::Shipped, None, lines))))
}

fn unshipped_lines(claim: &Claim) -> Vec<(StockKey, i64)> {
    claim
        .lines
        .iter()
        .filter(|(_, line)| line.unshipped() > 0)
        .map(|(key, line)| (key.clone(), line.unshipped()))
        .collect()
}

/// A line of an answer that tells what was done, not what was short. Nothing is available to a line that the order does
/// not have: its row is not looked at, and may not even be loaded.
pub(super) fn told(work: &Work<'_, '_>, claim: &Claim, key: &StockKey, requested: i64, granted: i64) -> AnswerLine {
    let line = claim.lines.get(key).filter(|line| line.stands());
    let available = if line.is_some() { work.available(key) } else { 0 };
    let waiting = line.map_or(0, |line| line.waiting);
    AnswerLine { key: key.clone(), requested, granted, available, reason: None, waiting }
}
