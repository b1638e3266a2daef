//! `stock-adjusted`, `stock-synced` and `stock-counted`: what is on hand is not what the books say.

use super::answer;
use crate::domain::announce::{AnswerLine, AnswerOutcome, Reason};
use crate::domain::books::{Broken, Work};
use crate::domain::claim::{Claim, ClaimKey, ClaimKind, ClaimState};
use crate::domain::event::{AdjustmentMode, StockAdjusted, StockCounted, StockSynced};
use crate::domain::orders::{Conclusion, IGNORED};
use crate::domain::stock::{Counters, StockRow};
use crate::domain::verdict::Verdict;
use crate::domain::words::{Reference, StockKey};

/// Applies `stock-adjusted`. It yields to what is promised: nothing is taken that somebody has set aside.
pub(in crate::domain) fn adjusted(work: &mut Work<'_, '_>, event: &StockAdjusted) -> Result<Conclusion, Broken> {
    let claim = ClaimKey { kind: ClaimKind::Adjustment, reference: event.adjustment.clone() };
    if work.claim(&claim).is_some() {
        return Ok(IGNORED);
    }
    let asked = Asked { reference: &event.adjustment, key: &event.key, units: event.quantity };
    let Some(row) = work.row(&event.key) else { return Ok(asked.refuse(Reason::UnknownSku, 0)) };
    let on_hand = row.counters.on_hand;
    let target = match event.mode {
        AdjustmentMode::Increase => on_hand + event.quantity,
        AdjustmentMode::Decrease => on_hand - event.quantity,
        AdjustmentMode::Set => event.quantity,
    };
    if let Some(reason) = objection(row, event, target) {
        return Ok(asked.refuse(reason, attainable(row, event.mode)));
    }
    apply(work, claim, &event.key, target - on_hand)
}

/// What speaks against a correction that would leave `target` units.
fn objection(row: &StockRow, event: &StockAdjusted, target: i64) -> Option<Reason> {
    let made_for = match event.mode {
        AdjustmentMode::Set => Some(event.expected_version),
        AdjustmentMode::Increase | AdjustmentMode::Decrease => event.expected_version.map(Some),
    };
    if made_for.is_some_and(|version| version != Some(row.version)) {
        return Some(Reason::VersionMismatch);
    }
    if target < row.counters.reserved() {
        return Some(Reason::InsufficientStock);
    }
    let may_raise = match event.mode {
        AdjustmentMode::Increase | AdjustmentMode::Set => true,
        AdjustmentMode::Decrease => false,
    };
    (may_raise && row.max_stock.is_some_and(|most| target > most)).then_some(Reason::OverMax)
}

/// The units with which a correction of this mode would have gone through, or what is available where it names no
/// difference.
fn attainable(row: &StockRow, mode: AdjustmentMode) -> i64 {
    let counters = &row.counters;
    let units = match mode {
        AdjustmentMode::Increase => row.max_stock.map_or(counters.available(), |most| most - counters.on_hand),
        AdjustmentMode::Decrease => counters.on_hand - counters.reserved(),
        AdjustmentMode::Set => counters.available(),
    };
    units.max(0)
}

/// Applies `stock-synced`: units have moved already, whatever was promised; only what cannot be is refused.
pub(in crate::domain) fn synced(work: &mut Work<'_, '_>, event: &StockSynced) -> Result<Conclusion, Broken> {
    let claim = ClaimKey { kind: ClaimKind::Sync, reference: event.trace.clone() };
    if work.claim(&claim).is_some() {
        return Ok(IGNORED);
    }
    let asked = Asked { reference: &event.trace, key: &event.key, units: event.delta.abs() };
    let Some(row) = work.row(&event.key) else { return Ok(asked.refuse(Reason::UnknownSku, 0)) };
    let on_hand = row.counters.on_hand;
    if on_hand + event.delta < 0 {
        return Ok(asked.refuse(Reason::InsufficientStock, on_hand));
    }
    let conclusion = apply(work, claim, &event.key, event.delta)?;
    work.tell_shortage(&event.key);
    Ok(conclusion)
}

/// Applies `stock-counted`: what was found, and every movement of on_hand recorded since. The engine has judged the
/// instant. What would be below zero cannot be the truth: the count or the ledger is wrong, and somebody has to look.
pub(in crate::domain) fn counted(work: &mut Work<'_, '_>, event: &StockCounted) -> Result<Conclusion, Broken> {
    let claim = ClaimKey { kind: ClaimKind::Count, reference: event.count.clone() };
    if work.claim(&claim).is_some() {
        return Ok(IGNORED);
    }
    let asked = Asked { reference: &event.count, key: &event.key, units: event.quantity };
    let Some(row) = work.row(&event.key) else { return Ok(asked.refuse(Reason::UnknownSku, 0)) };
    let (on_hand, available) = (row.counters.on_hand, row.counters.available().max(0));
    let change = event.quantity - work.on_hand_at(row, event.counted_at);
    if on_hand + change < 0 {
        return Ok(asked.refuse(Reason::InsufficientStock, available));
    }
    let conclusion = apply(work, claim, &event.key, change)?;
    if change != 0 {
        work.tell_shortage(&event.key);
    }
    Ok(conclusion)
}

/// Records that a correction counted, and makes its change. One that changes nothing raises nothing.
fn apply(work: &mut Work<'_, '_>, claim: ClaimKey, key: &StockKey, change: i64) -> Result<Conclusion, Broken> {
    work.put_claim(Claim::new(claim, ClaimState::Received));
    if change == 0 {
        return Ok(IGNORED);
    }
    work.add(key, Counters { on_hand: change, ..Counters::default() })?;
    Ok((Verdict::Applied, None))
}

/// What a correction asked for. A refused one leaves no trace: the same fact may be told again, as a new event.
struct Asked<'a> {
    reference: &'a Reference,
    key: &'a StockKey,
    /// Units, without their sign.
    units: i64,
}

impl Asked<'_> {
    fn refuse(&self, reason: Reason, available: i64) -> Conclusion {
        let line = AnswerLine {
            key: self.key.clone(),
            requested: self.units,
            granted: 0,
            available,
            reason: Some(reason),
            waiting: 0,
        };
        let answer = answer(self.reference.clone(), AnswerOutcome::Refused, Some(reason), vec![line], None);
        (Verdict::Refused(Some(reason)), Some(answer))
    }
}
