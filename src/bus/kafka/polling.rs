//! The thread that polls the group consumer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::{oneshot, watch};

use crate::ports::SourceStatus;

use super::backlog::Assignment;
use super::consumer_context::{Change, GroupConsumer, GroupContext};
use super::error::KafkaFailure;
use super::handover::Handover;
use super::offset::offset_list;
use super::partitions::OpenPartition;
use super::reader;
use super::settings::KafkaSourceSettings;
use super::topics;

/// The longest sleep between two looks at the queues. Wake-ups make it shorter.
pub(super) const ROUND: Duration = Duration::from_millis(20);
/// The most events of the common queue that are served between two looks at the partitions.
const EVENTS_A_ROUND: usize = 1_000;

/// Runs until the source is closed or fails. The consumer lives and ends in this thread, because ending it blocks:
/// it commits and leaves the group.
pub(super) fn run(
    settings: KafkaSourceSettings,
    handover: Arc<Handover>,
    status: watch::Sender<SourceStatus>,
    opened: oneshot::Sender<Result<(), KafkaFailure>>,
) {
    let _ending = Ending(handover.clone());
    let consumer = match open(&settings, &handover, status) {
        Ok(consumer) => consumer,
        Err(failure) => {
            // Whoever opened the source may have stopped waiting.
            let _ = opened.send(Err(failure));
            return;
        }
    };
    if opened.send(Ok(())).is_err() {
        return;
    }
    let mut poller = Poller { consumer, handover, partitions: BTreeMap::new() };
    let failure = poller.until_closed().err();
    poller.store_settled();
    // Partitions hold the consumer. It ends with the last of them, commits in its last revocation, and leaves.
    let Poller { consumer, handover, partitions } = poller;
    handover.close();
    drop(partitions);
    drop(consumer);
    handover.end(failure);
}

/// Tells the engine when the thread ends in a way that nobody foresaw.
struct Ending(Arc<Handover>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end(Some("the Kafka consumer's thread ended unexpectedly".to_owned()));
    }
}

fn open(
    settings: &KafkaSourceSettings,
    handover: &Arc<Handover>,
    status: watch::Sender<SourceStatus>,
) -> Result<Arc<GroupConsumer>, KafkaFailure> {
    let connection = &settings.connection;
    let doing = || format!("joining consumer group {}", settings.group);
    let reader = reader::new(&connection.reader()).map_err(KafkaFailure::client(doing()))?;
    let partitions =
        topics::partitions(&reader, connection, &settings.topics, settings.start_timeout, topics::UNKNOWN_FOR)?;
    drop(reader);

    let config = connection.group_consumer(&settings.group, partitions.len(), settings.statistics_interval);
    let context = GroupContext::new(handover.clone(), status, settings.rebalance_drain);
    let mut consumer: GroupConsumer = config.create_with_context(context).map_err(KafkaFailure::client(doing()))?;
    let thread = thread::current();
    consumer.set_nonempty_callback(move || thread.unpark());
    let consumer = Arc::new(consumer);
    consumer.context().belongs_to(&consumer);
    let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics).map_err(KafkaFailure::client(doing()))?;
    Ok(consumer)
}

struct Poller {
    consumer: Arc<GroupConsumer>,
    handover: Arc<Handover>,
    partitions: BTreeMap<Assignment, OpenPartition<GroupContext>>,
}

impl Poller {
    /// Polls until it is asked to stop; an error says why it had to. Traps: a member that is not polled within
    /// `max.poll.interval.ms` loses its partitions with no more than a log line, so the common queue is polled in
    /// every round, however full the backlog is and however long the engine waits for its database.
    fn until_closed(&mut self) -> Result<(), String> {
        while !self.handover.is_closing() {
            self.serve_events()?;
            self.follow_changes();
            let fetched = self.fetch()?;
            self.handover.give_up_on_silent();
            self.store_settled();
            if !fetched {
                thread::park_timeout(ROUND);
            }
        }
        Ok(())
    }

    /// Rebalances, statistics, errors: the callbacks run in here. Goes on until the queue is empty, because only an
    /// event that comes to an empty queue wakes this thread.
    fn serve_events(&self) -> Result<(), String> {
        for _ in 0..EVENTS_A_ROUND {
            let served = self.consumer.context().events_served();
            match self.consumer.poll(Duration::ZERO) {
                // The client says the same for an empty queue and for an event that was a callback's.
                None if served == self.consumer.context().events_served() => break,
                None => {}
                Some(Err(error)) => self.judge(&error)?,
                // It would be skipped, and a later one would be acknowledged in its place.
                Some(Ok(record)) => {
                    return Err(format!(
                        "record {}/{}@{} came past the queue of its partition",
                        record.topic(),
                        record.partition(),
                        record.offset()
                    ));
                }
            }
        }
        Ok(())
    }

    fn follow_changes(&mut self) {
        for change in self.consumer.context().take_changes() {
            match change {
                Change::Opened(assignment, partition) => self.partitions.insert(assignment, partition),
                Change::Closed(assignment) => self.partitions.remove(&assignment),
            };
        }
    }

    /// Moves what was fetched into the backlog, as far as there is room; says whether there was anything.
    fn fetch(&self) -> Result<bool, String> {
        let mut any = false;
        for (assignment, partition) in &self.partitions {
            let fetched = partition.fetch(self.handover.room(*assignment));
            if let Some(error) = &fetched.trouble {
                self.judge(error)?;
            }
            if fetched.is_news() {
                any = true;
                self.handover.push(*assignment, fetched.records, fetched.at_end);
            }
        }
        Ok(any)
    }

    /// Stores what the engine settled; the client commits it in the background.
    fn store_settled(&self) {
        let settled = self.handover.take_unstored();
        if settled.is_empty() {
            return;
        }
        let stored = offset_list(&settled).and_then(|offsets| self.consumer.store_offsets(&offsets));
        if let Err(error) = stored {
            // Traps: it fails for a partition that was revoked a moment ago, and that is harmless.
            tracing::debug!(%error, "offsets were not stored");
        }
    }

    /// An error that only an operator can mend ends the source; the client deals with the others by itself.
    fn judge(&self, error: &KafkaError) -> Result<(), String> {
        let code = error.rdkafka_error_code();
        let is_fatal = matches!(error, KafkaError::MessageConsumptionFatal(_))
            || matches!(
                code,
                Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed)
            );
        if is_fatal {
            return Err(format!("the Kafka consumer cannot go on: {error}"));
        }
        if !matches!(error, KafkaError::PartitionEOF(_)) {
            self.consumer.context().note_trouble(&error.to_string());
        }
        Ok(())
    }
}
