//! What was fetched and not yet handed over: a queue a partition, merged by record time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::words::Timestamp;
use crate::ports::{BatchLimit, Record};

use super::offset::{NextOffset, Partition};
use super::record::{memory_of, payload_bytes};

/// How long records of other partitions wait for a partition that has more but does not send it, because its leader
/// is away or slow.
const PATIENCE: Duration = Duration::from_millis(500);
/// The same from the assignment to the first word of a partition: where it begins has to be found out before.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
/// A partition whose newest record is no older than this is not catching up: nobody waits for it.
const LIVE_WITHIN_SECONDS: i64 = 1;

/// How much is held between the broker and the engine. Each partition may always hold its share of it, whatever the
/// others hold, so at most twice as much is held in all.
#[derive(Clone, Copy, Debug)]
pub struct BufferLimit {
    /// Records.
    pub records: usize,
    /// Bytes of memory, estimated.
    pub bytes: usize,
}

/// Names one assignment of one partition. A partition that was taken away and given back has another one, so that
/// what belongs to the earlier time is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Assignment(pub u64);

/// The present moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// For waiting.
    pub instant: Instant,
    /// For comparing with the times of records.
    pub wall: Timestamp,
}

/// What was taken for one batch.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The records; those of one partition in the order of their offsets.
    pub records: Vec<Record>,
    /// Where each partition among them stands behind them.
    pub next: BTreeMap<Assignment, NextOffset>,
}

/// What orders the next records of the partitions: time, the topic's rank, the partition.
type Head = (Timestamp, usize, Partition, Assignment);

/// The queues of the assigned partitions.
///
/// Records are taken in the order of record time over all partitions, so that a worker that catches up meets events
/// of different topics in the order in which they were written. A partition whose queue is empty is in one of two
/// states. At its end, as the broker said, it holds nobody back. Otherwise more is on its way, and only records that
/// are no newer than the newest one taken from it are handed out, for later ones could overtake what is on its way.
/// Nobody waits longer than [`PATIENCE`] for it ([`FIRST_PATIENCE`] when it was assigned just now), and nobody waits
/// at all for a partition that is live: one whose newest record is less than a second old. Records of one partition
/// always keep their order, whatever their times.
#[derive(Debug)]
pub(super) struct Backlog {
    limit: BufferLimit,
    /// Which topic goes first where times are equal.
    topics: Vec<Arc<str>>,
    queues: BTreeMap<Assignment, Queue>,
    records: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Queue {
    partition: Partition,
    /// The topic's place among those of equal times.
    rank: usize,
    waiting: VecDeque<Record>,
    bytes: usize,
    at_end: bool,
    newest_taken: Option<Timestamp>,
    empty_since: Instant,
    given_up: bool,
    /// Whether anything came of it since it was assigned.
    is_heard: bool,
}

impl Backlog {
    /// Nothing assigned. Records of equal times go in the order of `topics`.
    pub fn new(limit: BufferLimit, topics: Vec<Arc<str>>) -> Self {
        Self { limit, topics, queues: BTreeMap::new(), records: 0, bytes: 0 }
    }

    /// Begins an assignment.
    pub fn open(&mut self, assignment: Assignment, partition: Partition, now: Instant) {
        let rank = self.topics.iter().position(|topic| *topic == partition.topic).unwrap_or(self.topics.len());
        let queue = Queue {
            partition,
            rank,
            waiting: VecDeque::new(),
            bytes: 0,
            at_end: false,
            newest_taken: None,
            empty_since: now,
            given_up: false,
            is_heard: false,
        };
        self.queues.insert(assignment, queue);
    }

    /// Ends an assignment; what waits of it is dropped.
    pub fn close(&mut self, assignment: Assignment) {
        if let Some(queue) = self.queues.remove(&assignment) {
            self.records -= queue.waiting.len();
            self.bytes -= queue.bytes;
        }
    }

