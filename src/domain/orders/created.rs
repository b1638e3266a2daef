//! `order-created`: the first attempt, a new attempt, and what else a creation may find.

use std::collections::BTreeMap;

use super::changed::change;
use super::table::{Comparison, Step, Trigger, step};
use super::waiting::{may_wait, policy};
use super::{Conclusion, IGNORED, answer, available_with, conflict, first_reason, take, unsellable};
use crate::domain::announce::{Answer, AnswerLine, AnswerOutcome, Reason};
use crate::domain::books::{Broken, Work};
use crate::domain::claim::{Claim, ClaimKey, ClaimKind, ClaimLine, ClaimState};
use crate::domain::event::{OrderCreated, Policy};
use crate::domain::rules::DeductOn;
use crate::domain::stock::Counters;
use crate::domain::verdict::Verdict;
use crate::domain::words::{Line, Reference, StockKey};

/// Applies `order-created`. The claim may have been made by an event that overtook this one.
pub(in crate::domain) fn created(work: &mut Work<'_, '_>, event: &OrderCreated) -> Result<Conclusion, Broken> {
    let key = ClaimKey { kind: ClaimKind::Order, reference: event.order.clone() };
    let version = event.version.unwrap_or(0);
    let known = work.take_claim(&key);
    let state = known.as_ref().map(|claim| claim.state);
    let mut claim = known.unwrap_or_else(|| Claim::new(key, ClaimState::Awaited));
    if claim.version.is_some_and(|last| version < last) {
        work.restore_claim(claim);
        return Ok(IGNORED);
    }
    let comparison = compare(&claim, version, &event.lines);
    let higher = claim.version.is_some_and(|last| version > last);
    let conclusion = match step(state, Trigger::Created(comparison)) {
        Step::Nothing => {
            work.restore_claim(claim);
            return Ok(IGNORED);
        }
        Step::RecordVersion => {
            claim.lines.values_mut().for_each(|line| line.refused = 0);
            IGNORED
        }
        Step::Attempt => attempt(work, &mut claim, event)?,
        Step::Change => change(work, &mut claim, event)?,
        Step::RefuseAsCancelled => refuse_as_cancelled(work, &mut claim, event)?,
        Step::Closed => contradicted(&mut claim, event, higher, Some(Reason::Closed)),
        Step::Conflict => contradicted(&mut claim, event, higher, None),
        Step::Remember
        | Step::Tombstone
        | Step::Confirm
        | Step::RecordConfirmation
        | Step::Ship
        | Step::ReserveAgain
        | Step::CancelWhole
        | Step::CancelPart
        | Step::NothingToRelease
        | Step::Expire => conflict(&claim, None),
    };
    claim.version = Some(version);
    work.put_claim(claim);
    let (verdict, answer) = conclusion;
    Ok((verdict, answer.map(|answer| Answer { request_version: event.version, ..answer })))
}

/// A repetition is told by what the claim's version asked for, also when that was refused; a higher version is compared
/// with what the order stands for.
fn compare(claim: &Claim, version: i64, lines: &[Line]) -> Comparison {
    let Some(last) = claim.version else { return Comparison::First };
    let higher = version > last;
    let was_refused = !higher && claim.lines.values().any(|line| line.refused > 0);
    let asked = |line: &ClaimLine| if was_refused { line.refused } else { line.requested };
    let same = claim.lines.values().filter(|line| asked(line) > 0).count() == lines.len()
        && lines.iter().all(|line| claim.lines.get(&line.key).is_some_and(|known| asked(known) == line.quantity));
    match (same, higher) {
        (true, false) => Comparison::SameLines,
        (true, true) => Comparison::SameLinesHigher,
        (false, false) => Comparison::OtherLines,
        (false, true) => Comparison::OtherLinesHigher,
    }
}

/// Keeps what a higher version asked for in vain, so that its repetition is not answered again.
pub(super) fn note_refused(claim: &mut Claim, lines: &[Line]) {
    claim.lines.values_mut().for_each(|line| line.refused = 0);
    for line in lines {
        claim.lines.entry(line.key.clone()).or_default().refused = line.quantity;
    }
}

fn contradicted(claim: &mut Claim, event: &OrderCreated, higher: bool, reason: Option<Reason>) -> Conclusion {
    if higher {
        note_refused(claim, &event.lines);
    }
    conflict(claim, reason)
}

/// The units that the order's own cart holds, by row.
pub(super) struct OwnCart {
    claim: Option<Claim>,
    /// Whether the cart was ever seen; one that was not leaves no trace unless the order takes it over.
    known: bool,
}

impl OwnCart {
    /// Takes the cart out of the books; a cart that was never seen is made when it is converted.
    pub fn take(work: &mut Work<'_, '_>, event: &OrderCreated) -> Self {
        let Some(cart) = &event.cart else { return Self { claim: None, known: false } };
        let key = ClaimKey { kind: ClaimKind::Cart, reference: cart.clone() };
        let claim = work.take_claim(&key);
        let known = claim.is_some();
        Self { claim: claim.or_else(|| Some(Claim::new(key, ClaimState::Released))), known }
    }

    pub fn holds(&self, key: &StockKey) -> i64 {
        self.claim.as_ref().and_then(|cart| cart.lines.get(key)).map_or(0, |line| line.reserved)
    }

    /// Gives back all that it holds and closes it for good.
    pub fn convert(self, work: &mut Work<'_, '_>) -> Result<(), Broken> {
        let Some(mut cart) = self.claim else { return Ok(()) };
        for (key, line) in &mut cart.lines {
            if line.reserved > 0 {
                work.add(key, Counters { cart_held: -line.reserved, ..Counters::default() })?;
                line.reserved = 0;
            }
        }
        cart.state = ClaimState::Converted;
        cart.expires_at = None;
        work.put_claim(cart);
        Ok(())
    }

