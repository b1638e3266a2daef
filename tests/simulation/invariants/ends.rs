//! How events and the run as a whole end.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Debug;

use holdfast::domain::announce::Announcement;
use holdfast::domain::verdict::Verdict;
use holdfast::ports::{DeadLetterReason, Entry, Outcome};

use super::{Checked, Evidence, identities, is_expiry, kept, naive};
use crate::simulation::director::SUBMITTED;
use crate::simulation::reference::{Reference, State, plain};
use crate::simulation::world::position;

/// I4. A record may be delivered any number of times and be found a duplicate; an event whose identity is known has come to
/// its end. What was dead-lettered is the same each time, except that an event may come again once its day is closed, and
/// that one whose time lay ahead may come again when that has come. Whether each of these is called for is asked by itself.
pub(super) fn each_ends_once(evidence: &Evidence) -> Checked {
    let mut fresh = BTreeSet::new();
    let mut ends: BTreeMap<(String, i32, i64), BTreeSet<&'static str>> = BTreeMap::new();
    for transaction in &evidence.journal {
        for (index, _) in &transaction.fresh {
            let Entry::Event { envelope, .. } = &transaction.entries[*index] else { continue };
            if !fresh.insert((envelope.day, envelope.cause.source.clone(), envelope.key)) {
                return Err(format!("{:?} of {:?} took effect twice", envelope.cause.id, envelope.cause.source));
            }
        }
        for (entry, outcome) in transaction.entries.iter().zip(&transaction.outcomes) {
            let Some(position) = position(entry) else { continue };
            let place = (position.topic.to_string(), position.partition, position.offset);
            let ended = ends.entry(place).or_default();
            match outcome {
                Outcome::Duplicate => {}
                // The keys that tell it from a repetition were dropped.
                Outcome::DeadLettered { reason: DeadLetterReason::DayClosed, .. } => {}
                Outcome::DeadLettered { reason: DeadLetterReason::ImpossibleTime, .. } if ended.is_empty() => {}
                Outcome::Applied | Outcome::Refused(_) | Outcome::Ignored | Outcome::DeadLettered { .. } => {
                    ended.insert(outcome.as_str());
                }
            }
            if ended.len() > 1 {
                return Err(format!("{position} ends as {ended:?}"));
            }
        }
    }
    if evidence.is_complete {
        none_is_lost(evidence, &ends)?;
    }
    identities::each_end_is_called_for(evidence)?;
    each_is_buried_once(evidence)
}

fn none_is_lost(evidence: &Evidence, ends: &BTreeMap<(String, i32, i64), BTreeSet<&'static str>>) -> Checked {
    let has_ended = |topic: &str, partition, offset| ends.contains_key(&(topic.to_owned(), partition, offset));
    let lost = evidence.told.iter().find(|told| !has_ended(&told.topic, told.partition, told.offset));
    if let Some(position) = lost {
        return Err(format!("{position} never ended"));
    }
    match evidence.answers.keys().find(|number| !has_ended(SUBMITTED, 0, i64::from(**number))) {
        Some(number) => Err(format!("what was submitted as {number} was answered and never committed")),
        None => Ok(()),
    }
}

/// A record of a bus that is not understood is buried, once; what was submitted is told to its caller alone.
fn each_is_buried_once(evidence: &Evidence) -> Checked {
    let mut buried = BTreeSet::new();
    for letter in evidence.journal.iter().flat_map(|it| &it.outbox).flat_map(|batch| &batch.dead_letters) {
        let position = &letter.record.position;
        if !buried.insert((position.topic.to_string(), position.partition, position.offset)) {
            return Err(format!("{position} is buried twice"));
        }
    }
    for transaction in &evidence.journal {
        for (entry, outcome) in transaction.entries.iter().zip(&transaction.outcomes) {
            let (Some(position), Outcome::DeadLettered { reason, .. }) = (position(entry), outcome) else { continue };
            let is_buried = buried.contains(&(position.topic.to_string(), position.partition, position.offset));
            if is_buried == (*position.topic == *SUBMITTED) {
                return Err(format!("{position}, {}: buried is {is_buried}", reason.as_str()));
            }
        }
    }
    Ok(())
}

