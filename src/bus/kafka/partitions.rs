//! Partitions of a consumer, each with a queue of its own.
//!
//! The client usually delivers the records of all partitions through one queue. Here every partition keeps its own,
//! for two reasons. The end of a partition is then known to be its own: the one queue names the partition without
//! its topic. And a partition is held up by not being read, while the consumer goes on being polled: its membership
//! stays alive however long the database is away, and what was fetched ahead is not thrown away as a pause would.
//! Traps: whoever stops polling while the database is away leaves the group after `max.poll.interval.ms` with no more
//! than a log line. The usual remedy is `pause` and polling on; here leaving the queues unread takes the place of
//! `pause`, and the polling goes on all the same.

use std::sync::Arc;
use std::thread;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;

use crate::ports::Record;

use super::offset::Partition;
use super::record;

/// The queue of one partition. Holds the consumer: it must be dropped in the consumer's thread.
pub(super) struct OpenPartition<C: ConsumerContext + 'static> {
    /// Which one.
    pub partition: Partition,
    queue: PartitionQueue<C>,
}

/// What came out of a partition's queue.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    /// The records, by offset.
    pub records: Vec<Record>,
    /// Whether the broker had no more after them.
    pub at_end: bool,
    /// What the client said instead of a record.
    pub trouble: Option<KafkaError>,
}

impl Fetched {
    /// Whether it says anything about the partition's records.
    pub fn is_news(&self) -> bool {
        self.at_end || !self.records.is_empty()
    }
}

impl<C: ConsumerContext + 'static> OpenPartition<C> {
    /// Splits the partition off. Must be called in the consumer's thread before the partition is assigned, so that
    /// none of its records takes the way through the common queue. What arrives wakes that thread.
    ///
    /// Traps: a split queue can lose a wake-up. Here the wake-up is a hint; the thread looks at every queue at least
    /// every [`ROUND`](super::polling::ROUND).
    pub fn open(consumer: &Arc<BaseConsumer<C>>, partition: Partition) -> Option<Self> {
        let mut queue = consumer.split_partition_queue(&partition.topic, partition.number)?;
        let thread = thread::current();
        queue.set_nonempty_callback(move || thread.unpark());
        Some(Self { partition, queue })
    }

    /// Takes what waits, at most `room` records, without waiting. Traps: the client has no batch consumption; the
    /// queue is drained with zero timeout.
    pub fn fetch(&self, room: usize) -> Fetched {
        let mut fetched = Fetched::default();
        while fetched.records.len() < room {
            match self.queue.poll(std::time::Duration::ZERO) {
                Some(Ok(message)) => {
                    fetched.records.push(record::own(&message, &self.partition.topic));
                    fetched.at_end = false;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => fetched.at_end = true,
                Some(Err(trouble)) => fetched.trouble = Some(trouble),
                None => break,
            }
        }
        fetched
    }
}
