//! Reading what is published, in one order, without a group.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};

use crate::bus::tail::TailStart;
use crate::domain::words::Timestamp;
use crate::ports::Record;

use super::connection::KafkaConnection;
use super::error::KafkaFailure;
use super::offset::Partition;
use super::partitions::OpenPartition;
use super::patience;
use super::polling::ROUND;
use super::reader::{self, Reader, ReaderContext};
use super::replay::offsets_at;
use super::sequencer::{Sequencer, TailOrder};
use super::topics;

/// Records that wait for whoever reads.
const CHANNEL_RECORDS: usize = 1_024;
/// Records of one partition that wait for their turn.
const LANE_RECORDS: usize = 1_024;
/// How long the broker waits for more before it says that the end is reached.
const FETCH_WAIT: Duration = Duration::from_millis(50);
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// What to read, and how.
#[derive(Clone, Debug)]
pub struct KafkaTailSettings {
    /// The cluster.
    pub connection: KafkaConnection,
    /// The topics as the broker names them.
    pub topics: Vec<String>,
    /// Where to begin.
    pub from: TailStart,
    /// Whether to end at what was there at the beginning, instead of following.
    pub until_end: bool,
    /// What the numbers are like.
    pub order: TailOrder,
    /// The number of a record, where it has one.
    pub number: fn(&Record) -> Option<i64>,
}

/// A reader of all partitions of some topics. Sees only what is committed. Ends when it is dropped.
#[derive(Debug)]
pub struct KafkaTail {
    records: mpsc::Receiver<Result<Record, KafkaFailure>>,
    thread: Option<JoinHandle<()>>,
}

impl KafkaTail {
    /// Looks for the topics and their ends. Fails with the names of missing topics, or with the address when no
    /// broker answers. Cancel-safe.
    pub async fn open(settings: KafkaTailSettings) -> Result<Self, KafkaFailure> {
        let (sender, records) = mpsc::channel(CHANNEL_RECORDS);
        let (opened, outcome) = oneshot::channel();
        let thread =
            thread::Builder::new().name("kafka-tail".to_owned()).spawn(move || match Reading::open(settings) {
                Ok(reading) => {
                    if opened.send(Ok(())).is_ok() {
                        reading.run(&sender);
                    }
                }
                Err(failure) => {
                    // Whoever opened it may have stopped waiting.
                    let _ = opened.send(Err(failure));
                }
            })?;
        let tail = Self { records, thread: Some(thread) };
        outcome.await.map_err(|_| KafkaFailure::ThreadEnded)??;
        Ok(tail)
    }

    /// The next record; `None` at the end, where there is one. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<Record>, KafkaFailure> {
        self.records.recv().await.transpose()
    }
}

impl Drop for KafkaTail {
    fn drop(&mut self) {
        self.records.close();
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
        }
    }
}

/// What the thread holds.
struct Reading {
    reader: Arc<Reader>,
    lanes: Vec<Lane>,
    sequencer: Sequencer,
    number: fn(&Record) -> Option<i64>,
}

struct Lane {
    partition: OpenPartition<ReaderContext>,
    /// Where reading ends, when it does.
    end: Option<i64>,
    /// Until a record is no older than this, records are passed over. The broker's answer may lie before it: it also
    /// looks at the times of the markers that end transactions.
    begin_time: Option<Timestamp>,
}

