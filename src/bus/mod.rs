//! The buses: where events come from and where announcements go, one client library each.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::words::Timestamp;

pub mod direct;
pub mod kafka;
pub mod nats;
pub mod replay;

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

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailStart {
    /// At the first record that the broker still has.
    Start,
    /// Behind everything that is there now.
    End,
    /// At the first record that is no older than this, by the broker's timestamps.
    Time(Timestamp),
}

/// What became of everything that was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishReport {
    /// Confirmed by the broker.
    pub acknowledged: u64,
    /// Not confirmed.
    pub failed: u64,
    /// The first failures, at most a hundred.
    pub failures: Vec<PublishFailure>,
}

/// A record that was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishFailure {
    /// Which one, counted from 0 in the order of sending.
    pub number: usize,
    /// Its topic.
    pub topic: String,
    /// Why.
    pub cause: String,
}

/// Failures that a report tells one by one; all are counted.
const FAILURES_TOLD: usize = 100;

impl PublishReport {
    /// Counts a failure, and keeps it while there is room.
    pub(crate) fn add_failure(&mut self, failure: PublishFailure) {
        self.failed += 1;
        if self.failures.len() < FAILURES_TOLD {
            self.failures.push(failure);
        }
    }
}
