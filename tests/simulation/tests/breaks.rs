//! That every checker can fail: what runs have left behind is broken in one place, and the check that is about it says so.

use std::sync::Arc;

use holdfast::domain::alert::AlertState;
use holdfast::domain::announce::{AnnouncementBody, MovementKind};
use holdfast::domain::stock::StockRow;
use holdfast::domain::verdict::Verdict;
use holdfast::ports::{DeadLetterReason, Entry, OutboxBatch, Outcome, Position};

use super::simulator;
use crate::model::SetAside;
use crate::simulation::case::{Case, Guarantee};
use crate::simulation::invariants::{self, Announced, Evidence, Invariant, Left};
use crate::simulation::workload::Readable;
use crate::simulation::{case_of, reference};

/// Within how many runs there is something to break of each kind.
const RUNS: usize = 24;

/// Breaks something; `None` where there is nothing of the kind.
type Break = fn(&mut Evidence) -> Option<()>;

/// What a few runs have left behind. Without transactions a repetition would be no mistake.
fn left_behind() -> Vec<Evidence> {
    let simulator = simulator();
    let is_meant = |case: &Case| case.settings.guarantee == Guarantee::Transactions;
    (1..).map(case_of).filter(is_meant).take(RUNS).map(|case| simulator.leave_behind(&case)).collect()
}

fn without<T>(all: &mut Vec<T>, is_meant: impl Fn(&T) -> bool) -> Option<T> {
    let index = all.iter().rposition(is_meant)?;
    Some(all.remove(index))
}

fn first_row(evidence: &mut Evidence) -> Option<&mut StockRow> {
    evidence.tables.stock.values_mut().next()
}

fn batches(evidence: &mut Evidence) -> impl Iterator<Item = &mut OutboxBatch> {
    evidence.journal.iter_mut().filter_map(|transaction| transaction.outbox.as_mut())
}

/// The first of the outcomes that is meant.
fn outcome(evidence: &mut Evidence, is_meant: impl Fn(&Outcome) -> bool) -> Option<&mut Outcome> {
    evidence.journal.iter_mut().flat_map(|transaction| &mut transaction.outcomes).find(|outcome| is_meant(outcome))
}

fn buried(reason: DeadLetterReason) -> Outcome {
    Outcome::DeadLettered { reason, detail: "".into() }
}

fn nowhere() -> Position {
    Position { topic: "order-created".into(), partition: 0, offset: 9_999 }
}

const COUNTERS: [(Invariant, &str, Break); 8] = [
    (Invariant::I1, "a negative counter", |it| {
        first_row(it)?.counters.cart_held = -1;
        Some(())
    }),
    (Invariant::I1, "more reserved than on hand", |it| {
        first_row(it)?.counters.order_reserved += 1_000;
        Some(())
    }),
    (Invariant::I1, "a negative counter in the past", |it| {
        it.tables.movements.values_mut().next()?.after.on_hand = -1;
        Some(())
    }),
    (Invariant::I2, "a lost movement", |it| {
        it.tables.movements.pop_first()?;
        Some(())
    }),
    (Invariant::I2, "a unit that no movement brought", |it| {
        first_row(it)?.counters.on_hand += 1;
        Some(())
    }),
    (Invariant::I2, "a version that no movement reached", |it| {
        first_row(it)?.version += 1;
        Some(())
    }),
    (Invariant::I3, "a row that holds what no cart has", |it| {
        first_row(it)?.counters.cart_held += 1;
        Some(())
    }),
    (Invariant::I3, "a line that no claim has", |it| {
        let row = first_row(it)?.key.clone();
        let claim = it.tables.claims.keys().next()?.clone();
        it.tables.set_aside.entry((row, claim)).or_insert(SetAside { units: 0, since: None }).units += 1;
        Some(())
    }),
];