    /// Takes in what was fetched, in the order of offsets. `at_end` says that the broker has no more after it.
    pub fn push(&mut self, assignment: Assignment, records: Vec<Record>, at_end: bool) {
        let Some(queue) = self.queues.get_mut(&assignment) else { return };
        queue.at_end = at_end;
        queue.given_up = false;
        queue.is_heard = true;
        for record in records {
            let bytes = memory_of(&record);
            queue.bytes += bytes;
            self.bytes += bytes;
            self.records += 1;
            queue.waiting.push_back(record);
        }
    }

    /// How many more records of a partition may be pushed now.
    pub fn room(&self, assignment: Assignment) -> usize {
        let Some(queue) = self.queues.get(&assignment) else { return 0 };
        if self.records < self.limit.records && self.bytes < self.limit.bytes {
            return self.limit.records - self.records;
        }
        let partitions = self.queues.len();
        if queue.bytes >= self.limit.bytes / partitions {
            return 0;
        }
        (self.limit.records / partitions).saturating_sub(queue.waiting.len())
    }

    /// Whether the common limit is reached, so that taking makes room.
    pub fn is_full(&self) -> bool {
        self.records >= self.limit.records || self.bytes >= self.limit.bytes
    }

    /// Whether a partition is at its end and everything of it was taken.
    pub fn is_drained(&self, assignment: Assignment) -> bool {
        self.queues.get(&assignment).is_some_and(|queue| queue.at_end && queue.waiting.is_empty())
    }

    /// Gives up waiting for partitions that were silent for too long; says whether records may be free now.
    pub fn give_up_on_silent(&mut self, now: Now) -> bool {
        let mut changed = false;
        for queue in self.queues.values_mut() {
            let patience = if queue.is_heard { PATIENCE } else { FIRST_PATIENCE };
            if queue.holds_back(now.wall) && now.instant.duration_since(queue.empty_since) >= patience {
                queue.given_up = true;
                changed = true;
            }
        }
        changed
    }

    /// Takes what may be handed out, up to the limit; nothing when nothing may.
    pub fn take(&mut self, limit: BatchLimit, now: Now) -> Taken {
        let mut taken = Taken::default();
        let mut taken_bytes = 0;
        let mut bound = self.bound(now.wall);
        let mut heads: BinaryHeap<Reverse<Head>> =
            self.queues.iter().filter_map(|(assignment, queue)| queue.head(*assignment)).collect();
        while taken.records.len() < limit.deliveries && taken_bytes < limit.bytes {
            let Some(Reverse((time, _, _, assignment))) = heads.pop() else { break };
            if bound.is_some_and(|bound| time > bound) {
                break;
            }
            let Some(queue) = self.queues.get_mut(&assignment) else { continue };
            let Some(record) = queue.take_head(time, now.instant) else { continue };
            self.records -= 1;
            self.bytes -= memory_of(&record);
            taken_bytes += payload_bytes(&record);
            taken.next.insert(assignment, NextOffset::after(record.position.offset));
            taken.records.push(record);
            match queue.head(assignment) {
                Some(head) => heads.push(head),
                None if queue.holds_back(now.wall) => bound = Some(bound.map_or(time, |bound| bound.min(time))),
                None => {}
            }
        }
        taken
    }

    /// The time up to which records may go: the oldest of what the partitions that hold back gave last.
    fn bound(&self, wall: Timestamp) -> Option<Timestamp> {
        let holding = self.queues.values().filter(|queue| queue.holds_back(wall));
        holding.map(|queue| queue.newest_taken.unwrap_or(Timestamp(i64::MIN))).min()
    }
}

impl Queue {
    fn holds_back(&self, wall: Timestamp) -> bool {
        let live = self.newest_taken.is_some_and(|newest| newest.plus_seconds(LIVE_WITHIN_SECONDS) >= wall);
        self.waiting.is_empty() && !self.at_end && !self.given_up && !live
    }

