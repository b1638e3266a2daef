//! Records between the client's shape and ours.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header as KafkaHeader, Headers, OwnedHeaders};

use crate::domain::words::Timestamp;
use crate::ports::{Header, Position, Record};

/// Stands for a header whose name is no text.
const UNREADABLE_HEADER: &str = "unreadable-header";

/// Copies a message out. Traps: a borrowed message pins the client's fetch buffer.
pub(super) fn own(message: &BorrowedMessage<'_>, topic: &Arc<str>) -> Record {
    Record {
        position: Position { topic: topic.clone(), partition: message.partition(), offset: message.offset() },
        key: message.key().map(<[u8]>::to_vec),
        headers: message.headers().map(own_headers).unwrap_or_default(),
        payload: message.payload().map(<[u8]>::to_vec),
        timestamp: message.timestamp().to_millis().map(|milliseconds| Timestamp(milliseconds.saturating_mul(1_000))),
    }
}

/// About how much memory a record takes, in bytes.
pub(super) fn memory_of(record: &Record) -> usize {
    let headers: usize = record
        .headers
        .iter()
        .map(|(name, value)| std::mem::size_of::<Header>() + name.len() + value.as_ref().map_or(0, Vec::len))
        .sum();
    std::mem::size_of::<Record>() + payload_bytes(record) + record.key.as_ref().map_or(0, Vec::len) + headers
}

/// The bytes of the body.
pub(super) fn payload_bytes(record: &Record) -> usize {
    record.payload.as_ref().map_or(0, Vec::len)
}

/// The client's headers.
pub(super) fn client_headers(headers: &[Header]) -> Option<OwnedHeaders> {
    if headers.is_empty() {
        return None;
    }
    let mut list = OwnedHeaders::new_with_capacity(headers.len());
    for (name, value) in headers {
        list = list.insert(KafkaHeader { key: name, value: value.as_ref() });
    }
    Some(list)
}

/// Copies the headers. The client panics on a header whose name is not UTF-8, which any publisher can write; such a
/// header is replaced, because one bad record must not end the worker. A name that holds a NUL ends there.
fn own_headers(headers: &impl Headers) -> Vec<Header> {
    (0..headers.count())
        .filter_map(|index| {
            let read = catch_unwind(AssertUnwindSafe(|| {
                headers.try_get(index).map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            }));
            read.unwrap_or_else(|_| Some((UNREADABLE_HEADER.to_owned(), None)))
        })
        .collect()
}