const ENDS: [(Invariant, &str, Break); 12] = [
    (Invariant::I4, "an event that took effect twice", |it| {
        let twice = it.journal.iter().find(|transaction| !transaction.fresh.is_empty())?.clone();
        it.journal.push(twice);
        Some(())
    }),
    (Invariant::I4, "an event that never ended", |it| {
        it.told.push(nowhere());
        Some(())
    }),
    (Invariant::I4, "an answer to what was never committed", |it| {
        it.answers.insert(9_999, Outcome::Applied);
        Some(())
    }),
    (Invariant::I4, "a caller who was told another end", |it| {
        *it.answers.values_mut().next()? = Outcome::Refused(None);
        Some(())
    }),
    (Invariant::I4, "a record that was not buried", |it| {
        let letters: Vec<_> = batches(it).map(|batch| std::mem::take(&mut batch.dead_letters)).collect();
        letters.iter().any(|letters| !letters.is_empty()).then_some(())
    }),
    (Invariant::I4, "an event that was new and is called a duplicate", |it| {
        let transaction = it.journal.iter_mut().find(|transaction| !transaction.fresh.is_empty())?;
        let (index, _) = transaction.fresh.remove(0);
        transaction.outcomes[index] = Outcome::Duplicate;
        Some(())
    }),
    (Invariant::I4, "a repetition that is called a conflict", |it| {
        *outcome(it, |outcome| *outcome == Outcome::Duplicate)? = buried(DeadLetterReason::PayloadConflict);
        Some(())
    }),
    (Invariant::I4, "a conflict that is called a repetition", |it| {
        let is_conflict =
            |it: &Outcome| matches!(it, Outcome::DeadLettered { reason: DeadLetterReason::PayloadConflict, .. });
        *outcome(it, is_conflict)? = Outcome::Duplicate;
        Some(())
    }),
    (Invariant::I4, "a day that is called closed and is open", |it| {
        *outcome(it, |outcome| *outcome == Outcome::Applied)? = buried(DeadLetterReason::DayClosed);
        for day in it.tables.days.values_mut() {
            day.is_dropped = false;
        }
        Some(())
    }),
    (Invariant::I4, "a time that is called impossible and is not", |it| {
        *outcome(it, |outcome| *outcome == Outcome::Applied)? = buried(DeadLetterReason::ImpossibleTime);
        Some(())
    }),
    (Invariant::I4, "something well formed that is buried for its form", |it| {
        let entries = it.journal.iter().flat_map(|transaction| &transaction.entries);
        let mut letters = entries.filter_map(|entry| match entry {
            Entry::DeadLetter(letter) => Some(letter.record.position.clone()),
            Entry::Event { .. } => None,
        });
        let Position { topic, partition, offset } = letters.next()?;
        it.readable.insert((topic.to_string(), partition, offset), Readable::Event);
        Some(())
    }),
    (Invariant::I10, "an acknowledged record that the database does not know", |it| {
        it.acknowledged.push(nowhere());
        Some(())
    }),
];

const STREAM: [(Invariant, &str, Break); 10] = [
    (Invariant::I5, "an announcement that is missing", |it| {
        (it.published.0.len() > 1).then(|| drop(it.published.0.remove(1)))
    }),
    (Invariant::I5, "an announcement twice", |it| {
        let twice = it.published.0.get(1)?.clone();
        it.published.0.insert(2, twice);
        Some(())
    }),
    (Invariant::I5, "two announcements in the other order", |it| {
        (it.published.0.len() > 2).then(|| it.published.0.swap(1, 2))
    }),
    (Invariant::I5, "an announcement that nobody committed", |it| {
        let mut other = it.published.0.first()?.clone();
        other.record.as_mut()?.payload = None;
        it.published.0.push(other);
        Some(())
    }),
    (Invariant::I5, "a dead letter twice", |it| {
        let twice = it.published.1.first()?.clone();
        it.published.1.push(twice);
        Some(())
    }),
    (Invariant::I5, "a number that was never used", |it| {
        let later = batches(it).skip(1);
        later.for_each(|batch| (batch.number, batch.first_seq) = (batch.number + 1, batch.first_seq + 2));
        Some(())
    }),
    (Invariant::I6, "a change that is missing", |it| {
        let is_change = |announced: &Announced, version: i64| {
            announced.event_type == "stock-changed" && announced.body["version"] == version
        };
        let second = it.announced.iter().find(|announced| is_change(announced, 2))?.clone();
        let is_of_row =
            |announced: &Announced| ["sku", "location"].iter().all(|name| announced.body[*name] == second.body[*name]);
        without(&mut it.announced, |announced| is_change(announced, 1) && is_of_row(announced))?;
        Some(())
    }),
    (Invariant::I7, "a row that the stream does not tell of", |it| {
        without(&mut it.announced, |announced| announced.event_type == "stock-changed")?;
        Some(())
    }),
    (Invariant::I9, "a crossing that nothing tells of", |it| {
        without(&mut it.announced, |announced| announced.event_type == "low-stock")?;
        Some(())
    }),
    (Invariant::I9, "a crossing that is told twice", |it| {
        let low = it.announced.iter().find(|announced| announced.event_type == "low-stock")?.clone();
        it.announced.push(low);
        Some(())
    }),
];

