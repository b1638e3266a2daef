//! Bytes of a bus: any record is an event or a dead letter with a reason, the same each time, and any event can be judged.

use std::sync::Arc;

use holdfast::domain::books::Books;
use holdfast::domain::event::EventType;
use holdfast::domain::rules::Rules;
use holdfast::domain::words::Timestamp;
use holdfast::engine::judge::Bench;
use holdfast::ports::{Delivery, Entry, Header, Loaded, Outcome, Position, Record, Seen};
use holdfast::wire::cloudevents::STRUCTURED;
use holdfast::wire::decode::{Decoded, Decoder, WriterSchemas};
use holdfast::wire::schemas::{KnownSchemas, SOURCES};
use holdfast::wire::topics::Topics;

/// When everything is read: 2026-11-21T00:00:00Z.
const NOW: Timestamp = Timestamp(1_795_219_200_000_000);
/// The id under which the registry of [`avro`] knows a schema.
const SCHEMA_ID: u32 = 7;

/// Reads things; made once a thread, since parsing the schemas takes longer than reading an event.
struct Reader {
    decoder: Decoder,
    schemas: Arc<KnownSchemas>,
}

thread_local! {
    static READER: Reader = {
        let topics = Arc::new(Topics::new("", &Default::default(), "").expect("the default names should do"));
        let schemas = Arc::new(KnownSchemas::load());
        Reader { decoder: Decoder::new(topics, schemas.clone(), None, 1 << 20), schemas }
    };
}

/// A plain JSON body on the topic that the first byte picks.
pub fn json(input: &[u8]) {
    let Some((topic, body)) = topic(input) else { return };
    read(record(topic, vec![header("ce_id", b"E-1")], body.to_vec()), &WriterSchemas::default());
}

/// A whole CloudEvent as JSON.
pub fn structured(input: &[u8]) {
    let headers = vec![header("content-type", STRUCTURED.as_bytes())];
    read(record("order-created", headers, input.to_vec()), &WriterSchemas::default());
}

/// Lines of headers, a name and a value with a colon between them, an empty line, and a body.
pub fn headers(input: &[u8]) {
    let (head, body) = split(input, b"\n\n");
    let line = |line: &[u8]| {
        let (name, value) = split(line, b":");
        (String::from_utf8_lossy(name).into_owned(), Some(value.to_vec()))
    };
    let headers: Vec<Header> = head.split(|byte| *byte == b'\n').map(line).collect();
    read(record("order-created", headers, body.to_vec()), &WriterSchemas::default());
}

/// A datum in the framing and under the schema that the first byte picks.
pub fn avro(input: &[u8]) {
    let Some((choice, datum)) = input.split_first() else { return };
    let source = SOURCES[usize::from(choice >> 1) % SOURCES.len()];
    let mut body = Vec::with_capacity(input.len() + 10);
    let mut schemas = WriterSchemas::default();
    if choice & 1 == 0 {
        let fingerprint = READER.with(|reader| reader.schemas.fingerprint(source.name));
        body.extend([0xc3, 0x01]);
        body.extend(fingerprint.expect("every schema has a fingerprint"));
    } else {
        schemas.insert(SCHEMA_ID, source.current, &[]);
        body.push(0);
        body.extend(SCHEMA_ID.to_be_bytes());
    }
    body.extend(datum);
    read(record(source.name, vec![header("ce_id", b"E-1")], body), &schemas);
}

/// A schema as a registry may answer it, perhaps with others that it refers to behind lines of `---`, a NUL, and a datum
/// that was written with it.
pub fn writer_schema(input: &[u8]) {
    let (schema, datum) = split(input, b"\0");
    let Ok(texts) = std::str::from_utf8(schema) else { return };
    let mut texts = texts.split("\n---\n").map(str::to_owned);
    let schema = texts.next().unwrap_or_default();
    let references: Vec<String> = texts.collect();
    let mut schemas = WriterSchemas::default();
    schemas.insert(SCHEMA_ID, &schema, &references);
    let mut body = vec![0];
    body.extend(SCHEMA_ID.to_be_bytes());
    body.extend(datum);
    read(record("order-created", vec![header("ce_id", b"E-1")], body), &schemas);
}

fn topic(input: &[u8]) -> Option<(&'static str, &[u8])> {
    let (choice, rest) = input.split_first()?;
    Some((EventType::INPUT[usize::from(*choice) % EventType::INPUT.len()].as_str(), rest))
}

/// What stands before the first `separator` and behind it; all of it before one that is not there.
fn split<'i>(input: &'i [u8], separator: &[u8]) -> (&'i [u8], &'i [u8]) {
    match input.windows(separator.len()).position(|window| window == separator) {
        Some(at) => (&input[..at], &input[at + separator.len()..]),
        None => (input, &[]),
    }
}

fn header(name: &str, value: &[u8]) -> Header {
    (name.to_owned(), Some(value.to_vec()))
}

fn record(topic: &str, headers: Vec<Header>, payload: Vec<u8>) -> Record {
    Record {
        position: Position { topic: topic.into(), partition: 0, offset: 1 },
        key: None,
        headers,
        payload: Some(payload),
        timestamp: Some(NOW),
    }
}

/// Reads a record twice and judges it: both readings agree, a dead letter says why and keeps the record as it came, and
/// an event ends in one of the contract's ways.
fn read(record: Record, schemas: &WriterSchemas) {
    let decode = || {
        READER.with(|reader| match reader.decoder.decode(Delivery::Record(record.clone()), schemas, NOW) {
            Decoded::Event(envelope, record) => Entry::Event { envelope, record: record.map(Box::new) },
            Decoded::DeadLetter(letter) => Entry::DeadLetter(Box::new(letter)),
        })
    };
    let (first, second) = (decode(), decode());
    match (&first, &second) {
        (Entry::Event { envelope, .. }, Entry::Event { envelope: again, .. }) => assert_eq!(envelope, again),
        (Entry::DeadLetter(letter), Entry::DeadLetter(again)) => {
            assert_eq!(letter, again);
            assert_eq!(letter.record, record);
            assert!(!letter.detail.is_empty() && !letter.detail.contains('\0'), "{:?}", letter.detail);
            return;
        }
        _ => panic!("one reading is an event and the other is not"),
    }
    judge(vec![first, second]);
}

/// The event and its repetition in an empty shop: the second is a duplicate or buried as the first was.
fn judge(entries: Vec<Entry>) {
    let bench =
        Bench { rules: Rules::default(), max_clock_skew_seconds: 300, count_max_age_seconds: 604_800, buries: true };
    let loaded = Loaded { now: NOW, seen: vec![Seen::New; entries.len()], books: Books::default() };
    let judged = bench.judge(&entries, loaded).expect("no event can break a rule of the core");
    match judged.outcomes.as_slice() {
        [Outcome::DeadLettered { reason, .. }, Outcome::DeadLettered { reason: again, .. }] => {
            assert_eq!(reason, again);
        }
        [Outcome::Applied | Outcome::Refused(_) | Outcome::Ignored, Outcome::Duplicate] => {}
        others => panic!("{others:?}"),
    }
}
