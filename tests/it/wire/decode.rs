//! How an event is taken out of its envelope, and what makes it the same event.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holdfast::domain::event::{Event, EventKey, EventType, Policy};
use holdfast::domain::stock::Status;
use holdfast::domain::words::{Day, Line, Reference, StockKey, Timestamp};
use holdfast::ports::DeadLetterReason::{InvalidField, MissingId, Undecodable, UnknownType};
use holdfast::wire::identity::event_key;
use holdfast::wire::instant;
use serde_json::{Value, json};

use super::{ORDER, RECEIVED_AT, STRUCTURED, decode, event, line, lines, reason, record, single_object};

#[test]
fn every_input_event_is_read_in_full() {
    let read = |topic, body| decode(event(topic, body)).unwrap().event;
    let body = r#"{"order_id":"O-1","order_version":3,"cart_id":"C-1","policy":"partial","ttl_s":60,
        "lines":[{"sku":"A","quantity":2},{"sku":17,"location":"north","quantity":"3"}],"colour":"blue"}"#;
    let Event::OrderCreated(order) = read("order-created", body) else { panic!() };
    assert_eq!((order.order.as_str(), order.version), ("O-1", Some(3)));
    assert_eq!((order.cart, order.policy, order.ttl_seconds), (Some("C-1".into()), Policy::Partial, Some(60)));
    assert_eq!(order.lines, [line("A", 2), Line { key: StockKey::new("17", "north"), quantity: 3 }]);
    for (word, policy) in [("all", Policy::All), ("partial", Policy::Partial), ("backorder", Policy::Backorder)] {
        let body = body.replace("\"partial\"", &format!("\"{word}\""));
        let Event::OrderCreated(order) = decode(event("order-created", &body)).unwrap().event else { panic!() };
        assert_eq!(order.policy, policy);
    }

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
        assert_eq!(envelope.told_at.time(), instant::parse("2026-11-20T09:00:00.5Z"));
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
    assert_eq!(from_json.told_at.time(), instant::parse("2026-11-20T10:00:00Z"));

    let object = structured.as_object_mut().unwrap();
    object.remove("data");
    object.insert("data_base64".to_owned(), STANDARD.encode(single_object("order-created", &data)).into());
    let from_avro = decode(record("anything", STRUCTURED, structured.to_string())).unwrap();
    assert_eq!((from_avro.event, from_avro.fingerprint), (plain.event, plain.fingerprint));
}

#[test]
fn the_envelope_stands_in_the_body_itself() {
    let body = r#"{"event_id":"e-9","event_time":"2026-11-20T10:00:00Z","event_source":"till","order_id":"O-1"}"#;
    let envelope = decode(record("order-confirmed", &[], body)).unwrap();
    assert_eq!((&*envelope.cause.id, &*envelope.cause.source), ("e-9", "till"));
    assert_eq!(envelope.told_at.time(), instant::parse("2026-11-20T10:00:00Z"));
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
        (envelope.day, envelope.told_at.time())
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
    // What is absent and what it stands for are the same content.
    for same in [
        r#"{"order_id":"O-1","order_version":0,"lines":[{"sku":"A","quantity":2}]}"#,
        r#"{"order_id":"O-1","policy":"all","lines":[{"sku":"A","location":"default","quantity":"2"}]}"#,
    ] {
        assert_eq!(fingerprint(event("order-created", same)), first, "{same}");
    }
    for other in [
        r#"{"order_id":"O-2","lines":[{"sku":"A","quantity":2}]}"#,
        r#"{"order_id":"O-1","lines":[{"sku":"A","quantity":3}]}"#,
        r#"{"order_id":"O-1","lines":[{"sku":"A","quantity":1},{"sku":"A","quantity":1}]}"#,
        r#"{"order_id":"O-1","order_version":1,"lines":[{"sku":"A","quantity":2}]}"#,
        r#"{"order_id":"O-1","cart_id":"C","lines":[{"sku":"A","quantity":2}]}"#,
        r#"{"order_id":"O-1","policy":"partial","lines":[{"sku":"A","quantity":2}]}"#,
        r#"{"order_id":"O-1","policy":"backorder","lines":[{"sku":"A","quantity":2}]}"#,
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
    assert_eq!(hex, "952a945127c37dcf");
}

#[test]
fn avro_and_json_of_the_same_event_are_the_same() {
    for (name, body) in [
        (
            "order-created",
            json!({"order_id": "O", "order_version": 1, "cart_id": "C", "policy": "partial", "ttl_s": 5,
            "lines": [{"sku": "A", "location": "north", "quantity": 1}, {"sku": "B", "location": null, "quantity": 2}]}),
        ),
        (
            "order-created",
            json!({"order_id": "O", "order_version": null, "cart_id": null, "policy": "backorder", "ttl_s": null,
            "lines": [{"sku": "A", "location": null, "quantity": 1}]}),
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
