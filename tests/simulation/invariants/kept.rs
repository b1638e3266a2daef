//! What is kept beside rows and claims to be asked for: the last answer of a claim, and alerts. Both follow from what was
//! announced, and are compared with that.

use std::collections::BTreeMap;

use holdfast::domain::alert::AlertState;
use holdfast::domain::announce::{Announcement, AnnouncementBody, Answer, AnswerKind};
use holdfast::domain::claim::{ClaimKey, ClaimKind};
use holdfast::domain::stock::Level;
use holdfast::domain::words::{StockKey, Timestamp};

use super::ends::by_key;
use super::{Checked, Evidence};
use crate::model;

/// One check of a store says what I1 says more precisely: a count or a sync may leave a row short.
const LEFT_TO_I1: &str = "what is reserved is on hand";

/// I8, of what is kept.
pub(super) fn is_what_was_told(evidence: &Evidence) -> Checked {
    let (mut answers, mut alerts) = (BTreeMap::new(), BTreeMap::new());
    for (announcement, seq, recorded_at) in told(evidence) {
        match &announcement.body {
            AnnouncementBody::ReservationResult(answer) => {
                if let Some(claim) = answered_claim(answer) {
                    answers.insert(claim, (answer.clone(), seq, recorded_at));
                }
            }
            AnnouncementBody::LowStock { key, version, level, available, .. } => {
                match level {
                    Level::Low | Level::Critical | Level::Out => {
                        alerts.insert(key.clone(), (*level, *available, *version))
                    }
                    Level::Normal | Level::Unstocked => alerts.remove(key),
                };
            }
            AnnouncementBody::StockChanged { .. }
            | AnnouncementBody::StockShortage { .. }
            | AnnouncementBody::StockDrift { .. } => {}
        }
    }
    let kept = evidence.tables.claims.iter().filter_map(|(key, kept)| Some((key, kept.answer.as_ref()?)));
    let found = kept.map(|(key, given)| (key.clone(), (given.answer.clone(), given.seq, given.recorded_at))).collect();
    by_key("kept answer", &found, &answers)?;
    open_alerts(evidence, &alerts)?;
    verified(evidence)
}

/// Everything that was announced, with its number and the moment of recording.
fn told(evidence: &Evidence) -> impl Iterator<Item = (&Announcement, i64, Timestamp)> {
    let batches = evidence.journal.iter().filter_map(|transaction| transaction.outbox.as_ref());
    batches.flat_map(|batch| {
        batch.announcements.iter().zip(batch.first_seq..).map(|(told, seq)| (told, seq, batch.recorded_at))
    })
}

/// The claim that keeps an answer: a return and a stock event have none that does.
fn answered_claim(answer: &Answer) -> Option<ClaimKey> {
    let kind = match answer.kind {
        AnswerKind::Order => ClaimKind::Order,
        AnswerKind::Cart => ClaimKind::Cart,
        AnswerKind::Return | AnswerKind::Stock => return None,
    };
    Some(ClaimKey { kind, reference: answer.reference.clone() })
}

/// A row has one alert that is not resolved while its last level is one, and that says what was announced last.
fn open_alerts(evidence: &Evidence, expected: &BTreeMap<StockKey, (Level, i64, i64)>) -> Checked {
    let open = || evidence.tables.alerts.values().filter(|alert| alert.state != AlertState::Resolved);
    let found: BTreeMap<_, _> =
        open().map(|alert| (alert.key.clone(), (alert.level, alert.available, alert.version))).collect();
    if found.len() != open().count() {
        return Err(format!("a row has several open alerts: {:?}", open().collect::<Vec<_>>()));
    }
    by_key("open alert", &found, expected)
}

/// What a store proves of itself.
fn verified(evidence: &Evidence) -> Checked {
    let proved = model::run_checks(&evidence.tables, evidence.rules.ignore_cart_holds, |_, _| {});
    match proved.iter().find(|proof| proof.differing > 0 && proof.check != LEFT_TO_I1) {
        Some(proof) => Err(format!("verify says of {:?}: {:?}", proof.check, proof.differences)),
        None => Ok(()),
    }
}
