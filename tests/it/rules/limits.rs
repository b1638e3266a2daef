//! What a quantity, a text and a list of lines may be.

use serde_json::{Value, json};

use super::{cart, send, send_one, shipped_part, sku, stocked, told, with, words};
use crate::shop::{fresh, lines, ordered, record};

const MOST: i64 = 2_147_483_647;

fn of_quantity(order: &str, quantity: Value) -> Value {
    fresh("order-created", json!({"order_id": order, "lines": [{"sku": "A", "quantity": quantity}]}))
}

#[tokio::test]
async fn a_quantity_is_an_integer_from_1_to_2147483647_or_its_digits() {
    let mut shop = stocked(&[("A", MOST)]).await;
    let cases = [
        (json!(0), "dead_lettered invalid_quantity"),
        (json!(-1), "dead_lettered invalid_quantity"),
        (json!(2_147_483_648_i64), "dead_lettered invalid_quantity"),
        (json!("2147483648"), "dead_lettered invalid_quantity"),
        (json!(1.5), "dead_lettered invalid_quantity"),
        (json!(2.0), "dead_lettered invalid_quantity"),
        (json!("2.0"), "dead_lettered invalid_quantity"),
        (json!("many"), "dead_lettered invalid_quantity"),
        (json!(""), "dead_lettered invalid_quantity"),
        (json!(" 2"), "dead_lettered invalid_quantity"),
        (json!("-2"), "dead_lettered invalid_quantity"),
        (json!(true), "dead_lettered invalid_quantity"),
        (json!([1]), "dead_lettered invalid_quantity"),
        (json!(null), "dead_lettered invalid_quantity"),
        (json!(1), "applied"),
        (json!("2"), "applied"),
        (json!(MOST - 3), "applied"),
        (json!(MOST), "refused insufficient_stock"),
    ];
    for (place, (quantity, expected)) in cases.into_iter().enumerate() {
        let order = of_quantity(&format!("O-{place}"), quantity.clone());
        assert_eq!(send_one(&mut shop, order).await, expected, "{quantity}");
    }
    assert_eq!(shop.units("A").await, (0, 0, 0, 0));
    shop.assert_sound().await;
}

#[tokio::test]
async fn the_quantities_of_every_event_keep_the_limits() {
    let mut shop = stocked(&[("A", 10)]).await;
    let bad = "dead_lettered invalid_quantity";
    let none = lines(&[("A", 0)]);
    let cases = [
        (fresh("cart-updated", json!({"cart_id": "C", "cart_version": 1, "lines": none})), bad),
        (fresh("order-cancelled", json!({"order_id": "O", "lines": none})), bad),
        (fresh("order-shipped", json!({"order_id": "O", "shipment_id": "S", "lines": none})), bad),
        (fresh("stock-received", json!({"receipt_id": "R", "lines": none})), bad),
        (sku("B", json!({"initial": -1})), bad),
        (sku("B", json!({"warning_threshold": -1})), bad),
        (sku("B", json!({"critical_threshold": 2_147_483_648_i64})), bad),
        (sku("B", json!({"safety_stock": 1.5})), bad),
        (sku("B", json!({"max_stock": "none"})), bad),
        (sku("B", json!({"initial": 0, "warning_threshold": 0, "safety_stock": 0, "max_stock": 0})), "applied"),
    ];
    for (event, expected) in cases {
        assert_eq!(send_one(&mut shop, event.clone()).await, expected, "{event}");
    }
}

