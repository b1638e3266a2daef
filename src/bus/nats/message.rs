//! Records to messages and back.

use std::sync::Arc;

use async_nats::jetstream::message::Info;
use async_nats::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::words::Timestamp;
use crate::ports::{Header, OutputRecord, Position, Record};
use crate::wire::nats_names as names;

/// Holds a key that is too long for a subject, percent-encoded.
const LONG_KEY: &str = "Holdfast-Key";

/// A message that is ready to be published.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub subject: String,
    pub headers: HeaderMap,
    pub payload: Vec<u8>,
}

impl Outgoing {
    /// Its size as the server counts it: payload and headers, without the subject.
    pub fn bytes(&self) -> usize {
        let line =
            |(name, value): (&HeaderName, &HeaderValue)| name.to_string().len() + value.as_str().len() + ": \r\n".len();
        let lines = self.headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        self.payload.len() + "NATS/1.0\r\n\r\n".len() + lines.map(line).sum::<usize>()
    }
}

/// The message of a record. Its timestamp is left out: the server gives its own.
pub(super) fn outgoing(record: OutputRecord) -> Outgoing {
    let OutputRecord { topic, key, headers: given, payload, timestamp: _ } = record;
    let mut headers = HeaderMap::new();
    for (name, value) in &given {
        headers.append(header_name(name), one_line(&names::header_value(value.as_deref().unwrap_or_default())));
    }
    let subject = names::subject(&topic, key.as_deref()).unwrap_or_else(|| {
        headers.insert(LONG_KEY, one_line(&names::header_value_encoded(key.as_deref().unwrap_or_default())));
        topic.to_string()
    });
    Outgoing { subject, headers, payload: payload.unwrap_or_default() }
}

/// The record of a message that a stream gave for a topic.
pub(super) fn record(topic: Arc<str>, message: async_nats::Message, sequence: u64, published: Timestamp) -> Record {
    let async_nats::Message { subject, payload, headers, .. } = message;
    let headers = headers.unwrap_or_default();
    let key = match headers.get(LONG_KEY) {
        Some(key) => Some(names::decoded(key.as_str())),
        None => names::key_of(&topic, &subject),
    };
    let mut all: Vec<Header> = headers
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| (name, value)))
        .map(|(name, value)| (name.to_string(), Some(value.as_str().as_bytes().to_vec())))
        .collect();
    // The client keeps no order among headers of different names.
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    let offset = i64::try_from(sequence).unwrap_or(i64::MAX);
    let position = Position { topic, partition: 0, offset };
    Record { position, key, headers: all, payload: Some(payload.to_vec()), timestamp: Some(published) }
}

/// When a message was stored, by the server's clock.
pub(super) fn published(info: &Info<'_>) -> Timestamp {
    Timestamp(i64::try_from(info.published.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX))
}

/// A header's name. Every character is legal, and there is one.
fn header_name(name: &str) -> HeaderName {
    names::header_name(name).parse().unwrap_or_else(|_| HeaderName::from_static(names::UNNAMED))
}

/// Only line ends are refused, and there are none here.
fn one_line(text: &str) -> HeaderValue {
    text.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roundtrip(key: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]) -> (String, Record) {
        let headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec))).collect::<Vec<_>>();
        let given = OutputRecord {
            topic: "t".into(),
            key: key.map(<[u8]>::to_vec),
            headers,
            payload: Some(b"body".to_vec()),
            timestamp: Timestamp(7),
        };
        let Outgoing { subject, headers, payload } = outgoing(given);
        let message = async_nats::Message {
            subject: subject.as_str().into(),
            reply: None,
            payload: payload.into(),
            headers: Some(headers),
            status: None,
            description: None,
            length: 0,
        };
        (subject, record("t".into(), message, 9, Timestamp(5)))
    }

    #[test]
    fn a_record_is_the_same_on_the_other_side() {
        let (subject, record) = roundtrip(Some(b"SKU 1"), &[("ce_id", Some(b"e-1")), ("content-type", Some(b"text"))]);
        assert_eq!(subject, "t.SKU%201");
        assert_eq!(record.position, Position { topic: "t".into(), partition: 0, offset: 9 });
        assert_eq!((record.key.as_deref(), record.payload.as_deref()), (Some(&b"SKU 1"[..]), Some(&b"body"[..])));
        let expected = [("ce-id", "e-1"), ("content-type", "text")];
        let expected = expected.map(|(name, value)| (name.to_owned(), Some(value.as_bytes().to_vec())));
        assert_eq!(record.headers, expected);
    }

    #[test]
    fn headers_of_a_dead_letter_tell_the_server_nothing_and_break_no_line() {
        let (_, record) = roundtrip(
            None,
            &[
                ("Nats-Rollup", Some(b"all")),
                ("nats-msg-id", Some(b"x")),
                ("Holdfast-Progress", Some(b"{}")),
                ("a b:c", Some(b"1\r\n2")),
                ("empty", None),
            ],
        );
        let names: Vec<&str> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
        let expected =
            ["a%20b%3Ac", "empty", "original-Holdfast-Progress", "original-Nats-Rollup", "original-nats-msg-id"];
        assert_eq!(names, expected);
        assert_eq!(record.headers[0].1.as_deref(), Some(&b"1%0D%0A2"[..]));
    }

    #[test]
    fn a_key_that_is_too_long_for_a_subject_travels_in_a_header() {
        let key = vec![b'.'; 5_000];
        let (subject, record) = roundtrip(Some(&key), &[]);
        assert_eq!(subject, "t");
        assert_eq!(record.key, Some(key));
    }
}
