//! What becomes an event, and what a dead letter and why.

use holdfast::domain::event::{Event, EventKey, EventType, Policy};
use holdfast::domain::stock::Status;
use holdfast::domain::words::{Day, Line, Reference, StockKey, Timestamp};
use holdfast::ports::DeadLetterReason::{
    self, InvalidField, InvalidQuantity, MissingId, MissingKeyField, TooLarge, Undecodable, UnknownSchema, UnknownType,
};
use holdfast::wire::identity::event_key;
use holdfast::wire::instant;
use proptest::prelude::{any, prop, proptest};
use serde_json::{Value, json};

use super::{MAX_EVENT_BYTES, RECEIVED_AT, datum, decode, decode_with, decoder, event, record, schema, single_object};

const ORDER: &str = r#"{"order_id":"O-1","lines":[{"sku":"A","quantity":2}]}"#;
const STRUCTURED: &[(&str, &str)] = &[("content-type", "application/cloudevents+json; charset=UTF-8")];

fn lines(event: &Event) -> &[Line] {
    match event {
        Event::OrderCreated(event) => &event.lines,
        Event::CartUpdated(event) => &event.lines,
        Event::StockReceived(event) => &event.lines,
        other => panic!("{other:?} has no lines"),
    }
}

fn line(sku: &str, quantity: i64) -> Line {
    Line { key: StockKey::new(sku, "default"), quantity }
}

fn reason(record: holdfast::ports::Record) -> DeadLetterReason {
    let original = record.clone();
    let letter = decode(record).expect_err("should be a dead letter");
    assert_eq!(letter.record, original, "a dead letter keeps the record as it came");
    assert!(letter.detail.len() < 400, "{}", letter.detail);
    letter.reason
}

