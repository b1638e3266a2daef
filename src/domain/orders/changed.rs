//! A change of a standing order: `order-created` with a higher version and other lines.

use std::collections::{BTreeMap, HashMap};

use super::created::{OwnCart, get, grantable, note_refused, refusal, requested_lines};
use super::waiting::policy;
use super::{
    Conclusion, answer, available_with, close_if_done, deducts_now, first_reason, give_back, missing, take, unsellable,
};
use crate::domain::announce::{Answer, AnswerLine, AnswerOutcome, Reason};
use crate::domain::books::{Broken, Work};
use crate::domain::claim::{Claim, ClaimLine, ClaimState};
use crate::domain::event::{OrderCreated, Policy};
use crate::domain::verdict::Verdict;
use crate::domain::words::{Line, StockKey};

/// A higher version with other lines: the difference is applied as a whole, or the order stays as it is. With `backorder`
/// what grows gets what is there and waits for the rest. What the order waits for counts as if it had it.
pub(super) fn change(work: &mut Work<'_, '_>, claim: &mut Claim, event: &OrderCreated) -> Result<Conclusion, Broken> {
    let asked = requested_lines(claim, &event.lines);
    let targets: BTreeMap<StockKey, i64> =
        asked.iter().map(|(key, line)| (key.clone(), target(claim.lines.get(key), line))).collect();
    let cart = OwnCart::take(work, event);
    let policy = policy(work, event);
    let growth = grantable(work, &event.order, policy, &missing(claim, &targets), &cart);
    if is_refused(policy, &growth) {
        cart.keep(work);
        let whole = |line: AnswerLine| {
            let held = claim.lines.get(&line.key).map_or(0, ClaimLine::held);
            let requested = asked.get(&line.key).map_or(line.requested, |line| line.requested);
            AnswerLine { requested, available: line.available + held, ..line }
        };
        let lines = growth.into_iter().map(whole).collect();
        note_refused(claim, &event.lines);
        return Ok(refusal(claim, lines));
    }
    let handed_over = handed_over(work, claim, &cart, &growth);
    cart.convert(work)?;
    let deduct = deducts_now(work, claim);
    let before = std::mem::replace(&mut claim.lines, asked);
    for (key, target) in &targets {
        let standing = before.get(key).map_or(0, ClaimLine::standing);
        if *target < standing {
            give_back(work, claim, key, standing - target)?;
        }
    }
    for line in &growth {
        get(work, claim, line, deduct)?;
    }
    for (key, units) in handed_over {
        let Some(line) = claim.lines.get_mut(&key) else { continue };
        let units = units.min(line.waiting);
        line.waiting -= units;
        take(work, claim, &key, units, deduct)?;
    }
    if let (Some(deadline), Some(seconds)) = (claim.expires_at, event.ttl_seconds) {
        claim.expires_at = Some(deadline.min(work.now().plus_seconds(seconds)));
    }
    close_if_done(claim);
    Ok((Verdict::Applied, Some(changed(work, claim, event, &growth))))
}

/// Whether nothing of a change is applied: where anything is missing, or with `backorder` where it would neither get nor
/// wait for anything of what it asks for.
fn is_refused(policy: Policy, growth: &[AnswerLine]) -> bool {
    match policy {
        Policy::All | Policy::Partial => growth.iter().any(|line| line.reason.is_some()),
        Policy::Backorder => !growth.is_empty() && growth.iter().all(|line| line.granted == 0 && line.waiting == 0),
    }
}

/// What a line should have or wait for after a change. One that does not grow asks for nothing more, also when it was
/// granted in part.
fn target(before: Option<&ClaimLine>, asked: &ClaimLine) -> i64 {
    let wanted = asked.requested - asked.released;
    let wanted = match before {
        Some(before) if asked.requested <= before.requested => wanted.min(before.standing()),
        _ => wanted,
    };
    wanted.max(asked.shipped)
}

/// What the order's own cart holds of rows that the order waits for and `growth` leaves of it: it becomes the order's as
/// at its creation, since nobody who waits has a right to what a cart holds.
fn handed_over(work: &Work<'_, '_>, claim: &Claim, cart: &OwnCart, growth: &[AnswerLine]) -> Vec<(StockKey, i64)> {
    let taken: HashMap<&StockKey, i64> = growth.iter().map(|line| (&line.key, line.granted)).collect();
    let waits =
        |key: &StockKey, line: &ClaimLine| line.waiting > 0 && cart.holds(key) > 0 && unsellable(work, key).is_none();
    let spare = |key: &StockKey| available_with(work, key, cart.holds(key)) - taken.get(key).copied().unwrap_or(0);
    let lines = claim.lines.iter().filter(|(key, line)| waits(key, line));
    lines.map(|(key, _)| (key.clone(), spare(key))).filter(|(_, units)| *units > 0).collect()
}

fn changed(work: &Work<'_, '_>, claim: &Claim, event: &OrderCreated, growth: &[AnswerLine]) -> Answer {
    let obstacles: HashMap<&StockKey, Reason> =
        growth.iter().filter_map(|line| Some((&line.key, line.reason?))).collect();
    let line = |line: &Line| standing_line(work, claim, line, obstacles.get(&line.key).copied());
    let lines: Vec<AnswerLine> = event.lines.iter().map(line).collect();
    let reason = first_reason(&lines);
    let outcome = match claim.state {
        ClaimState::Cancelled => AnswerOutcome::Cancelled,
        _ if reason.is_some() => AnswerOutcome::Partial,
        _ => AnswerOutcome::Granted,
    };
    answer(claim, outcome, reason, lines)
}

fn standing_line(work: &Work<'_, '_>, claim: &Claim, asked: &Line, obstacle: Option<Reason>) -> AnswerLine {
    let line = claim.lines.get(&asked.key).copied().unwrap_or_default();
    AnswerLine {
        key: asked.key.clone(),
        requested: asked.quantity,
        // More may have been shipped than is asked for now.
        granted: line.held().min(asked.quantity),
        available: work.available(&asked.key) + line.held(),
        // Without an obstacle it is what a version before was not granted.
        reason: (line.held() + line.released < asked.quantity).then_some(obstacle.unwrap_or(Reason::InsufficientStock)),
        waiting: line.waiting,
    }
}