    /// The place of the next record in the merge. A record without a time follows the one before it.
    fn head(&self, assignment: Assignment) -> Option<Reverse<Head>> {
        let record = self.waiting.front()?;
        let time = record.timestamp.or(self.newest_taken).unwrap_or(Timestamp(i64::MIN));
        Some(Reverse((time, self.rank, self.partition.clone(), assignment)))
    }

    fn take_head(&mut self, time: Timestamp, now: Instant) -> Option<Record> {
        let record = self.waiting.pop_front()?;
        self.bytes -= memory_of(&record);
        self.newest_taken = self.newest_taken.max(Some(time));
        self.empty_since = now;
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Position;

    const ANY: BatchLimit = BatchLimit { deliveries: 1_000, bytes: usize::MAX };
    /// Long after the times of the records.
    const WALL: Timestamp = Timestamp(1_000_000_000_000);

    fn record(topic: &str, offset: i64, time: i64) -> Record {
        Record {
            position: Position { topic: topic.into(), partition: 0, offset },
            key: None,
            headers: Vec::new(),
            payload: Some(vec![0; 10]),
            timestamp: Some(Timestamp(time)),
        }
    }

    fn backlog(topics: &[&str], limit: BufferLimit) -> (Backlog, Now) {
        let now = Now { instant: Instant::now(), wall: WALL };
        let mut backlog = Backlog::new(limit, topics.iter().map(|topic| (*topic).into()).collect());
        for (number, topic) in topics.iter().enumerate() {
            let partition = Partition { topic: (*topic).into(), number: 0 };
            backlog.open(Assignment(number as u64), partition, now.instant);
        }
        (backlog, now)
    }

    fn roomy(topics: &[&str]) -> (Backlog, Now) {
        backlog(topics, BufferLimit { records: 100, bytes: 100_000 })
    }

    fn push(backlog: &mut Backlog, assignment: u64, topic: &str, times: &[i64], at_end: bool) {
        let records = times.iter().enumerate().map(|(offset, time)| record(topic, offset as i64, *time)).collect();
        backlog.push(Assignment(assignment), records, at_end);
    }

    fn times(taken: &Taken) -> Vec<i64> {
        taken.records.iter().map(|record| record.timestamp.unwrap().0).collect()
    }

    #[test]
    fn partitions_are_merged_by_record_time() {
        let (mut backlog, now) = roomy(&["a", "b"]);
        push(&mut backlog, 0, "a", &[1, 4, 5], true);
        push(&mut backlog, 1, "b", &[2, 3, 6], true);
        assert_eq!(times(&backlog.take(ANY, now)), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn records_of_one_moment_go_in_the_order_of_the_topics() {
        // Not the order of their names: a SKU is registered before it is ordered.
        let (mut backlog, now) = roomy(&["sku-registered", "order-created", "cart-updated"]);
        for (assignment, topic) in [(1, "order-created"), (2, "cart-updated"), (0, "sku-registered")] {
            push(&mut backlog, assignment, topic, &[5], true);
        }
        let taken = backlog.take(ANY, now);
        let topics: Vec<&str> = taken.records.iter().map(|record| &*record.position.topic).collect();
        assert_eq!(topics, ["sku-registered", "order-created", "cart-updated"]);
    }

    #[test]
    fn a_partition_that_has_more_holds_back_what_is_newer_than_its_last() {
        let (mut backlog, now) = roomy(&["a", "b"]);
        push(&mut backlog, 0, "a", &[1, 4, 9], true);
        assert!(backlog.take(ANY, now).records.is_empty());
        push(&mut backlog, 1, "b", &[2, 5], false);
        assert_eq!(times(&backlog.take(ANY, now)), [1, 2, 4, 5]);
        push(&mut backlog, 1, "b", &[7], false);
        assert_eq!(times(&backlog.take(ANY, now)), [7]);
        push(&mut backlog, 1, "b", &[], true);
        assert_eq!(times(&backlog.take(ANY, now)), [9]);
    }

    #[test]
    fn a_silent_partition_is_given_up_and_waited_for_again_when_it_speaks() {
        let (mut backlog, now) = roomy(&["a", "b"]);
        push(&mut backlog, 0, "a", &[5, 9], true);
        assert!(!backlog.give_up_on_silent(now));
        assert!(!backlog.give_up_on_silent(Now { instant: now.instant + PATIENCE, wall: WALL }));
        let later = Now { instant: now.instant + FIRST_PATIENCE, wall: WALL };
        assert!(backlog.give_up_on_silent(later));
        assert!(!backlog.give_up_on_silent(later));
        push(&mut backlog, 1, "b", &[1], false);
        assert_eq!(times(&backlog.take(ANY, later)), [1]);
        assert!(backlog.give_up_on_silent(Now { instant: later.instant + PATIENCE, wall: WALL }));
        assert_eq!(times(&backlog.take(ANY, later)), [5, 9]);
    }

    #[test]
    fn nobody_waits_for_a_live_partition() {
        let (mut backlog, now) = roomy(&["a", "b"]);
        push(&mut backlog, 0, "a", &[WALL.0 - 10], false);
        push(&mut backlog, 1, "b", &[WALL.0 - 20, WALL.0], false);
        assert_eq!(backlog.take(ANY, now).records.len(), 3);
    }

    #[test]
    fn a_partition_keeps_its_order_whatever_the_times() {
        let (mut backlog, now) = roomy(&["a", "b"]);
        push(&mut backlog, 0, "a", &[5, 1, 3], true);
        push(&mut backlog, 1, "b", &[4], true);
        let taken = backlog.take(ANY, now);
        assert_eq!(times(&taken), [4, 5, 1, 3]);
        assert_eq!(taken.next[&Assignment(0)].value(), 3);
        assert_eq!(taken.next[&Assignment(1)].value(), 1);
    }

    #[test]
    fn the_limits_of_a_batch_hold_and_the_crossing_record_is_taken() {
        let (mut backlog, now) = roomy(&["a"]);
        push(&mut backlog, 0, "a", &[1, 2, 3, 4, 5, 6, 7], true);
        assert_eq!(times(&backlog.take(BatchLimit { deliveries: 2, bytes: 1_000 }, now)), [1, 2]);
        assert_eq!(times(&backlog.take(BatchLimit { deliveries: 9, bytes: 11 }, now)), [3, 4]);
        assert_eq!(times(&backlog.take(ANY, now)), [5, 6, 7]);
    }

    #[test]
    fn a_full_buffer_leaves_every_partition_its_share() {
        let (mut backlog, now) = backlog(&["a", "b"], BufferLimit { records: 10, bytes: 1_000_000 });
        assert_eq!(backlog.room(Assignment(0)), 10);
        push(&mut backlog, 0, "a", &[1; 10], false);
        assert!(backlog.is_full());
        assert_eq!((backlog.room(Assignment(0)), backlog.room(Assignment(1))), (0, 5));
        push(&mut backlog, 1, "b", &[2; 5], false);
        assert_eq!(backlog.room(Assignment(1)), 0);
        backlog.take(BatchLimit { deliveries: 6, bytes: usize::MAX }, now);
        assert_eq!(backlog.room(Assignment(1)), 1);
    }

    #[test]
    fn closing_drops_what_waits_and_only_that() {
        let (mut backlog, now) = roomy(&["a", "b"]);
        push(&mut backlog, 0, "a", &[1, 2], true);
        push(&mut backlog, 1, "b", &[3], true);
        backlog.close(Assignment(0));
        push(&mut backlog, 0, "a", &[1], true);
        assert_eq!(times(&backlog.take(ANY, now)), [3]);
        assert_eq!((backlog.records, backlog.bytes), (0, 0));
        assert!(backlog.is_drained(Assignment(1)));
    }
}
