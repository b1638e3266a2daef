//! Records of several partitions in one order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::ports::Record;

/// How long a record waits for partitions that are at their end. Records of one transaction become visible in one
/// partition after the other, within a moment.
const QUIET: Duration = Duration::from_millis(100);
/// How long a record waits for the number before it, where no number should be missing.
const HOLE_PATIENCE: Duration = Duration::from_secs(2);
/// How long a record waits for a partition that has more and does not send it.
const SILENCE_PATIENCE: Duration = Duration::from_secs(5);

/// What the numbers of the records are like, taken over all partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailOrder {
    /// Each is one more than the one before: all topics that share the numbering are read.
    Gapless {
        /// The first number, where it is known.
        first: Option<i64>,
    },
    /// They grow, with holes.
    Growing,
}

/// Puts records into the order of their numbers.
///
/// Of the heads of all partitions the one with the smallest number is the next, as soon as nothing smaller can come.
/// In a gapless order that is certain when it is the number after the last one. Otherwise every partition that has no
/// head holds it back: a finished one not at all; one at its end for [`QUIET`] since the head arrived, so that it was
/// asked again after that; one with more on its way for [`SILENCE_PATIENCE`] at most. A number that is missing in a
/// gapless order is waited for [`HOLE_PATIENCE`]. A record without a number goes when its turn comes in its partition.
#[derive(Debug)]
pub(super) struct Sequencer {
    lanes: Vec<Lane>,
    is_gapless: bool,
    next: Option<i64>,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Waiting>,
    is_at_end: bool,
    is_finished: bool,
}

#[derive(Debug)]
struct Waiting {
    number: Option<i64>,
    record: Record,
    arrived: Instant,
}

impl Sequencer {
    /// For this many partitions.
    pub fn new(partitions: usize, order: TailOrder) -> Self {
        let (is_gapless, next) = match order {
            TailOrder::Gapless { first } => (true, first),
            TailOrder::Growing => (false, None),
        };
        Self { lanes: (0..partitions).map(|_| Lane::default()).collect(), is_gapless, next }
    }

    /// How many records of a partition wait.
    pub fn waiting(&self, partition: usize) -> usize {
        self.lanes[partition].waiting.len()
    }

    /// Takes in a record of a partition.
    pub fn push(&mut self, partition: usize, number: Option<i64>, record: Record, now: Instant) {
        let lane = &mut self.lanes[partition];
        lane.is_at_end = false;
        lane.waiting.push_back(Waiting { number, record, arrived: now });
    }

    /// The partition has no more for now.
    pub fn mark_end(&mut self, partition: usize) {
        self.lanes[partition].is_at_end = true;
    }

    /// No more of the partition will be pushed.
    pub fn finish(&mut self, partition: usize) {
        self.lanes[partition].is_finished = true;
    }

    /// Whether no more of the partition will be pushed.
    pub fn is_finished(&self, partition: usize) -> bool {
        self.lanes[partition].is_finished
    }

    /// Whether every partition is finished and everything was taken.
    pub fn is_over(&self) -> bool {
        self.lanes.iter().all(|lane| lane.is_finished && lane.waiting.is_empty())
    }

    /// The next record, when it is certain.
    pub fn next(&mut self, now: Instant) -> Option<Record> {
        let heads = || self.lanes.iter().enumerate().filter_map(|(index, lane)| Some((lane.waiting.front()?, index)));
        if let Some((_, index)) = heads().find(|(head, _)| head.number.is_none()) {
            return self.take(index);
        }
        let (number, index) = heads().filter_map(|(head, index)| Some((head.number?, index))).min()?;
        if self.may_go(number, index, now) { self.take(index) } else { None }
    }

    fn may_go(&self, number: i64, index: usize, now: Instant) -> bool {
        let expected = self.next.filter(|_| self.is_gapless);
        // A smaller one is a repeat: what it could wait for has gone already.
        if expected.is_some_and(|expected| number <= expected) {
            return true;
        }
        let Some(head) = self.lanes[index].waiting.front() else { return false };
        let waited = now.duration_since(head.arrived);
        let quiet = if expected.is_some() { HOLE_PATIENCE } else { QUIET };
        self.lanes.iter().filter(|lane| lane.waiting.is_empty() && !lane.is_finished).all(|lane| {
            let patience = if lane.is_at_end { quiet } else { SILENCE_PATIENCE };
            waited >= patience
        })
    }

