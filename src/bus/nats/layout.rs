//! What streams and consumers should look like, and how those that are there differ.

use std::fmt;
use std::time::Duration;

use crate::wire::nats_names as names;

/// A stream, and the consumer that a group has on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSpec {
    /// Its name on the server.
    pub name: String,
    /// The subjects that it takes.
    pub subjects: Vec<String>,
    /// How long messages are kept; `None` for ever.
    pub max_age: Option<Duration>,
    /// How many copies the servers keep; one where there is none.
    pub replicas: Option<usize>,
    /// The largest message that it has to take, in bytes with headers; `None` when that does not matter.
    pub largest: Option<usize>,
    /// What it is for.
    pub role: StreamRole,
}

/// What a stream is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamRole {
    /// Others write it. Another stream that has the subject of the topic already will do.
    In {
        /// The topic.
        topic: String,
        /// How a group reads it, if it does.
        consumer: Option<ConsumerSpec>,
    },
    /// This worker writes it.
    Out,
}

/// A durable consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Its name on the server.
    pub name: String,
    /// The topic that it reads.
    pub topic: String,
    /// How long the server waits for an acknowledgement.
    pub ack_wait: Duration,
}

impl StreamSpec {
    /// The stream of a topic that others write, with the consumer of a group that reads it.
    pub fn read(topic: &str, consumer: Option<ConsumerSpec>, max_age: Option<Duration>) -> Self {
        let role = StreamRole::In { topic: topic.to_owned(), consumer };
        Self { role, ..Self::written(topic, &[topic], max_age) }
    }

    /// A stream of several topics that are written.
    pub fn written(name: &str, topics: &[&str], max_age: Option<Duration>) -> Self {
        Self {
            name: names::stream(name),
            subjects: topics.iter().flat_map(|topic| names::subjects(topic)).collect(),
            max_age,
            replicas: None,
            largest: None,
            role: StreamRole::Out,
        }
    }

    /// The same with so many copies.
    pub fn with_replicas(self, replicas: Option<usize>) -> Self {
        Self { replicas, ..self }
    }

    /// The same for messages of so many bytes with headers.
    pub fn with_largest(self, largest: usize) -> Self {
        Self { largest: Some(largest), ..self }
    }
}

impl ConsumerSpec {
    /// The consumer of a group.
    pub fn new(group: &str, topic: &str, ack_wait: Duration) -> Self {
        Self { name: names::durable(group, topic), topic: topic.to_owned(), ack_wait }
    }
}

/// One way in which the server is not as specified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NatsDifference {
    /// There is no such stream.
    StreamMissing {
        /// The stream.
        stream: String,
    },
    /// There is no such consumer.
    ConsumerMissing {
        /// The stream.
        stream: String,
        /// The consumer.
        consumer: String,
    },
    /// A stream has another value of a setting.
    StreamSetting {
        /// The stream.
        stream: String,
        /// The server's name of the setting, with both values.
        setting: SettingDifference,
    },
    /// A stream does not take messages as large as they may be.
    TooSmall {
        /// The stream.
        stream: String,
        /// How large they may be, in bytes.
        wanted: usize,
        /// The largest that it takes.
        found: usize,
    },
    /// A consumer has another value of a setting.
    ConsumerSetting {
        /// The stream.
        stream: String,
        /// The consumer.
        consumer: String,
        /// The server's name of the setting, with both values.
        setting: SettingDifference,
    },
}

/// Two values of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingDifference {
    /// The server's name of it.
    pub name: &'static str,
    /// As specified.
    pub wanted: String,
    /// On the server.
    pub found: String,
}

impl NatsDifference {
    /// Whether it is a limit of the server, which is nobody's mistake until something larger comes.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::TooSmall { .. })
    }
}

impl fmt::Display for NatsDifference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StreamMissing { stream } => write!(formatter, "stream {stream} does not exist"),
            Self::ConsumerMissing { stream, consumer } => {
                write!(formatter, "consumer {consumer} of stream {stream} does not exist")
            }
            Self::TooSmall { stream, wanted, found } => write!(
                formatter,
                "stream {stream} takes messages of {found} bytes, and an answer can have {wanted}: raise max_payload of \
                 the server (and max_msg_size of the stream where it has one), or lower max_event_bytes"
            ),
            Self::StreamSetting { stream, setting } => write!(formatter, "stream {stream} {setting}"),
            Self::ConsumerSetting { stream, consumer, setting } => {
                write!(formatter, "consumer {consumer} of stream {stream} {setting}")
            }
        }
    }
}

impl fmt::Display for SettingDifference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, wanted, found } = self;
        write!(formatter, "has {name}={found} instead of {wanted}")
    }
}