#[tokio::test]
async fn lines_of_one_sku_are_summed_and_a_sum_above_the_limit_is_invalid() {
    let mut shop = stocked(&[("A", 5), ("B", 5)]).await;
    assert_eq!(send_one(&mut shop, ordered("O-1", &[("A", 2), ("B", 1), ("A", 3)])).await, "applied");
    assert_eq!(told(&shop, "O-1").await, ["granted, deducted: A 5 -> 5 of 5; B 1 -> 1 of 5"]);
    assert_eq!(shop.kept().await.movements_of("O-1"), 2, "one a stock row");
    // Two lines that fit alone do not fit together.
    assert_eq!(send_one(&mut shop, ordered("O-2", &[("B", 3), ("B", 2)])).await, "refused insufficient_stock");
    let too_much = ordered("O-3", &[("B", MOST), ("B", 1)]);
    assert_eq!(send_one(&mut shop, too_much).await, "dead_lettered invalid_quantity");
    // The same SKU at another location is another row.
    let elsewhere = json!({"order_id": "O-4", "lines": [
        {"sku": "B", "quantity": 4}, {"sku": "B", "location": "north", "quantity": 1}]});
    assert_eq!(send_one(&mut shop, fresh("order-created", elsewhere)).await, "refused unknown_sku");
    assert_eq!(told(&shop, "O-4").await, ["refused, refused (unknown_sku): B@north 1 -> 0 of 0 (unknown_sku)"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_order_may_have_ten_thousand_lines_and_not_one_more() {
    let names: Vec<String> = (0..10_000).map(|sku| format!("SKU-{sku}")).collect();
    let mut shop = stocked(&names.iter().map(|sku| (sku.as_str(), 3)).collect::<Vec<_>>()).await;
    let all: Vec<(&str, i64)> = names.iter().map(|sku| (sku.as_str(), 2)).collect();
    assert_eq!(send_one(&mut shop, ordered("O-1", &all)).await, "applied");
    let stock = shop.kept().await.stock;
    assert_eq!(stock.iter().map(|row| row.counters.on_hand).sum::<i64>(), 10_000);
    assert_eq!(shop.answers("O-1").await[0].lines.len(), 10_000);
    // The refusal names every line.
    assert_eq!(send_one(&mut shop, ordered("O-2", &all)).await, "refused insufficient_stock");
    assert_eq!(shop.answers("O-2").await[0].lines.len(), 10_000);
    let one_more = [all, vec![("SKU-0", 1)]].concat();
    assert_eq!(send_one(&mut shop, ordered("O-3", &one_more)).await, "dead_lettered invalid_field");
    shop.assert_sound().await;
}

#[tokio::test]
async fn lines_may_not_be_empty_or_absent_except_those_of_a_cart() {
    let mut shop = stocked(&[("A", 5)]).await;
    let bad = "dead_lettered invalid_field";
    let cases = [
        (ordered("O-1", &[]), bad),
        (fresh("order-created", json!({"order_id": "O-1"})), bad),
        (fresh("order-created", json!({"order_id": "O-1", "lines": {"sku": "A", "quantity": 1}})), bad),
        (fresh("order-created", json!({"order_id": "O-1", "lines": ["A"]})), bad),
        (fresh("order-cancelled", json!({"order_id": "O-1", "lines": []})), bad),
        (shipped_part("O-1", "S-1", &[]), bad),
        (fresh("stock-received", json!({"receipt_id": "R-1", "lines": []})), bad),
        (fresh("cart-updated", json!({"cart_id": "C-1", "cart_version": 1})), bad),
        (
            fresh("order-created", json!({"order_id": "O-1", "lines": [{"quantity": 1}]})),
            "dead_lettered missing_key_field",
        ),
        (cart("C-1", 1, &[]), "applied"),
    ];
    for (event, expected) in cases {
        assert_eq!(send_one(&mut shop, event.clone()).await, expected, "{event}");
    }
    assert_eq!(shop.units("A").await, (5, 0, 0, 5));
}

#[tokio::test]
async fn references_have_1_to_200_characters_and_skus_1_to_100() {
    let mut shop = stocked(&[("A", 50)]).await;
    let order = |reference: &str| ordered(reference, &[("A", 1)]);
    let of_sku = |sku: &str| ordered(&format!("O-{}", sku.chars().count()), &[(sku, 1)]);
    let bad = "dead_lettered invalid_field";
    let cases = [
        (order(&"ü".repeat(200)), "applied"),
        (order(&"x".repeat(201)), bad),
        (order(&"x".repeat(1_000_000)), bad),
        (order(""), bad),
        (of_sku(&"S".repeat(100)), "refused unknown_sku"),
        (of_sku(&"S".repeat(101)), bad),
        (of_sku(""), bad),
        (with(order("O-i"), json!({"id": "i".repeat(200)})), "applied"),
        (with(order("O-j"), json!({"id": "i".repeat(201)})), bad),
        (fresh("order-created", json!({"order_id": 4711, "lines": lines(&[("A", 1)])})), bad),
    ];
    for (event, expected) in cases {
        let text: String = event.to_string().chars().take(300).collect();
        assert_eq!(send_one(&mut shop, event).await, expected, "{text}");
    }
    // A SKU that is a number is taken as its text.
    send(&mut shop, vec![sku("4711", json!({"initial": 5}))]).await;
    let by_number = fresh("order-created", json!({"order_id": "O-n", "lines": [{"sku": 4711, "quantity": 2}]}));
    assert_eq!(send_one(&mut shop, by_number).await, "applied");
    assert_eq!(shop.units("4711").await, (3, 0, 0, 3));
    shop.assert_sound().await;
}

#[tokio::test]
async fn nul_and_lone_surrogates_are_buried_and_stop_nobody() {
    let mut shop = stocked(&[("A", 5)]).await;
    let of_order = |reference: &str| {
        format!(
            r#"{{"specversion":"1.0","type":"order-created","id":"{}","source":"/shop",
                "data":{{"order_id":"{reference}","lines":[{{"sku":"A","quantity":1}}]}}}}"#,
            uuid::Uuid::now_v7()
        )
    };
    let batch: Vec<_> = [r"O-\u0000", r"O-\ud800", r"O-\udc00x", r"O-\ud83d\ude00", "O-plain"]
        .iter()
        .map(|reference| record(of_order(reference).into_bytes()))
        .collect();
    let outcomes = words(&shop.deliver(batch.clone()).await);
    assert_eq!(
        outcomes,
        [
            "dead_lettered invalid_field",
            "dead_lettered invalid_field",
            "dead_lettered invalid_field",
            "applied",
            "applied"
        ]
    );
    let again = words(&shop.deliver(batch).await);
    assert_eq!(again[..3], outcomes[..3]);
    assert_eq!(again[3..], ["duplicate", "duplicate"]);
    assert_eq!(shop.dead_letters().await.len(), 3);
    assert_eq!(shop.order("O-\u{1f600}").await.version, Some(0));
    // NUL in an id, a SKU and a free text.
    for event in [
        with(ordered("O-9", &[("A", 1)]), json!({"id": "a\0b"})),
        ordered("O-9", &[("A\0", 1)]),
        fresh("order-cancelled", json!({"order_id": "O-9", "reason": "\0"})),
        sku("B", json!({"name": "a\0"})),
    ] {
        assert_eq!(send_one(&mut shop, event.clone()).await, "dead_lettered invalid_field", "{event}");
    }
    assert_eq!(shop.units("A").await, (3, 0, 0, 3));
}
