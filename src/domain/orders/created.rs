//! `order-created`: the first attempt, a new attempt, and a change of a standing order.

use std::collections::BTreeMap;

use super::table::{Comparison, Step, Trigger, step};
use super::{
    Conclusion, IGNORED, answer, available_with, close_if_done, conflict, first_reason, give_back, missing,
    short_lines, take, unsellable,
};
use crate::domain::announce::{Answer, AnswerLine, AnswerOutcome, Reason};
use crate::domain::books::{Broken, Work};
use crate::domain::claim::{Claim, ClaimKey, ClaimKind, ClaimLine, ClaimState};
use crate::domain::event::{OrderCreated, Policy};
use crate::domain::rules::DeductOn;
use crate::domain::stock::Counters;
use crate::domain::verdict::Verdict;
use crate::domain::words::{Line, StockKey};
use crate::planted_bug::{PlantedBug, is_planted};

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
fn note_refused(claim: &mut Claim, lines: &[Line]) {
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
struct OwnCart {
    claim: Option<Claim>,
    /// Whether the cart was ever seen; one that was not leaves no trace unless the order takes it over.
    known: bool,
}

impl OwnCart {
    /// Takes the cart out of the books; a cart that was never seen is made when it is converted.
    fn take(work: &mut Work<'_, '_>, event: &OrderCreated) -> Self {
        let Some(cart) = &event.cart else { return Self { claim: None, known: false } };
        let key = ClaimKey { kind: ClaimKind::Cart, reference: cart.clone() };
        let claim = work.take_claim(&key);
        let known = claim.is_some();
        Self { claim: claim.or_else(|| Some(Claim::new(key, ClaimState::Released))), known }
    }

    fn holds(&self, key: &StockKey) -> i64 {
        self.claim.as_ref().and_then(|cart| cart.lines.get(key)).map_or(0, |line| line.reserved)
    }

    /// Gives back all that it holds and closes it for good.
    fn convert(self, work: &mut Work<'_, '_>) -> Result<(), Broken> {
        let Some(mut cart) = self.claim else { return Ok(()) };
        for (key, line) in &mut cart.lines {
            if line.reserved > 0 && !is_planted(PlantedBug::ConvertedCartHolds) {
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
    fn keep(self, work: &mut Work<'_, '_>) {
        if let (Some(cart), true) = (self.claim, self.known) {
            work.restore_claim(cart);
        }
    }
}

/// A fresh attempt: every line or none, or with `partial` what is there.
fn attempt(work: &mut Work<'_, '_>, claim: &mut Claim, event: &OrderCreated) -> Result<Conclusion, Broken> {
    let cart = OwnCart::take(work, event);
    // Nothing is held before an attempt, so that the lines start anew; rows of an earlier version stay, at zero. What was
    // called off of them is only remembered, so that a repetition of that part does not count against this attempt.
    let anew = |line: &ClaimLine| ClaimLine { too_late: line.called_off(), ..ClaimLine::default() };
    claim.lines.values_mut().for_each(|line| *line = anew(line));
    claim.lines = requested_lines(claim, &event.lines);
    claim.confirmed = false;
    let lines = grantable(work, event, &cart);
    let short = lines.iter().any(|line| line.reason.is_some());
    let refused = match event.policy {
        Policy::All => short,
        Policy::Partial => lines.iter().all(|line| line.granted == 0),
    };
    if refused {
        cart.keep(work);
        if is_planted(PlantedBug::RefusalGrants) {
            for line in lines.iter().filter(|line| line.reason.is_none()) {
                take(work, claim, &line.key, line.granted, false)?;
            }
        }
        claim.state = ClaimState::Refused;
        claim.expires_at = None;
        return Ok(refusal(claim, lines));
    }
    cart.convert(work)?;
    let deduct = work.rules().deduct_on == DeductOn::Created;
    for line in lines.iter().filter(|line| line.granted > 0) {
        take(work, claim, &line.key, line.granted, deduct)?;
    }
    claim.state = if deduct { ClaimState::Deducted } else { ClaimState::Reserved };
    claim.expires_at = (!deduct).then(|| work.now().plus_seconds(time_to_live(work, event)));
    let (outcome, reason) =
        if short { (AnswerOutcome::Partial, first_reason(&lines)) } else { (AnswerOutcome::Granted, None) };
    Ok((Verdict::Applied, Some(answer(claim, outcome, reason, lines))))
}

fn refusal(claim: &Claim, lines: Vec<AnswerLine>) -> Conclusion {
    let short: Vec<AnswerLine> =
        lines.into_iter().filter(|line| line.reason.is_some()).map(|line| AnswerLine { granted: 0, ..line }).collect();
    let reason = first_reason(&short);
    (Verdict::Refused(reason), Some(answer(claim, AnswerOutcome::Refused, reason, short)))
}

/// What each line could get, in the event's order; a line that gets less than it asks for says why.
fn grantable(work: &Work<'_, '_>, event: &OrderCreated, cart: &OwnCart) -> Vec<AnswerLine> {
    let line = |line: &Line| {
        let available = available_with(work, &line.key, cart.holds(&line.key));
        let (granted, reason) = match unsellable(work, &line.key) {
            Some(reason) => (0, Some(reason)),
            None if available < line.quantity => (available, Some(Reason::InsufficientStock)),
            None => (line.quantity, None),
        };
        AnswerLine { key: line.key.clone(), requested: line.quantity, granted, available, reason }
    };
    event.lines.iter().map(line).collect()
}

/// The claim's lines with what is asked for now; what was called off of a line stays called off.
fn requested_lines(claim: &Claim, lines: &[Line]) -> BTreeMap<StockKey, ClaimLine> {
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

/// A higher version with other lines: the difference is applied as a whole, or the order stays as it is.
fn change(work: &mut Work<'_, '_>, claim: &mut Claim, event: &OrderCreated) -> Result<Conclusion, Broken> {
    let asked = requested_lines(claim, &event.lines);
    let targets: BTreeMap<StockKey, i64> =
        asked.iter().map(|(key, line)| (key.clone(), target(claim.lines.get(key), line))).collect();
    let cart = OwnCart::take(work, event);
    let wanted = missing(claim, &targets);
    let short = short_lines(work, &wanted, |key| cart.holds(key));
    if !short.is_empty() {
        cart.keep(work);
        let whole = |line: AnswerLine| {
            let held = claim.lines.get(&line.key).map_or(0, ClaimLine::held);
            let requested = asked.get(&line.key).map_or(line.requested, |line| line.requested);
            AnswerLine { requested, available: line.available + held, ..line }
        };
        let short = short.into_iter().map(whole).collect();
        note_refused(claim, &event.lines);
        return Ok(refusal(claim, short));
    }
    cart.convert(work)?;
    let deduct = deducts_now(work, claim);
    let before = claim.lines.clone();
    claim.lines = asked;
    for (key, target) in &targets {
        let held = before.get(key).map_or(0, ClaimLine::held);
        if *target < held {
            give_back(work, claim, key, held - target)?;
        }
    }
    for line in &wanted {
        take(work, claim, &line.key, line.quantity, deduct)?;
    }
    if let (Some(deadline), Some(seconds)) = (claim.expires_at, event.ttl_seconds) {
        claim.expires_at = Some(deadline.min(work.now().plus_seconds(seconds)));
    }
    close_if_done(claim);
    let lines: Vec<AnswerLine> = event.lines.iter().map(|line| held_line(work, claim, line)).collect();
    let reason = first_reason(&lines);
    let outcome = match claim.state {
        ClaimState::Cancelled => AnswerOutcome::Cancelled,
        _ if reason.is_some() => AnswerOutcome::Partial,
        _ => AnswerOutcome::Granted,
    };
    Ok((Verdict::Applied, Some(answer(claim, outcome, reason, lines))))
}

/// What a line should hold after a change. One that does not grow asks for nothing more, also when it was granted in
/// part.
fn target(before: Option<&ClaimLine>, asked: &ClaimLine) -> i64 {
    let wanted = asked.requested - asked.released;
    let wanted = match before {
        Some(before) if asked.requested <= before.requested => wanted.min(before.held()),
        _ => wanted,
    };
    wanted.max(asked.shipped)
}

fn held_line(work: &Work<'_, '_>, claim: &Claim, line: &Line) -> AnswerLine {
    let (held, released) = claim.lines.get(&line.key).map_or((0, 0), |line| (line.held(), line.released));
    // More may have been shipped than is asked for now.
    let granted = held.min(line.quantity);
    let available = work.available(&line.key) + held;
    // What a version before was not granted.
    let reason = (held + released < line.quantity).then_some(Reason::InsufficientStock);
    AnswerLine { key: line.key.clone(), requested: line.quantity, granted, available, reason }
}

/// Whether units that join a standing order leave on_hand at once, as its other units did.
fn deducts_now(work: &Work<'_, '_>, claim: &Claim) -> bool {
    match work.rules().deduct_on {
        DeductOn::Created => claim.state != ClaimState::Reserved,
        DeductOn::Confirmed => claim.confirmed,
        DeductOn::Shipped => false,
    }
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
        })
        .collect();
    Ok((Verdict::Refused(reason), Some(answer(claim, AnswerOutcome::Refused, reason, lines))))
}
