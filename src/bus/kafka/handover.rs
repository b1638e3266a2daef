//! Where the polling thread and the engine meet: one lock over the backlog and the books of what was handed out.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use crate::domain::words::Timestamp;
use crate::ports::{BatchLimit, Record, SourceError};

use super::backlog::{Assignment, Backlog, BufferLimit, Now, Taken};
use super::offset::{NextOffset, Partition};

/// Shared by the polling thread, the client's callbacks (which run in that thread) and the engine. The lock is held
/// for moments only, never over a call of the client.
#[derive(Debug)]
pub(super) struct Handover {
    state: Mutex<State>,
    /// Wakes the polling thread while it waits for batches to be settled.
    settled: Condvar,
    /// Wakes the engine.
    arrived: Notify,
}

#[derive(Debug)]
struct State {
    backlog: Backlog,
    books: BTreeMap<Assignment, Book>,
    assignments_given: u64,
    closing: bool,
    ended: Option<End>,
}

/// How the polling thread came to its end.
#[derive(Clone, Debug)]
enum End {
    Closed,
    Failed(String),
}

/// What is known of one assigned partition beside its backlog.
#[derive(Debug)]
struct Book {
    partition: Partition,
    /// Batches that were handed out with records of it and are not settled.
    batches_out: usize,
    /// How far it is settled.
    settled: Option<NextOffset>,
    /// Whether the client was told.
    stored: bool,
}

/// What the engine may do now.
pub(super) enum Ready {
    /// A batch, and whether the polling thread should be woken because there is room again.
    Batch(Taken, bool),
    /// Nothing yet.
    Wait,
    /// Nothing ever again.
    Closed,
}

impl Handover {
    /// Nothing assigned. Records of equal times go in the order of `topics`.
    pub fn new(limit: BufferLimit, topics: Vec<Arc<str>>) -> Self {
        let state = State {
            backlog: Backlog::new(limit, topics),
            books: BTreeMap::new(),
            assignments_given: 0,
            closing: false,
            ended: None,
        };
        Self { state: Mutex::new(state), settled: Condvar::new(), arrived: Notify::new() }
    }

    /// Takes a batch for the engine.
    pub fn take(&self, limit: BatchLimit) -> Result<Ready, SourceError> {
        let mut state = self.lock();
        match &state.ended {
            Some(End::Failed(reason)) => return Err(SourceError::Fatal(reason.clone())),
            Some(End::Closed) => return Ok(Ready::Closed),
            None => {}
        }
        let was_full = state.backlog.is_full();
        let taken = state.backlog.take(limit, now());
        if taken.records.is_empty() {
            return Ok(Ready::Wait);
        }
        for assignment in taken.next.keys() {
            if let Some(book) = state.books.get_mut(assignment) {
                book.batches_out += 1;
            }
        }
        Ok(Ready::Batch(taken, was_full))
    }

    /// Returns when something may have changed for [`take`](Self::take). Cancel-safe: a wake-up that nobody waited
    /// for is kept for the next call.
    pub async fn changed(&self) {
        self.arrived.notified().await;
    }

    /// Notes that a batch is committed. What belongs to a partition that was taken away meanwhile is left out:
    /// its records come again, at another member, and are recognised as seen.
    pub fn settle(&self, next: &BTreeMap<Assignment, NextOffset>) {
        let mut state = self.lock();
        for (assignment, next) in next {
            let Some(book) = state.books.get_mut(assignment) else {
                // Traps: storing an offset of a partition that was revoked fails, and that is harmless.
                tracing::debug!(next = next.value(), "a batch of a partition that was taken away was settled");
                continue;
            };
            book.batches_out = book.batches_out.saturating_sub(1);
            if book.settled.is_none_or(|settled| settled < *next) {
                book.settled = Some(*next);
                book.stored = false;
            }
        }
        drop(state);
        self.settled.notify_all();
    }

    /// Begins an assignment of a partition.
    pub fn assign(&self, partition: Partition) -> Assignment {
        let mut state = self.lock();
        state.assignments_given += 1;
        let assignment = Assignment(state.assignments_given);
        state.backlog.open(assignment, partition.clone(), Instant::now());
        state.books.insert(assignment, Book { partition, batches_out: 0, settled: None, stored: true });
        assignment
    }

    /// Ends the assignments of some partitions: drops what waits of them, lets batches that are out be settled until
    /// the time is over or the source is closing, and returns how far they are settled. Blocks; called by the
    /// polling thread, so the engine that settles must never wait for that thread.
    pub fn revoke(&self, partitions: &[Partition], drain: Duration) -> Revoked {
        let mut state = self.lock();
        let revoked: Vec<Assignment> = state
            .books
            .iter()
            .filter(|(_, book)| partitions.contains(&book.partition))
            .map(|(assignment, _)| *assignment)
            .collect();
        for assignment in &revoked {
            state.backlog.close(*assignment);
        }
        let out = |state: &mut State| !state.closing && revoked.iter().any(|assignment| state.is_out(*assignment));
        let waited = self.settled.wait_timeout_while(state, drain, out);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        let books = revoked.iter().filter_map(|assignment| state.books.remove(assignment));
        let settled = books.filter_map(|book| Some((book.partition, book.settled?))).collect();
        drop(state);
        // Partitions that held others back are gone.
        self.arrived.notify_one();
        Revoked { assignments: revoked, settled, drained: !timeout.timed_out() }
    }

