//! What no event may be, and how large one may be.

use serde_json::{Value, json};

use super::super::Here;
use super::all;
use crate::market::{EventRecord, of, selling};
use crate::shop::{fresh, ordered};

#[tokio::test]
async fn quantity_0_negative_2_31_a_fraction_text() {
    let market = selling::<Here>().await;
    market.stock(&[("quantity-A", 10)]).await;
    let quantities = [json!(0), json!(-1), json!(2_147_483_648_i64), json!(1.5), json!("many")];
    let of_quantity = |(place, quantity): (usize, &Value)| {
        let data =
            json!({"order_id": format!("quantity-{place}."), "lines": [{"sku": "quantity-A", "quantity": quantity}]});
        fresh("order-created", data)
    };
    let orders: Vec<Value> = quantities.iter().enumerate().map(of_quantity).collect();
    market.send(&all(&orders)).await;
    for (place, quantity) in quantities.iter().enumerate() {
        let order = format!("quantity-{place}.");
        assert_eq!(market.buried(&order, 1).await, ["invalid_quantity"], "{quantity}");
        assert_eq!(market.order_state(&order).await, None);
    }
    // Digits are a quantity.
    market.send(&[of(&of_quantity((9, &json!("2"))))]).await;
    assert_eq!(market.told("quantity-9."), ["granted, deducted: quantity-A 2 -> 2 of 10"]);
    assert_eq!(market.units("quantity-A").await, (8, 0, 0, 8));
    market.assert_sound().await;
}

#[tokio::test]
async fn _10_000_lines_in_one_order() {
    let market = selling::<Here>().await;
    let names: Vec<String> = (0..500).map(|sku| format!("many-{sku}")).collect();
    market.stock(&names.iter().map(|sku| (sku.as_str(), 30)).collect::<Vec<_>>()).await;
    let wanted: Vec<(&str, i64)> = (0..10_000).map(|line| (names[line % names.len()].as_str(), 1)).collect();
    market.send(&[of(&ordered("many-lines", &wanted))]).await;
    let told = market.told("many-lines");
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("granted, deducted: "), "{}", &told[0][..100]);
    assert_eq!(told[0].matches(" 20 -> 20 of 30").count(), names.len());
    let one_more = [wanted.as_slice(), &[("many-0", 1)]].concat();
    market.send(&[of(&ordered("many-more", &one_more))]).await;
    assert_eq!(market.buried("many-more", 1).await, ["invalid_field"]);
    for sku in [&names[0], &names[499]] {
        assert_eq!(market.units(sku).await, (10, 0, 0, 10));
    }
    market.assert_sound().await;
}

#[tokio::test]
async fn reference_of_1_mb() {
    let market = selling::<Here>().await;
    market.stock(&[("long-A", 10)]).await;
    // The largest record that brokers take by default is not much larger.
    let long = EventRecord::at("order-created", "long", &ordered(&"long-order".repeat(100_000), &[("long-A", 1)]));
    let beside = EventRecord::at("order-created", "long", &ordered("long-1", &[("long-A", 1)]));
    market.send(&[long, beside]).await;
    assert_eq!(market.buried("long-order", 1).await, ["invalid_field"]);
    assert_eq!(market.told("long-1"), ["granted, deducted: long-A 1 -> 1 of 10"]);
    market.assert_sound().await;
}

#[tokio::test]
async fn nul_and_surrogate_characters() {
    let market = selling::<Here>().await;
    market.stock(&[("nul-A", 10)]).await;
    let of_order = |reference: &str| {
        let body = format!(
            r#"{{"specversion":"1.0","type":"order-created","id":"{}","source":"/shop",
                "data":{{"order_id":"nul-{reference}","lines":[{{"sku":"nul-A","quantity":1}}]}}}}"#,
            uuid::Uuid::now_v7()
        );
        EventRecord::bytes("order-created", "nul", body.into_bytes())
    };
    market.send(&[r"one\u0000", r"two\ud800", r"three\udc00x", r"pair\ud83d\ude00", "plain"].map(of_order)).await;
    for reference in ["nul-one", "nul-two", "nul-three"] {
        assert_eq!(market.buried(reference, 1).await, ["invalid_field"], "{reference}");
    }
    for reference in ["nul-pair\u{1f600}", "nul-plain"] {
        assert_eq!(market.told(reference).len(), 1, "{reference}");
    }
    assert_eq!(market.units("nul-A").await, (8, 0, 0, 8));
    market.assert_sound().await;
}

#[tokio::test]
async fn empty_lines() {
    let market = selling::<Here>().await;
    market.stock(&[("empty-A", 10)]).await;
    let events = [
        ordered("empty-1.", &[]),
        fresh("order-created", json!({"order_id": "empty-2."})),
        fresh("order-cancelled", json!({"order_id": "empty-3.", "lines": []})),
        fresh("stock-received", json!({"receipt_id": "empty-4.", "lines": []})),
    ];
    market.send(&all(&events)).await;
    for reference in ["empty-1.", "empty-2.", "empty-3.", "empty-4."] {
        assert_eq!(market.buried(reference, 1).await, ["invalid_field"], "{reference}");
    }
    // A cart may be empty: that is how it gives everything back.
    let cart = |version: i64, units: &[(&str, i64)]| super::cart("empty-C", version, units);
    market.send(&all(&[cart(1, &[("empty-A", 3)]), cart(2, &[])])).await;
    assert_eq!(market.told("empty-C"), ["granted, held: empty-A 3 -> 3 of 10", "released, released: "]);
    assert_eq!(market.units("empty-A").await, (10, 0, 0, 10));
    market.assert_sound().await;
}
