//! What is published: bodies, headers, keys, ids, and how a subscriber reads it back.

use std::collections::BTreeMap;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::types::Value as AvroValue;
use holdfast::domain::announce::{
    Announcement, AnnouncementBody, Answer, AnswerKind, AnswerLine, AnswerOutcome, Reason,
};
use holdfast::domain::claim::ClaimState;
use holdfast::domain::event::{Cause, EventType, Trace};
use holdfast::domain::stock::{Counters, Level, Snapshot, Status};
use holdfast::domain::words::{StockKey, Timestamp};
use holdfast::ports::{DeadLetter, DeadLetterReason, Header, OutboxBatch, OutputRecord, Position, Record};
use holdfast::wire::encode::{Encoder, answer_json};
use holdfast::wire::instant;
use holdfast::wire::schemas::{KnownSchemas, SOURCES};
use holdfast::wire::shown::Showcase;
use holdfast::wire::topics::Topics;
use serde_json::{Value, json};

use super::{decoder, record, schema, topics};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

pub(super) fn cause(id: &str, reference: Option<&str>) -> Arc<Cause> {
    Arc::new(Cause {
        event_type: EventType::OrderCreated,
        id: id.into(),
        source: "shop".into(),
        reference: reference.map(Into::into),
    })
}

fn snapshot(on_hand: i64, order_reserved: i64, level: Level) -> Snapshot {
    let counters = Counters { on_hand, cart_held: 2, order_reserved, safety_stock: 1 };
    Snapshot { counters, status: Status::Active, level }
}

fn stock_changed(cause: &Arc<Cause>, sku: &str) -> Announcement {
    let (before, after) = (snapshot(10, 3, Level::Normal), snapshot(10, 7, Level::Out));
    let key = StockKey::new(sku, "default");
    let trace = Trace { parent: Some(PARENT.into()), state: Some("a=b".into()) };
    Announcement {
        cause: cause.clone(),
        trace,
        body: AnnouncementBody::StockChanged { key, version: 5, before, after },
    }
}

fn low_stock(cause: &Arc<Cause>, sku: &str) -> Announcement {
    let body = AnnouncementBody::LowStock {
        key: StockKey::new(sku, "default"),
        version: 5,
        level: Level::Out,
        previous_level: Level::Normal,
        available: 0,
        warning_threshold: 5,
        critical_threshold: 2,
    };
    Announcement { cause: cause.clone(), trace: Trace::default(), body }
}

pub(super) fn answer(state: Option<ClaimState>, reason: Option<Reason>) -> Answer {
    let line = |sku, reason: Option<Reason>| AnswerLine {
        key: StockKey::new(sku, "default"),
        requested: 5,
        granted: 4,
        available: 4,
        reason,
        waiting: i64::from(reason.is_some()),
    };
    Answer {
        kind: state.map_or(AnswerKind::Stock, |_| AnswerKind::Order),
        reference: "O-1".into(),
        request_version: reason.map(|_| 3),
        outcome: AnswerOutcome::Partial,
        state,
        reason,
        lines: vec![line("A", reason), line("B", None)],
        expires_at: reason.map(|_| Timestamp(1_795_275_900_000_001)),
    }
}

fn announced(cause: &Arc<Cause>, answer: Answer) -> Announcement {
    Announcement { cause: cause.clone(), trace: Trace::default(), body: AnnouncementBody::ReservationResult(answer) }
}

fn batch(announcements: Vec<Announcement>) -> OutboxBatch {
    let recorded_at = instant::parse("2026-11-21T15:45:00.000007Z").unwrap();
    OutboxBatch { number: 9, first_seq: 100, recorded_at, announcements, dead_letters: Vec::new() }
}

pub(super) fn everything() -> OutboxBatch {
    let cause = cause("e-1", Some("O-1"));
    let plain = Arc::new(Cause { reference: None, ..(*cause).clone() });
    batch(vec![
        stock_changed(&cause, "A"),
        low_stock(&cause, "A"),
        announced(&cause, answer(Some(ClaimState::Reserved), Some(Reason::InsufficientStock))),
        announced(&plain, answer(None, None)),
    ])
}

fn encoders() -> [Encoder; 2] {
    [Encoder::json(topics(), "holdfast"), Encoder::avro(topics(), "holdfast", &KnownSchemas::load())]
}

