//! Bytes to domain and back.

mod decode;
mod encode;
mod limits;
mod registry;
mod stored;

use std::collections::BTreeMap;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use holdfast::domain::event::{Envelope, Event};
use holdfast::domain::words::{Line, StockKey, Timestamp};
use holdfast::ports::{DeadLetter, DeadLetterReason, Delivery, Position, Record};
use holdfast::wire::decode::{Decoded, Decoder, WriterSchemas};
use holdfast::wire::schemas::{KnownSchemas, SOURCES};
use holdfast::wire::topics::Topics;
use serde_json::Value;

const ORDER: &str = r#"{"order_id":"O-1","lines":[{"sku":"A","quantity":2}]}"#;
const STRUCTURED: &[(&str, &str)] = &[("content-type", "application/cloudevents+json; charset=UTF-8")];
/// The limit of the default settings.
const MAX_EVENT_BYTES: usize = 2 << 20;
/// 2026-11-21T15:45:00Z.
const RECEIVED_AT: Timestamp = Timestamp(1_795_275_900_000_000);

fn topics() -> Arc<Topics> {
    Arc::new(Topics::new("", &BTreeMap::new(), "").unwrap())
}

fn decoder() -> Decoder {
    Decoder::new(topics(), Arc::new(KnownSchemas::load()), None, MAX_EVENT_BYTES)
}

fn record(topic: &str, headers: &[(&str, &str)], payload: impl Into<Vec<u8>>) -> Record {
    Record {
        position: Position { topic: topic.into(), partition: 3, offset: 42 },
        key: None,
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), Some(value.as_bytes().to_vec()))).collect(),
        payload: Some(payload.into()),
        timestamp: None,
    }
}

/// An event in binary mode whose id is of no interest.
fn event(topic: &str, body: &str) -> Record {
    record(topic, &[("ce_id", "e-1"), ("ce_source", "shop")], body)
}

fn decode(record: Record) -> Result<Envelope, Box<DeadLetter>> {
    decode_with(&decoder(), record)
}

fn decode_with(decoder: &Decoder, record: Record) -> Result<Envelope, Box<DeadLetter>> {
    match decoder.decode(Delivery::Record(record), &WriterSchemas::default(), RECEIVED_AT) {
        Decoded::Event(envelope, original) => {
            assert!(original.is_some(), "the original bytes are kept");
            Ok(*envelope)
        }
        Decoded::DeadLetter(letter) => Err(Box::new(letter)),
    }
}

fn schema(name: &str) -> Schema {
    let source = SOURCES.iter().find(|source| source.name == name).unwrap();
    Schema::parse_str(source.current).unwrap()
}

/// A body as an independent library writes it by a schema, absent optional fields as null.
fn datum(schema: &Schema, body: &Value) -> Vec<u8> {
    let value = apache_avro::to_value(body).unwrap().resolve(schema).unwrap();
    apache_avro::to_avro_datum(schema, value).unwrap()
}

fn single_object(name: &str, body: &Value) -> Vec<u8> {
    let schema = schema(name);
    [&[0xc3, 0x01][..], &schema.fingerprint::<Rabin>().bytes, &datum(&schema, body)].concat()
}

fn lines(event: &Event) -> &[Line] {
    match event {
        Event::OrderCreated(event) => &event.lines,
        Event::CartUpdated(event) => &event.lines,
        Event::StockReceived(event) => &event.lines,
        Event::ReturnReceived(event) => &event.lines,
        other => panic!("{other:?} has no lines"),
    }
}

fn line(sku: &str, quantity: i64) -> Line {
    Line { key: StockKey::new(sku, "default"), quantity }
}

fn reason(record: Record) -> DeadLetterReason {
    let original = record.clone();
    let letter = decode(record).expect_err("should be a dead letter");
    assert_eq!(letter.record, original, "a dead letter keeps the record as it came");
    assert!(letter.detail.len() < 400, "{}", letter.detail);
    letter.reason
}
