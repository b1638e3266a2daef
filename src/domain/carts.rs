//! `cart-updated`: the whole cart, line by line.

use std::collections::HashMap;

use super::announce::{Answer, AnswerKind, AnswerLine, AnswerOutcome, Reason};
use super::books::{Broken, Work};
use super::claim::{Claim, ClaimKey, ClaimKind, ClaimState};
use super::event::{CartUpdated, ToldAt};
use super::orders::{Conclusion, IGNORED, available_with, first_reason, unsellable};
use super::stock::Counters;
use super::verdict::Verdict;
use super::words::{Line, StockKey, Timestamp};
use crate::planted_bug::{PlantedBug, is_planted};

/// Applies `cart-updated`. Its time orders the updates of a cart without versions.
pub(super) fn updated(work: &mut Work<'_, '_>, event: &CartUpdated, told_at: ToldAt) -> Result<Conclusion, Broken> {
    if !work.rules().carts_hold {
        return Ok(IGNORED);
    }
    let time = told_at.time().unwrap_or(work.now());
    let key = ClaimKey { kind: ClaimKind::Cart, reference: event.cart.clone() };
    let mut claim = work.take_claim(&key).unwrap_or_else(|| Claim::new(key, ClaimState::Released));
    if is_stale(&claim, event, told_at, time) {
        work.restore_claim(claim);
        return Ok(IGNORED);
    }
    claim.version = event.version.or(claim.version);
    claim.updated_time = claim.updated_time.max(Some(time));
    let conclusion = if claim.state == ClaimState::Converted {
        let reason = Some(Reason::Closed);
        (Verdict::Refused(reason), Some(answer(&claim, event, AnswerOutcome::Conflict, reason, Vec::new())))
    } else {
        hold(work, &mut claim, event, time)?
    };
    work.put_claim(claim);
    Ok(conclusion)
}

/// Of two updates with the same time that their publisher gave, the first one stands, in whatever order they come. A
/// time that only says when the event arrived has no such meaning: the order of arrival decides.
fn is_stale(claim: &Claim, event: &CartUpdated, told_at: ToldAt, time: Timestamp) -> bool {
    match (event.version, claim.version) {
        (Some(version), Some(last)) => version <= last && !is_planted(PlantedBug::StaleCartAccepted),
        (Some(_), None) => false,
        (None, _) => claim.updated_time.is_some_and(|last| match told_at {
            ToldAt::Publisher(_) => time <= last,
            ToldAt::Broker(_) | ToldAt::Unknown => time < last,
        }),
    }
}

fn hold(
    work: &mut Work<'_, '_>,
    claim: &mut Claim,
    event: &CartUpdated,
    time: Timestamp,
) -> Result<Conclusion, Broken> {
    let held_before = claim.reserves();
    let most = work.rules().cart_ttl_seconds;
    let seconds = event.ttl_seconds.map_or(most, |seconds| seconds.min(most));
    let too_old = time.plus_seconds(seconds) < work.now();
    lower(work, claim, &event.lines)?;
    let mut lines = Vec::with_capacity(event.lines.len());
    for line in &event.lines {
        lines.push(raise(work, claim, line, too_old)?);
    }
    if claim.reserves() {
        if !held_before || is_planted(PlantedBug::DeadlineExtended) {
            claim.first_held_at = Some(work.now());
        }
        let first = claim.first_held_at.unwrap_or(work.now());
        let latest = first.plus_seconds(work.rules().cart_max_hold_seconds);
        let deadline = latest.min(work.now().plus_seconds(seconds));
        claim.state = ClaimState::Held;
        // What is too old only releases: it gives no more time either.
        claim.expires_at =
            Some(if too_old { claim.expires_at.map_or(deadline, |old| old.min(deadline)) } else { deadline });
    } else {
        claim.state = ClaimState::Released;
        claim.first_held_at = None;
        claim.expires_at = None;
    }
    Ok(conclude(claim, event, lines))
}

fn conclude(claim: &Claim, event: &CartUpdated, lines: Vec<AnswerLine>) -> Conclusion {
    let reason = first_reason(&lines);
    let outcome = if lines.is_empty() {
        AnswerOutcome::Released
    } else if reason.is_none() {
        AnswerOutcome::Granted
    } else if claim.reserves() {
        AnswerOutcome::Partial
    } else {
        AnswerOutcome::Refused
    };
    let verdict = if outcome == AnswerOutcome::Refused { Verdict::Refused(reason) } else { Verdict::Applied };
    (verdict, Some(answer(claim, event, outcome, reason, lines)))
}

