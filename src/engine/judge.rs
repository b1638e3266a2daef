//! What happens to each delivery of a batch: the only place that decides it, without I/O.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use crate::domain::books::{Broken, Fold};
use crate::domain::event::{Envelope, EventKey, Fingerprint};
use crate::domain::rules::Rules;
use crate::domain::verdict::Verdict;
use crate::domain::words::{Day, Timestamp};
use crate::planted_bug::{PlantedBug, is_planted};
use crate::ports::{DeadLetter, DeadLetterReason, Entry, Judged, Loaded, Outcome, Record, Seen};

/// What the judgement depends on besides the batch.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The shop's choices.
    pub rules: Rules,
    /// How far ahead of the database's clock an event's time may be, in seconds.
    pub max_clock_skew_seconds: i64,
    /// How long ago a count may have been taken, in seconds.
    pub count_max_age_seconds: i64,
    /// Whether what cannot be understood goes to the dead-letter topic; otherwise only its outcome tells.
    pub buries: bool,
}

impl Bench {
    /// Judges a loaded batch, delivery by delivery in order. Pure: the same input gives the same result.
    ///
    /// # Errors
    /// [`Broken`] when a rule would be broken that no event can break.
    pub fn judge(&self, entries: &[Entry], loaded: Loaded) -> Result<Judged, Broken> {
        let mut sitting = Sitting {
            bench: self,
            fold: Fold::new(&self.rules, loaded.now, loaded.books),
            met: HashMap::new(),
            fresh: Vec::with_capacity(entries.len()),
            dead_letters: Vec::new(),
        };
        let mut outcomes = Vec::with_capacity(entries.len());
        for (index, (entry, seen)) in entries.iter().zip(&loaded.seen).enumerate() {
            outcomes.push(match entry {
                Entry::DeadLetter(letter) => sitting.bury(Some(&letter.record), letter.reason, letter.detail.clone()),
                Entry::Event { envelope, record } => sitting.judge(index, envelope, record.as_deref(), *seen)?,
            });
        }
        let Sitting { fold, fresh, dead_letters, .. } = sitting;
        Ok(Judged { outcomes, fresh, books: fold.books, effects: fold.effects, dead_letters })
    }
}

/// One batch being judged.
struct Sitting<'a> {
    bench: &'a Bench,
    fold: Fold<'a>,
    /// Identities that this batch has met as new: the same event may stand in it twice.
    met: HashMap<(Day, Arc<str>, EventKey), Fingerprint>,
    fresh: Vec<(usize, Verdict)>,
    dead_letters: Vec<DeadLetter>,
}

impl Sitting<'_> {
    fn judge(
        &mut self,
        index: usize,
        envelope: &Envelope,
        record: Option<&Record>,
        seen: Seen,
    ) -> Result<Outcome, Broken> {
        // What was seen before is known, wherever the clock was set since.
        if !matches!(seen, Seen::Before(_))
            && let Some((reason, detail)) = self.impossible(envelope, seen)
        {
            return Ok(self.bury(record, reason, detail.into()));
        }
        // A count that was believed once is a duplicate later, however old it is by then.
        let too_far = self.impossible_count(envelope);
        let known = match seen {
            Seen::Before(_) if is_planted(PlantedBug::InboxSkipped) => None,
            Seen::Before(fingerprint) => Some(fingerprint),
            Seen::New | Seen::DayClosed | Seen::DayAhead => {
                match self.met.entry((envelope.day, envelope.cause.source.clone(), envelope.key)) {
                    Slot::Occupied(slot) => Some(*slot.get()),
                    Slot::Vacant(slot) => {
                        if let Some(detail) = too_far {
                            return Ok(self.bury(record, DeadLetterReason::ImpossibleTime, detail.into()));
                        }
                        slot.insert(envelope.fingerprint);
                        None
                    }
                }
            }
        };
        match known {
            Some(fingerprint) if fingerprint == envelope.fingerprint => Ok(Outcome::Duplicate),
            Some(_) => {
                let detail = format!(
                    "the event {:?} of source {:?} came before with other content; a new event needs a new id",
                    envelope.cause.id, envelope.cause.source
                );
                Ok(self.bury(record, DeadLetterReason::PayloadConflict, detail.into()))
            }
            None => {
                let verdict = self.fold.apply(envelope)?;
                self.fresh.push((index, verdict));
                Ok(match verdict {
                    Verdict::Applied => Outcome::Applied,
                    Verdict::Refused(reason) => Outcome::Refused(reason),
                    Verdict::Ignored => Outcome::Ignored,
                })
            }
        }
    }

    /// Why an event's day or time cannot be accepted.
    fn impossible(&self, envelope: &Envelope, seen: Seen) -> Option<(DeadLetterReason, String)> {
        if seen == Seen::DayClosed {
            let detail = "the inbox keys of the event's day were dropped or may not be opened (inbox.keep_days, \
                          inbox.max_days): it cannot be told from a repetition";
            return Some((DeadLetterReason::DayClosed, detail.to_owned()));
        }
        let limit = self.bench.max_clock_skew_seconds;
        let latest: Timestamp = self.fold.now.plus_seconds(limit);
        if seen == Seen::DayAhead
            || envelope.day > latest.day()
            || envelope.told_at.time().is_some_and(|time| time > latest)
        {
            let detail =
                format!("the event's time is more than {limit} s (max_clock_skew_s) ahead of the database's clock");
            return Some((DeadLetterReason::ImpossibleTime, detail));
        }
        None
    }

    /// Why the instant of a count cannot be accepted.
    fn impossible_count(&self, envelope: &Envelope) -> Option<String> {
        let (_, counted_at) = envelope.event.counted()?;
        let (skew, age) = (self.bench.max_clock_skew_seconds, self.bench.count_max_age_seconds);
        if counted_at > self.fold.now.plus_seconds(skew) {
            return Some(format!("counted_at is more than {skew} s (max_clock_skew_s) ahead of the database's clock"));
        }
        (counted_at < self.fold.now.plus_seconds(-age))
            .then(|| format!("counted_at is more than {age} s (counts.max_age_s) ago: count again"))
    }

    fn bury(&mut self, record: Option<&Record>, reason: DeadLetterReason, detail: Arc<str>) -> Outcome {
        if let (true, Some(record)) = (self.bench.buries, record) {
            self.dead_letters.push(DeadLetter { record: record.clone(), reason, detail: detail.clone() });
        }
        Outcome::DeadLettered { reason, detail }
    }
}
