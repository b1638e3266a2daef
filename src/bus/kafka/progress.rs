//! How far publishing has come, kept in a compacted topic. Traps: progress kept as offsets of a group would be
//! dropped by the broker after seven days without publishing; the newest record of a compacted topic stays.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::Message;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::domain::words::Timestamp;
use crate::ports::{OutputRecord, Progress, SinkError};
use crate::wire::progress::{decode_progress, encode_progress};

use super::connection::KafkaConnection;
use super::producer::judge;
use super::publishing::until;
use super::reader::{self, Reader};

/// The key of the record. There is one relay for a progress topic, so one key.
const KEY: &[u8] = b"relay";
/// The only partition.
const PARTITION: i32 = 0;
/// How much of the end is read first: compaction leaves the newest part of a log alone, and it may be long.
const TAIL_OFFSETS: i64 = 1_000;
/// How long the broker waits for more before it says that the end is reached.
const FETCH_WAIT: Duration = Duration::from_millis(10);
/// Between two looks whether older transactions are decided.
const DECISION_SLICE: Duration = Duration::from_millis(10);

/// The record that says how far publishing is.
pub(super) fn record(topic: &str, progress: Progress) -> OutputRecord {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    OutputRecord {
        topic: topic.into(),
        key: Some(KEY.to_vec()),
        headers: Vec::new(),
        payload: Some(encode_progress(progress)),
        timestamp: Timestamp(i64::try_from(now.as_micros()).unwrap_or(i64::MAX)),
    }
}

/// Reads the newest progress; `everything` sees also what is not committed. Blocks. Where producers are fenced, call it
/// after that: their open transactions are decided then.
///
/// Traps: a reader of committed records sees the end only up to the last stable offset. So this first waits until
/// everything up to the high watermark is decided, and then reads to the end.
pub(super) fn read(
    everything: &Reader,
    connection: &KafkaConnection,
    topic: &str,
    deadline: Instant,
) -> Result<Option<Progress>, SinkError> {
    let doing = format!("reading progress from {topic}");
    let failed = |error: KafkaError| judge(&doing, &error);
    let committed = reader::new(&connection.assigned_reader(FETCH_WAIT)).map_err(failed)?;

    let (low, high) = everything.fetch_watermarks(topic, PARTITION, until(deadline)).map_err(failed)?;
    while committed.fetch_watermarks(topic, PARTITION, until(deadline)).map_err(failed)?.1 < high {
        if Instant::now() >= deadline {
            return Err(SinkError::Unclear(format!("{doing}: transactions of another producer stay open")));
        }
        // Nothing is assigned yet: this only lets time pass.
        committed.poll(DECISION_SLICE);
    }
    let near_end = low.max(high - TAIL_OFFSETS);
    match newest_from(&committed, topic, near_end, deadline, &doing)? {
        None if near_end > low => newest_from(&committed, topic, low, deadline, &doing),
        found => Ok(found),
    }
}

/// The last progress from an offset to the end.
fn newest_from(
    committed: &Reader,
    topic: &str,
    offset: i64,
    deadline: Instant,
    doing: &str,
) -> Result<Option<Progress>, SinkError> {
    let mut from = TopicPartitionList::with_capacity(1);
    let assigned =
        from.add_partition_offset(topic, PARTITION, Offset::Offset(offset)).and_then(|()| committed.assign(&from));
    assigned.map_err(|error| judge(doing, &error))?;
    let mut newest = None;
    while Instant::now() < deadline {
        match committed.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(PARTITION))) => return Ok(newest),
            // The group of a reader exists in name only; nobody needs rights to it.
            Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {}
            Some(Err(error)) => return Err(judge(doing, &error)),
            Some(Ok(message)) if message.key() == Some(KEY) => {
                let payload = message.payload().unwrap_or_default();
                let progress = decode_progress(payload).map_err(|error| {
                    let offset = message.offset();
                    SinkError::Fatal(format!("{doing}: the record at offset {offset} is not ours: {error}"))
                })?;
                newest = Some(progress);
            }
            Some(Ok(_)) => {}
        }
    }
    Err(SinkError::Unclear(format!("{doing}: the end was not reached in time")))
}
