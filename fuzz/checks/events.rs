//! Bytes of a bus: any record is an event or a dead letter with a reason, the same each time, any event can be judged, and
//! any dead letter buried. The bits of an input's first byte say what its record has around the body and what shop it comes
//! to ([`super::shop`]); a digit does for an input of text.

use std::collections::BTreeSet;
use std::sync::Arc;

use holdfast::domain::event::EventType;
use holdfast::domain::words::Timestamp;
use holdfast::ports::{DeadLetter, Delivery, Entry, Header, OutboxBatch, OutputRecord, Position, Record};
use holdfast::wire::cloudevents::STRUCTURED;
use holdfast::wire::decode::{Decoded, Decoder, WriterSchemas};
use holdfast::wire::encode::Encoder;
use holdfast::wire::schemas::{KnownSchemas, SOURCES};
use holdfast::wire::sequence::sequence_of;
use holdfast::wire::stored;
use holdfast::wire::topics::{OutputType, Topics};
use serde_json::{Map, Value};

use super::shop::Shop;

/// When everything is read: 2026-11-21T00:00:00Z.
pub(super) const NOW: Timestamp = Timestamp(1_795_219_200_000_000);
/// The id under which the registry of [`avro`] knows a schema.
const SCHEMA_ID: u32 = 7;

/// Most schemas that a registry is asked for because of one.
const MAX_REFERENCES: usize = 64;
/// Bits of the first byte: the record has a key.
const HAS_KEY: u8 = 1;
/// It has no body.
const NO_BODY: u8 = 2;
/// The broker gave it no timestamp.
const NO_TIMESTAMP: u8 = 4;
/// The first of its headers has no value.
const NO_VALUE: u8 = 8;
/// No text, and with a NUL: what a key may be.
const KEY: &[u8] = b"k\0\xff";
/// What a dead letter may take here: more than its own headers ever do, and less than many inputs.
const LETTER_BYTES: usize = 2_500;
/// What is allowed for a record and for each of its headers besides their bytes.
const RECORD_FRAME_BYTES: usize = 64;
const HEADER_FRAME_BYTES: usize = 16;

/// Reads and buries; made once a thread, since parsing the schemas takes longer than reading an event.
struct Reader {
    decoder: Decoder,
    encoder: Encoder,
    shop: Shop,
    schemas: Arc<KnownSchemas>,
}

thread_local! {
    static READER: Reader = {
        let topics = Arc::new(Topics::new("", &Default::default(), "").expect("the default names should do"));
        let schemas = Arc::new(KnownSchemas::load());
        let encoder = Encoder::json(topics.clone(), "holdfast");
        let shop = Shop::new(&topics, &schemas);
        Reader { decoder: Decoder::new(topics, schemas.clone(), None, 1 << 20), encoder, shop, schemas }
    };
}

/// A plain JSON body on the topic that the second byte picks.
pub fn json(input: &[u8]) -> bool {
    let [shape, choice, body @ ..] = input else { return false };
    let topic = EventType::INPUT[usize::from(*choice) % EventType::INPUT.len()].as_str();
    read(*shape, record(*shape, topic, vec![header("ce_id", b"E-1")], body.to_vec()), &WriterSchemas::default())
}

/// A whole CloudEvent as JSON.
pub fn structured(input: &[u8]) -> bool {
    let Some((shape, body)) = input.split_first() else { return false };
    let headers = vec![header("content-type", STRUCTURED.as_bytes())];
    read(*shape, record(*shape, "order-created", headers, body.to_vec()), &WriterSchemas::default())
}

/// Lines of headers, a name and a value with a colon between them or a name alone, an empty line, and a body.
pub fn headers(input: &[u8]) -> bool {
    let Some((shape, rest)) = input.split_first() else { return false };
    let (head, body) = split(rest, b"\n\n");
    let line = |line: &[u8]| {
        let (name, value) = split(line, b":");
        let has_value = name.len() < line.len();
        (String::from_utf8_lossy(name).into_owned(), has_value.then(|| value.to_vec()))
    };
    let headers: Vec<Header> = head.split(|byte| *byte == b'\n').map(line).collect();
    read(*shape, record(*shape, "order-created", headers, body.to_vec()), &WriterSchemas::default())
}

/// A datum in the framing and under the schema that the second byte picks.
pub fn avro(input: &[u8]) -> bool {
    let [shape, choice, datum @ ..] = input else { return false };
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
    read(*shape, record(*shape, source.name, vec![header("ce_id", b"E-1")], body), &schemas)
}

