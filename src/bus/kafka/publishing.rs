//! The thread of a sink's producer.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rdkafka::producer::Producer;
use tokio::sync::oneshot;

use crate::ports::{OutputRecord, Progress, SinkError};

use super::error::KafkaFailure;
use super::producer::{CountingProducer, Deliveries, judge};
use super::progress;
use super::reader::{self, Reader};
use super::settings::{KafkaSinkSettings, SinkGuarantee};
use super::topics;

/// One call of `publish`.
#[derive(Debug)]
pub(super) struct Work {
    /// What to publish.
    pub records: Vec<OutputRecord>,
    /// How far publishing is with it.
    pub progress: Progress,
    /// Where the outcome goes.
    pub done: oneshot::Sender<Result<(), SinkError>>,
}

/// Opens a producer, then works until the orders end or one of them fails. Nothing is used after a failure.
pub(super) fn run(
    settings: &KafkaSinkSettings,
    opened: oneshot::Sender<Result<Option<Progress>, SinkError>>,
    orders: &Receiver<Work>,
) {
    let publisher = match Publisher::open(settings) {
        Ok((publisher, progress)) => {
            if opened.send(Ok(progress)).is_err() {
                return;
            }
            publisher
        }
        Err(error) => {
            // Whoever opened the sink may have stopped waiting.
            let _ = opened.send(Err(error));
            return;
        }
    };
    while let Ok(Work { records, progress, done }) = orders.recv() {
        let outcome = publisher.publish(&records, progress);
        let is_over = outcome.is_err();
        // Whoever asked may have stopped waiting; it opens again before it asks again.
        let _ = done.send(outcome);
        if is_over {
            return;
        }
    }
}

struct Publisher<'a> {
    producer: CountingProducer,
    guarantee: &'a SinkGuarantee,
    progress_topic: &'a str,
    timeout: Duration,
}

impl<'a> Publisher<'a> {
    /// Connects and reads how far publishing has come. Exactly-once: ends every earlier producer with the same id
    /// before it reads, so that nothing can be committed after it was read. At-least-once: an earlier producer that is
    /// still alive may repeat something.
    fn open(settings: &'a KafkaSinkSettings) -> Result<(Self, Option<Progress>), SinkError> {
        let deadline = Instant::now() + settings.open_timeout;
        let connection = &settings.connection;
        let everything =
            reader::new(&connection.uncommitted_reader()).map_err(|error| judge("making a reader", &error))?;
        check_topics(&everything, settings, deadline)?;
        let config = match &settings.guarantee {
            SinkGuarantee::ExactlyOnce { transactional_id } => {
                connection.transactional_producer(transactional_id, settings.largest_record_bytes)
            }
            // Nobody waits for a transaction to grow: a short linger, for the sake of latency.
            SinkGuarantee::AtLeastOnce => connection.producer(1, settings.largest_record_bytes),
        };
        let producer = CountingProducer::new(&config).map_err(|error| judge("making a producer", &error))?;
        let publisher = Self {
            producer,
            guarantee: &settings.guarantee,
            progress_topic: &settings.progress_topic,
            timeout: settings.publish_timeout,
        };
        if let SinkGuarantee::ExactlyOnce { transactional_id } = &settings.guarantee {
            let doing = || format!("taking over transactions as {transactional_id}");
            let fenced = publisher.producer.client().init_transactions(until(deadline));
            fenced.map_err(|error| judge(&doing(), &error))?;
        }
        let progress = progress::read(&everything, connection, &settings.progress_topic, deadline)?;
        Ok((publisher, progress))
    }

    fn publish(&self, records: &[OutputRecord], progress: Progress) -> Result<(), SinkError> {
        let mark = progress::record(self.progress_topic, progress);
        match self.guarantee {
            SinkGuarantee::AtLeastOnce => {
                self.send_all(records.iter())?;
                // Only now: progress beyond what is confirmed would be a loss.
                self.send_all([&mark].into_iter())
            }
            SinkGuarantee::ExactlyOnce { .. } => {
                let client = self.producer.client();
                client.begin_transaction().map_err(|error| judge("beginning a transaction", &error))?;
                self.send_all(records.iter().chain([&mark]))?;
                // Everything is confirmed, so that this waits for the broker alone. Traps: it would wait in slices
                // of 100 ms for what is still in flight, ten transactions a second.
                let committed = client.commit_transaction(self.timeout);
                committed.map_err(|error| self.judge("committing a transaction", &error))
            }
        }
    }

    /// Sends and waits until each is confirmed.
    fn send_all<'r>(&self, records: impl Iterator<Item = &'r OutputRecord>) -> Result<(), SinkError> {
        let deadline = Instant::now() + self.timeout;
        for (number, record) in records.enumerate() {
            let sent = self.producer.send(record, number, deadline);
            sent.map_err(|error| self.judge(&format!("sending to {}", record.topic), &error))?;
        }
        let is_confirmed = self.producer.wait_until_confirmed(deadline);
        let Deliveries { confirmed, failed, failures } = self.producer.take_deliveries();
        if let Some((_, topic, error)) = failures.first() {
            return Err(self.judge(&format!("{failed} records were not taken, the first by {topic}"), error));
        }
        if !is_confirmed {
            let waited_ms = self.timeout.as_millis();
            return Err(SinkError::Unclear(format!("only {confirmed} records were confirmed within {waited_ms} ms")));
        }
        Ok(())
    }

    /// What ended the producer for good says more than the call that failed because of it.
    fn judge(&self, doing: &str, error: &rdkafka::error::KafkaError) -> SinkError {
        match self.producer.fatal_error() {
            Some(fatal) => judge(doing, &fatal),
            None => judge(doing, error),
        }
    }
}

/// What is left until a deadline.
pub(super) fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Looks whether every topic is there.
fn check_topics(reader: &Reader, settings: &KafkaSinkSettings, deadline: Instant) -> Result<(), SinkError> {
    let mut wanted = settings.topics.clone();
    wanted.push(settings.progress_topic.clone());
    match topics::partitions(reader, &settings.connection, &wanted, until(deadline), topics::UNKNOWN_FOR) {
        Ok(_) => Ok(()),
        Err(failure @ KafkaFailure::MissingTopics { .. }) => Err(SinkError::Fatal(failure.to_string())),
        Err(KafkaFailure::Client { doing, cause }) => Err(judge(&doing, &cause)),
        Err(failure) => Err(SinkError::Unclear(failure.to_string())),
    }
}
