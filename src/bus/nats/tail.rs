//! Reading what is published, in its order, without a group.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{Consumer, DeliverPolicy};
use async_nats::jetstream::{self, Context};
use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::bus::tail::TailStart;
use crate::ports::Record;
use crate::wire::nats_names as names;

use super::admin::stream_of;
use super::connection::{Link, NatsConnection};
use super::error::NatsFailure;
use super::message;

/// Records that wait for whoever reads.
const CHANNEL_RECORDS: usize = 1_024;
/// How long the start may wait for the server.
const START_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// What to read, and how.
#[derive(Clone, Debug)]
pub struct NatsTailSettings {
    /// The server.
    pub connection: NatsConnection,
    /// The topics, each a subject.
    pub topics: Vec<String>,
    /// Where to begin.
    pub from: TailStart,
    /// Whether to end at what was there at the beginning, instead of following.
    pub until_end: bool,
}

/// A reader of some topics. Those of one stream come in its order, and all announcements are in one stream. Ends when it
/// is dropped.
#[derive(Debug)]
pub struct NatsTail {
    records: mpsc::Receiver<Result<Record, NatsFailure>>,
    /// One a stream; dropping it ends them.
    _reading: JoinSet<()>,
}

/// The part of a stream that is read.
struct Part {
    topics: Vec<Arc<str>>,
    messages: Ordered,
    /// How many messages are left, where reading ends.
    left: Option<u64>,
}

impl NatsTail {
    /// Looks for the streams of the topics. Fails with the names of topics that have none, or with the address when no
    /// server answers. Cancel-safe.
    pub async fn open(settings: NatsTailSettings) -> Result<Self, NatsFailure> {
        let NatsTailSettings { connection, topics, from, until_end } = settings;
        let client = connection.connect(START_TIMEOUT, watch::Sender::new(Link::default())).await?;
        let context = jetstream::new(client);
        let mut streams: BTreeMap<String, Vec<Arc<str>>> = BTreeMap::new();
        let mut missing = Vec::new();
        for topic in &topics {
            match stream_of(&context, topic).await? {
                Some(stream) => streams.entry(stream).or_default().push(topic.as_str().into()),
                None => missing.push(format!("a stream with subject {topic}")),
            }
        }
        if !missing.is_empty() {
            return Err(NatsFailure::Missing { servers: connection.servers().to_owned(), missing });
        }
        let (sender, records) = mpsc::channel(CHANNEL_RECORDS);
        let mut reading = JoinSet::new();
        for (stream, topics) in streams {
            let part = Part::open(&context, &stream, topics, from, until_end).await?;
            reading.spawn(part.read(sender.clone()));
        }
        Ok(Self { records, _reading: reading })
    }

    /// The next record; `None` at the end, where there is one. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<Record>, NatsFailure> {
        self.records.recv().await.transpose()
    }
}

impl Part {
    async fn open(
        context: &Context,
        stream: &str,
        topics: Vec<Arc<str>>,
        from: TailStart,
        until_end: bool,
    ) -> Result<Self, NatsFailure> {
        let failed = |error: &dyn std::fmt::Display| NatsFailure::Client {
            doing: format!("reading stream {stream}"),
            cause: error.to_string(),
        };
        let config = OrderedConfig {
            filter_subjects: topics.iter().flat_map(|topic| names::subjects(topic)).collect(),
            deliver_policy: match from {
                TailStart::Start => DeliverPolicy::All,
                TailStart::End => DeliverPolicy::New,
                TailStart::Time(time) => DeliverPolicy::ByStartTime {
                    start_time: async_nats::datetime::from_nanos(i128::from(time.0) * 1_000)
                        .map_err(|error| failed(&error))?,
                },
            },
            ..Default::default()
        };
        let handle = context.get_stream_no_info(stream).await.map_err(|error| failed(&error))?;
        let consumer: Consumer<OrderedConfig> = handle.create_consumer(config).await.map_err(|error| failed(&error))?;
        let left = until_end.then_some(consumer.cached_info().num_pending);
        let messages = consumer.messages().await.map_err(|error| failed(&error))?;
        Ok(Self { topics, messages, left })
    }

    /// Reads until everything was given or nobody wants more.
    async fn read(mut self, records: mpsc::Sender<Result<Record, NatsFailure>>) {
        while self.left != Some(0) {
            let Some(next) = self.messages.next().await else { return };
            self.left = self.left.map(|left| left - 1);
            let record = match next {
                Ok(message) => self.record(message),
                Err(error) => Err(NatsFailure::client("reading what is published")(error)),
            };
            if records.send(record).await.is_err() {
                return;
            }
        }
    }

    fn record(&self, message: jetstream::Message) -> Result<Record, NatsFailure> {
        let info = message.info().map_err(NatsFailure::client("reading what is published"))?;
        let (sequence, published) = (info.stream_sequence, message::published(&info));
        let subject = &message.message.subject;
        let is_of = |topic: &&Arc<str>| {
            subject.strip_prefix(&***topic).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        // The longest, should one topic be a part of another.
        let topic = self.topics.iter().filter(is_of).max_by_key(|topic| topic.len());
        let topic = topic.cloned().unwrap_or_else(|| subject.as_str().into());
        Ok(message::record(topic, message.message, sequence, published))
    }
}