fn header<'r>(headers: &'r [Header], name: &str) -> Option<&'r str> {
    let (_, value) = headers.iter().find(|(other, _)| other == name)?;
    std::str::from_utf8(value.as_deref()?).ok()
}

fn body(record: &OutputRecord) -> Value {
    serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap()
}

/// A datum as an independent library reads it; its nulls are left out, as JSON leaves them out.
fn independent(schema: &Schema, datum: &[u8]) -> Value {
    let mut rest = datum;
    let value = apache_avro::from_avro_datum(schema, &mut rest, None).unwrap();
    assert!(rest.is_empty(), "bytes follow the datum");
    plain(value)
}

fn plain(value: AvroValue) -> Value {
    match value {
        AvroValue::Union(_, inner) => plain(*inner),
        AvroValue::Record(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, plain(value)));
            Value::Object(fields.filter(|(_, value)| !value.is_null()).collect())
        }
        AvroValue::Array(items) => items.into_iter().map(plain).collect(),
        AvroValue::TimestampMicros(instant) => json!(instant::format(Timestamp(instant))),
        other => Value::try_from(other).unwrap(),
    }
}

#[test]
fn bodies_in_json_are_exactly_the_contract() {
    let records = encoders()[0].encode(&everything());
    let cause = r#""cause":{"type":"order-created","id":"e-1","source":"shop","reference":"O-1"}"#;
    let recorded = r#""recorded_at":"2026-11-21T15:45:00.000007Z""#;
    let expected = [
        format!(
            r#"{{"seq":100,"sku":"A","location":"default","version":5,{cause},"change":{{"on_hand":0,"cart_held":0,"order_reserved":4,"safety_stock":0}},"before":{{"on_hand":10,"cart_held":2,"order_reserved":3,"reserved":5,"safety_stock":1,"available":4,"status":"active","level":"normal"}},"after":{{"on_hand":10,"cart_held":2,"order_reserved":7,"reserved":9,"safety_stock":1,"available":0,"status":"active","level":"out"}},{recorded}}}"#
        ),
        format!(
            r#"{{"seq":101,"sku":"A","location":"default","version":5,"level":"out","previous_level":"normal","available":0,"warning_threshold":5,"critical_threshold":2,{cause},{recorded}}}"#
        ),
        format!(
            r#"{{"seq":102,"kind":"order","reference":"O-1","request_version":3,"outcome":"partial","state":"reserved","reason":"insufficient_stock","lines":[{{"sku":"A","location":"default","requested":5,"granted":4,"available":4,"reason":"insufficient_stock","waiting":1}},{{"sku":"B","location":"default","requested":5,"granted":4,"available":4}}],"expires_at":"2026-11-21T15:45:00.000001Z",{cause},{recorded}}}"#
        ),
        format!(
            r#"{{"seq":103,"kind":"stock","reference":"O-1","outcome":"partial","state":"partial","lines":[{{"sku":"A","location":"default","requested":5,"granted":4,"available":4}},{{"sku":"B","location":"default","requested":5,"granted":4,"available":4}}],"cause":{{"type":"order-created","id":"e-1","source":"shop"}},{recorded}}}"#
        ),
    ];
    let texts: Vec<String> =
        records.iter().map(|record| String::from_utf8(record.payload.clone().unwrap()).unwrap()).collect();
    assert_eq!(texts, expected);
}

#[test]
fn bodies_have_the_fields_of_their_schema_in_order() {
    fn check(schema: &Value, body: &Value, named: &mut BTreeMap<String, Value>) {
        let schema = match schema {
            Value::Array(union) => &union[1],
            Value::String(name) if named.contains_key(name) => &named[name].clone(),
            other => other,
        };
        if schema["type"] == "array" {
            body.as_array().unwrap().iter().for_each(|item| check(&schema["items"], item, named));
        }
        if schema["type"] != "record" {
            return;
        }
        named.insert(format!("holdfast.v1.{}", schema["name"].as_str().unwrap()), schema.clone());
        let mut present = body.as_object().unwrap().iter().peekable();
        for field in schema["fields"].as_array().unwrap() {
            match present.next_if(|(name, _)| *name == field["name"].as_str().unwrap()) {
                Some((_, value)) => check(&field["type"], value, named),
                None => assert_eq!(field["type"][0], "null", "{field} is missing"),
            }
        }
        assert_eq!(present.next(), None, "not in the schema, or out of order");
    }
    for record in encoders()[0].encode(&everything()) {
        let source = SOURCES.iter().find(|source| source.name == &*record.topic).unwrap();
        check(&serde_json::from_str(source.current).unwrap(), &body(&record), &mut BTreeMap::new());
    }
}

