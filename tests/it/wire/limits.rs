//! What the fields of a body may hold, and what becomes of a body that is not one.

use holdfast::domain::event::{Event, EventType};
use holdfast::domain::words::{Line, StockKey};
use holdfast::ports::DeadLetterReason::{
    InvalidField, InvalidQuantity, MissingKeyField, TooLarge, Undecodable, UnknownSchema,
};
use proptest::prelude::{any, prop, proptest};
use serde_json::{Value, json};

use super::{
    MAX_EVENT_BYTES, ORDER, STRUCTURED, datum, decode, decode_with, decoder, event, line, lines, reason, record,
    schema, single_object,
};

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
        ("return-received", r#"{"return_id":"R","order_id":"O","lines":[]}"#),
        ("return-received", r#"{"return_id":"R","order_id":"O","resellable":1,"lines":[{"sku":"A","quantity":1}]}"#),
        ("return-received", r#"{"return_id":"R","order_id":"O","resellable":"no","lines":[{"sku":"A","quantity":1}]}"#),
        ("stock-adjusted", r#"{"adjustment_id":"A","sku":"A","quantity":1,"reason":"r"}"#),
        ("stock-adjusted", r#"{"adjustment_id":"A","sku":"A","mode":"double","quantity":1,"reason":"r"}"#),
        ("stock-adjusted", r#"{"adjustment_id":"A","sku":"A","mode":"set","quantity":1}"#),
        ("stock-adjusted", r#"{"adjustment_id":"A","sku":"A","mode":"set","quantity":1,"reason":"r","operator":7}"#),
        (
            "stock-adjusted",
            r#"{"adjustment_id":"A","sku":"A","mode":"set","quantity":1,"reason":"r","expected_version":-1}"#,
        ),
        ("stock-synced", r#"{"trace_id":"T","product_id":"12","delta":1}"#),
        ("stock-synced", r#"{"trace_id":"T","product_id":1.5,"delta":1}"#),
        ("stock-counted", r#"{"count_id":"N","sku":"A","quantity":1}"#),
        ("stock-counted", r#"{"count_id":"N","sku":"A","quantity":1,"counted_at":"noon"}"#),
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
        ("return-received", r#"{"return_id":"R","lines":[{"sku":"A","quantity":1}]}"#),
        ("return-received", r#"{"order_id":"O","lines":[{"sku":"A","quantity":1}]}"#),
        ("stock-adjusted", r#"{"sku":"A","mode":"set","quantity":1,"reason":"r"}"#),
        ("stock-adjusted", r#"{"adjustment_id":"A","mode":"set","quantity":1,"reason":"r"}"#),
        ("stock-synced", r#"{"sku":"A","delta":1}"#),
        ("stock-synced", r#"{"trace_id":"T","delta":1}"#),
        ("stock-counted", r#"{"sku":"A","quantity":1,"counted_at":"2026-11-21T15:45:00Z"}"#),
        ("stock-counted", r#"{"count_id":"N","quantity":1,"counted_at":"2026-11-21T15:45:00Z"}"#),
    ] {
        assert_eq!(reason(event(topic, body)), MissingKeyField, "{topic}");
    }
}

#[test]
fn a_difference_is_signed_and_not_0_and_only_set_and_counts_take_0() {
    let synced =
        |delta: Value| event("stock-synced", &json!({"trace_id": "T", "sku": "A", "delta": delta}).to_string());
    let read = |delta: Value| match decode(synced(delta.clone())).unwrap().event {
        Event::StockSynced(event) => event.delta,
        other => panic!("{delta}: {other:?}"),
    };
    for (delta, expected) in [
        (json!(1), 1),
        (json!(-1), -1),
        (json!(2_147_483_647_i64), 2_147_483_647),
        (json!(-2_147_483_647_i64), -2_147_483_647),
        (json!("12"), 12),
        (json!("-12"), -12),
    ] {
        assert_eq!(read(delta), expected);
    }
    for wrong in
        [json!(0), json!(1.5), json!(-2.0), json!("+1"), json!("--1"), json!("-"), json!(""), json!("0"), Value::Null]
            .into_iter()
            .chain([json!(2_147_483_648_i64), json!(-2_147_483_648_i64), json!(true)])
    {
        assert_eq!(reason(synced(wrong.clone())), InvalidQuantity, "{wrong}");
    }
    let adjusted = |mode: &str, quantity: i64| {
        let body = json!({"adjustment_id": "A", "sku": "A", "mode": mode, "quantity": quantity, "reason": "r"});
        event("stock-adjusted", &body.to_string())
    };
    assert!(decode(adjusted("set", 0)).is_ok());
    for (mode, quantity) in [("increase", 0), ("decrease", 0), ("set", -1), ("increase", 2_147_483_648)] {
        assert_eq!(reason(adjusted(mode, quantity)), InvalidQuantity, "{mode} {quantity}");
    }
    let counted = |quantity: i64| {
        let body = json!({"count_id": "N", "sku": "A", "quantity": quantity, "counted_at": "2026-11-21T15:45:00Z"});
        event("stock-counted", &body.to_string())
    };
    assert!(decode(counted(0)).is_ok());
    assert_eq!(reason(counted(-1)), InvalidQuantity);
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

#[test]
fn no_bytes_panic() {
    let decoder = decoder();
    let bytes = prop::collection::vec(any::<u8>(), 0..400);
    proptest!(|(payload in bytes, mode in 0..4_usize, topic in 0..EventType::INPUT.len())| {
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
