//! Under what a batch is filed: the days of its events and the numbers of its sources.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Retention;
use crate::domain::event::Cause;
use crate::domain::words::Day;
use crate::ports::{Entry, StoreError};

/// Days beyond today that may be open: a publisher's clock may run ahead across midnight.
pub(super) const DAYS_AHEAD: i32 = 1;

/// What became of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DayStatus {
    /// Its keys are kept.
    Open,
    /// Its keys were dropped.
    Closed,
    /// Too many days are open to open another old one. Passes when one of them is dropped, so that it is never
    /// remembered.
    Crowded,
    /// It has not come and was never heard of. A day whose keys are kept stays open when the clock is set back behind it:
    /// they still tell what is known.
    Ahead,
}

/// Whether a day that was never heard of is opened while `open` days are. The cap is for floods of old days. Days whose
/// keys would be kept anyway are opened however many there are: nothing may keep today's events out.
pub(super) fn has_room(day: Day, today: Day, open: i64, retention: &Retention) -> bool {
    open < retention.inbox_max_days || today.0 - day.0 <= retention.inbox_keep_days
}

/// Tells of the days of a batch that were not opened for the cap; at most once a batch.
pub(super) fn tell_crowded(crowded: usize, open: i64, retention: &Retention) {
    if crowded > 0 {
        tracing::error!(
            crowded,
            open,
            inbox_max_days = retention.inbox_max_days,
            "too many days are open: events of further old days are dead letters until some are dropped; raise \
             inbox.max_days to take them"
        );
    }
}

/// The days and sources that the entries of a batch name.
pub(super) fn named(entries: &[Entry]) -> (BTreeSet<Day>, BTreeSet<Arc<str>>) {
    let envelopes = entries.iter().filter_map(|entry| match entry {
        Entry::Event { envelope, .. } => Some(&**envelope),
        Entry::DeadLetter(_) => None,
    });
    let mut days = BTreeSet::new();
    let mut sources: BTreeSet<Arc<str>> = BTreeSet::new();
    for envelope in envelopes {
        days.insert(envelope.day);
        sources.insert(envelope.cause.source.clone());
    }
    (days, sources)
}

/// The days and sources of one batch, looked up.
pub(super) struct Filing {
    pub days: HashMap<Day, DayStatus>,
    pub sources: HashMap<Arc<str>, i32>,
}

impl Filing {
    pub fn day(&self, day: Day) -> DayStatus {
        self.days.get(&day).copied().unwrap_or(DayStatus::Closed)
    }

    /// The number of a source that stands in the batch.
    pub fn source(&self, name: &str) -> Result<i32, StoreError> {
        self.sources.get(name).copied().ok_or_else(|| unknown_source(name))
    }

    /// The sources of `causes` that the batch does not name. An event that waited for its order may have come from
    /// such a one; it was numbered when the event came.
    pub fn further_sources<'c>(&self, causes: impl Iterator<Item = &'c Cause>) -> Vec<&'c str> {
        let mut further: Vec<&str> =
            causes.map(|cause| &*cause.source).filter(|name| !self.sources.contains_key(*name)).collect();
        further.sort_unstable();
        further.dedup();
        further
    }

    /// The numbers of the sources of `causes`, in order, where `further` numbers those that the batch does not name.
    pub fn cause_sources<'c>(
        &self,
        causes: impl Iterator<Item = &'c Cause>,
        further: &[(String, i32)],
    ) -> Result<Vec<i32>, StoreError> {
        let further: HashMap<&str, i32> = further.iter().map(|(name, number)| (name.as_str(), *number)).collect();
        let number = |name: &str| self.sources.get(name).or_else(|| further.get(name)).copied();
        causes.map(|cause| number(&cause.source).ok_or_else(|| unknown_source(&cause.source))).collect()
    }
}

fn unknown_source(name: &str) -> StoreError {
    StoreError::Fatal(format!("the source {name:?} has no number in the table source"))
}
