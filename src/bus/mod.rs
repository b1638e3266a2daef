//! The buses: where events come from and where announcements go, one client library each.

use std::collections::BTreeMap;
use std::fmt;

#[cfg(feature = "adapters")]
pub mod any;
pub mod direct;
#[cfg(feature = "adapters")]
pub mod kafka;
#[cfg(feature = "adapters")]
pub mod local;
#[cfg(feature = "adapters")]
pub mod nats;
pub mod publish;
pub mod replay;
pub mod tail;

/// What a topic should look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// The topic as the broker names it.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many copies the broker keeps; the broker's default where there is none.
    pub replication: Option<i32>,
    /// Settings of the topic, by the broker's names.
    pub config: BTreeMap<String, String>,
}

/// What became of a topic that was to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicOutcome {
    /// It was missing and is there now.
    Created,
    /// It was there before and was left as it is.
    Existed,
}

/// One way in which a topic is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDifference {
    /// The topic as the broker names it.
    pub topic: String,
    /// What differs.
    pub kind: TopicDifferenceKind,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicDifferenceKind {
    /// The topic does not exist.
    Missing,
    /// Another number of partitions.
    Partitions {
        /// As specified.
        wanted: i32,
        /// On the broker.
        found: i32,
    },
    /// Another number of copies of some partition.
    Replication {
        /// As specified.
        wanted: i32,
        /// On the broker, of the partition that has the fewest.
        found: i32,
    },
    /// Another value of a setting.
    Setting {
        /// The broker's name of the setting.
        name: String,
        /// As specified.
        wanted: String,
        /// On the broker; `None` when the broker knows no such setting or does not tell its value.
        found: Option<String>,
    },
}

impl fmt::Display for TopicDifference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = &self.topic;
        match &self.kind {
            TopicDifferenceKind::Missing => write!(formatter, "topic {topic} does not exist"),
            TopicDifferenceKind::Partitions { wanted, found } => {
                write!(formatter, "topic {topic} has {found} partitions instead of {wanted}")
            }
            TopicDifferenceKind::Replication { wanted, found } => {
                write!(formatter, "topic {topic} has {found} copies of a partition instead of {wanted}")
            }
            TopicDifferenceKind::Setting { name, wanted, found: Some(found) } => {
                write!(formatter, "topic {topic} has {name}={found} instead of {wanted}")
            }
            TopicDifferenceKind::Setting { name, wanted, found: None } => {
                write!(formatter, "topic {topic} has no known {name} instead of {wanted}")
            }
        }
    }
}
