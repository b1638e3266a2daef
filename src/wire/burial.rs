//! Dead letters as records: what came, with why, where from and when.

use std::sync::Arc;

use crate::domain::words::Timestamp;
use crate::ports::{DeadLetter, Header, OutputRecord, Record};

/// What a record takes beside its key, headers and body, at most, in bytes.
const RECORD_FRAME_BYTES: usize = 64;
/// What a header takes beside its name and its value, at most, in bytes.
const HEADER_FRAME_BYTES: usize = 16;
/// Room for the words that say what was cut, in bytes.
const CUT_NOTE_BYTES: usize = 256;

/// The record of a dead letter. With key and headers it takes at most `largest_bytes`: what does not fit is cut, and the
/// detail says so. A letter that no topic takes would keep everything behind it from being published.
pub(super) fn record(
    letter: &DeadLetter,
    topic: &Arc<str>,
    recorded_at: Timestamp,
    time: &str,
    largest_bytes: usize,
) -> OutputRecord {
    let DeadLetter { record, reason, detail } = letter;
    let position = &record.position;
    let (partition, offset) = (position.partition.to_string(), position.offset.to_string());
    let added = |detail: &str| {
        [
            header("dead-letter-reason", reason.as_str()),
            header("dead-letter-detail", detail),
            header("dead-letter-topic", &position.topic),
            header("dead-letter-partition", &partition),
            header("dead-letter-offset", &offset),
            header("dead-letter-time", time),
        ]
    };
    let added_bytes = size_of(&added(detail)) + RECORD_FRAME_BYTES + CUT_NOTE_BYTES;
    let Kept { key, headers, payload, note } = keep(record, largest_bytes.saturating_sub(added_bytes));
    let added = match note {
        Some(note) => added(&format!("{detail}; {note}")),
        None => added(detail),
    };
    OutputRecord {
        topic: topic.clone(),
        key: key.map(<[u8]>::to_vec),
        headers: headers.iter().cloned().chain(added).collect(),
        payload: payload.map(<[u8]>::to_vec),
        timestamp: recorded_at,
    }
}

/// What is kept of a record.
struct Kept<'r> {
    key: Option<&'r [u8]>,
    headers: &'r [Header],
    payload: Option<&'r [u8]>,
    /// What was cut.
    note: Option<String>,
}

/// Keeps a record whole where it fits into `room` bytes. Else the body is cut, behind a key and headers that leave it
/// some room; larger ones are left out.
fn keep(record: &Record, room: usize) -> Kept<'_> {
    let (key, payload) = (record.key.as_deref(), record.payload.as_deref());
    let bytes = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    let (key_bytes, header_bytes, body_bytes) = (bytes(key), size_of(&record.headers), bytes(payload));
    if key_bytes + header_bytes + body_bytes <= room {
        return Kept { key, headers: &record.headers, payload, note: None };
    }
    let key = key.filter(|_| key_bytes <= room / 4);
    let headers = if header_bytes <= room / 2 { record.headers.as_slice() } else { &[] };
    let left = room.saturating_sub(bytes(key) + size_of(headers));
    let payload = payload.map(|payload| &payload[..payload.len().min(left)]);
    let note = format!(
        "too large for the topic, cut: {} of {key_bytes} bytes of the key, {} of {} headers and {} of {body_bytes} bytes \
         of the body are here",
        bytes(key),
        headers.len(),
        record.headers.len(),
        bytes(payload)
    );
    Kept { key, headers, payload, note: Some(note) }
}

fn size_of(headers: &[Header]) -> usize {
    headers.iter().map(|(name, value)| HEADER_FRAME_BYTES + name.len() + value.as_ref().map_or(0, Vec::len)).sum()
}

fn header(name: &str, value: &str) -> Header {
    (name.to_owned(), Some(value.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{DeadLetterReason, Position};

    fn letter(key: usize, header_bytes: usize, body: usize) -> DeadLetter {
        let record = Record {
            position: Position { topic: "order-created".into(), partition: 3, offset: 7 },
            key: Some(vec![b'k'; key]),
            headers: vec![("h".to_owned(), Some(vec![b'h'; header_bytes]))],
            payload: Some(vec![b'p'; body]),
            timestamp: None,
        };
        DeadLetter { record, reason: DeadLetterReason::TooLarge, detail: "the body is too large".into() }
    }

    fn buried(letter: &DeadLetter, largest_bytes: usize) -> OutputRecord {
        record(letter, &"letters".into(), Timestamp(0), "1970-01-01T00:00:00.000000Z", largest_bytes)
    }

    fn size(record: &OutputRecord) -> usize {
        let part = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        RECORD_FRAME_BYTES + part(&record.key) + size_of(&record.headers) + part(&record.payload)
    }

    fn detail(record: &OutputRecord) -> String {
        let (_, value) = record.headers.iter().find(|(name, _)| name == "dead-letter-detail").unwrap();
        String::from_utf8(value.clone().unwrap()).unwrap()
    }

    #[test]
    fn a_letter_that_fits_is_kept_whole() {
        let letter = letter(10, 10, 8_000);
        let record = buried(&letter, 10_000);
        assert_eq!((record.key, record.payload), (letter.record.key, letter.record.payload));
        assert_eq!(record.headers.len(), 7);
    }

    #[test]
    fn a_letter_that_does_not_fit_is_cut_and_says_so() {
        for (key, headers, body) in [(10, 10, 20_000), (10, 20_000, 20_000), (20_000, 10, 10), (9_999, 9_999, 9_999)] {
            let record = buried(&letter(key, headers, body), 10_000);
            assert!(size(&record) <= 10_000, "{key} {headers} {body}: {}", size(&record));
            assert!(size(&record) > 7_000 || body < 7_000, "{key} {headers} {body}: {}", size(&record));
            let detail = detail(&record);
            assert!(detail.starts_with("the body is too large; too large for the topic, cut: "), "{detail}");
            assert!(detail.contains(&format!("of {body} bytes of the body")), "{detail}");
        }
    }

    #[test]
    fn a_tombstone_stays_one() {
        let mut letter = letter(20_000, 10, 0);
        letter.record.payload = None;
        let record = buried(&letter, 10_000);
        assert_eq!((record.key, record.payload), (None, None));
    }
}
