//! `sku-registered` and `stock-received`: what there is.

use super::announce::{Answer, AnswerKind, AnswerLine, AnswerOutcome, Reason};
use super::books::{Broken, Work};
use super::claim::{Claim, ClaimKey, ClaimKind, ClaimState};
use super::event::{SkuRegistered, StockReceived};
use super::orders::{Conclusion, IGNORED, first_reason};
use super::stock::{Counters, Level, Status, StockRow};
use super::verdict::Verdict;
use super::words::Reference;

/// Applies `sku-registered`: creates the row, or changes the settings that the event names.
pub(super) fn registered(work: &mut Work<'_, '_>, event: &SkuRegistered) -> Result<Conclusion, Broken> {
    let known = work.row(&event.key);
    let last = known.and_then(|row| row.sku_version);
    if event.version.zip(last).is_some_and(|(version, last)| version <= last) {
        return Ok(IGNORED);
    }
    let creates = known.is_none();
    let mut row = known.cloned().unwrap_or_else(|| unregistered(work, event));
    let before = row.clone();
    row.name = event.name.clone().or(row.name);
    row.warning_threshold = event.warning_threshold.unwrap_or(row.warning_threshold);
    row.critical_threshold = event.critical_threshold.unwrap_or(row.critical_threshold);
    row.max_stock = event.max_stock.or(row.max_stock);
    row.status = event.status.unwrap_or(row.status);
    row.sku_version = event.version.or(row.sku_version);
    row.counters.safety_stock = event.safety_stock.unwrap_or(row.counters.safety_stock);
    if creates {
        row.counters.on_hand = event.initial.unwrap_or(0);
    }
    if row.critical_threshold > row.warning_threshold {
        let reason = Some(Reason::InvalidThresholds);
        let reference = Reference::new(event.key.sku.as_str());
        return Ok((
            Verdict::Refused(reason),
            Some(answer(reference, AnswerOutcome::Refused, reason, Vec::new(), event.version)),
        ));
    }
    let verdict = if !creates && row == before { Verdict::Ignored } else { Verdict::Applied };
    work.put_row(row);
    Ok((verdict, None))
}

fn unregistered(work: &Work<'_, '_>, event: &SkuRegistered) -> StockRow {
    StockRow {
        key: event.key.clone(),
        name: None,
        counters: Counters::default(),
        warning_threshold: 0,
        critical_threshold: 0,
        max_stock: None,
        status: Status::Active,
        level: Level::Unstocked,
        version: 0,
        sku_version: None,
        updated_at: work.now(),
        waiting: 0,
    }
}

/// Applies `stock-received`, line by line; a line that the same receipt brought before does not count again and is not
/// told again.
pub(super) fn received(work: &mut Work<'_, '_>, event: &StockReceived) -> Result<Conclusion, Broken> {
    let key = ClaimKey { kind: ClaimKind::Receipt, reference: event.receipt.clone() };
    let mut claim = work.take_claim(&key).unwrap_or_else(|| Claim::new(key, ClaimState::Received));
    let mut applied = false;
    let mut lines = Vec::with_capacity(event.lines.len());
    for line in event.lines.iter().filter(|line| !claim.lines.contains_key(&line.key)) {
        let known = work.row(&line.key).is_some();
        if known {
            work.add(&line.key, Counters { on_hand: line.quantity, ..Counters::default() })?;
            applied = true;
        }
        lines.push(AnswerLine {
            key: line.key.clone(),
            requested: line.quantity,
            granted: if known { line.quantity } else { 0 },
            available: work.available(&line.key),
            reason: (!known).then_some(Reason::UnknownSku),
            waiting: 0,
        });
    }
    for line in lines.iter().filter(|line| line.reason.is_none()) {
        claim.lines.entry(line.key.clone()).or_default().requested = line.requested;
    }
    if applied {
        work.put_claim(claim);
    } else if claim.revision > 0 || !claim.lines.is_empty() {
        work.restore_claim(claim);
    }
    let reason = first_reason(&lines);
    if reason.is_none() {
        return Ok((if applied { Verdict::Applied } else { Verdict::Ignored }, None));
    }
    let (outcome, verdict) = if applied {
        (AnswerOutcome::Partial, Verdict::Applied)
    } else {
        (AnswerOutcome::Refused, Verdict::Refused(reason))
    };
    Ok((verdict, Some(answer(event.receipt.clone(), outcome, reason, lines, None))))
}

fn answer(
    reference: Reference,
    outcome: AnswerOutcome,
    reason: Option<Reason>,
    lines: Vec<AnswerLine>,
    request_version: Option<i64>,
) -> Answer {
    Answer {
        kind: AnswerKind::Stock,
        reference,
        request_version,
        outcome,
        state: None,
        reason,
        lines,
        expires_at: None,
    }
}
