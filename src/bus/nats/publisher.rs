//! Publishing events of our own making: from files, from standard input, from tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, jetstream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::bus::publish::PublishReport;
use crate::ports::OutputRecord;
use crate::wire::nats_names as names;

use super::admin::stream_of;
use super::connection::{Link, NatsConnection};
use super::conversation::Conversation;
use super::error::NatsFailure;
use super::message;

/// Records on their way to the task.
const CHANNEL_RECORDS: usize = 1_024;
/// Messages that wait for their acknowledgement.
const IN_FLIGHT: usize = 1_024;
/// How long the next answer may take before what is unanswered counts as failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the start may wait for the server.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Publishes with every acknowledgement awaited. Records stay in the order of sending.
#[derive(Debug)]
pub struct NatsPublisher {
    records: mpsc::Sender<OutputRecord>,
    acknowledged: Arc<AtomicU64>,
    report: JoinHandle<PublishReport>,
}

impl NatsPublisher {
    /// Looks whether each topic has a stream. Fails with the names of those that have none, or with the address when no
    /// server answers. Cancel-safe.
    pub async fn open(connection: &NatsConnection, topics: &[String]) -> Result<Self, NatsFailure> {
        let client = connection.connect(START_TIMEOUT, watch::Sender::new(Link::default())).await?;
        let context = jetstream::new(client.clone());
        let mut missing = Vec::new();
        for topic in topics {
            if !names::is_subject(topic) {
                return Err(NatsFailure::NoSubject(topic.clone()));
            }
            if stream_of(&context, topic).await?.is_none() {
                missing.push(format!("a stream with subject {topic}"));
            }
        }
        if !missing.is_empty() {
            return Err(NatsFailure::Missing { servers: connection.servers().to_owned(), missing });
        }
        let conversation = Conversation::begin(&client, IN_FLIGHT).await;
        let conversation = conversation.map_err(NatsFailure::client("publishing to NATS"))?;
        let (records, orders) = mpsc::channel(CHANNEL_RECORDS);
        let acknowledged = Arc::new(AtomicU64::new(0));
        let work = Work { client, conversation, topics: Vec::new(), report: PublishReport::default() };
        let report = tokio::spawn(work.run(orders, acknowledged.clone()));
        Ok(Self { records, acknowledged, report })
    }

    /// Sends a record; waits while too many are on their way. What becomes of it stands in the report. Cancel-safe:
    /// a cancelled call has not sent.
    pub async fn send(&self, record: OutputRecord) -> Result<(), NatsFailure> {
        self.records.send(record).await.map_err(|_| ended())
    }

    /// How many were confirmed so far, for a progress bar.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until every record is confirmed or given up.
    pub async fn finish(self) -> Result<PublishReport, NatsFailure> {
        drop(self.records);
        self.report.await.map_err(|_| ended())
    }
}

fn ended() -> NatsFailure {
    NatsFailure::Client { doing: "publishing to NATS".to_owned(), cause: "the task of the client ended".to_owned() }
}

struct Work {
    client: Client,
    conversation: Conversation,
    /// The topic of each record, for the report.
    topics: Vec<Arc<str>>,
    report: PublishReport,
}

impl Work {
    async fn run(mut self, mut orders: mpsc::Receiver<OutputRecord>, acknowledged: Arc<AtomicU64>) -> PublishReport {
        let mut is_open = true;
        while is_open || !self.conversation.is_over() {
            let has_room = is_open && !self.conversation.is_full();
            let is_waited_for = !self.conversation.is_over();
            tokio::select! {
                order = orders.recv(), if has_room => match order {
                    Some(record) => self.send(record).await,
                    None => is_open = false,
                },
                (number, answer) = self.conversation.hear(), if is_waited_for => {
                    let refusal = match answer {
                        Ok(answer) => answer.error.map(|complaint| complaint.description),
                        Err(error) => Some(error.to_string()),
                    };
                    match refusal {
                        None => self.report.acknowledged += 1,
                        Some(cause) => self.fail(usize::try_from(number).unwrap_or(usize::MAX), cause),
                    }
                    acknowledged.store(self.report.acknowledged, Ordering::Relaxed);
                }
                () = sleep(ANSWER_TIMEOUT), if is_waited_for && !has_room => {
                    let missing = self.conversation.unanswered() as u64;
                    self.report.failed += missing;
                    let waited_s = ANSWER_TIMEOUT.as_secs();
                    tracing::warn!(missing, waited_s, "records were neither confirmed nor refused in time");
                    break;
                }
            }
        }
        self.report
    }

    async fn send(&mut self, record: OutputRecord) {
        let number = self.topics.len();
        self.topics.push(record.topic.clone());
        if let Err(error) = self.conversation.say(&self.client, message::outgoing(record)).await {
            self.fail(number, error.to_string());
        }
    }

    fn fail(&mut self, number: usize, cause: String) {
        let topic = self.topics.get(number).map(ToString::to_string).unwrap_or_default();
        self.report.add_failure(number, topic, cause);
    }
}