    /// Leaves it as it was.
    pub fn keep(self, work: &mut Work<'_, '_>) {
        if let (Some(cart), true) = (self.claim, self.known) {
            work.restore_claim(cart);
        }
    }
}

/// A fresh attempt: every line or none, or what is there; with `backorder` the rest of it waits.
fn attempt(work: &mut Work<'_, '_>, claim: &mut Claim, event: &OrderCreated) -> Result<Conclusion, Broken> {
    let cart = OwnCart::take(work, event);
    // Nothing is held before an attempt, so that the lines start anew; rows of an earlier version stay, at zero. What was
    // called off of them is only remembered, so that a repetition of that part does not count against this attempt.
    let anew = |line: &ClaimLine| ClaimLine { too_late: line.called_off(), ..ClaimLine::default() };
    claim.lines.values_mut().for_each(|line| *line = anew(line));
    claim.lines = requested_lines(claim, &event.lines);
    claim.confirmed = false;
    let policy = policy(work, event);
    let lines = grantable(work, &event.order, policy, &event.lines, &cart);
    let short = lines.iter().any(|line| line.reason.is_some());
    let refused = match policy {
        Policy::All => short,
        Policy::Partial | Policy::Backorder => lines.iter().all(|line| line.granted == 0 && line.waiting == 0),
    };
    if refused {
        cart.keep(work);
        claim.state = ClaimState::Refused;
        claim.expires_at = None;
        return Ok(refusal(claim, lines));
    }
    cart.convert(work)?;
    let deduct = work.rules().deduct_on == DeductOn::Created;
    for line in &lines {
        get(work, claim, line, deduct)?;
    }
    claim.state = if deduct { ClaimState::Deducted } else { ClaimState::Reserved };
    claim.expires_at = (!deduct).then(|| work.now().plus_seconds(time_to_live(work, event)));
    let (outcome, reason) =
        if short { (AnswerOutcome::Partial, first_reason(&lines)) } else { (AnswerOutcome::Granted, None) };
    Ok((Verdict::Applied, Some(answer(claim, outcome, reason, lines))))
}

/// Gives an order what a line could get, and has it wait for what the line waits for.
pub(super) fn get(work: &mut Work<'_, '_>, claim: &mut Claim, line: &AnswerLine, deduct: bool) -> Result<(), Broken> {
    claim.lines.entry(line.key.clone()).or_default().waiting += line.waiting;
    if line.granted > 0 { take(work, claim, &line.key, line.granted, deduct) } else { Ok(()) }
}

pub(super) fn refusal(claim: &Claim, lines: Vec<AnswerLine>) -> Conclusion {
    let short: Vec<AnswerLine> =
        lines.into_iter().filter(|line| line.reason.is_some()).map(|line| AnswerLine { granted: 0, ..line }).collect();
    let reason = first_reason(&short);
    (Verdict::Refused(reason), Some(answer(claim, AnswerOutcome::Refused, reason, short)))
}

/// What each line could get, in the order of the lines; a line that gets less than it asks for says why, and how much of
/// it waits.
pub(super) fn grantable(
    work: &Work<'_, '_>,
    order: &Reference,
    policy: Policy,
    lines: &[Line],
    cart: &OwnCart,
) -> Vec<AnswerLine> {
    let line = |line: &Line| {
        let available = available_with(work, &line.key, cart.holds(&line.key));
        let (granted, reason) = match unsellable(work, &line.key) {
            Some(reason) => (0, Some(reason)),
            None if available < line.quantity => (available, Some(Reason::InsufficientStock)),
            None => (line.quantity, None),
        };
        let waits = policy == Policy::Backorder
            && reason == Some(Reason::InsufficientStock)
            && may_wait(work, &line.key, order);
        let waiting = if waits { line.quantity - granted } else { 0 };
        AnswerLine { key: line.key.clone(), requested: line.quantity, granted, available, reason, waiting }
    };
    lines.iter().map(line).collect()
}

/// The claim's lines with what is asked for now; what was called off of a line stays called off.
pub(super) fn requested_lines(claim: &Claim, lines: &[Line]) -> BTreeMap<StockKey, ClaimLine> {
    let mut asked: BTreeMap<StockKey, ClaimLine> = claim
        .lines
        .iter()
        .map(|(key, line)| (key.clone(), ClaimLine { requested: 0, lapsed: 0, refused: 0, ..*line }))
        .collect();
    for line in lines {
        asked.entry(line.key.clone()).or_default().requested = line.quantity;
    }
    asked
}

fn time_to_live(work: &Work<'_, '_>, event: &OrderCreated) -> i64 {
    let most = work.rules().order_ttl_seconds;
    event.ttl_seconds.map_or(most, |seconds| seconds.min(most))
}

/// The order was cancelled before it came: that is its answer, and its cart is closed with it.
fn refuse_as_cancelled(work: &mut Work<'_, '_>, claim: &mut Claim, event: &OrderCreated) -> Result<Conclusion, Broken> {
    OwnCart::take(work, event).convert(work)?;
    claim.lines = requested_lines(claim, &event.lines);
    let reason = Some(Reason::Cancelled);
    let lines = event
        .lines
        .iter()
        .map(|line| AnswerLine {
            key: line.key.clone(),
            requested: line.quantity,
            granted: 0,
            available: work.available(&line.key),
            reason,
            waiting: 0,
        })
        .collect();
    Ok((Verdict::Refused(reason), Some(answer(claim, AnswerOutcome::Refused, reason, lines))))
}