/// A schema as a registry may answer it, perhaps with others that it refers to behind lines of `---`, a NUL, and a datum
/// that was written with it.
pub fn writer_schema(input: &[u8]) -> bool {
    let Some((shape, rest)) = input.split_first() else { return false };
    let (schema, datum) = split(rest, b"\0");
    let Ok(texts) = std::str::from_utf8(schema) else { return false };
    let mut texts = texts.split("\n---\n").map(str::to_owned);
    let schema = texts.next().unwrap_or_default();
    let references: Vec<String> = texts.collect();
    let mut schemas = WriterSchemas::default();
    schemas.insert(SCHEMA_ID, &schema, &references);
    let mut body = vec![0];
    body.extend(SCHEMA_ID.to_be_bytes());
    body.extend(datum);
    read(*shape, record(*shape, "order-created", vec![header("ce_id", b"E-1")], body), &schemas)
}

/// What a registry answers to an id, answers to what that refers to behind lines of `---`, each by its place from 1 on as
/// its version, a NUL, and a datum.
pub fn registry_answer(input: &[u8]) -> bool {
    let Some((shape, rest)) = input.split_first() else { return false };
    let (answers, datum) = split(rest, b"\0");
    let (answer, mut others) = split(answers, b"\n---\n");
    let mut references = Vec::new();
    while !others.is_empty() {
        let (reference, behind) = split(others, b"\n---\n");
        references.push(reference);
        others = behind;
    }
    let mut asked = Vec::new();
    let mut heard = vec![answer];
    let mut schemas = WriterSchemas::default();
    let inserted = schemas.insert_answer(SCHEMA_ID, answer, |subject, version| {
        asked.push((subject.to_owned(), version));
        let known = *references.get(usize::try_from(version).ok()?.checked_sub(1)?)?;
        heard.push(known);
        Some(known.to_vec())
    });
    assert!(asked.len() <= MAX_REFERENCES, "{} schemas were asked for", asked.len());
    assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), asked.len(), "one was asked for twice: {asked:?}");
    let is_object = |bytes: &&[u8]| serde_json::from_slice::<Map<String, Value>>(bytes).is_ok();
    assert_eq!(inserted.is_ok(), heard.iter().all(is_object), "only what is no object passes");
    if inserted.is_err() {
        return false;
    }
    let mut body = vec![0];
    body.extend(SCHEMA_ID.to_be_bytes());
    body.extend(datum);
    let record = record(*shape, "order-created", vec![header("ce_id", b"E-1")], body);
    let said: Value = serde_json::from_slice(answer).expect("it is an object");
    let is_avro =
        said["schemaType"].is_null() || said["schemaType"].as_str().is_some_and(|it| it.eq_ignore_ascii_case("avro"));
    match said["schema"].as_str() {
        Some(text) if is_avro && said.get("references").is_none() => {
            let mut plain = WriterSchemas::default();
            plain.insert(SCHEMA_ID, text, &[]);
            assert_same(&decode(&record, &schemas), &decode(&record, &plain));
        }
        Some(_) if is_avro => {}
        // Without a schema there is no event, whatever the datum is.
        _ => assert!(matches!(decode(&record, &schemas), Entry::DeadLetter(_))),
    }
    read(*shape, record, &schemas)
}

