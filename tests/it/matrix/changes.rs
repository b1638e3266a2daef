//! What orders ask for, and what becomes of them later.

use serde_json::{Value, json};

use super::super::Here;
use super::{all, backordered, cancelled, confirmed, received, shipped, version};
use crate::market::{of, reserving, selling};
use crate::shop::{fresh, lines, ordered};

#[tokio::test]
async fn the_same_sku_on_two_lines() {
    let market = selling::<Here>().await;
    market.stock(&[("lines-A", 5), ("lines-B", 5)]).await;
    market.send(&[of(&ordered("lines-1", &[("lines-A", 2), ("lines-B", 1), ("lines-A", 3)]))]).await;
    assert_eq!(market.told("lines-1"), ["granted, deducted: lines-A 5 -> 5 of 5; lines-B 1 -> 1 of 5"]);
    // Two lines that fit alone do not fit together.
    market.send(&[of(&ordered("lines-2", &[("lines-B", 3), ("lines-B", 2)]))]).await;
    let refused = "refused, refused (insufficient_stock): lines-B 5 -> 0 of 4 (insufficient_stock)";
    assert_eq!(market.told("lines-2"), [refused]);
    assert_eq!(market.units("lines-A").await, (0, 0, 0, 0));
    assert_eq!(market.changes("lines-A"), 2, "one change for both lines");
    market.assert_sound().await;
}

#[tokio::test]
async fn _100_orders_for_10_units() {
    let market = selling::<Here>().await;
    market.stock(&[("hundred-A", 10)]).await;
    let orders: Vec<Value> = (0..100).map(|order| ordered(&format!("hundred-{order}"), &[("hundred-A", 1)])).collect();
    market.send(&all(&orders)).await;
    let told: Vec<String> = (0..100).flat_map(|order| market.told(&format!("hundred-{order}"))).collect();
    let granted = told.iter().filter(|told| told.starts_with("granted, deducted")).count();
    let refused = told.iter().filter(|told| told.starts_with("refused, refused (insufficient_stock)")).count();
    assert_eq!((told.len(), granted, refused), (100, 10, 90));
    assert_eq!(market.units("hundred-A").await, (0, 0, 0, 0));
    market.assert_sound().await;
}

#[tokio::test]
async fn refused_then_restocked_then_delivered_again() {
    let market = selling::<Here>().await;
    market.stock(&[("again-A", 1)]).await;
    let order = ordered("again-1", &[("again-A", 2)]);
    market.send(&[of(&order)]).await;
    let refused = "refused, refused (insufficient_stock): again-A 2 -> 0 of 1 (insufficient_stock)";
    assert_eq!(market.told("again-1"), [refused]);
    market.send(&[of(&received("again-R", &[("again-A", 10)]))]).await;
    market.send(&[of(&order), of(&super::retold(&order))]).await;
    assert_eq!(market.told("again-1"), [refused], "it stays refused");
    assert_eq!(market.units("again-A").await, (11, 0, 0, 11));
    market.assert_sound().await;
}

#[tokio::test]
async fn refused_then_a_higher_version() {
    let market = selling::<Here>().await;
    market.stock(&[("higher-A", 1)]).await;
    market.send(&[of(&version("higher-1", 1, &[("higher-A", 2)]))]).await;
    market.send(&[of(&received("higher-R", &[("higher-A", 10)]))]).await;
    market.send(&[of(&version("higher-1", 2, &[("higher-A", 2)]))]).await;
    let expected = [
        "refused, refused (insufficient_stock): higher-A 2 -> 0 of 1 (insufficient_stock)",
        "granted, deducted: higher-A 2 -> 2 of 11",
    ];
    assert_eq!(market.told("higher-1"), expected);
    assert_eq!(market.units("higher-A").await, (9, 0, 0, 9));
    market.assert_sound().await;
}

#[tokio::test]
async fn backorders_then_receipts() {
    let market = selling::<Here>().await;
    market.stock(&[("wait-A", 1)]).await;
    for order in ["wait-1", "wait-2"] {
        market.send(&[of(&backordered(order, &[("wait-A", 3)]))]).await;
    }
    for receipt in ["wait-R-1", "wait-R-2"] {
        market.send(&[of(&received(receipt, &[("wait-A", 3)]))]).await;
    }
    let partial = "partial, deducted (insufficient_stock): wait-A 3";
    let first = [
        format!("{partial} -> 1 of 1 (insufficient_stock), 2 wait"),
        "granted, deducted: wait-A 3 -> 3 of 4".to_owned(),
    ];
    assert_eq!(market.told("wait-1"), first);
    let second = [
        format!("{partial} -> 0 of 0 (insufficient_stock), 3 wait"),
        format!("{partial} -> 1 of 1 (insufficient_stock), 2 wait"),
        "granted, deducted: wait-A 3 -> 3 of 4".to_owned(),
    ];
    assert_eq!(market.told("wait-2"), second);
    assert_eq!(market.units("wait-A").await, (1, 0, 0, 1));
    market.assert_sound().await;
}

