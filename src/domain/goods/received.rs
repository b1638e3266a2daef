//! `stock-received`: units arrived.

use super::answer;
use crate::domain::announce::{AnswerLine, AnswerOutcome, Reason};
use crate::domain::books::{Broken, Work};
use crate::domain::claim::{Claim, ClaimKey, ClaimKind, ClaimState};
use crate::domain::event::StockReceived;
use crate::domain::orders::{Conclusion, first_reason};
use crate::domain::stock::Counters;
use crate::domain::verdict::Verdict;

/// Applies `stock-received`, line by line; a line that the same receipt brought before does not count again and is not
/// told again.
pub(in crate::domain) fn received(work: &mut Work<'_, '_>, event: &StockReceived) -> Result<Conclusion, Broken> {
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