    fn take(&mut self, index: usize) -> Option<Record> {
        let Waiting { number, record, .. } = self.lanes[index].waiting.pop_front()?;
        if let Some(number) = number {
            self.next = self.next.max(Some(number + 1));
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Position;

    fn record(number: i64) -> Record {
        Record {
            position: Position { topic: "t".into(), partition: 0, offset: number },
            key: None,
            headers: Vec::new(),
            payload: None,
            timestamp: None,
        }
    }

    fn push(sequencer: &mut Sequencer, partition: usize, numbers: &[i64], now: Instant) {
        for number in numbers {
            sequencer.push(partition, Some(*number), record(*number), now);
        }
    }

    fn drain(sequencer: &mut Sequencer, now: Instant) -> Vec<i64> {
        std::iter::from_fn(|| sequencer.next(now)).map(|record| record.position.offset).collect()
    }

    #[test]
    fn a_gapless_order_waits_for_nobody_while_nothing_is_missing() {
        let now = Instant::now();
        let mut sequencer = Sequencer::new(3, TailOrder::Gapless { first: Some(1) });
        push(&mut sequencer, 0, &[1, 2, 5], now);
        push(&mut sequencer, 1, &[4], now);
        assert_eq!(drain(&mut sequencer, now), [1, 2]);
        push(&mut sequencer, 2, &[3], now);
        assert_eq!(drain(&mut sequencer, now), [3, 4, 5]);
    }

    #[test]
    fn a_hole_is_waited_for_and_then_passed() {
        let now = Instant::now();
        let mut sequencer = Sequencer::new(2, TailOrder::Gapless { first: Some(1) });
        push(&mut sequencer, 0, &[2], now);
        sequencer.mark_end(1);
        assert!(drain(&mut sequencer, now + QUIET).is_empty());
        assert_eq!(drain(&mut sequencer, now + HOLE_PATIENCE), [2]);
        push(&mut sequencer, 1, &[3, 1], now);
        assert_eq!(drain(&mut sequencer, now), [3, 1]);
    }

    #[test]
    fn a_hole_that_every_partition_has_passed_is_passed_at_once() {
        let now = Instant::now();
        let mut sequencer = Sequencer::new(2, TailOrder::Gapless { first: Some(1) });
        push(&mut sequencer, 0, &[5], now);
        push(&mut sequencer, 1, &[7], now);
        assert_eq!(drain(&mut sequencer, now), [5]);
    }

    #[test]
    fn a_growing_order_merges_heads_and_gives_an_ended_partition_a_moment() {
        let now = Instant::now();
        let mut sequencer = Sequencer::new(2, TailOrder::Growing);
        push(&mut sequencer, 0, &[3, 9], now);
        assert!(drain(&mut sequencer, now + QUIET).is_empty());
        push(&mut sequencer, 1, &[5], now);
        assert_eq!(drain(&mut sequencer, now), [3, 5]);
        sequencer.mark_end(1);
        assert!(drain(&mut sequencer, now).is_empty());
        assert_eq!(drain(&mut sequencer, now + QUIET), [9]);
    }

    #[test]
    fn a_finished_partition_holds_nobody_back() {
        let now = Instant::now();
        let mut sequencer = Sequencer::new(2, TailOrder::Growing);
        push(&mut sequencer, 0, &[3], now);
        sequencer.finish(1);
        assert!(!sequencer.is_over());
        assert_eq!(drain(&mut sequencer, now), [3]);
        sequencer.finish(0);
        assert!(sequencer.is_over());
    }

    #[test]
    fn a_silent_partition_is_not_waited_for_for_ever() {
        let now = Instant::now();
        let mut sequencer = Sequencer::new(2, TailOrder::Growing);
        push(&mut sequencer, 0, &[3], now);
        assert_eq!(drain(&mut sequencer, now + SILENCE_PATIENCE), [3]);
    }

    #[test]
    fn records_without_a_number_keep_their_place_in_their_partition() {
        let now = Instant::now();
        let mut sequencer = Sequencer::new(1, TailOrder::Gapless { first: Some(1) });
        sequencer.push(0, None, record(-1), now);
        push(&mut sequencer, 0, &[1], now);
        sequencer.push(0, None, record(-2), now);
        assert_eq!(drain(&mut sequencer, now), [-1, 1, -2]);
    }
}