const REFERENCES: [(Invariant, &str, Break); 12] = [
    (Invariant::I8, "a claim in another state", |it| {
        it.tables.claims.values_mut().next()?.claim.version = Some(4_711);
        Some(())
    }),
    (Invariant::I8, "another verdict", |it| {
        it.journal.iter_mut().find_map(|it| it.fresh.first_mut())?.1 = Verdict::Refused(None);
        Some(())
    }),
    (Invariant::I8, "a movement of another kind", |it| {
        it.tables.movements.values_mut().find(|it| it.kind != MovementKind::Adjust)?.kind = MovementKind::Adjust;
        Some(())
    }),
    (Invariant::I8, "a movement without its reason", |it| {
        it.tables.movements.values_mut().find(|it| it.reason.is_some())?.reason = None;
        Some(())
    }),
    (Invariant::I8, "a kept answer that was not the last", |it| {
        it.tables.claims.values_mut().find_map(|kept| kept.answer.as_mut())?.seq += 1;
        Some(())
    }),
    (Invariant::I8, "a claim that keeps no answer", |it| {
        it.tables.claims.values_mut().find(|kept| kept.answer.is_some())?.answer = None;
        Some(())
    }),
    (Invariant::I8, "a low row without an alert", |it| {
        let is_open = |alert: &&holdfast::domain::alert::Alert| alert.state != AlertState::Resolved;
        let id = it.tables.alerts.values().find(is_open)?.id;
        it.tables.alerts.remove(&id)?;
        Some(())
    }),
    (Invariant::I8, "an alert of what is not low any more", |it| {
        let is_resolved = |alert: &&mut holdfast::domain::alert::Alert| alert.state == AlertState::Resolved;
        it.tables.alerts.values_mut().find(is_resolved)?.state = AlertState::Open;
        Some(())
    }),
    (Invariant::I8, "somebody who waits and has no place", |it| {
        it.tables.waiting_lines.pop_first()?;
        Some(())
    }),
    (Invariant::I8, "a hold that began at another time", |it| {
        it.tables.set_aside.values_mut().next()?.since = None;
        Some(())
    }),
    (Invariant::I8, "a trace that was not the cause's", |it| {
        it.tables.movements.values_mut().next()?.trace.parent = Some(Arc::from("another"));
        Some(())
    }),
    (Invariant::I8, "an answer with another reason", |it| {
        let answers = batches(it).flat_map(|batch| &mut batch.announcements).filter_map(|told| match &mut told.body {
            AnnouncementBody::ReservationResult(answer) => Some(answer),
            AnnouncementBody::StockChanged { .. }
            | AnnouncementBody::LowStock { .. }
            | AnnouncementBody::StockShortage { .. }
            | AnnouncementBody::StockDrift { .. } => None,
        });
        answers.into_iter().find(|answer| answer.reason.is_some())?.reason = None;
        Some(())
    }),
];

const RESTS: [(Invariant, &str, Break); 2] = [
    (Invariant::I11, "a record that is left", |it| {
        it.lag = 1;
        Some(())
    }),
    (Invariant::I12, "a key that is kept for ever", |it| {
        it.left = Some(Left { keys: 1, batches: 1, letters: 0, deadlines: 0 });
        Some(())
    }),
];

#[test]
fn every_invariant_is_noticed_when_it_does_not_hold() {
    let runs = left_behind();
    let breaks = [&COUNTERS[..], &ENDS, &STREAM, &REFERENCES, &RESTS].concat();
    for invariant in Invariant::ALL {
        for whole in &runs {
            assert_eq!(invariants::check(invariant, whole, reference::same_core), Ok(()), "{invariant}");
        }
        assert!(breaks.iter().any(|(breaks, _, _)| *breaks == invariant), "nothing breaks {invariant}");
    }
    for (invariant, what, break_it) in breaks {
        let broken = runs.iter().find_map(|whole| {
            let mut broken = whole.clone();
            break_it(&mut broken).map(|()| broken)
        });
        let broken = broken.unwrap_or_else(|| panic!("{invariant}: there is nothing to break for: {what}"));
        let noticed = invariants::check(invariant, &broken, reference::same_core);
        assert!(noticed.is_err(), "{invariant}: {what} is not noticed");
    }
}
