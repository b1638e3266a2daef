//! That runs come everywhere: a rule that no run reaches is guarded by none.

use std::collections::BTreeSet;

use holdfast::domain::announce::{AnnouncementBody, AnswerOutcome, MovementKind, Reason};
use holdfast::domain::event::EventType;
use holdfast::domain::verdict::Verdict;
use holdfast::ports::{DeadLetterReason, Entry, Outcome};

use super::simulator;
use crate::simulation::case_of;
use crate::simulation::invariants::Evidence;

/// Within how many seeds everything must happen.
const SEEDS: u64 = 300;

/// What happened in a run, in the words of the contract.
fn words(evidence: &Evidence, reached: &mut BTreeSet<(&'static str, &'static str)>) {
    for transaction in &evidence.journal {
        for outcome in &transaction.outcomes {
            if let Outcome::DeadLettered { reason, .. } = outcome {
                reached.insert(("dead letter", reason.as_str()));
            }
        }
        for (index, verdict) in &transaction.fresh {
            let Entry::Event { envelope, .. } = &transaction.entries[*index] else { continue };
            let ended = match verdict {
                Verdict::Applied => "applied",
                Verdict::Refused(_) => "refused",
                Verdict::Ignored => "ignored",
            };
            reached.insert((envelope.cause.event_type.as_str(), ended));
        }
        for told in transaction.outbox.iter().flat_map(|batch| &batch.announcements) {
            match &told.body {
                AnnouncementBody::ReservationResult(answer) => {
                    reached.insert(("answer", answer.outcome.as_str()));
                    reached.extend(answer.lines.iter().filter_map(|line| Some(("reason", line.reason?.as_str()))));
                    reached.extend(answer.reason.map(|reason| ("reason", reason.as_str())));
                }
                AnnouncementBody::StockShortage { .. } => {
                    reached.insert(("told", "a shortage"));
                }
                AnnouncementBody::StockChanged { .. }
                | AnnouncementBody::LowStock { .. }
                | AnnouncementBody::StockDrift { .. } => {}
            }
        }
    }
    reached.extend(evidence.tables.movements.values().map(|movement| ("movement", movement.kind.as_str())));
}

#[test]
fn every_word_of_the_contract_is_reached() {
    let mut wanted = BTreeSet::from([("told", "a shortage")]);
    wanted.extend(DeadLetterReason::ALL.map(|reason| ("dead letter", reason.as_str())));
    wanted.extend(AnswerOutcome::ALL.map(|outcome| ("answer", outcome.as_str())));
    wanted.extend(Reason::ALL.map(|reason| ("reason", reason.as_str())));
    wanted.extend(MovementKind::ALL.map(|kind| ("movement", kind.as_str())));
    for event_type in EventType::INPUT {
        wanted.extend(["applied", "refused"].map(|ended| (event_type.as_str(), ended)));
    }
    let (simulator, mut reached) = (simulator(), BTreeSet::new());
    for seed in 1..=SEEDS {
        words(&simulator.leave_behind(&case_of(seed)), &mut reached);
        if wanted.is_subset(&reached) {
            println!("everything is reached within {seed} seeds");
            return;
        }
    }
    let never: Vec<_> = wanted.difference(&reached).collect();
    panic!("never reached within {SEEDS} seeds: {never:?}");
}
