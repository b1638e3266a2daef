//! Where the reading task and the engine meet: one lock over the backlog and what was settled of it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::cursor::{Room, memory_of};
use super::membership::Positions;
use crate::ports::{BatchLimit, Record, SourceError};

/// How much is held between the file and the engine.
#[derive(Clone, Copy, Debug)]
pub struct BufferLimit {
    /// Records.
    pub records: usize,
    /// Bytes in memory; the record that crosses the line is still taken.
    pub bytes: usize,
}

/// Shared by the reading task and the engine. The lock is held for moments only, never over a wait.
#[derive(Debug)]
pub(super) struct Handover {
    limit: BufferLimit,
    state: Mutex<State>,
    /// Wakes the engine.
    arrived: Notify,
    /// Wakes the reading task: there is room, something is settled, or it is to end.
    wanted: Notify,
}

#[derive(Debug, Default)]
struct State {
    records: VecDeque<Record>,
    bytes: usize,
    /// The membership under which the records were read.
    epoch: i64,
    /// What was settled under it.
    settled: Positions,
    stored: bool,
    closing: bool,
    ended: Option<Result<(), String>>,
}

/// A batch, and what settles it.
#[derive(Debug)]
pub(super) struct Taken {
    pub records: Vec<Record>,
    pub epoch: i64,
    pub next: Positions,
}

/// What the engine may do now.
pub(super) enum Ready {
    Batch(Taken),
    Wait,
    Closed,
}

impl Handover {
    pub fn new(limit: BufferLimit) -> Self {
        let state = State { stored: true, ..State::default() };
        Self { limit, state: Mutex::new(state), arrived: Notify::new(), wanted: Notify::new() }
    }

    /// A batch of what waits; at least one record when there is any.
    pub fn take(&self, limit: BatchLimit) -> Result<Ready, SourceError> {
        let mut state = self.lock();
        if let Some(Err(error)) = &state.ended {
            return Err(SourceError::Fatal(error.clone()));
        }
        let mut taken = Taken { records: Vec::new(), epoch: state.epoch, next: Positions::new() };
        let mut bytes = 0;
        while taken.records.len() < limit.deliveries.max(1) && (taken.records.is_empty() || bytes < limit.bytes) {
            let Some(record) = state.records.pop_front() else { break };
            state.bytes -= memory_of(&record);
            bytes += record.payload.as_ref().map_or(0, Vec::len);
            taken.next.insert(record.position.topic.clone(), record.position.offset + 1);
            taken.records.push(record);
        }
        if taken.records.is_empty() {
            return Ok(if state.ended.is_some() || state.closing { Ready::Closed } else { Ready::Wait });
        }
        drop(state);
        self.wanted.notify_one();
        Ok(Ready::Batch(taken))
    }

    /// Waits until [`take`](Self::take) may answer otherwise. Cancel-safe.
    pub async fn changed(&self) {
        self.arrived.notified().await;
    }

    /// Notes that a batch is settled. One that was read under an earlier membership is another member's by now.
    pub fn settle(&self, epoch: i64, next: &Positions) {
        let mut state = self.lock();
        if state.epoch != epoch {
            return;
        }
        for (topic, offset) in next {
            state.settled.insert(topic.clone(), *offset);
        }
        state.stored = false;
    }

    /// Asks the reading task to end.
    pub fn close(&self) {
        self.lock().closing = true;
        self.wanted.notify_one();
        self.arrived.notify_one();
    }

    pub fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Begins anew under another membership: what nobody took is dropped.
    pub fn begin(&self, epoch: i64) {
        let mut state = self.lock();
        state.records.clear();
        (state.bytes, state.epoch, state.stored) = (0, epoch, true);
        state.settled.clear();
    }

    /// How much more may be read ahead; `None` when it is full.
    pub fn room(&self) -> Option<Room> {
        let state = self.lock();
        let records = self.limit.records.saturating_sub(state.records.len());
        let bytes = self.limit.bytes.saturating_sub(state.bytes);
        (records > 0 && bytes > 0).then_some(Room { records, bytes })
    }

    /// Hands records over.
    pub fn push(&self, records: Vec<Record>) {
        let mut state = self.lock();
        state.bytes += records.iter().map(memory_of).sum::<usize>();
        state.records.extend(records);
        drop(state);
        self.arrived.notify_one();
    }

    /// What was settled and is not stored yet.
    pub fn unstored(&self) -> Option<Positions> {
        let state = self.lock();
        (!state.stored).then(|| state.settled.clone())
    }

    /// Everything up to these positions is stored.
    pub fn stored(&self, positions: &Positions) {
        let mut state = self.lock();
        state.stored = state.settled == *positions;
    }

    /// What was settled under this membership.
    pub fn settled(&self) -> Positions {
        self.lock().settled.clone()
    }

    /// Waits until the reading task has something to do. Cancel-safe.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// The reading task is over.
    pub fn end(&self, result: Result<(), String>) {
        self.lock().ended = Some(result);
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is whole before anything can fail.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Position;

    const ANY: BatchLimit = BatchLimit { deliveries: 100, bytes: 1_000_000 };

    fn record(topic: &str, offset: i64) -> Record {
        Record {
            position: Position { topic: topic.into(), partition: 0, offset },
            key: None,
            headers: Vec::new(),
            payload: Some(vec![b'x'; 10]),
            timestamp: None,
        }
    }

    fn taken(handover: &Handover, limit: BatchLimit) -> Taken {
        match handover.take(limit) {
            Ok(Ready::Batch(taken)) => taken,
            _ => panic!("there should be a batch"),
        }
    }

    #[test]
    fn a_batch_ends_at_either_limit_and_says_how_far_it_reaches() {
        let handover = Handover::new(BufferLimit { records: 4, bytes: usize::MAX });
        handover.push(vec![record("a", 3), record("b", 0), record("a", 4), record("a", 5)]);
        assert!(handover.room().is_none());
        let first = taken(&handover, BatchLimit { deliveries: 100, bytes: 25 });
        assert_eq!(first.records.len(), 3);
        assert_eq!(first.next, Positions::from([("a".into(), 5), ("b".into(), 1)]));
        assert_eq!(handover.room().map(|room| room.records), Some(3));
        assert_eq!(taken(&handover, ANY).next, Positions::from([("a".into(), 6)]));
    }

    #[test]
    fn what_was_read_under_another_membership_is_neither_given_nor_settled() {
        let handover = Handover::new(BufferLimit { records: 10, bytes: usize::MAX });
        handover.begin(1);
        handover.push(vec![record("a", 0), record("a", 1)]);
        let late = taken(&handover, BatchLimit { deliveries: 1, bytes: 100 });
        handover.begin(2);
        handover.settle(late.epoch, &late.next);
        assert_eq!(handover.unstored(), None);
        assert!(matches!(handover.take(ANY), Ok(Ready::Wait)));
        handover.push(vec![record("a", 0)]);
        let now = taken(&handover, ANY);
        handover.settle(now.epoch, &now.next);
        let unstored = handover.unstored().unwrap();
        assert_eq!(unstored, Positions::from([("a".into(), 1)]));
        handover.stored(&unstored);
        assert_eq!(handover.unstored(), None);
    }
}
