//! What became of records that were published, on any bus.

/// How many failures a report tells of one by one.
const FAILURES_KEPT: usize = 100;

/// What became of everything that was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishReport {
    /// Confirmed by the broker.
    pub acknowledged: u64,
    /// Not confirmed.
    pub failed: u64,
    /// The first failures, at most a hundred.
    pub failures: Vec<PublishFailure>,
}

/// A record that was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishFailure {
    /// Which one, counted from 0 in the order of sending.
    pub number: usize,
    /// Its topic.
    pub topic: String,
    /// Why.
    pub cause: String,
}

impl PublishReport {
    /// Counts a record that was not confirmed, and keeps why while there is room.
    pub(super) fn add_failure(&mut self, number: usize, topic: String, cause: String) {
        self.failed += 1;
        if self.failures.len() < FAILURES_KEPT {
            self.failures.push(PublishFailure { number, topic, cause });
        }
    }
}
