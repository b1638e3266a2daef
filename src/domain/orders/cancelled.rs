//! `order-cancelled`, whole or in part, before or after its order; and the end of a reservation's time.

use super::fulfilled::{remember, told};
use super::table::{Step, Trigger, step};
use super::{Conclusion, IGNORED, answer, close_if_done, conflict, give_back};
use crate::domain::announce::{AnswerLine, AnswerOutcome};
use crate::domain::books::{Broken, Work};
use crate::domain::claim::{Claim, ClaimKey, ClaimKind, ClaimLine, ClaimState};
use crate::domain::event::{Event, OrderCancelled};
use crate::domain::stock::Counters;
use crate::domain::verdict::Verdict;
use crate::domain::words::{Line, StockKey};
use crate::planted_bug::{PlantedBug, is_planted};

/// Applies `order-cancelled`. What counts is what the claim's own lines still hold.
pub(in crate::domain) fn cancelled(work: &mut Work<'_, '_>, event: &OrderCancelled) -> Result<Conclusion, Broken> {
    let key = ClaimKey { kind: ClaimKind::Order, reference: event.order.clone() };
    let known = work.take_claim(&key);
    let state = known.as_ref().map(|claim| claim.state);
    let mut claim = known.unwrap_or_else(|| Claim::new(key, ClaimState::Awaited));
    let stale = event.version.zip(claim.version).is_some_and(|(version, last)| version < last);
    let trigger = if event.lines.is_none() { Trigger::CancelledWhole } else { Trigger::CancelledPart };
    let parts = event.lines.as_deref().unwrap_or_default();
    let repeated = trigger == Trigger::CancelledPart && is_repeated(&claim, parts);
    let step = if stale || repeated { Step::Nothing } else { step(state, trigger) };
    let conclusion = match step {
        Step::Nothing => IGNORED,
        Step::Tombstone if is_planted(PlantedBug::TombstoneForgotten) => IGNORED,
        Step::Tombstone => {
            claim.state = ClaimState::Cancelled;
            (Verdict::Applied, None)
        }
        Step::Remember => remember(work, &mut claim, Event::OrderCancelled(event.clone())),
        Step::CancelWhole => cancel_whole(work, &mut claim)?,
        Step::CancelPart => cancel_part(work, &mut claim, parts)?,
        Step::NothingToRelease => call_off(work, &mut claim, parts),
        Step::Conflict => conflict(&claim, None),
        Step::RecordVersion
        | Step::Attempt
        | Step::Change
        | Step::RefuseAsCancelled
        | Step::Confirm
        | Step::RecordConfirmation
        | Step::Ship
        | Step::ReserveAgain
        | Step::Expire
        | Step::Closed => IGNORED,
    };
    if conclusion == IGNORED {
        work.restore_claim(claim);
        return Ok(IGNORED);
    }
    work.put_claim(claim);
    let (verdict, answer) = conclusion;
    Ok((
        verdict,
        answer.map(|mut answer| {
            answer.request_version = event.version;
            answer
        }),
    ))
}

/// Whether a part says what was said last of each of its lines: quantities are cumulative. One that says less was
/// overtaken, and whoever sent it waits for an answer.
fn is_repeated(claim: &Claim, parts: &[Line]) -> bool {
    let known = |part: &Line| claim.lines.get(&part.key).filter(|line| line.stands() || line.called_off() > 0);
    let mut said =
        parts.iter().filter_map(|part| known(part).map(|line| (line.called_off(), part.quantity))).peekable();
    // A part of nothing that the order has leaves no trace to tell its repetition by.
    said.peek().is_some() && said.all(|(before, now)| before == now)
}

/// Units that a part asks for beyond what was given back, if it asks for more than the parts before it.
fn further(line: &ClaimLine, part: &Line) -> i64 {
    if part.quantity > line.called_off() { part.quantity - line.released } else { 0 }
}

/// Gives back everything that is held and not shipped, ends every wait, and closes the order.
fn cancel_whole(work: &mut Work<'_, '_>, claim: &mut Claim) -> Result<Conclusion, Broken> {
    let rows: Vec<(StockKey, i64)> =
        claim.lines.iter().map(|(key, line)| (key.clone(), line.open())).filter(|(_, open)| *open > 0).collect();
    let mut lines = Vec::with_capacity(rows.len());
    for (key, open) in rows {
        lines.push(release(work, claim, &key, open, open)?);
    }
    claim.state = ClaimState::Cancelled;
    claim.expires_at = None;
    Ok((Verdict::Applied, Some(answer(claim, AnswerOutcome::Cancelled, None, lines))))
}

