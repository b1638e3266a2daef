//! The callbacks of the group consumer: assignments that change, statistics, errors. They run in the polling thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::watch;

use crate::ports::SourceStatus;

use super::backlog::Assignment;
use super::handover::Handover;
use super::lag;
use super::offset::{Partition, offset_list};
use super::partitions::OpenPartition;

/// A consumer of a group.
pub(super) type GroupConsumer = BaseConsumer<GroupContext>;

/// What the callbacks need.
pub(super) struct GroupContext {
    handover: Arc<Handover>,
    status: watch::Sender<SourceStatus>,
    rebalance_drain: Duration,
    /// The consumer itself, to split partitions off; weak, because the consumer holds this context.
    consumer: OnceLock<Weak<GroupConsumer>>,
    changes: Mutex<Vec<Change>>,
    events_served: AtomicU64,
}

/// A change of the assignment that the polling thread has to follow.
pub(super) enum Change {
    /// A partition to be read.
    Opened(Assignment, OpenPartition<GroupContext>),
    /// A partition that is no longer ours.
    Closed(Assignment),
}

impl GroupContext {
    /// Callbacks that write to `handover` and `status`.
    pub fn new(handover: Arc<Handover>, status: watch::Sender<SourceStatus>, rebalance_drain: Duration) -> Self {
        Self {
            handover,
            status,
            rebalance_drain,
            consumer: OnceLock::new(),
            changes: Mutex::new(Vec::new()),
            events_served: AtomicU64::new(0),
        }
    }

    /// Says which consumer this is the context of; only the first call counts.
    pub fn belongs_to(&self, consumer: &Arc<GroupConsumer>) {
        self.consumer.get_or_init(|| Arc::downgrade(consumer));
    }

    /// The changes since the last call.
    pub fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many callbacks ran so far.
    pub fn events_served(&self) -> u64 {
        self.events_served.load(Ordering::Relaxed)
    }

    /// Notes trouble that a queue reported.
    pub fn note_trouble(&self, trouble: &str) {
        self.status.send_if_modified(|status| {
            let news = status.trouble.as_deref() != Some(trouble);
            if news {
                tracing::warn!(trouble, "the Kafka consumer reports trouble");
                status.trouble = Some(trouble.into());
            }
            news
        });
    }

    fn assigned(&self, list: &TopicPartitionList) {
        let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) else { return };
        for partition in partitions_of(list) {
            let assignment = self.handover.assign(partition.clone());
            match OpenPartition::open(&consumer, partition) {
                Some(open) => self.note(Change::Opened(assignment, open)),
                None => self.note_trouble("a partition could not be opened"),
            }
        }
        tracing::info!(partitions = list.count(), "partitions were assigned");
    }

    /// Lets the batches of these partitions be settled and commits them before another member begins. Traps: this
    /// blocks the polling thread, so it waits only for what the engine does without that thread, and not for ever.
    fn revoked(&self, consumer: &GroupConsumer, list: &TopicPartitionList) {
        let lost = consumer.assignment_lost();
        let drain = if lost { Duration::ZERO } else { self.rebalance_drain };
        let revoked = self.handover.revoke(&partitions_of(list), drain);
        for assignment in &revoked.assignments {
            self.note(Change::Closed(*assignment));
        }
        if lost {
            // Somebody else may have them by now, and would be set back.
            tracing::warn!(partitions = list.count(), "the assignment was lost; what is not committed comes again");
            return;
        }
        tracing::info!(partitions = list.count(), drained = revoked.drained, "partitions were revoked");
        if revoked.settled.is_empty() {
            return;
        }
        let committed = offset_list(&revoked.settled).and_then(|offsets| consumer.commit(&offsets, CommitMode::Sync));
        if let Err(error) = committed {
            tracing::warn!(%error, "offsets of revoked partitions were not committed; their records come again");
        }
    }

    fn count_event(&self) {
        self.events_served.fetch_add(1, Ordering::Relaxed);
    }

    fn note(&self, change: Change) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }
}

impl ConsumerContext for GroupContext {
    fn pre_rebalance(&self, consumer: &GroupConsumer, rebalance: &Rebalance<'_>) {
        self.count_event();
        match rebalance {
            Rebalance::Assign(list) => self.assigned(list),
            Rebalance::Revoke(list) => self.revoked(consumer, list),
            Rebalance::Error(error) => self.note_trouble(&error.to_string()),
        }
    }

    fn post_rebalance(&self, _consumer: &GroupConsumer, _rebalance: &Rebalance<'_>) {
        self.status.send_modify(|status| {
            status.connected = true;
            status.rebalances += 1;
        });
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        self.count_event();
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => self.note_trouble(&format!("offsets were not committed yet: {error}")),
        }
    }
}

impl ClientContext for GroupContext {
    /// The client's own lines repeat what its callbacks say; they are for whoever looks for a fault in it.
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.count_event();
        tracing::debug!(target: "librdkafka", facility, line);
    }

    fn stats(&self, statistics: Statistics) {
        self.count_event();
        let connected = statistics.brokers.values().any(|broker| broker.state == "UP");
        let lag = lag::of(&statistics, &self.handover.positions());
        self.status.send_modify(|status| {
            status.connected = connected;
            status.lag = lag;
            if connected {
                status.trouble = None;
            }
        });
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.count_event();
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.status.send_modify(|status| status.connected = false);
        }
        self.note_trouble(&format!("{error}: {reason}"));
    }
}

fn partitions_of(list: &TopicPartitionList) -> Vec<Partition> {
    let partition = |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| Partition {
        topic: element.topic().into(),
        number: element.partition(),
    };
    list.elements().into_iter().map(partition).collect()
}
