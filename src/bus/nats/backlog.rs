//! What was pulled and not yet handed over: a queue a topic, merged by the time at which messages were stored.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_nats::Subject;

use crate::domain::words::Timestamp;
use crate::ports::{BatchLimit, Record};

/// How long messages of other topics wait for a topic that has more and does not send it: the rest may have gone to
/// another worker of the group.
const PATIENCE: Duration = Duration::from_millis(200);
/// The same until the first message of a topic comes.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
/// A topic whose newest message is no older than this, and which was at its end before, is not catching up: nobody waits for it.
const LIVE_WITHIN_SECONDS: i64 = 1;

/// The present moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// For waiting.
    pub instant: Instant,
    /// For comparing with the times of messages.
    pub wall: Timestamp,
}

/// A message that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// The record that it is.
    pub record: Record,
    /// When it was stored.
    pub stored: Timestamp,
    /// Where its acknowledgement goes.
    pub reply: Subject,
}

/// The queues of the topics.
///
/// Within a topic messages go in the order of the stream: one that was given a second time, because somebody died or
/// gave it back, takes its old place among those that still wait. Over all topics the oldest goes first, so that a worker
/// that catches up meets events of different topics in the order in which they were written. A topic whose queue is
/// empty while the server has more holds newer messages of other topics back for [`PATIENCE`] at most.
#[derive(Debug)]
pub(super) struct Backlog {
    queues: Vec<Queue>,
}

#[derive(Debug)]
struct Queue {
    /// By sequence.
    waiting: BTreeMap<u64, Waiting>,
    bytes: usize,
    /// Whether the server has no more of it.
    at_end: bool,
    /// Whether it ever was so.
    was_at_end: bool,
    /// Whether anything came of it.
    is_heard: bool,
    newest_taken: Option<Timestamp>,
    empty_since: Instant,
}

impl Backlog {
    /// One queue a topic; `at_end` says of each whether the server has nothing of it.
    pub fn new(at_end: impl IntoIterator<Item = bool>, now: Instant) -> Self {
        let queue = |at_end| Queue {
            waiting: BTreeMap::new(),
            bytes: 0,
            at_end,
            was_at_end: at_end,
            is_heard: false,
            newest_taken: None,
            empty_since: now,
        };
        Self { queues: at_end.into_iter().map(queue).collect() }
    }

    /// Takes in a message of a topic. `at_end` says that the server has no more of it at the moment.
    pub fn push(&mut self, topic: usize, sequence: u64, message: Waiting, at_end: bool) {
        let Some(queue) = self.queues.get_mut(topic) else { return };
        queue.at_end = at_end;
        queue.was_at_end |= at_end;
        queue.is_heard = true;
        queue.bytes += bytes_of(&message.record);
        // The newest delivery is the one whose acknowledgement the server waits for.
        if let Some(earlier) = queue.waiting.insert(sequence, message) {
            queue.bytes -= bytes_of(&earlier.record);
        }
    }

    /// Messages and bytes of a topic that wait.
    pub fn held(&self, topic: usize) -> (usize, usize) {
        self.queues.get(topic).map_or((0, 0), |queue| (queue.waiting.len(), queue.bytes))
    }

    /// Whether nothing waits at all.
    pub fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.waiting.is_empty())
    }

    /// Takes what may be handed out, up to the limit; nothing when nothing may.
    pub fn take(&mut self, limit: BatchLimit, now: Now) -> Vec<Waiting> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < limit.deliveries && bytes < limit.bytes {
            let heads = self.queues.iter().enumerate().filter_map(|(topic, queue)| Some((queue.head()?, topic)));
            let Some((stored, topic)) = heads.min() else { break };
            if self.queues.iter().any(|queue| queue.holds_back(stored, now)) {
                break;
            }
            let Some(message) = self.queues.get_mut(topic).and_then(|queue| queue.take_head(now.instant)) else {
                break;
            };
            bytes += message.record.payload.as_ref().map_or(0, Vec::len);
            taken.push(message);
        }
        taken
    }

    /// Everything that waits, whatever its order, topic by topic.
    pub fn drain(&mut self) -> impl Iterator<Item = Waiting> {
        self.queues.iter_mut().flat_map(|queue| std::mem::take(&mut queue.waiting).into_values())
    }

    /// Where the acknowledgements of everything that waits go.
    pub fn replies(&self) -> impl Iterator<Item = &Subject> {
        self.queues.iter().flat_map(|queue| queue.waiting.values()).map(|message| &message.reply)
    }
}

impl Queue {
    fn head(&self) -> Option<Timestamp> {
        self.waiting.first_key_value().map(|(_, message)| message.stored)
    }

