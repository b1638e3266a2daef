//! What there is: registrations, receipts, corrections, counts and returns.

mod corrected;
mod received;
mod registered;
mod returned;

pub(super) use corrected::{adjusted, counted, synced};
pub(super) use received::received;
pub(super) use registered::registered;
pub(super) use returned::returned;

use super::announce::{Answer, AnswerKind, AnswerLine, AnswerOutcome, Reason};
use super::words::Reference;

/// An answer about stock, which has no state.
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
