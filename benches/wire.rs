//! What decoding, encoding and storing cost on one core: `cargo bench --bench wire`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use holdfast::domain::announce::{Announcement, AnnouncementBody};
use holdfast::domain::event::{Envelope, Trace};
use holdfast::domain::stock::{Counters, Level, Snapshot, Status};
use holdfast::domain::words::{StockKey, Timestamp};
use holdfast::ports::{Delivery, OutboxBatch, Position, Record};
use holdfast::wire::decode::{Decoded, Decoder, WriterSchemas};
use holdfast::wire::encode::Encoder;
use holdfast::wire::schemas::{KnownSchemas, SOURCES};
use holdfast::wire::stored::{decode_batch, encode_batch};
use holdfast::wire::topics::Topics;
use serde_json::{Value, json};

/// Events in one batch.
const BATCH: usize = 2_000;
/// How long each figure is measured.
const MEASURED: Duration = Duration::from_secs(1);

fn main() {
    let topics = Arc::new(Topics::new("", &BTreeMap::new(), "").expect("no name is mapped"));
    let schemas = Arc::new(KnownSchemas::load());
    let decoder = Decoder::new(topics.clone(), schemas.clone(), None, 2 << 20);
    for lines in [1, 10] {
        for (encoding, records) in [("avro", avro_orders(lines)), ("json", json_orders(lines))] {
            let each = measure(|| {
                for record in records.clone() {
                    black_box(decoder.decode(Delivery::Record(record), &WriterSchemas::default(), Timestamp(0)));
                }
            });
            report(&format!("decode {encoding}, {lines} lines an order, per line"), each / (BATCH * lines) as f64);
        }
        let records = avro_orders(lines);
        let copying = measure(|| drop(black_box(records.clone())));
        report(
            &format!("  of which copying the record for this loop, {lines} lines"),
            copying / (BATCH * lines) as f64,
        );
    }
    let batch = batch(&decoder);
    for (encoding, encoder) in
        [("avro", Encoder::avro(topics.clone(), "holdfast", &schemas)), ("json", Encoder::json(topics, "holdfast"))]
    {
        let each = measure(|| drop(black_box(encoder.encode(&batch))));
        report(&format!("encode stock-changed as {encoding}, per announcement"), each / BATCH as f64);
    }
    let stored = encode_batch(&batch.announcements, &[]);
    report(
        "stored form: write, per announcement",
        measure(|| drop(black_box(encode_batch(&batch.announcements, &[])))) / BATCH as f64,
    );
    report("stored form: read, per announcement", measure(|| drop(black_box(decode_batch(&stored)))) / BATCH as f64);
    println!("{:<62} {:>8.1} bytes", "stored form: size, per announcement", stored.len() as f64 / BATCH as f64);
}

fn report(what: &str, nanoseconds: f64) {
    println!("{what:<62} {nanoseconds:>8.0} ns");
}

/// Nanoseconds of one call: the best of several, because everything else only adds to it.
fn measure(mut call: impl FnMut()) -> f64 {
    let (start, mut best) = (Instant::now(), Duration::MAX);
    while start.elapsed() < MEASURED {
        let one = Instant::now();
        call();
        best = best.min(one.elapsed());
    }
    best.as_nanos() as f64
}

fn order(number: usize, lines: usize) -> Value {
    let line = |line: usize| json!({"sku": format!("SKU-{}", (number * 7 + line * 131) % 10_000), "location": null, "quantity": 2});
    json!({"order_id": format!("O-{number}"), "order_version": 1, "cart_id": null, "policy": null, "ttl_s": null,
        "lines": (0..lines).map(line).collect::<Vec<Value>>()})
}

fn record(number: usize, content_type: &str, payload: Vec<u8>) -> Record {
    let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
    let id = uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number as u128);
    Record {
        position: Position { topic: "order-created".into(), partition: 0, offset: number as i64 },
        key: Some(format!("O-{number}").into_bytes()),
        headers: vec![
            header("ce_specversion", "1.0"),
            header("ce_id", &id.to_string()),
            header("ce_source", "shop"),
            header("ce_type", "order-created"),
            header("ce_time", "2026-11-21T15:45:00.000000Z"),
            header("content-type", content_type),
        ],
        payload: Some(payload),
        timestamp: Some(Timestamp(0)),
    }
}

fn json_orders(lines: usize) -> Vec<Record> {
    (0..BATCH).map(|number| record(number, "application/json", order(number, lines).to_string().into_bytes())).collect()
}

fn avro_orders(lines: usize) -> Vec<Record> {
    let source = SOURCES.iter().find(|source| source.name == "order-created").expect("it is in the contract");
    let schema = Schema::parse_str(source.current).expect("it is a schema");
    let frame = [&[0xc3, 0x01][..], &schema.fingerprint::<Rabin>().bytes].concat();
    let payload = |number| {
        let value = apache_avro::to_value(order(number, lines)).and_then(|value| value.resolve(&schema));
        let datum = value.and_then(|value| apache_avro::to_avro_datum(&schema, value)).expect("it fits the schema");
        [&frame[..], &datum].concat()
    };
    (0..BATCH).map(|number| record(number, "application/avro", payload(number))).collect()
}

fn batch(decoder: &Decoder) -> OutboxBatch {
    let announcement = |(number, record): (usize, Record)| {
        let Decoded::Event(envelope, _) =
            decoder.decode(Delivery::Record(record), &WriterSchemas::default(), Timestamp(0))
        else {
            panic!("a good order was refused");
        };
        let Envelope { cause, .. } = *envelope;
        let counters = |on_hand| Counters { on_hand, cart_held: 0, order_reserved: 5, safety_stock: 0 };
        let snapshot = |on_hand| Snapshot { counters: counters(on_hand), status: Status::Active, level: Level::Normal };
        let key = StockKey::new(format!("SKU-{}", number * 7 % 10_000), "default");
        let body = AnnouncementBody::StockChanged { key, version: 17, before: snapshot(1_000), after: snapshot(998) };
        Announcement { cause, trace: Trace::default(), body }
    };
    let announcements = json_orders(1).into_iter().enumerate().map(announcement).collect();
    OutboxBatch {
        number: 1,
        first_seq: 1,
        recorded_at: Timestamp(1_795_275_900_000_000),
        announcements,
        dead_letters: Vec::new(),
    }
}
