//! Setting a group back (or forth), on any bus: what is asked for, and what it would do.

use crate::domain::words::Timestamp;

/// Where a group is to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayTarget {
    /// At the first record that the broker still has.
    Start,
    /// At the first record that is no older than this, by the broker's timestamps; at the end where there is none.
    /// Where publishers use Kafka's transactions it may be earlier, because the broker counts their markers as records.
    Time(Timestamp),
    /// At these offsets; partitions that are not named stay where they are.
    Offsets(Vec<PartitionOffset>),
}

/// An offset in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionOffset {
    /// The topic as the broker names it.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset of the record to be read next.
    pub offset: i64,
}

/// What a replay would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayPlan {
    /// The group.
    pub group: String,
    /// By topic and partition.
    pub moves: Vec<ReplayMove>,
}

/// What it would do to one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayMove {
    /// The topic as the broker names it.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Where the group is; `None` when it never committed anything here.
    pub current: Option<i64>,
    /// Where it would go on.
    pub new: i64,
    /// How many offsets lie between there and the end. An upper bound of the records: on Kafka, markers of
    /// transactions count.
    pub records: i64,
}

/// Why a replay is refused; `F` is a failed call of the bus.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError<F> {
    /// Somebody works in the group.
    #[error("consumer group {group} is active ({}); stop its workers first", members.join(", "))]
    GroupActive {
        /// The group.
        group: String,
        /// What is known of each member that could be seen.
        members: Vec<String>,
    },
    /// A partition that does not exist or is not read by the group's topics.
    #[error("{topic}/{partition} is no partition of the group's topics; look at them with: holdfast topics check")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// An offset that the partition does not have.
    #[error("{topic}/{partition} has no offset {offset}; it reaches from {first} to {end}")]
    OffsetOutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What was asked for.
        offset: i64,
        /// The first record that the broker still has.
        first: i64,
        /// Where the next record will stand.
        end: i64,
    },
    /// A failed call.
    #[error("{0}")]
    Bus(F),
}

impl<F> From<F> for ReplayError<F> {
    fn from(failure: F) -> Self {
        Self::Bus(failure)
    }
}
