//! Where the pulling tasks and the engine meet: one lock over the backlog and the books of what was handed out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::Subject;
use tokio::sync::Notify;

use crate::domain::words::Timestamp;
use crate::ports::{BatchLimit, Record};

use super::backlog::{Backlog, Now, Waiting};

/// How soon the engine looks again while one topic holds others back.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Shared by the tasks of a source. The lock is held for moments only, never over an await.
#[derive(Debug)]
pub(super) struct Handover {
    state: Mutex<State>,
    arrived: Notify,
    /// One a topic: wakes its puller when something of it was taken.
    room: Vec<Notify>,
}

#[derive(Debug)]
struct State {
    backlog: Backlog,
    /// Batches that were handed out and are not settled: where their acknowledgements go.
    out: BTreeMap<u64, Vec<Subject>>,
    batches_given: u64,
}

/// A batch, and its number.
pub(super) type Taken = (Vec<Record>, u64);

impl Handover {
    /// One queue a topic; `at_end` says of each whether the server has nothing of it.
    pub fn new(at_end: &[bool]) -> Arc<Self> {
        let backlog = Backlog::new(at_end.iter().copied(), Instant::now());
        let state = State { backlog, out: BTreeMap::new(), batches_given: 0 };
        let room = at_end.iter().map(|_| Notify::new()).collect();
        Arc::new(Self { state: Mutex::new(state), arrived: Notify::new(), room })
    }

    /// Takes in a message of a topic.
    pub fn push(&self, topic: usize, sequence: u64, message: Waiting, at_end: bool) {
        self.lock().backlog.push(topic, sequence, message, at_end);
        self.arrived.notify_one();
    }

    /// Messages and bytes of a topic that wait.
    pub fn held(&self, topic: usize) -> (usize, usize) {
        self.lock().backlog.held(topic)
    }

    /// Waits until something of a topic was taken. Cancel-safe.
    pub async fn room_made(&self, topic: usize) {
        match self.room.get(topic) {
            Some(room) => room.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Waits for a batch. Cancel-safe: it takes only when it returns.
    pub async fn take(&self, limit: BatchLimit) -> Taken {
        loop {
            let is_held_back = {
                let mut state = self.lock();
                if let Some(taken) = state.take(limit) {
                    self.room.iter().for_each(Notify::notify_one);
                    return taken;
                }
                !state.backlog.is_empty()
            };
            if is_held_back {
                // Whatever ends the wait, the backlog is looked at again.
                let _ = tokio::time::timeout(LOOK_AGAIN_AFTER, self.arrived.notified()).await;
            } else {
                self.arrived.notified().await;
            }
        }
    }

    /// Where the acknowledgements of a batch go; it counts as settled from now on.
    pub fn settle(&self, batch: u64) -> Vec<Subject> {
        self.lock().out.remove(&batch).unwrap_or_default()
    }

    /// Where the acknowledgements of everything go that is held: handed out and not settled, or waiting.
    pub fn replies(&self) -> Vec<Subject> {
        let state = self.lock();
        state.out.values().flatten().chain(state.backlog.replies()).cloned().collect()
    }

    /// The same, and nothing is held any more.
    pub fn give_up(&self) -> Vec<Subject> {
        let mut state = self.lock();
        let out = std::mem::take(&mut state.out).into_values().flatten();
        out.chain(state.backlog.drain().map(|message| message.reply)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, limit: BatchLimit) -> Option<Taken> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
        let taken = self.backlog.take(limit, Now { instant: Instant::now(), wall });
        if taken.is_empty() {
            return None;
        }
        let (records, replies) = taken.into_iter().map(|message| (message.record, message.reply)).unzip();
        self.batches_given += 1;
        self.out.insert(self.batches_given, replies);
        Some((records, self.batches_given))
    }
}