/// A body of ours in the framing and under the schema that the first byte picks: the number that is found without reading
/// all of it is the one that stands in it.
pub fn published(input: &[u8]) -> bool {
    let Some((choice, datum)) = input.split_first() else { return false };
    let output = OutputType::ALL[usize::from(choice >> 4) % OutputType::ALL.len()].as_str();
    let mut schemas = WriterSchemas::default();
    let mut body = Vec::with_capacity(datum.len() + 10);
    match choice % 3 {
        0 => {}
        1 => {
            let fingerprint = READER.with(|reader| reader.schemas.fingerprint(output));
            body.extend([0xc3, 0x01]);
            body.extend(fingerprint.expect("every schema has a fingerprint"));
        }
        _ => {
            let source = SOURCES.iter().find(|source| source.name == output).expect("every type has a schema");
            schemas.insert(SCHEMA_ID, source.current, &[]);
            body.push(0);
            body.extend(SCHEMA_ID.to_be_bytes());
        }
    }
    body.extend(datum);
    let found = sequence_of(&body);
    assert!(found.is_none_or(|seq| seq > 0), "{found:?}");
    let record = record(0, output, Vec::new(), body);
    let Ok(whole) = READER.with(|reader| reader.decoder.structured(&record, &schemas)) else { return false };
    let body = record.payload.as_deref().unwrap_or_default();
    // What we publish has no space before its object and no name twice: such a body has no number of ours.
    let is_json = choice % 3 == 0;
    let may_name_it_twice = || body.contains(&b'\\') || body.windows(5).filter(|it| it == b"\"seq\"").count() > 1;
    let is_no_body_of_ours = is_json && (body.first() != Some(&b'{') || may_name_it_twice());
    let expected = whole["data"]["seq"].as_i64().filter(|seq| *seq > 0);
    assert!(found == expected || (found.is_none() && is_no_body_of_ours), "{found:?} in {whole}");
    found.is_some()
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

fn record(shape: u8, topic: &str, mut headers: Vec<Header>, payload: Vec<u8>) -> Record {
    if shape & NO_VALUE != 0
        && let Some((_, value)) = headers.first_mut()
    {
        *value = None;
    }
    Record {
        position: Position { topic: topic.into(), partition: 0, offset: 1 },
        key: (shape & HAS_KEY != 0).then(|| KEY.to_vec()),
        headers,
        payload: (shape & NO_BODY == 0).then_some(payload),
        timestamp: (shape & NO_TIMESTAMP == 0).then_some(NOW),
    }
}

fn decode(record: &Record, schemas: &WriterSchemas) -> Entry {
    let decoded = READER.with(|reader| reader.decoder.decode(Delivery::Record(record.clone()), schemas, NOW));
    match decoded {
        Decoded::Event(envelope, record) => Entry::Event { envelope, record: record.map(Box::new) },
        Decoded::DeadLetter(letter) => Entry::DeadLetter(Box::new(letter)),
    }
}

fn assert_same(one: &Entry, other: &Entry) {
    match (one, other) {
        (Entry::Event { envelope, record }, Entry::Event { envelope: again, record: its }) => {
            assert_eq!((envelope, record), (again, its));
        }
        (Entry::DeadLetter(letter), Entry::DeadLetter(again)) => assert_eq!(letter, again),
        (Entry::Event { .. }, Entry::DeadLetter(_)) | (Entry::DeadLetter(_), Entry::Event { .. }) => {
            panic!("one reading is an event and the other is not: {one:?}, {other:?}")
        }
    }
}

/// Reads a record twice and judges it: both readings agree, a dead letter says why and keeps the record as it came, and
/// an event ends in one of the contract's ways.
fn read(shape: u8, record: Record, schemas: &WriterSchemas) -> bool {
    let (first, second) = (decode(&record, schemas), decode(&record, schemas));
    assert_same(&first, &second);
    if let Entry::DeadLetter(letter) = &first {
        assert_eq!(letter.record, record);
        assert!(!letter.detail.is_empty() && !letter.detail.contains('\0'), "{:?}", letter.detail);
        bury(letter);
        return false;
    }
    let buried = READER.with(|reader| reader.shop.judge(shape, first, second));
    assert!(buried.iter().all(|letter| letter.record == record));
    buried.iter().for_each(bury);
    true
}

/// Keeps a dead letter as a store does, and publishes it within a limit: whole where it fits, else cut and said so.
fn bury(letter: &DeadLetter) {
    let letters = [letter.clone()];
    let (_, kept) = stored::decode_batch(&stored::encode_batch(&[], &letters)).expect("it was just written");
    assert_eq!(kept, letters);
    let batch =
        OutboxBatch { number: 1, first_seq: 1, recorded_at: NOW, announcements: Vec::new(), dead_letters: kept };
    let published = READER.with(|reader| reader.encoder.encode_within(&batch, LETTER_BYTES));
    let [buried] = published.as_slice() else { panic!("one letter is one record: {published:?}") };
    assert!(size_of(buried) <= LETTER_BYTES, "{} bytes: {buried:?}", size_of(buried));
    let Record { key, headers, payload, .. } = &letter.record;
    let is_whole = buried.headers.starts_with(headers) && (&buried.key, &buried.payload) == (key, payload);
    let said = buried.headers.iter().rev().find(|(name, _)| name == "dead-letter-detail");
    let said = said.and_then(|(_, value)| value.as_deref()).expect("a dead letter says why");
    let says_cut =
        said.len() > letter.detail.len() && String::from_utf8_lossy(said).contains("too large for the topic");
    assert!(is_whole != says_cut, "whole {is_whole}, said {:?}", String::from_utf8_lossy(said));
    let body = payload.as_deref().unwrap_or_default();
    assert!(body.starts_with(buried.payload.as_deref().unwrap_or_default()), "what is cut is cut at its end");
}

/// What a broker takes a record to be, at most.
fn size_of(record: &OutputRecord) -> usize {
    let part = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
    let headers = record.headers.iter().map(|(name, value)| HEADER_FRAME_BYTES + name.len() + part(value));
    RECORD_FRAME_BYTES + part(&record.key) + part(&record.payload) + headers.sum::<usize>()
}