    /// Whether something older than `stored` may still be on its way.
    fn holds_back(&self, stored: Timestamp, now: Now) -> bool {
        let patience = if self.is_heard { PATIENCE } else { FIRST_PATIENCE };
        let is_live = self.was_at_end
            && self.newest_taken.is_some_and(|newest| newest.plus_seconds(LIVE_WITHIN_SECONDS) >= now.wall);
        self.waiting.is_empty()
            && !self.at_end
            && !is_live
            && self.newest_taken.is_none_or(|newest| newest < stored)
            && now.instant.duration_since(self.empty_since) < patience
    }

    fn take_head(&mut self, now: Instant) -> Option<Waiting> {
        let (_, message) = self.waiting.pop_first()?;
        self.bytes -= bytes_of(&message.record);
        self.newest_taken = self.newest_taken.max(Some(message.stored));
        self.empty_since = now;
        Some(message)
    }
}

/// Estimated.
fn bytes_of(record: &Record) -> usize {
    const OVERHEAD: usize = 512;
    record.payload.as_ref().map_or(0, Vec::len) + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Position;

    const ANY: BatchLimit = BatchLimit { deliveries: 1_000, bytes: usize::MAX };

    fn message(sequence: u64, stored: i64) -> Waiting {
        let position = Position { topic: "t".into(), partition: 0, offset: sequence as i64 };
        let payload = Some(vec![0; 10]);
        let record = Record { position, key: None, headers: Vec::new(), payload, timestamp: Some(Timestamp(stored)) };
        Waiting { record, stored: Timestamp(stored), reply: format!("reply.{stored}").into() }
    }

    fn taken(backlog: &mut Backlog, limit: BatchLimit, now: Now) -> Vec<i64> {
        backlog.take(limit, now).iter().map(|message| message.stored.0).collect()
    }

    fn now() -> Now {
        Now { instant: Instant::now(), wall: Timestamp(1_000_000_000_000) }
    }

    #[test]
    fn the_oldest_goes_first_over_all_topics_and_limits_hold() {
        let now = now();
        let mut backlog = Backlog::new([true, true], now.instant);
        for (topic, sequence, stored) in [(0, 1, 10), (0, 2, 30), (1, 1, 20), (1, 2, 40)] {
            backlog.push(topic, sequence, message(sequence, stored), true);
        }
        assert_eq!(taken(&mut backlog, BatchLimit { deliveries: 3, ..ANY }, now), [10, 20, 30]);
        backlog.push(0, 3, message(3, 50), true);
        // The one that crosses the line is still taken.
        assert_eq!(taken(&mut backlog, BatchLimit { bytes: 5, ..ANY }, now), [40]);
        assert_eq!(taken(&mut backlog, ANY, now), [50]);
        assert!(backlog.is_empty());
    }

    #[test]
    fn a_message_that_comes_again_takes_its_old_place_and_is_given_once() {
        let now = now();
        let mut backlog = Backlog::new([true], now.instant);
        for sequence in [5, 6, 3, 4, 5] {
            backlog.push(0, sequence, message(sequence, sequence as i64), true);
        }
        assert_eq!(backlog.held(0).0, 4);
        assert_eq!(taken(&mut backlog, ANY, now), [3, 4, 5, 6]);
        assert_eq!(backlog.held(0), (0, 0));
    }

    #[test]
    fn a_topic_with_more_on_its_way_holds_newer_messages_back_for_a_moment() {
        let now = now();
        let mut backlog = Backlog::new([false, true], now.instant);
        backlog.push(1, 1, message(1, 20), true);
        assert_eq!(taken(&mut backlog, ANY, now), [0_i64; 0]);
        backlog.push(0, 1, message(1, 10), false);
        assert_eq!(taken(&mut backlog, ANY, now), [10]);
        let later = Now { instant: now.instant + PATIENCE, ..now };
        assert_eq!(taken(&mut backlog, ANY, later), [20]);
    }

    #[test]
    fn a_topic_that_is_catching_up_is_waited_for_however_new_its_messages_are() {
        let now = Now { wall: Timestamp(20), ..now() };
        let mut backlog = Backlog::new([false, true], now.instant);
        backlog.push(0, 1, message(1, 10), false);
        backlog.push(1, 1, message(1, 20), true);
        assert_eq!(taken(&mut backlog, ANY, now), [10]);
        backlog.push(0, 2, message(2, 15), true);
        assert_eq!(taken(&mut backlog, ANY, now), [15, 20]);
    }

    #[test]
    fn nobody_waits_for_a_topic_that_is_live() {
        let now = Now { wall: Timestamp(20), ..now() };
        let mut backlog = Backlog::new([true, true], now.instant);
        backlog.push(0, 1, message(1, 10), false);
        backlog.push(1, 1, message(1, 20), true);
        assert_eq!(taken(&mut backlog, ANY, now), [10, 20]);
    }
}
