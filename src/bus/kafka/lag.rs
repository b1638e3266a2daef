//! How many records of each partition are not settled, out of the client's statistics.

use std::sync::Arc;

use rdkafka::statistics::{Partition as PartitionStatistics, Statistics};

use super::offset::{NextOffset, Partition};

/// Lag by partition. A partition of which nothing is known yet is left out. One that is drained has none, although
/// markers of transactions, which no reader is given, may stand behind its last record.
pub(super) fn of(
    statistics: &Statistics,
    positions: &[(Partition, Option<NextOffset>, bool)],
) -> Vec<(Arc<str>, i32, i64)> {
    let lag = |(partition, settled, drained): &(Partition, Option<NextOffset>, bool)| {
        let topic = statistics.topics.get(&*partition.topic)?;
        let records = if *drained { 0 } else { behind(topic.partitions.get(&partition.number)?, *settled)? };
        Some((partition.topic.clone(), partition.number, records))
    };
    positions.iter().filter_map(lag).collect()
}

/// The statistics use negative numbers for what is not known.
fn behind(partition: &PartitionStatistics, settled: Option<NextOffset>) -> Option<i64> {
    let known = |offset: i64| (offset >= 0).then_some(offset);
    let end = known(partition.ls_offset).or(known(partition.hi_offset))?;
    let position = settled
        .map(NextOffset::value)
        .or(known(partition.stored_offset))
        .or(known(partition.committed_offset))
        .or(known(partition.lo_offset))?;
    Some((end - position).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(committed: i64, low: i64, end: i64) -> PartitionStatistics {
        PartitionStatistics {
            ls_offset: end,
            hi_offset: end + 1,
            lo_offset: low,
            committed_offset: committed,
            stored_offset: -1001,
            ..PartitionStatistics::default()
        }
    }

    #[test]
    fn lag_counts_from_what_is_settled_then_committed_then_the_start() {
        assert_eq!(behind(&partition(20, 10, 50), Some(NextOffset::after(29))), Some(20));
        assert_eq!(behind(&partition(20, 10, 50), None), Some(30));
        assert_eq!(behind(&partition(-1001, 10, 50), None), Some(40));
        assert_eq!(behind(&partition(-1001, -1, 50), None), None);
    }
}