#[tokio::test]
async fn deduct_5_of_10_then_cancel() {
    let market = selling::<Here>().await;
    market.stock(&[("five-A", 10)]).await;
    market.send(&[of(&ordered("five-1", &[("five-A", 5)]))]).await;
    assert_eq!(market.units("five-A").await, (5, 0, 0, 5));
    market.send(&[of(&cancelled("five-1"))]).await;
    assert_eq!(market.units("five-A").await, (10, 0, 0, 10));
    let expected = ["granted, deducted: five-A 5 -> 5 of 10", "cancelled, cancelled: five-A 5 -> 5 of 10"];
    assert_eq!(market.told("five-1"), expected);
    market.assert_sound().await;
}

#[tokio::test]
async fn double_shipment() {
    let market = selling::<Here>().await;
    market.stock(&[("double-A", 10)]).await;
    market.send(&[of(&ordered("double-1", &[("double-A", 5)]))]).await;
    market.send(&[of(&shipped("double-1", "double-S-1"))]).await;
    // The same shipment is the same fact; another one has nothing left to send.
    market.send(&[of(&shipped("double-1", "double-S-1")), of(&shipped("double-1", "double-S-2"))]).await;
    let expected =
        ["granted, deducted: double-A 5 -> 5 of 10", "shipped, shipped: double-A 5 -> 5 of 5", "conflict, shipped: "];
    assert_eq!(market.told("double-1"), expected);
    assert_eq!(market.units("double-A").await, (5, 0, 0, 5));
    market.assert_sound().await;
}

#[tokio::test]
async fn confirm_after_expiry() {
    let market = reserving::<Here>().await;
    market.stock(&[("expiry-A", 10), ("expiry-B", 1)]).await;
    let brief = |order: &str, sku: &str| {
        let data = json!({"order_id": order, "ttl_s": 1, "lines": lines(&[(sku, 1)])});
        fresh("order-created", data)
    };
    market.send(&all(&[brief("expiry-1", "expiry-A"), brief("expiry-2", "expiry-B")])).await;
    for order in ["expiry-1", "expiry-2"] {
        let told = market.told_at_least(order, 2).await;
        assert!(told[0].starts_with("granted, reserved: ") && told[1].starts_with("expired, expired: "), "{told:?}");
    }
    // The unit of the second goes to somebody else.
    market.send(&[of(&ordered("expiry-3", &[("expiry-B", 1)]))]).await;
    market.send(&all(&[confirmed("expiry-1"), confirmed("expiry-2")])).await;
    assert_eq!(market.told("expiry-1")[2], "confirmed, deducted: expiry-A 1 -> 1 of 9");
    let lost = &market.told("expiry-2")[2];
    assert!(lost.starts_with("lost, expired"), "{lost}");
    assert_eq!(market.units("expiry-A").await, (9, 0, 0, 9));
    assert_eq!(market.units("expiry-B").await, (1, 0, 1, 0));
    market.assert_sound().await;
}

#[tokio::test]
async fn unknown_sku() {
    let market = selling::<Here>().await;
    market.stock(&[("known-A", 10)]).await;
    market.send(&[of(&ordered("unknown-1", &[("known-A", 1), ("unknown-X", 2)]))]).await;
    let refused = "refused, refused (unknown_sku): unknown-X 2 -> 0 of 0 (unknown_sku)";
    assert_eq!(market.told("unknown-1"), [refused]);
    assert_eq!(market.units("known-A").await, (10, 0, 0, 10));
    market.assert_sound().await;
}

#[tokio::test]
async fn locked_sku() {
    let market = selling::<Here>().await;
    market.stock(&[("locked-A", 10)]).await;
    market.send(&[of(&ordered("locked-0", &[("locked-A", 4)]))]).await;
    market.send(&[of(&fresh("sku-registered", json!({"sku": "locked-A", "status": "locked"})))]).await;
    market.send(&all(&[ordered("locked-1", &[("locked-A", 1)]), super::cart("locked-C", 1, &[("locked-A", 1)])])).await;
    let refused = "refused, refused (not_sellable): locked-A 1 -> 0 of 6 (not_sellable)";
    assert_eq!(market.told("locked-1"), [refused]);
    assert_eq!(market.told("locked-C"), ["refused, released (not_sellable): locked-A 1 -> 0 of 6 (not_sellable)"]);
    // What was sold before may go back.
    market.send(&[of(&cancelled("locked-0"))]).await;
    assert_eq!(market.units("locked-A").await, (10, 0, 0, 10));
    market.assert_sound().await;
}
