//! Whether each end is the one that the identity and the bytes of a delivery call for: what was decided is decided again
//! here, from the order of the transactions alone.

use std::collections::{BTreeMap, HashMap};

use holdfast::domain::event::{Envelope, EventKey, Fingerprint};
use holdfast::domain::words::{Day, Timestamp};
use holdfast::ports::{DeadLetterReason, Entry, Outcome, Position};

use super::{Checked, Evidence};
use crate::model::Journaled;
use crate::simulation::director::SUBMITTED;
use crate::simulation::worker::{COUNT_MAX_AGE_SECONDS, MAX_CLOCK_SKEW_SECONDS};
use crate::simulation::workload::Readable;
use crate::simulation::world::position;

/// The day, the source and the key of an event.
type Identity = (Day, std::sync::Arc<str>, EventKey);

/// I4: a duplicate was there before with the same content and a conflict with another one, a closed day was closed, an
/// impossible time was impossible, and nothing that is well formed is buried for its form.
pub(super) fn each_end_is_called_for(evidence: &Evidence) -> Checked {
    let mut known: HashMap<Identity, Fingerprint> = HashMap::new();
    for transaction in &evidence.journal {
        for (index, (entry, outcome)) in transaction.entries.iter().zip(&transaction.outcomes).enumerate() {
            is_read_as_written(evidence, entry)?;
            let Entry::Event { envelope, .. } = entry else { continue };
            let is_new = transaction.fresh.iter().any(|(fresh, _)| *fresh == index);
            let identity = (envelope.day, envelope.cause.source.clone(), envelope.key);
            let before = known.get(&identity).copied();
            if !is_called_for(evidence, transaction, envelope, outcome, (is_new, before)) {
                let cause = &envelope.cause;
                return Err(format!("{cause:?} ends as {outcome:?}, by then known as {before:?}, new is {is_new}"));
            }
            if is_new {
                known.insert(identity, envelope.fingerprint);
            }
        }
    }
    each_caller_is_told_the_end(evidence)
}

fn is_called_for(
    evidence: &Evidence,
    transaction: &Journaled,
    envelope: &Envelope,
    outcome: &Outcome,
    (is_new, before): (bool, Option<Fingerprint>),
) -> bool {
    let latest = transaction.now.plus_seconds(MAX_CLOCK_SKEW_SECONDS);
    let is_ahead = envelope.day > latest.day() || envelope.told_at.time().is_some_and(|time| time > latest);
    match outcome {
        Outcome::Applied | Outcome::Refused(_) | Outcome::Ignored => is_new && before.is_none() && !is_ahead,
        Outcome::Duplicate => before == Some(envelope.fingerprint),
        Outcome::DeadLettered { reason, .. } => match reason {
            DeadLetterReason::PayloadConflict => before.is_some_and(|before| before != envelope.fingerprint),
            DeadLetterReason::DayClosed => is_closed(evidence, transaction, envelope.day, before),
            DeadLetterReason::ImpossibleTime => {
                before.is_none() && (is_ahead || is_impossible_count(envelope, transaction.now))
            }
            DeadLetterReason::Undecodable
            | DeadLetterReason::UnknownSchema
            | DeadLetterReason::UnknownType
            | DeadLetterReason::MissingId
            | DeadLetterReason::MissingKeyField
            | DeadLetterReason::InvalidQuantity
            | DeadLetterReason::InvalidField
            | DeadLetterReason::TooLarge => false,
        },
    }
}

fn is_impossible_count(envelope: &Envelope, now: Timestamp) -> bool {
    let range = now.plus_seconds(-COUNT_MAX_AGE_SECONDS)..=now.plus_seconds(MAX_CLOCK_SKEW_SECONDS);
    envelope.event.counted().is_some_and(|(_, counted_at)| !range.contains(&counted_at))
}

/// A day is closed once its keys are dropped, and it stays unopened where it is older than keys are kept and as many days
/// are open as may be.
fn is_closed(evidence: &Evidence, transaction: &Journaled, day: Day, before: Option<Fingerprint>) -> bool {
    let is_dropped = evidence.tables.days.get(&day).is_some_and(|day| day.is_dropped);
    let open = evidence.tables.days.len() as i64;
    let is_old = transaction.now.day().0 - day.0 > evidence.retention.inbox_keep_days;
    is_dropped || (before.is_none() && is_old && open >= evidence.retention.inbox_max_days)
}

/// Who told it knows whether anybody can understand it.
fn is_read_as_written(evidence: &Evidence, entry: &Entry) -> Checked {
    let Some(position) = position(entry) else { return Ok(()) };
    let place = (position.topic.to_string(), position.partition, position.offset);
    let Some(readable) = evidence.readable.get(&place) else { return Err(format!("nobody told {position}")) };
    match (entry, readable) {
        (Entry::Event { .. }, Readable::Event) | (Entry::DeadLetter(_), Readable::Nonsense) => Ok(()),
        (Entry::DeadLetter(letter), Readable::Buried(reason)) if letter.reason == *reason => Ok(()),
        (Entry::DeadLetter(letter), Readable::Event | Readable::Buried(_)) => {
            let (reason, detail) = (letter.reason.as_str(), &letter.detail);
            Err(format!("{position} was told as {readable:?} and is read as {reason}: {detail}"))
        }
        (Entry::Event { .. }, Readable::Buried(_) | Readable::Nonsense) => {
            Err(format!("{position} was told as {readable:?} and is read as an event"))
        }
    }
}

/// What a caller was told is an end that what it submitted had: of several, where it was submitted again.
fn each_caller_is_told_the_end(evidence: &Evidence) -> Checked {
    let mut ends: BTreeMap<i64, Vec<&Outcome>> = BTreeMap::new();
    for transaction in &evidence.journal {
        for (entry, outcome) in transaction.entries.iter().zip(&transaction.outcomes) {
            if let Some(Position { offset, .. }) = position(entry).filter(|position| *position.topic == *SUBMITTED) {
                ends.entry(*offset).or_default().push(outcome);
            }
        }
    }
    for (number, told) in &evidence.answers {
        let had = ends.get(&i64::from(*number)).map(Vec::as_slice).unwrap_or_default();
        if !had.contains(&told) {
            return Err(format!("the caller of {number} was told {told:?}, and it ended as {had:?}"));
        }
    }
    Ok(())
}
