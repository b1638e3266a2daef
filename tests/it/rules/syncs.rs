//! `stock-synced`: units were moved by a system that does not reserve.

use holdfast::domain::rules::DeductOn;
use serde_json::json;

use super::{cart, deducting_on, ledger, retold, send, send_one, shortages, sku, stocked, stocked_with, synced, told};
use crate::shop::{fresh, ordered};

#[tokio::test]
async fn a_sync_adds_its_signed_difference_once() {
    let mut shop = stocked(&[("A", 10), ("12", 5)]).await;
    assert_eq!(send_one(&mut shop, synced("T-1", "A", -4)).await, "applied");
    assert_eq!(send_one(&mut shop, synced("T-2", "A", 3)).await, "applied");
    assert_eq!(send_one(&mut shop, synced("T-1", "A", -4)).await, "ignored");
    assert_eq!(send_one(&mut shop, synced("T-1", "12", 1)).await, "ignored", "the trace is the same fact");
    let sync = synced("T-3", "A", -1);
    assert_eq!(send(&mut shop, vec![sync.clone(), retold(&sync)]).await, ["applied", "ignored"]);
    assert_eq!(ledger(&shop, "A").await, ["adjust 9 -> 8", "adjust 6 -> 9", "adjust 10 -> 6", "register 0 -> 10"]);
    // A system that knows a number only.
    let data = json!({"trace_id": "T-4", "product_id": 12, "delta": -2, "order_id": "4711", "reason": "till"});
    assert_eq!(send_one(&mut shop, fresh("stock-synced", data)).await, "applied");
    assert_eq!(shop.units("12").await.0, 3);
    assert!(told(&shop, "T-1").await.is_empty(), "it is answered by its change");
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_sync_below_zero_is_refused_and_may_be_told_again() {
    let mut shop = stocked(&[("A", 3)]).await;
    assert_eq!(send_one(&mut shop, synced("T-1", "A", -4)).await, "refused insufficient_stock");
    assert_eq!(told(&shop, "T-1").await, ["refused, - (insufficient_stock): A 4 -> 0 of 3 (insufficient_stock)"]);
    assert_eq!(shop.answers("T-1").await[0].kind.as_str(), "stock");
    assert_eq!(send_one(&mut shop, synced("T-2", "X", -4)).await, "refused unknown_sku");
    assert_eq!(told(&shop, "T-2").await, ["refused, - (unknown_sku): X 4 -> 0 of 0 (unknown_sku)"]);
    send_one(&mut shop, super::received("R-1", &[("A", 1)])).await;
    assert_eq!(send_one(&mut shop, synced("T-1", "A", -4)).await, "applied");
    assert_eq!(shop.units("A").await, (0, 0, 0, 0));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_sync_below_what_is_reserved_leaves_the_row_short_and_says_so_each_time() {
    let mut shop = stocked_with(deducting_on(DeductOn::Shipped), &[("A", 10)]).await;
    send(&mut shop, vec![ordered("O-1", &[("A", 5)]), cart("C-1", 1, &[("A", 3)])]).await;
    // Below what is available, not below what is reserved.
    send_one(&mut shop, sku("A", json!({"safety_stock": 1}))).await;
    assert_eq!(send_one(&mut shop, synced("T-1", "A", -2)).await, "applied");
    assert!(shortages(&shop).await.is_empty());
    assert_eq!(send_one(&mut shop, synced("T-2", "A", -3)).await, "applied");
    assert_eq!(shop.units("A").await, (5, 3, 5, -4));
    // What mends a part of it leaves it short as well; what mends it does not.
    assert_eq!(send_one(&mut shop, synced("T-3", "A", 1)).await, "applied");
    assert_eq!(send_one(&mut shop, synced("T-4", "A", 2)).await, "applied");
    let told = shortages(&shop).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("A 5 of 8, 3 short: ") && told[1].starts_with("A 6 of 8, 2 short: "), "{told:?}");
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_sync_without_a_trace_or_a_difference_is_buried() {
    let mut shop = stocked(&[("A", 3)]).await;
    let cases = [
        (json!({"sku": "A", "delta": 1}), "dead_lettered missing_key_field"),
        (json!({"trace_id": null, "sku": "A", "delta": 1}), "dead_lettered missing_key_field"),
        (json!({"trace_id": "T", "delta": 1}), "dead_lettered missing_key_field"),
        (json!({"trace_id": "T", "sku": "A", "delta": 0}), "dead_lettered invalid_quantity"),
        (json!({"trace_id": "T", "sku": "A"}), "dead_lettered invalid_quantity"),
    ];
    for (data, expected) in cases {
        assert_eq!(send_one(&mut shop, fresh("stock-synced", data.clone())).await, expected, "{data}");
    }
    assert_eq!(shop.units("A").await.0, 3);
}