/// Gives back what the cart holds beyond what it asks for now.
fn lower(work: &mut Work<'_, '_>, claim: &mut Claim, asked: &[Line]) -> Result<(), Broken> {
    let targets: HashMap<&StockKey, i64> = asked.iter().map(|line| (&line.key, line.quantity)).collect();
    for (key, line) in &mut claim.lines {
        let target = targets.get(key).copied().unwrap_or(0);
        line.requested = target;
        let surplus = line.reserved - target;
        if surplus.is_positive() {
            work.add(key, Counters { cart_held: -surplus, ..Counters::default() })?;
            line.reserved = target;
        }
    }
    Ok(())
}

/// Raises one line to what is asked for, or leaves its hold as it was and says why.
fn raise(work: &mut Work<'_, '_>, claim: &mut Claim, asked: &Line, too_old: bool) -> Result<AnswerLine, Broken> {
    let held = claim.lines.get(&asked.key).map_or(0, |line| line.reserved);
    let available = available_with(work, &asked.key, held);
    let of_the_sku = claim.lines.iter().filter(|(key, _)| key.sku == asked.key.sku && **key != asked.key);
    let elsewhere: i64 = of_the_sku.map(|(_, line)| line.reserved).sum();
    let grows = asked.quantity > held;
    let reason = grows.then(|| obstacle(work, asked, elsewhere, available, too_old)).flatten();
    let line = claim.lines.entry(asked.key.clone()).or_default();
    line.requested = asked.quantity;
    if reason.is_none() && grows {
        line.reserved = asked.quantity;
        work.add(&asked.key, Counters { cart_held: asked.quantity - held, ..Counters::default() })?;
    }
    let granted = if reason.is_none() { asked.quantity } else { held };
    Ok(AnswerLine { key: asked.key.clone(), requested: asked.quantity, granted, available, reason, waiting: 0 })
}

/// Why a line cannot be raised, in the order of the contract. `elsewhere` is what the cart holds of the SKU at other
/// locations: the cap is one of the SKU.
fn obstacle(work: &Work<'_, '_>, asked: &Line, elsewhere: i64, available: i64, too_old: bool) -> Option<Reason> {
    let is_over = |cap| asked.quantity + elsewhere > cap;
    unsellable(work, &asked.key)
        .or_else(|| too_old.then_some(Reason::TooOld))
        .or_else(|| work.rules().cart_max_per_sku.is_some_and(is_over).then_some(Reason::OverCap))
        .or_else(|| (asked.quantity > available).then_some(Reason::InsufficientStock))
}

fn answer(
    claim: &Claim,
    event: &CartUpdated,
    outcome: AnswerOutcome,
    reason: Option<Reason>,
    lines: Vec<AnswerLine>,
) -> Answer {
    Answer {
        kind: AnswerKind::Cart,
        reference: claim.key.reference.clone(),
        request_version: event.version,
        outcome,
        state: Some(claim.state),
        reason,
        lines,
        expires_at: claim.expires_at,
    }
}

/// Gives back what a cart holds, because its time ran out. The caller has looked at the deadline.
pub(super) fn expired(work: &mut Work<'_, '_>, claim: &mut Claim) -> Result<Conclusion, Broken> {
    let mut lines = Vec::new();
    for (key, line) in claim.lines.iter_mut().filter(|(_, line)| line.reserved > 0) {
        work.add(key, Counters { cart_held: -line.reserved, ..Counters::default() })?;
        lines.push(told(work, key, line.requested, line.reserved));
        line.reserved = 0;
    }
    claim.state = ClaimState::Expired;
    claim.first_held_at = None;
    claim.expires_at = None;
    let answer = Answer {
        kind: AnswerKind::Cart,
        reference: claim.key.reference.clone(),
        request_version: None,
        outcome: AnswerOutcome::Expired,
        state: Some(claim.state),
        reason: None,
        lines,
        expires_at: None,
    };
    Ok((Verdict::Applied, Some(answer)))
}

fn told(work: &Work<'_, '_>, key: &StockKey, requested: i64, released: i64) -> AnswerLine {
    let available = work.available(key);
    AnswerLine { key: key.clone(), requested, granted: released, available, reason: None, waiting: 0 }
}