#[test]
fn bodies_in_avro_say_the_same_as_in_json() {
    let [json, avro] = encoders().map(|encoder| encoder.encode(&everything()));
    assert_eq!(json.len(), 4);
    for (from_json, from_avro) in json.iter().zip(&avro) {
        let schema = schema(&from_avro.topic);
        let payload = from_avro.payload.as_deref().unwrap();
        assert_eq!(payload[..2], [0xc3, 0x01]);
        assert_eq!(payload[2..10], schema.fingerprint::<apache_avro::rabin::Rabin>().bytes);
        assert_eq!(independent(&schema, &payload[10..]), body(from_json));
        assert_eq!((&from_json.topic, &from_json.key), (&from_avro.topic, &from_avro.key));
    }
}

#[test]
fn headers_keys_and_topics_are_those_of_the_contract() {
    let names = BTreeMap::from([("low-stock".to_owned(), "alerts".to_owned())]);
    let topics = Arc::new(Topics::new("eu.", &names, "com.shop.").unwrap());
    let records = Encoder::json(topics, "/holdfast/1").encode(&everything());
    let of =
        |record: &OutputRecord| (record.topic.to_string(), String::from_utf8(record.key.clone().unwrap()).unwrap());
    let topics_and_keys: Vec<(String, String)> = records.iter().map(of).collect();
    let expected = [("eu.stock-changed", "A"), ("eu.alerts", "A"), ("eu.reservation-result", "O-1")];
    assert_eq!(topics_and_keys[..3], expected.map(|(topic, key)| (topic.to_owned(), key.to_owned())));
    let [first, second, ..] = &records[..] else { panic!() };
    assert_eq!(first.timestamp, everything().recorded_at);
    for (name, value) in [
        ("ce_specversion", "1.0"),
        ("ce_source", "/holdfast/1"),
        ("ce_type", "com.shop.stock-changed"),
        ("ce_time", "2026-11-21T15:45:00.000007Z"),
        ("content-type", "application/json"),
        ("traceparent", PARENT),
        ("tracestate", "a=b"),
    ] {
        assert_eq!(header(&first.headers, name), Some(value), "{name}");
    }
    let id: uuid::Uuid = header(&first.headers, "ce_id").unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 8);
    assert_eq!(header(&second.headers, "ce_type"), Some("com.shop.low-stock"), "the type is the unmapped name");
    assert_eq!(header(&second.headers, "traceparent"), None);
    assert_eq!(header(&encoders()[1].encode(&everything())[0].headers, "content-type"), Some("application/avro"));
}

#[test]
fn ids_follow_from_the_cause_and_the_row() {
    let ids = |batch: &OutboxBatch| -> Vec<String> {
        let records = encoders()[0].encode(batch);
        records.iter().map(|record| header(&record.headers, "ce_id").unwrap().to_owned()).collect()
    };
    let first = ids(&everything());
    let again = OutboxBatch { number: 77, first_seq: 1_000, recorded_at: Timestamp(0), ..everything() };
    assert_eq!(ids(&again), first, "a second publication has the same ids");
    assert_eq!(first[0], "4dc03998-7693-8548-a4b0-02d986d57ed3", "ids must not change between releases");
    let (one, other) = (cause("e-1", Some("O-1")), cause("e-2", Some("O-1")));
    let cart = Answer { kind: AnswerKind::Cart, ..answer(Some(ClaimState::Held), None) };
    let mut all = ids(&batch(vec![
        stock_changed(&one, "A"),
        stock_changed(&one, "B"),
        stock_changed(&other, "A"),
        low_stock(&one, "A"),
        announced(&one, answer(Some(ClaimState::Reserved), None)),
        announced(&one, cart),
    ]));
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 6, "different facts have different ids");
}

