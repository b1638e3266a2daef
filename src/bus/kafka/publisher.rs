//! Publishing events of our own making: from files, from standard input, from tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::bus::publish::PublishReport;
use crate::ports::OutputRecord;

use super::connection::{KafkaConnection, LARGEST_RECORD_BYTES};
use super::error::KafkaFailure;
use super::producer::{CountingProducer, Deliveries};
use super::reader;
use super::topics;

/// Records on their way to the producer's thread. Behind it the client's own queue is bounded, too.
const CHANNEL_RECORDS: usize = 4_096;
/// How long one record may be on its way.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the start may wait for the broker.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// An idempotent producer. Records of one key stay in order.
#[derive(Debug)]
pub struct KafkaPublisher {
    records: mpsc::Sender<OutputRecord>,
    acknowledged: Arc<AtomicU64>,
    report: oneshot::Receiver<PublishReport>,
}

impl KafkaPublisher {
    /// Looks whether the topics exist and starts the producer. Fails with the names of missing topics, or with the
    /// address when no broker answers. Cancel-safe.
    pub async fn open(connection: &KafkaConnection, topics: &[String]) -> Result<Self, KafkaFailure> {
        let (records, orders) = mpsc::channel(CHANNEL_RECORDS);
        let (opened, outcome) = oneshot::channel();
        let (done, report) = oneshot::channel();
        let acknowledged = Arc::new(AtomicU64::new(0));
        let counted = acknowledged.clone();
        let (connection, topics) = (connection.clone(), topics.to_vec());
        thread::Builder::new().name("kafka-publisher".to_owned()).spawn(move || match open(&connection, &topics) {
            Ok(producer) => {
                if opened.send(Ok(())).is_ok() {
                    // Whoever published may have stopped waiting for the report.
                    let _ = done.send(run(&producer, orders, &counted));
                }
            }
            Err(failure) => {
                let _ = opened.send(Err(failure));
            }
        })?;
        outcome.await.map_err(|_| KafkaFailure::ThreadEnded)??;
        Ok(Self { records, acknowledged, report })
    }

    /// Sends a record; waits while too many are on their way. What becomes of it stands in the report. Cancel-safe:
    /// a cancelled call has not sent.
    pub async fn send(&self, record: OutputRecord) -> Result<(), KafkaFailure> {
        self.records.send(record).await.map_err(|_| KafkaFailure::ThreadEnded)
    }

    /// How many were confirmed so far, for a progress bar.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until every record is confirmed or given up.
    pub async fn finish(self) -> Result<PublishReport, KafkaFailure> {
        drop(self.records);
        self.report.await.map_err(|_| KafkaFailure::ThreadEnded)
    }
}

fn open(connection: &KafkaConnection, topics: &[String]) -> Result<CountingProducer, KafkaFailure> {
    let doing = "making a producer";
    let reader = reader::new(&connection.reader()).map_err(KafkaFailure::client(doing))?;
    topics::partitions(&reader, connection, topics, START_TIMEOUT, topics::UNKNOWN_FOR)?;
    CountingProducer::new(&connection.producer(5, LARGEST_RECORD_BYTES)).map_err(KafkaFailure::client(doing))
}

fn run(
    producer: &CountingProducer,
    mut orders: mpsc::Receiver<OutputRecord>,
    acknowledged: &AtomicU64,
) -> PublishReport {
    let mut report = PublishReport::default();
    let mut number = 0;
    loop {
        match orders.try_recv() {
            Ok(record) => {
                let sent = producer.send(&record, number, Instant::now() + PUBLISH_TIMEOUT);
                if let Err(cause) = sent {
                    report.add_failure(number, record.topic.to_string(), cause.to_string());
                }
                number += 1;
            }
            Err(mpsc::error::TryRecvError::Empty) => {
                producer.poll();
                add(&mut report, producer.take_deliveries());
                acknowledged.store(report.acknowledged, Ordering::Relaxed);
            }
            Err(mpsc::error::TryRecvError::Disconnected) => break,
        }
    }
    let all_confirmed = producer.wait_until_confirmed(Instant::now() + PUBLISH_TIMEOUT);
    add(&mut report, producer.take_deliveries());
    if !all_confirmed {
        let missing = number as u64 - report.acknowledged - report.failed;
        report.failed += missing;
        let waited_s = PUBLISH_TIMEOUT.as_secs();
        tracing::warn!(missing, waited_s, "records were neither confirmed nor refused in time");
    }
    acknowledged.store(report.acknowledged, Ordering::Relaxed);
    report
}

/// Adds what became of some records.
fn add(report: &mut PublishReport, deliveries: Deliveries) {
    let Deliveries { confirmed, failed, failures } = deliveries;
    report.acknowledged += confirmed;
    report.failed += failed - failures.len() as u64;
    for (number, topic, cause) in failures {
        report.add_failure(number, topic, cause.to_string());
    }
}
