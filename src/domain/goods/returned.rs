//! `return-received`: units of an order came back.

use crate::domain::announce::{Answer, AnswerKind, AnswerLine, AnswerOutcome};
use crate::domain::books::{Broken, Work};
use crate::domain::claim::{Claim, ClaimKey, ClaimKind, ClaimState};
use crate::domain::event::ReturnReceived;
use crate::domain::orders::{Conclusion, IGNORED};
use crate::domain::stock::Counters;
use crate::domain::verdict::Verdict;
use crate::domain::words::Line;

/// Applies `return-received`, line by line, whatever the state of the order: at most what was shipped of the line and
/// has not come back yet. A line that the same return brought before does not count again and is not told again; one
/// of which nothing could be taken may be told again, since its shipment may have been overtaken.
pub(in crate::domain) fn returned(work: &mut Work<'_, '_>, event: &ReturnReceived) -> Result<Conclusion, Broken> {
    let order = ClaimKey { kind: ClaimKind::Order, reference: event.order.clone() };
    // An order has a version from its creation on; before, only what overtook it is remembered.
    if work.claim(&order).is_none_or(|claim| claim.version.is_none()) {
        return Ok(unknown_order(event));
    }
    let Some(mut order) = work.take_claim(&order) else { return Ok(unknown_order(event)) };
    let key = ClaimKey { kind: ClaimKind::Return, reference: event.id.clone() };
    let mut claim = work.take_claim(&key).unwrap_or_else(|| Claim::new(key, ClaimState::Received));
    let further: Vec<&Line> = event.lines.iter().filter(|line| !claim.lines.contains_key(&line.key)).collect();
    let mut lines = Vec::with_capacity(further.len());
    for line in further {
        lines.push(take_back(work, &mut order, &mut claim, line, event.resellable)?);
    }
    let applied = lines.iter().any(|line| line.granted > 0);
    if applied {
        work.put_claim(order);
        work.put_claim(claim);
    } else {
        work.restore_claim(order);
        if claim.revision > 0 || !claim.lines.is_empty() {
            work.restore_claim(claim);
        }
    }
    if lines.is_empty() {
        return Ok(IGNORED);
    }
    let verdict = if applied { Verdict::Applied } else { Verdict::Refused(None) };
    Ok((verdict, Some(answer(event, AnswerOutcome::Returned, lines))))
}

fn take_back(
    work: &mut Work<'_, '_>,
    order: &mut Claim,
    claim: &mut Claim,
    line: &Line,
    resellable: bool,
) -> Result<AnswerLine, Broken> {
    let shipped = order.lines.get_mut(&line.key);
    let of_the_order = shipped.as_ref().is_some_and(|shipped| shipped.stands());
    let mut granted = 0;
    if let Some(shipped) = shipped {
        granted = line.quantity.min(shipped.shipped - shipped.returned);
        shipped.returned += granted;
    }
    if granted > 0 {
        let noted = claim.lines.entry(line.key.clone()).or_default();
        (noted.requested, noted.returned) = (line.quantity, granted);
        if resellable {
            work.add(&line.key, Counters { on_hand: granted, ..Counters::default() })?;
        }
    }
    // The row of a line that the order does not have is not looked at, and may not even be loaded.
    let available = if of_the_order { work.available(&line.key) } else { 0 };
    Ok(AnswerLine { key: line.key.clone(), requested: line.quantity, granted, available, reason: None, waiting: 0 })
}

/// The answer to a return of what was never ordered, as far as is known. It leaves no trace.
fn unknown_order(event: &ReturnReceived) -> Conclusion {
    (Verdict::Refused(None), Some(answer(event, AnswerOutcome::Conflict, Vec::new())))
}

/// How a return ended is where it stands: it has no other state.
fn answer(event: &ReturnReceived, outcome: AnswerOutcome, lines: Vec<AnswerLine>) -> Answer {
    Answer {
        kind: AnswerKind::Return,
        reference: event.id.clone(),
        request_version: None,
        outcome,
        state: None,
        reason: None,
        lines,
        expires_at: None,
    }
}
