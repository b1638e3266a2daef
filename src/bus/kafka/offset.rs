//! Offsets and partitions, as types that cannot be mixed up.

use std::sync::Arc;

use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// The offset of the record that is to be read next: one after the last settled one. Traps: one call of the client
/// stores what it is given, another stores one more; only this type is ever stored or committed, and only by lists,
/// which keep the value as given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NextOffset(i64);

impl NextOffset {
    /// What comes after a record.
    pub fn after(offset: i64) -> Self {
        Self(offset + 1)
    }

    /// An offset that is one to be read next already.
    pub fn at(offset: i64) -> Self {
        Self(offset)
    }

    /// The offset itself.
    pub fn value(self) -> i64 {
        self.0
    }
}

/// One partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Partition {
    /// The topic as the broker names it.
    pub topic: Arc<str>,
    /// Its number.
    pub number: i32,
}

/// The client's list of the given offsets.
pub(super) fn offset_list(offsets: &[(Partition, NextOffset)]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, next) in offsets {
        list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(next.value()))?;
    }
    Ok(list)
}