#[test]
fn dead_letters_keep_what_came_and_say_why() {
    let original = Record {
        position: Position { topic: "order-created".into(), partition: 3, offset: 42 },
        key: Some(vec![0xff, 1]),
        headers: vec![("ce_id".to_owned(), None), ("x".to_owned(), Some(vec![0xfe]))],
        payload: Some(vec![0, 1, 2]),
        timestamp: None,
    };
    let detail = "order_id is missing".into();
    let letter = DeadLetter { record: original.clone(), reason: DeadLetterReason::MissingKeyField, detail };
    let tombstone = DeadLetter { record: Record { payload: None, key: None, ..original.clone() }, ..letter.clone() };
    let batch = OutboxBatch { dead_letters: vec![letter, tombstone], ..everything() };
    for encoder in encoders() {
        let records = encoder.encode(&batch);
        let [.., letter, tombstone] = &records[..] else { panic!() };
        assert_eq!(records.len(), 6);
        assert_eq!(&*letter.topic, "inventory-dead-letters");
        assert_eq!((&letter.key, &letter.payload), (&original.key, &original.payload));
        assert_eq!(letter.headers[..2], original.headers);
        let added: Vec<(&str, &str)> = letter.headers[2..]
            .iter()
            .map(|(name, _)| (name.as_str(), header(&letter.headers, name).unwrap()))
            .collect();
        assert_eq!(
            added,
            [
                ("dead-letter-reason", "missing_key_field"),
                ("dead-letter-detail", "order_id is missing"),
                ("dead-letter-topic", "order-created"),
                ("dead-letter-partition", "3"),
                ("dead-letter-offset", "42"),
                ("dead-letter-time", "2026-11-21T15:45:00.000007Z"),
            ]
        );
        assert_eq!((&tombstone.key, &tombstone.payload), (&None, &None));
    }
}

#[test]
fn what_is_published_reads_back_as_structured_events() {
    let [json, avro] = encoders().map(|encoder| encoder.encode(&everything()));
    let read = |output: &OutputRecord| {
        let mut input = record(&output.topic, &[], output.payload.clone().unwrap());
        input.headers = output.headers.clone();
        decoder().structured(&input, &Default::default()).unwrap()
    };
    for (from_json, from_avro) in json.iter().zip(&avro) {
        let event = read(from_avro);
        assert_eq!(event.to_string(), read(from_json).to_string(), "also the order of fields");
        assert_eq!(event["data"], body(from_json));
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["id"], header(&from_json.headers, "ce_id").unwrap());
        assert_eq!(event["type"], &*from_json.topic);
        assert_eq!(event["time"], "2026-11-21T15:45:00.000007Z");
        assert_eq!(event.get("traceparent").and_then(Value::as_str), header(&from_json.headers, "traceparent"));
    }
}

#[test]
fn a_stream_shows_an_event_as_its_record_reads() {
    let topics =
        Topics::new("eu.", &BTreeMap::from([("low-stock".to_owned(), "alerts".to_owned())]), "com.shop").unwrap();
    let shown = Showcase::new(&topics, "elsewhere").show(&everything());
    let records = Encoder::json(Arc::new(topics), "elsewhere").encode(&everything());
    assert!(shown.len() >= 3);
    for (event, output) in shown.iter().zip(&records) {
        let mut input = record(&output.topic, &[], output.payload.clone().unwrap());
        input.headers = output.headers.clone();
        assert_eq!(event.text, decoder().structured(&input, &Default::default()).unwrap().to_string());
        assert_eq!(json!(event.seq), body(output)["seq"]);
    }
}

#[test]
fn an_answer_is_shown_as_it_was_published() {
    let cause = cause("e-1", Some("O-1"));
    let published = &encoders()[0].encode(&everything())[2];
    let answer = answer(Some(ClaimState::Reserved), Some(Reason::InsufficientStock));
    let recorded_at = everything().recorded_at;
    assert_eq!(answer_json(&answer, &cause, recorded_at, Some(102)), body(published));
    let mut without_number = body(published);
    without_number.as_object_mut().unwrap().shift_remove("seq");
    assert_eq!(answer_json(&answer, &cause, recorded_at, None), without_number);
}