#[test]
fn every_input_event_is_read_in_full() {
    let read = |topic, body| decode(event(topic, body)).unwrap().event;
    let body = r#"{"order_id":"O-1","order_version":3,"cart_id":"C-1","policy":"partial","ttl_s":60,
        "lines":[{"sku":"A","quantity":2},{"sku":17,"location":"north","quantity":"3"}],"colour":"blue"}"#;
    let Event::OrderCreated(order) = read("order-created", body) else { panic!() };
    assert_eq!((order.order.as_str(), order.version), ("O-1", Some(3)));
    assert_eq!((order.cart, order.policy, order.ttl_seconds), (Some("C-1".into()), Policy::Partial, Some(60)));
    assert_eq!(order.lines, [line("A", 2), Line { key: StockKey::new("17", "north"), quantity: 3 }]);

    let Event::CartUpdated(cart) = read("cart-updated", r#"{"cart_id":"C-1","cart_version":0,"lines":[]}"#) else {
        panic!()
    };
    assert_eq!((cart.version, cart.ttl_seconds, cart.lines.len()), (Some(0), None, 0));

    let body = r#"{"order_id":"O-1","order_version":null,"reason":"","lines":[{"sku":"A","quantity":1}]}"#;
    let Event::OrderCancelled(cancel) = read("order-cancelled", body) else { panic!() };
    assert_eq!((cancel.version, cancel.reason.as_deref()), (None, Some("")));
    assert_eq!(cancel.lines, Some(vec![line("A", 1)]));
    let Event::OrderCancelled(cancel) = read("order-cancelled", r#"{"order_id":"O-1"}"#) else { panic!() };
    assert_eq!(cancel.lines, None);

    assert_eq!(
        read("order-confirmed", r#"{"order_id":"O-1"}"#),
        Event::OrderConfirmed { order: Reference::from("O-1") }
    );
    let Event::OrderShipped(shipped) = read("order-shipped", r#"{"order_id":"O-1","shipment_id":"S-1"}"#) else {
        panic!()
    };
    assert_eq!((shipped.shipment.as_str(), shipped.lines), ("S-1", None));

    let body = r#"{"sku":"A","name":"Ä","safety_stock":0,"warning_threshold":"10","critical_threshold":2,
        "max_stock":2147483647,"status":"locked","initial":0,"sku_version":9}"#;
    let Event::SkuRegistered(sku) = read("sku-registered", body) else { panic!() };
    assert_eq!((sku.key, sku.name.as_deref()), (StockKey::new("A", "default"), Some("Ä")));
    assert_eq!((sku.safety_stock, sku.warning_threshold, sku.critical_threshold), (Some(0), Some(10), Some(2)));
    assert_eq!((sku.max_stock, sku.status), (Some(2_147_483_647), Some(Status::Locked)));
    assert_eq!((sku.initial, sku.version), (Some(0), Some(9)));

    let read = read("stock-received", r#"{"receipt_id":"R-1","lines":[{"sku":"A","quantity":2147483647}]}"#);
    assert_eq!(lines(&read), [line("A", 2_147_483_647)]);
}

#[test]
fn the_envelope_stands_in_headers_of_either_prefix_and_any_case() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for prefix in ["ce_", "ce-", "CE_", "Ce-"] {
        let name = |attribute: &str| format!("{prefix}{attribute}");
        let headers = [
            (name("SpecVersion"), "1.0"),
            (name("id"), "e-7"),
            (name("source"), "/shop"),
            (name("type"), "com.shop.order-confirmed"),
            (name("time"), "2026-11-20T10:00:00.5+01:00"),
            ("TraceParent".to_owned(), parent),
            ("tracestate".to_owned(), "a=b"),
            ("Content-Type".to_owned(), "application/json"),
        ];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let envelope = decode(record("order-created", &headers, r#"{"order_id":"O-1"}"#)).unwrap();
        assert_eq!(envelope.cause.event_type, EventType::OrderConfirmed, "the event's own type decides");
        assert_eq!((&*envelope.cause.id, &*envelope.cause.source), ("e-7", "/shop"));
        assert_eq!(envelope.cause.reference, Some("O-1".into()));
        assert_eq!(envelope.time, instant::parse("2026-11-20T09:00:00.5Z"));
        assert_eq!((envelope.trace.parent.as_deref(), envelope.trace.state.as_deref()), (Some(parent), Some("a=b")));
    }
}

#[test]
fn the_envelope_stands_in_a_structured_body() {
    let data = json!({"order_id": "O-1", "lines": [{"sku": "A", "quantity": 2}]});
    let mut structured = json!({"specversion": "1.0", "id": "e-1", "source": "shop", "type": "a.b.order-created",
        "time": "2026-11-20T10:00:00Z", "traceparent": "00-1", "datacontenttype": "application/json", "data": data});
    let plain = decode(event("order-created", &data.to_string())).unwrap();
    let from_json = decode(record("anything", STRUCTURED, structured.to_string())).unwrap();
    assert_eq!(from_json.event, plain.event);
    assert_eq!(from_json.fingerprint, plain.fingerprint);
    assert_eq!(from_json.trace.parent.as_deref(), Some("00-1"));
    assert_eq!(from_json.time, instant::parse("2026-11-20T10:00:00Z"));

    let object = structured.as_object_mut().unwrap();
    object.remove("data");
    object.insert("data_base64".to_owned(), base64(&single_object("order-created", &data)).into());
    let from_avro = decode(record("anything", STRUCTURED, structured.to_string())).unwrap();
    assert_eq!((from_avro.event, from_avro.fingerprint), (plain.event, plain.fingerprint));
}

#[test]
fn the_envelope_stands_in_the_body_itself() {
    let body = r#"{"event_id":"e-9","event_time":"2026-11-20T10:00:00Z","event_source":"till","order_id":"O-1"}"#;
    let envelope = decode(record("order-confirmed", &[], body)).unwrap();
    assert_eq!((&*envelope.cause.id, &*envelope.cause.source), ("e-9", "till"));
    assert_eq!(envelope.time, instant::parse("2026-11-20T10:00:00Z"));
    // What the headers say comes before what the body says; where nobody says it, the topic is the source.
    let body = r#"{"event_id":"e-9","order_id":"O-1"}"#;
    let envelope = decode(record("order-confirmed", &[("ce_id", "e-10")], body)).unwrap();
    assert_eq!((&*envelope.cause.id, &*envelope.cause.source), ("e-10", "order-confirmed"));
}

#[test]
fn the_day_is_that_of_the_id_then_of_the_event_then_of_the_broker_then_of_receipt() {
    let day = |id: &str, time: Option<&str>, broker: Option<Timestamp>| {
        let mut headers = vec![("ce_id", id)];
        headers.extend(time.map(|time| ("ce_time", time)));
        let mut record = record("order-confirmed", &headers, r#"{"order_id":"O-1"}"#);
        record.timestamp = broker;
        let envelope = decode(record).unwrap();
        (envelope.day, envelope.time)
    };
    let (time, broker) = (Some("2026-11-02T00:00:00Z"), instant::parse("2026-11-03T23:59:59Z"));
    let day_of = |text: &str| instant::parse(text).unwrap().day();
    // 2022-02-22T19:22:22Z, the example of RFC 9562.
    let v7 = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
    assert_eq!(day(v7, time, broker), (day_of("2022-02-22T00:00:00Z"), instant::parse("2026-11-02T00:00:00Z")));
    assert_eq!(day(&v7.to_uppercase(), None, broker), (day_of("2022-02-22T00:00:00Z"), broker));
    let v4 = "919108f7-52d1-4320-9bac-f847db4148a8";
    assert_eq!(day(v4, time, broker).0, day_of("2026-11-02T00:00:00Z"));
    assert_eq!(day("e-1", None, broker), (day_of("2026-11-03T00:00:00Z"), broker));
    assert_eq!(day("e-1", None, None), (RECEIVED_AT.day(), None));
    assert_eq!(day("e-1", Some("1969-12-31T23:59:59Z"), None).0, Day(-1));
}

#[test]
fn keys_of_ids_are_their_uuid_or_a_digest() {
    let id = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
    let bytes = 0x017f_22e2_79b0_7cc3_98c4_dc0c_0c07_398f_u128.to_be_bytes();
    assert_eq!(event_key(id), EventKey(bytes));
    // Ids are opaque: other spellings are other ids.
    let others = [id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}"), "e-1".to_owned(), "e-2".to_owned()];
    let mut keys: Vec<EventKey> = others.iter().map(|id| event_key(id)).collect();
    keys.push(EventKey(bytes));
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), others.len() + 1);
}

#[test]
fn lines_of_one_row_are_summed_in_order_of_first_mention() {
    for copies in [1, 20] {
        let all = r#"{"sku":"B","quantity":1},{"sku":"A","quantity":2},{"sku":"B","location":"default","quantity":4},
            {"sku":"B","location":"north","quantity":8}"#;
        let body = format!(r#"{{"order_id":"O-1","lines":[{}]}}"#, vec![all; copies].join(","));
        let copies = copies as i64;
        let north = Line { key: StockKey::new("B", "north"), quantity: 8 * copies };
        let envelope = decode(event("order-created", &body)).unwrap();
        assert_eq!(lines(&envelope.event), [line("B", 5 * copies), line("A", 2 * copies), north]);
    }
    let body = |quantity: i64| {
        format!(
            r#"{{"order_id":"O","lines":[{{"sku":"A","quantity":2147483646}},{{"sku":"A","quantity":{quantity}}}]}}"#
        )
    };
    assert!(decode(event("order-created", &body(1))).is_ok());
    assert_eq!(reason(event("order-created", &body(2))), InvalidQuantity);
}

#[test]
fn the_fingerprint_follows_the_content_and_nothing_else() {
    let fingerprint = |record| decode(record).unwrap().fingerprint;
    let first = fingerprint(event("order-created", ORDER));
    for same in [
        r#"{"lines":[{"quantity":"2","sku":"A","location":"default"}],"policy":"all","order_id":"O-1"}"#,
        r#"{"order_id":"O-1","cart_id":null,"unknown":[1],"lines":[{"sku":"A","quantity":2,"x":0}]}"#,
    ] {
        assert_eq!(fingerprint(event("order-created", same)), first, "{same}");
    }
    let headers = [("ce_id", "other"), ("ce_source", "other"), ("ce_time", "2020-01-01T00:00:00Z")];
    assert_eq!(fingerprint(record("order-created", &headers, ORDER)), first);
    for other in [
        r#"{"order_id":"O-2","lines":[{"sku":"A","quantity":2}]}"#,
        r#"{"order_id":"O-1","lines":[{"sku":"A","quantity":3}]}"#,
        r#"{"order_id":"O-1","lines":[{"sku":"A","quantity":1},{"sku":"A","quantity":1}]}"#,
        r#"{"order_id":"O-1","order_version":0,"lines":[{"sku":"A","quantity":2}]}"#,
        r#"{"order_id":"O-1","cart_id":"C","lines":[{"sku":"A","quantity":2}]}"#,
    ] {
        assert_ne!(fingerprint(event("order-created", other)), first, "{other}");
    }
    let cancelled = fingerprint(event("order-cancelled", r#"{"order_id":"O-1"}"#));
    assert_ne!(cancelled, fingerprint(event("order-confirmed", r#"{"order_id":"O-1"}"#)));
}

#[test]
fn fingerprints_are_the_same_on_every_machine_and_in_every_release() {
    let fingerprint = decode(event("order-created", ORDER)).unwrap().fingerprint;
    let hex = format!("{:016x}", fingerprint.0);
    assert_eq!(hex, "c567ce06d3860fb9eaa0f19ccaf68b27");
}

#[test]
fn avro_and_json_of_the_same_event_are_the_same() {
    for (name, body) in [
        (
            "order-created",
            json!({"order_id": "O", "order_version": 1, "cart_id": "C", "policy": "partial", "ttl_s": 5,
            "lines": [{"sku": "A", "location": "north", "quantity": 1}, {"sku": "B", "location": null, "quantity": 2}]}),
        ),
        ("cart-updated", json!({"cart_id": "C", "cart_version": 1, "ttl_s": null, "lines": []})),
        (
            "order-cancelled",
            json!({"order_id": "O", "order_version": null, "reason": "ä",
            "lines": [{"sku": "A", "location": null, "quantity": 1}]}),
        ),
        ("order-cancelled", json!({"order_id": "O", "order_version": 2, "reason": null, "lines": null})),
        ("order-confirmed", json!({"order_id": "O"})),
        ("order-shipped", json!({"order_id": "O", "shipment_id": "S", "lines": null})),
        (
            "sku-registered",
            json!({"sku": "A", "location": null, "name": "n", "safety_stock": 1, "warning_threshold": 9,
            "critical_threshold": null, "max_stock": null, "status": "inactive", "initial": 3, "sku_version": null}),
        ),
        ("stock-received", json!({"receipt_id": "R", "lines": [{"sku": "A", "location": null, "quantity": 1}]})),
    ] {
        let from_json = decode(event(name, &body.to_string())).unwrap();
        let headers = [("ce_id", "e-1"), ("ce_source", "shop"), ("content-type", "application/avro")];
        let from_avro = decode(record(name, &headers, single_object(name, &body))).unwrap();
        assert_eq!(from_avro, from_json, "{name}");
    }
}

#[test]
fn a_truncated_or_padded_avro_body_is_never_an_event() {
    // With a reader that takes what is missing for null, the first of these would cancel the whole order.
    let body = json!({"order_id": "O", "order_version": 1, "reason": "r", "lines": [{"sku": "A", "location": null, "quantity": 1}]});
    let whole = single_object("order-cancelled", &body);
    let headers = [("ce_id", "e-1")];
    assert!(decode(record("order-cancelled", &headers, whole.clone())).is_ok());
    for end in 0..whole.len() {
        assert_eq!(reason(record("order-cancelled", &headers, &whole[..end])), Undecodable, "cut at {end}");
    }
    assert_eq!(reason(record("order-cancelled", &headers, [&whole[..], &[0]].concat())), Undecodable);
}

#[test]
fn what_is_wrong_with_the_envelope_is_told() {
    let long = "x".repeat(201);
    let fits = "ä".repeat(200);
    assert!(decode(record("order-created", &[("ce_id", &fits)], ORDER)).is_ok());
    for (what, headers, expected) in [
        ("no id", vec![], MissingId),
        ("empty id", vec![("ce_id", "")], InvalidField),
        ("long id", vec![("ce_id", &*long)], InvalidField),
        ("NUL in the id", vec![("ce_id", "a\0b")], InvalidField),
        ("empty source", vec![("ce_id", "e"), ("ce_source", "")], InvalidField),
        ("long source", vec![("ce_id", "e"), ("ce_source", &*long)], InvalidField),
        ("no time", vec![("ce_id", "e"), ("ce_time", "yesterday")], InvalidField),
        ("seconds", vec![("ce_id", "e"), ("ce_time", "1795275900")], InvalidField),
        ("version 0.3", vec![("ce_id", "e"), ("ce_specversion", "0.3")], Undecodable),
        ("version 2.0", vec![("ce_id", "e"), ("ce_specversion", "2.0")], Undecodable),
        ("version 1", vec![("ce_id", "e"), ("ce_specversion", "1")], Undecodable),
        ("version 10.0", vec![("ce_id", "e"), ("ce_specversion", "10.0")], Undecodable),
        ("unknown type", vec![("ce_id", "e"), ("ce_type", "order-exploded")], UnknownType),
        ("an output", vec![("ce_id", "e"), ("ce_type", "stock-changed")], UnknownType),
        ("our own", vec![("ce_id", "e"), ("ce_type", "claim-expired")], UnknownType),
        ("no rules yet", vec![("ce_id", "e"), ("ce_type", "return-received")], UnknownType),
        ("empty type", vec![("ce_id", "e"), ("ce_type", "order-created.")], UnknownType),
        ("a batch", vec![("ce_id", "e"), ("content-type", "application/cloudevents-batch+json")], Undecodable),
    ] {
        assert_eq!(reason(record("order-created", &headers, ORDER)), expected, "{what}");
    }
    assert_eq!(reason(record("elsewhere", &[("ce_id", "e")], ORDER)), UnknownType);
    assert_eq!(reason(record("return-received", &[("ce_id", "e")], ORDER)), UnknownType);
    let mut bad = event("order-created", ORDER);
    bad.headers[0].1 = Some(vec![0xff]);
    assert_eq!(reason(bad), InvalidField);
    let mut without_value = event("order-created", ORDER);
    without_value.headers[0].1 = None;
    assert_eq!(reason(without_value), MissingId);
    let mut tombstone = event("order-created", ORDER);
    tombstone.payload = None;
    assert_eq!(reason(tombstone), Undecodable);
}

#[test]
fn what_is_wrong_with_a_structured_event_is_told() {
    let valid =
        json!({"specversion": "1.0", "id": "e", "source": "s", "type": "order-confirmed", "data": {"order_id": "O"}});
    let with = |name: &str, value: Value| {
        let mut event = valid.clone();
        event.as_object_mut().unwrap().insert(name.to_owned(), value);
        event.to_string()
    };
    assert!(decode(record("x", STRUCTURED, valid.to_string())).is_ok());
    for (body, expected) in [
        (with("specversion", json!("0.3")), Undecodable),
        (with("id", Value::Null), MissingId),
        (with("id", json!(7)), InvalidField),
        (with("id", json!("")), InvalidField),
        (with("time", json!("noon")), InvalidField),
        (with("type", json!("nonsense")), UnknownType),
        (with("type", Value::Null), UnknownType),
        (with("data", Value::Null), Undecodable),
        (with("data", json!("text")), Undecodable),
        (with("data", json!([1])), Undecodable),
        (with("data_base64", json!("AA==")), Undecodable),
        ("[]".to_owned(), Undecodable),
        ("{".to_owned(), Undecodable),
        (String::new(), Undecodable),
        (valid.to_string().replace(r#""data":{"order_id":"O"}"#, r#""data_base64":"%""#), Undecodable),
        (valid.to_string().replace(r#""id":"e""#, r#""id":"e","id":"f""#), InvalidField),
    ] {
        assert_eq!(reason(record("x", STRUCTURED, body.clone())), expected, "{body}");
    }
}

#[test]
fn what_is_wrong_with_a_body_is_told() {
    let mut deep = r#"{"order_id":"O-1","deep":"#.to_owned() + &"[".repeat(5_000) + &"]".repeat(5_000);
    deep.push('}');
    for (body, expected) in [
        ("", Undecodable),
        ("null", Undecodable),
        ("[]", Undecodable),
        ("\"text\"", Undecodable),
        ("{\"order_id\":\"O-1\"", Undecodable),
        ("{\"order_id\":\"O-1\"} trailing", Undecodable),
        ("{'order_id':'O-1'}", Undecodable),
        ("\u{feff}{}", Undecodable),
        (deep.as_str(), Undecodable),
        ("{}", MissingKeyField),
        (r#"{"order_id":null}"#, MissingKeyField),
        (r#"{"order_id":""}"#, InvalidField),
        (r#"{"order_id":7}"#, InvalidField),
        (r#"{"order_id":true}"#, InvalidField),
        (r#"{"order_id":["O-1"]}"#, InvalidField),
        (r#"{"order_id":"a\u0000b"}"#, InvalidField),
        (r#"{"order_id":"a\ud800b"}"#, InvalidField),
        (r#"{"order_id":"O-1","order_id":"O-2"}"#, InvalidField),
        (r#"{"order_id":"O-1","order_id":"O-1"}"#, InvalidField),
    ] {
        assert_eq!(reason(event("order-confirmed", body)), expected, "{body:.60}");
    }
    // What is not known is not looked at.
    for body in [
        r#"{"order_id":"O-1","note":"\ud800","note":{"a":[1.5e300,2E999]}}"#,
        " \r\n\t{\"order_id\":\"O-1\"}\n",
        r#"{"\u006frder_id":"O-1"}"#,
    ] {
        assert!(decode(event("order-confirmed", body)).is_ok(), "{body}");
    }
    assert_eq!(reason(record("order-confirmed", &[("ce_id", "e")], [b'{', 0xff, b'}'])), Undecodable);
    assert_eq!(reason(record("order-confirmed", &[("ce_id", "e")], [0x1f, 0x8b, 8])), Undecodable);
}

#[test]
fn references_and_texts_have_limits() {
    let order = |reference: &str| event("order-confirmed", &json!({"order_id": reference}).to_string());
    assert!(decode(order(&"ä".repeat(200))).is_ok());
    assert_eq!(reason(order(&"ä".repeat(201))), InvalidField);
    assert_eq!(reason(order(&"x".repeat(1_000_000))), InvalidField);
    assert_eq!(reason(order(&"x".repeat(MAX_EVENT_BYTES))), TooLarge);
    let sku = |body: Value| event("sku-registered", &body.to_string());
    assert!(
        decode(sku(json!({"sku": "ä".repeat(100), "location": "ö".repeat(100), "name": "n".repeat(1_000)}))).is_ok()
    );
    for (body, expected) in [
        (json!({"location": "north"}), MissingKeyField),
        (json!({"sku": ""}), InvalidField),
        (json!({"sku": "x".repeat(101)}), InvalidField),
        (json!({"sku": {"id": 1}}), InvalidField),
        (json!({"sku": false}), InvalidField),
        (json!({"sku": "A", "location": ""}), InvalidField),
        (json!({"sku": "A", "location": 5}), InvalidField),
        (json!({"sku": "A", "location": "x".repeat(101)}), InvalidField),
        (json!({"sku": "A", "name": "n".repeat(1_001)}), InvalidField),
        (json!({"sku": "A", "name": "a\u{0}b"}), InvalidField),
        (json!({"sku": "A", "status": "LOCKED"}), InvalidField),
        (json!({"sku": "A", "status": 1}), InvalidField),
        (json!({"sku": "A", "sku_version": -1}), InvalidField),
        (json!({"sku": "A", "sku_version": 1.5}), InvalidField),
        (json!({"sku": "A", "sku_version": "1"}), InvalidField),
        (json!({"sku": "A", "initial": -1}), InvalidQuantity),
        (json!({"sku": "A", "safety_stock": 1.0}), InvalidQuantity),
        (json!({"sku": "A", "warning_threshold": "many"}), InvalidQuantity),
        (json!({"sku": "A", "critical_threshold": true}), InvalidQuantity),
        (json!({"sku": "A", "max_stock": 2_147_483_648_i64}), InvalidQuantity),
    ] {
        assert_eq!(reason(sku(body.clone())), expected, "{:.80}", body.to_string());
    }
}

#[test]
fn a_number_is_the_text_of_a_sku_as_it_was_written() {
    for (written, text) in
        [("17", "17"), ("-0", "-0"), ("1.50", "1.50"), ("12345678901234567890123", "12345678901234567890123")]
    {
        let body = format!(r#"{{"receipt_id":"R","lines":[{{"sku":{written},"quantity":1}}]}}"#);
        assert_eq!(lines(&decode(event("stock-received", &body)).unwrap().event), [line(text, 1)]);
    }
}

#[test]
fn quantities_are_integers_from_1_to_2147483647() {
    let order = |quantity: &str| {
        event(
            "order-created",
            &format!(r#"{{"order_id":"O","lines":[{{"sku":"A"}},{{"sku":"B","quantity":{quantity}}}]}}"#)
                .replace(r#"{"sku":"A"},"#, r#"{"sku":"A","quantity":1},"#),
        )
    };
    for (written, quantity) in [("1", 1), ("2147483647", 2_147_483_647), (r#""12""#, 12), (r#""007""#, 7)] {
        assert_eq!(lines(&decode(order(written)).unwrap().event)[1], line("B", quantity));
    }
    for wrong in [
        "0",
        "-1",
        "-0",
        "2147483648",
        "99999999999999999999999",
        "1e400",
        "2.0",
        "1.5",
        "1e2",
        "true",
        "[]",
        "{}",
        "null",
        r#""""#,
        r#""two""#,
        r#"" 2""#,
        r#""-2""#,
        r#""+2""#,
        r#""2.0""#,
        r#""0""#,
        r#""99999999999999999999""#,
        r#""\u0000""#,
        r#""\ud800""#,
    ] {
        assert_eq!(reason(order(wrong)), InvalidQuantity, "{wrong}");
    }
    let detail = decode(order("2.0")).unwrap_err().detail;
    assert_eq!(&*detail, "lines[1].quantity is 2.0, but must be an integer from 1 to 2147483647");
    assert_eq!(reason(event("order-created", r#"{"order_id":"O","lines":[{"sku":"A"}]}"#)), InvalidQuantity);
    assert_eq!(reason(event("order-created", r#"{"order_id":"O","lines":[{"quantity":1}]}"#)), MissingKeyField);
}

#[test]
fn lines_have_limits() {
    let order = |lines: Value| event("order-created", &json!({"order_id": "O", "lines": lines}).to_string());
    let many = |count: usize| (0..count).map(|number| json!({"sku": number, "quantity": 1})).collect::<Value>();
    assert_eq!(lines(&decode(order(many(10_000))).unwrap().event).len(), 10_000);
    for wrong in [many(10_001), json!([]), json!({}), json!("A"), json!([1]), json!([null]), json!(["A"]), Value::Null]
    {
        assert_eq!(reason(order(wrong.clone())), InvalidField, "{:.60}", wrong.to_string());
    }
    for (topic, body) in [
        ("order-created", r#"{"order_id":"O"}"#),
        ("cart-updated", r#"{"cart_id":"C"}"#),
        ("order-cancelled", r#"{"order_id":"O","lines":[]}"#),
        ("order-shipped", r#"{"order_id":"O","shipment_id":"S","lines":[]}"#),
        ("stock-received", r#"{"receipt_id":"R","lines":[]}"#),
        ("order-created", r#"{"order_id":"O","policy":"some","lines":[{"sku":"A","quantity":1}]}"#),
        ("order-created", r#"{"order_id":"O","ttl_s":-1,"lines":[{"sku":"A","quantity":1}]}"#),
        ("order-created", r#"{"order_id":"O","cart_id":"","lines":[{"sku":"A","quantity":1}]}"#),
    ] {
        assert_eq!(reason(event(topic, body)), InvalidField, "{topic} {body}");
    }
    for (topic, body) in [
        ("cart-updated", r#"{"lines":[]}"#),
        ("order-shipped", r#"{"order_id":"O"}"#),
        ("stock-received", r#"{"lines":[{"sku":"A","quantity":1}]}"#),
    ] {
        assert_eq!(reason(event(topic, body)), MissingKeyField, "{topic}");
    }
}

#[test]
fn bodies_in_unknown_schemas_are_told_apart_from_bad_ones() {
    let avro = |payload: &[u8]| record("order-confirmed", &[("ce_id", "e")], payload);
    assert_eq!(reason(avro(&[0xc3, 0x01, 1, 2, 3, 4, 5, 6, 7, 8, 2, b'O'])), UnknownSchema);
    assert_eq!(reason(avro(&[0, 0, 0, 0, 7, 2, b'O'])), UnknownSchema, "there is no registry");
    for cut in [&[0xc3][..], &[0xc3, 0x01, 1, 2], &[0], &[0, 0, 0]] {
        assert_eq!(reason(avro(cut)), Undecodable, "{cut:?}");
    }
    // A schema of ours that is not that of the event's type lacks its fields.
    let cart =
        single_object("cart-updated", &json!({"cart_id": "C", "cart_version": null, "ttl_s": null, "lines": []}));
    assert_eq!(reason(avro(&cart)), MissingKeyField);
}

#[test]
fn avro_quantities_and_times_keep_the_same_rules() {
    let schema = schema("stock-received");
    for (quantity, expected) in
        [(1, None), (0, Some(InvalidQuantity)), (-1, Some(InvalidQuantity)), (1 << 31, Some(InvalidQuantity))]
    {
        let body = json!({"receipt_id": "R", "lines": [{"sku": "A", "location": null, "quantity": quantity}]});
        let framed = [&single_object("stock-received", &body)[..10], &datum(&schema, &body)].concat();
        let found = decode(record("stock-received", &[("ce_id", "e")], framed)).err().map(|letter| letter.reason);
        assert_eq!(found, expected, "{quantity}");
    }
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn no_bytes_panic() {
    let decoder = decoder();
    let bytes = prop::collection::vec(any::<u8>(), 0..400);
    proptest!(|(payload in bytes, mode in 0..4_usize, topic in 0..7_usize)| {
        let topic = EventType::INPUT[topic].as_str();
        let content_type = ["application/json", "application/avro", STRUCTURED[0].1, ""][mode];
        let record = record(topic, &[("ce_id", "e"), ("content-type", content_type)], payload);
        let _ = decode_with(&decoder, record);
    });
}

#[test]
fn no_change_of_a_good_body_panics() {
    let decoder = decoder();
    let body = json!({"order_id": "O", "order_version": 1, "cart_id": "C", "policy": "partial", "ttl_s": 5, "lines":
        [{"sku": "A", "location": "north", "quantity": 1}, {"sku": "B", "location": null, "quantity": 2}]});
    let avro = single_object("order-created", &body);
    proptest!(|(at in any::<prop::sample::Index>(), byte in any::<u8>(), from_avro in any::<bool>())| {
        let mut payload = if from_avro { avro.clone() } else { body.to_string().into_bytes() };
        let at = at.index(payload.len());
        payload[at] = byte;
        let _ = decode_with(&decoder, record("order-created", &[("ce_id", "e")], payload));
    });
}

#[test]
fn no_headers_panic() {
    let decoder = decoder();
    let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
    proptest!(|(headers in prop::collection::vec((any::<String>(), value), 0..8))| {
        let mut record = record("order-created", &[], ORDER);
        record.headers = headers;
        let _ = decode_with(&decoder, record);
    });
}