    /// Takes in what was fetched of a partition.
    pub fn push(&self, assignment: Assignment, records: Vec<Record>, at_end: bool) {
        self.lock().backlog.push(assignment, records, at_end);
        self.arrived.notify_one();
    }

    /// How many more records of a partition may be pushed.
    pub fn room(&self, assignment: Assignment) -> usize {
        self.lock().backlog.room(assignment)
    }

    /// Lets the engine go on without partitions that were silent for too long.
    pub fn give_up_on_silent(&self) {
        if self.lock().backlog.give_up_on_silent(now()) {
            self.arrived.notify_one();
        }
    }

    /// What was settled since the last call, to be stored in the client.
    pub fn take_unstored(&self) -> Vec<(Partition, NextOffset)> {
        let mut state = self.lock();
        let unstored = state.books.values_mut().filter(|book| !book.stored).filter_map(|book| {
            book.stored = true;
            Some((book.partition.clone(), book.settled?))
        });
        unstored.collect()
    }

    /// Every assigned partition with how far it is settled, and whether nothing more waits in it or beyond it.
    pub fn positions(&self) -> Vec<(Partition, Option<NextOffset>, bool)> {
        let state = self.lock();
        let position = |(assignment, book): (&Assignment, &Book)| {
            let drained = book.batches_out == 0 && state.backlog.is_drained(*assignment);
            (book.partition.clone(), book.settled, drained)
        };
        state.books.iter().map(position).collect()
    }

    /// Asks the polling thread to end; it no longer waits for batches.
    pub fn close(&self) {
        self.lock().closing = true;
        self.settled.notify_all();
    }

    /// Whether the polling thread was asked to end.
    pub fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// The polling thread is over; the first reason stays.
    pub fn end(&self, failure: Option<String>) {
        let end = failure.map_or(End::Closed, End::Failed);
        self.lock().ended.get_or_insert(end);
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; if it did, the books would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of a revocation.
#[derive(Debug)]
pub(super) struct Revoked {
    /// The assignments that are over.
    pub assignments: Vec<Assignment>,
    /// How far their partitions are settled, where anything was.
    pub settled: Vec<(Partition, NextOffset)>,
    /// Whether every batch that was out was settled in time.
    pub drained: bool,
}

impl State {
    fn is_out(&self, assignment: Assignment) -> bool {
        self.books.get(&assignment).is_some_and(|book| book.batches_out > 0)
    }
}

fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Microseconds since 1970 exceed i64 in the year 294,247.
    Now { instant: Instant::now(), wall: Timestamp(i64::try_from(wall.as_micros()).unwrap_or(i64::MAX)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Position;

    const ANY: BatchLimit = BatchLimit { deliveries: 100, bytes: usize::MAX };

    fn partition(number: i32) -> Partition {
        Partition { topic: "t".into(), number }
    }

    fn handover_with(records: i64) -> (Handover, Assignment) {
        let handover = Handover::new(BufferLimit { records: 100, bytes: 100_000 }, Vec::new());
        let assignment = handover.assign(partition(0));
        let record = |offset| Record {
            position: Position { topic: "t".into(), partition: 0, offset },
            key: None,
            headers: Vec::new(),
            payload: None,
            timestamp: None,
        };
        handover.push(assignment, (0..records).map(record).collect(), true);
        (handover, assignment)
    }

    fn take(handover: &Handover) -> Taken {
        match handover.take(ANY).unwrap() {
            Ready::Batch(taken, _) => taken,
            Ready::Wait | Ready::Closed => panic!("a batch should be there"),
        }
    }

    #[test]
    fn offsets_are_to_be_stored_only_after_they_are_settled_and_once() {
        let (handover, _) = handover_with(3);
        let taken = take(&handover);
        assert!(handover.take_unstored().is_empty());
        handover.settle(&taken.next);
        assert_eq!(handover.take_unstored(), [(partition(0), NextOffset::after(2))]);
        assert!(handover.take_unstored().is_empty());
    }

    #[test]
    fn a_revocation_waits_for_batches_that_are_out() {
        let (handover, _) = handover_with(3);
        let taken = take(&handover);
        let revoked = std::thread::scope(|scope| {
            let revoking = scope.spawn(|| handover.revoke(&[partition(0)], Duration::from_secs(60)));
            handover.settle(&taken.next);
            revoking.join().unwrap()
        });
        assert!(revoked.drained);
        // The revocation may also have begun after the settling; the answer is the same.
        assert_eq!(revoked.settled, [(partition(0), NextOffset::after(2))]);
    }

    #[test]
    fn a_revocation_gives_up_in_time_and_a_late_settle_changes_nothing() {
        let (handover, _) = handover_with(3);
        let taken = take(&handover);
        let revoked = handover.revoke(&[partition(0)], Duration::from_millis(1));
        assert!(!revoked.drained && revoked.settled.is_empty());
        handover.assign(partition(0));
        handover.settle(&taken.next);
        assert!(handover.take_unstored().is_empty());
    }

    #[test]
    fn closing_ends_the_wait_of_a_revocation() {
        let (handover, _) = handover_with(3);
        take(&handover);
        handover.close();
        assert!(handover.revoke(&[partition(0)], Duration::from_secs(60)).settled.is_empty());
    }

    #[test]
    fn a_failure_of_the_thread_reaches_the_engine() {
        let (handover, _) = handover_with(1);
        handover.end(Some("no access".to_owned()));
        handover.end(None);
        assert!(handover.take(ANY).is_err_and(|error| error.to_string() == "no access"));
    }
}