/// I8.
pub(super) fn is_the_reference(evidence: &Evidence, reference: Reference) -> Checked {
    let applied = evidence.applied();
    let State { stock, claims, verdicts, announcements } = reference(&evidence.rules, &applied)?;
    let name = |index: usize| applied.get(index).map(|it| format!("{:?}", it.envelope.cause)).unwrap_or_default();
    let found: Vec<Verdict> = applied.iter().map(|applied| applied.verdict).collect();
    in_order("verdict", &found, &verdicts, name)?;
    let outbox = evidence.journal.iter().filter_map(|transaction| transaction.outbox.as_ref());
    let found: Vec<Announcement> = outbox.flat_map(|batch| batch.announcements.iter().cloned()).collect();
    in_order("announcement", &found, &announcements, |_| String::new())?;
    by_key("row", &evidence.tables.stock, &stock)?;
    let found = evidence.tables.claims.values().map(|kept| plain(&kept.claim)).collect();
    by_key("claim", &found, &claims)?;
    naive::is_the_naive_one(evidence, &applied)?;
    kept::is_what_was_told(evidence)
}

pub(super) fn in_order<T: Debug + PartialEq>(
    what: &str,
    found: &[T],
    expected: &[T],
    name: impl Fn(usize) -> String,
) -> Checked {
    let differs = (0..found.len().max(expected.len())).find(|index| found.get(*index) != expected.get(*index));
    match differs {
        Some(index) => {
            let (found, expected) = (found.get(index), expected.get(index));
            Err(format!("{what} {} {} is {found:?} and should be {expected:?}", index + 1, name(index)))
        }
        None => Ok(()),
    }
}

pub(super) fn by_key<K: Debug + Ord, V: Debug + PartialEq>(
    what: &str,
    found: &BTreeMap<K, V>,
    expected: &BTreeMap<K, V>,
) -> Checked {
    let keys: BTreeSet<&K> = found.keys().chain(expected.keys()).collect();
    match keys.into_iter().find(|key| found.get(*key) != expected.get(*key)) {
        Some(key) => Err(format!("the {what} {key:?} is {:?} and should be {:?}", found.get(key), expected.get(key))),
        None => Ok(()),
    }
}

/// I10, at the end; at each acknowledgement the source looks itself.
pub(super) fn acknowledged_is_committed(evidence: &Evidence) -> Checked {
    let entries = evidence.journal.iter().flat_map(|transaction| &transaction.entries);
    let committed: HashSet<_> = entries.filter(|entry| !is_expiry(entry)).filter_map(position).collect();
    match evidence.acknowledged.iter().find(|position| !committed.contains(position)) {
        Some(position) => Err(format!("{position} is acknowledged and the database does not hold how it ended")),
        None => Ok(()),
    }
}

/// I11, at the end; whether everything came to rest in time is seen on the way.
pub(super) fn has_come_to_rest(evidence: &Evidence) -> Checked {
    if !evidence.is_complete {
        return Ok(());
    }
    let marked = evidence.tables.mark.number;
    if evidence.lag > 0 || marked != evidence.tables.last_number {
        let (lag, last) = (evidence.lag, evidence.tables.last_number);
        return Err(format!("{lag} records are left, and {marked} of {last} batches are published"));
    }
    Ok(())
}

/// I12: of what was left alone for longer than anything is kept, nothing is left but the last batch.
pub(super) fn nothing_is_kept(evidence: &Evidence) -> Checked {
    match evidence.left {
        Some(left) if left.keys > 0 || left.batches > 1 || left.letters > 0 || left.deadlines > 0 => {
            Err(format!("kept for ever: {left:?}"))
        }
        Some(_) | None => Ok(()),
    }
}