impl Reading {
    fn open(settings: KafkaTailSettings) -> Result<Self, KafkaFailure> {
        let KafkaTailSettings { connection, topics, from, until_end, order, number } = settings;
        let doing = "reading what is published";
        let reader = reader::new(&connection.assigned_reader(FETCH_WAIT)).map_err(KafkaFailure::client(doing))?;
        let partitions = topics::partitions(&reader, &connection, &topics, REQUEST_TIMEOUT, topics::UNKNOWN_FOR)?;
        let at_time = match from {
            TailStart::Time(time) => offsets_at(&reader, &partitions, time)?,
            TailStart::Start | TailStart::End => Default::default(),
        };
        let mut sequencer = Sequencer::new(partitions.len(), order);
        let mut assignment = TopicPartitionList::with_capacity(partitions.len());
        let mut lanes = Vec::with_capacity(partitions.len());
        for (index, partition) in partitions.into_iter().enumerate() {
            let Partition { topic, number } = &partition;
            let doing = format!("reading {topic}/{number}");
            let ends = patience::ask(REQUEST_TIMEOUT, || reader.fetch_watermarks(topic, *number, REQUEST_TIMEOUT));
            let (first, end) = ends.map_err(KafkaFailure::client(doing.as_str()))?;
            let begin = match from {
                TailStart::Start => first,
                TailStart::End => end,
                TailStart::Time(_) => at_time.get(&partition).copied().unwrap_or(end),
            };
            if until_end && begin >= end {
                sequencer.finish(index);
            }
            assignment
                .add_partition_offset(topic, *number, Offset::Offset(begin))
                .map_err(KafkaFailure::client(doing.as_str()))?;
            // Before it is assigned, so that nothing takes the way through the common queue.
            let open = OpenPartition::open(&reader, partition).ok_or_else(|| KafkaFailure::Client {
                doing,
                cause: KafkaError::Subscription("the partition has no queue".to_owned()),
            })?;
            let begin_time = match from {
                TailStart::Time(time) => Some(time),
                TailStart::Start | TailStart::End => None,
            };
            lanes.push(Lane { partition: open, end: until_end.then_some(end), begin_time });
        }
        reader.assign(&assignment).map_err(KafkaFailure::client(doing))?;
        Ok(Self { reader, lanes, sequencer, number })
    }

    /// Reads until everything was given or nobody wants more.
    fn run(mut self, records: &mpsc::Sender<Result<Record, KafkaFailure>>) {
        while !records.is_closed() && !self.sequencer.is_over() {
            let fetched = self.fetch().and_then(|fetched| self.serve_events().map(|()| fetched));
            let fetched = match fetched {
                Ok(fetched) => fetched,
                Err(failure) => {
                    // Nobody may want to know any more.
                    let _ = records.blocking_send(Err(failure));
                    return;
                }
            };
            let mut given = false;
            while let Some(record) = self.sequencer.next(Instant::now()) {
                given = true;
                if records.blocking_send(Ok(record)).is_err() {
                    return;
                }
            }
            if !fetched && !given {
                thread::park_timeout(ROUND);
            }
        }
    }

    /// Takes in what arrived; says whether there was anything.
    fn fetch(&mut self) -> Result<bool, KafkaFailure> {
        let now = Instant::now();
        let mut any = false;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if self.sequencer.is_finished(index) {
                continue;
            }
            let room = LANE_RECORDS.saturating_sub(self.sequencer.waiting(index));
            let fetched = lane.partition.fetch(room);
            if let Some(trouble) = fetched.trouble {
                judge(trouble)?;
            }
            any |= fetched.at_end || !fetched.records.is_empty();
            let is_past = |offset: i64| lane.end.is_some_and(|end| offset >= end);
            for record in fetched.records {
                let offset = record.position.offset;
                if record.timestamp >= lane.begin_time {
                    lane.begin_time = None;
                }
                if !is_past(offset) && lane.begin_time.is_none() {
                    let number = (self.number)(&record);
                    self.sequencer.push(index, number, record, now);
                }
                if is_past(offset + 1) {
                    self.sequencer.finish(index);
                }
            }
            if fetched.at_end {
                self.sequencer.mark_end(index);
                // The broker's end is no earlier than it was at the beginning.
                if lane.end.is_some() {
                    self.sequencer.finish(index);
                }
            }
        }
        Ok(any)
    }

    fn serve_events(&self) -> Result<(), KafkaFailure> {
        match self.reader.poll(Duration::ZERO) {
            Some(Err(trouble)) => judge(trouble),
            Some(Ok(_)) | None => Ok(()),
        }
    }
}

/// Only what an operator has to mend ends the reading; the client deals with the rest by itself.
fn judge(trouble: KafkaError) -> Result<(), KafkaFailure> {
    if trouble.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
        return Err(KafkaFailure::Client { doing: "reading what is published".to_owned(), cause: trouble });
    }
    tracing::debug!(%trouble, "the Kafka reader reports trouble");
    Ok(())
}
