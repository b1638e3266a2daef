//! Setting a group back, or forth: where to, and what that would do.

use crate::domain::words::Timestamp;

/// Where a group is to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayTarget {
    /// At the first record that the broker still has.
    Start,
    /// At the first record that is no older than this, by the broker's timestamps; at the end where there is none.
    /// Where publishers use transactions it may be earlier, because the broker counts their markers as records.
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
    /// How many records lie between there and the end, at most: on Kafka markers of transactions count.
    pub records: i64,
}