/// Brings each line up to its cumulative cancelled quantity; a line with nothing left blocks no other.
fn cancel_part(work: &mut Work<'_, '_>, claim: &mut Claim, parts: &[Line]) -> Result<Conclusion, Broken> {
    let mut lines = Vec::with_capacity(parts.len());
    for part in parts {
        let before = called_off(claim, &part.key);
        let units = claim.lines.get(&part.key).map_or(0, |line| further(line, part));
        lines.push(release(work, claim, &part.key, part.quantity, units)?);
        note_part(claim, part, before);
    }
    close_if_done(claim);
    let cancelled = claim.state == ClaimState::Cancelled;
    let outcome = if cancelled { AnswerOutcome::Cancelled } else { AnswerOutcome::Released };
    Ok((Verdict::Applied, Some(answer(claim, outcome, None, lines))))
}

/// Tells that a refused or expired order holds nothing to give back. What time took from it is called off all the same:
/// a late confirmation must not ask for it again.
fn call_off(work: &Work<'_, '_>, claim: &mut Claim, parts: &[Line]) -> Conclusion {
    let had_lapsed = claim.lines.values().any(|line| line.lapsed > 0);
    for part in parts {
        let before = called_off(claim, &part.key);
        if let Some(line) = claim.lines.get_mut(&part.key) {
            let units = further(line, part).min(line.lapsed);
            line.lapsed -= units;
            line.released += units;
        }
        note_part(claim, part, before);
    }
    let outcome = if had_lapsed && claim.lines.values().all(|line| line.lapsed == 0) {
        claim.state = ClaimState::Cancelled;
        AnswerOutcome::Cancelled
    } else {
        AnswerOutcome::Released
    };
    let lines = parts.iter().map(|part| told(work, claim, &part.key, part.quantity, 0)).collect();
    (Verdict::Applied, Some(answer(claim, outcome, None, lines)))
}

/// Units of a line that the parts so far called off.
fn called_off(claim: &Claim, key: &StockKey) -> i64 {
    claim.lines.get(key).map_or(0, ClaimLine::called_off)
}

/// Keeps how much of a line was called off in parts: `before` this one so much, and never more than the most that a part
/// named, or a further part would pass for a repetition. A line that the order does not have leaves no trace.
fn note_part(claim: &mut Claim, part: &Line, before: i64) {
    if let Some(line) = claim.lines.get_mut(&part.key).filter(|line| line.stands()) {
        line.too_late = before.max(part.quantity) - line.released;
    }
}

fn release(
    work: &mut Work<'_, '_>,
    claim: &mut Claim,
    key: &StockKey,
    requested: i64,
    units: i64,
) -> Result<AnswerLine, Broken> {
    let released = give_back(work, claim, key, units)?;
    if let Some(line) = claim.lines.get_mut(key) {
        line.released += released;
    }
    Ok(told(work, claim, key, requested, released))
}

/// Gives back what a reservation holds and ends its waiting, because its time ran out. The caller has looked at the
/// deadline.
pub(in crate::domain) fn expired(work: &mut Work<'_, '_>, claim: &mut Claim) -> Result<Conclusion, Broken> {
    if step(Some(claim.state), Trigger::Expiry) != Step::Expire {
        return Ok(IGNORED);
    }
    let mut over = Vec::new();
    for (key, line) in claim.lines.iter_mut().filter(|(_, line)| line.reserved > 0 || line.waiting > 0) {
        work.add(key, Counters { order_reserved: -line.reserved, ..Counters::default() })?;
        line.lapsed = line.reserved;
        line.reserved = 0;
        line.waiting = 0;
        over.push((key.clone(), line.requested, line.lapsed));
    }
    let lines = over.iter().map(|(key, requested, lapsed)| told(work, claim, key, *requested, *lapsed)).collect();
    claim.state = ClaimState::Expired;
    claim.expires_at = None;
    Ok((Verdict::Applied, Some(answer(claim, AnswerOutcome::Expired, None, lines))))
}
