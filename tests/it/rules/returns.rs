//! `return-received`: units of an order come back.

use holdfast::domain::rules::DeductOn;
use serde_json::{Value, json};

use super::{
    Shop, cancelled, confirmed, created, deducting_on, last_told, ledger, retold, returned, send, send_one, shipped,
    shipped_part, sku, stocked, stocked_with, told,
};
use crate::shop::{fresh, ordered};

/// Ten units of A and of B; an order has five and two of them and has shipped them.
async fn sold() -> Shop {
    let mut shop = stocked(&[("A", 10), ("B", 10)]).await;
    send(&mut shop, vec![ordered("O-1", &[("A", 5), ("B", 2)]), shipped("O-1", "S-1")]).await;
    shop
}

fn not_resellable(id: &str, order: &str, units: &[(&str, i64)]) -> Value {
    let mut event = returned(id, order, units);
    event["data"]["resellable"] = json!(false);
    event
}

#[tokio::test]
async fn a_return_brings_back_at_most_what_was_shipped_and_has_not_come_back() {
    let mut shop = sold().await;
    assert_eq!(send_one(&mut shop, returned("T-1", "O-1", &[("A", 2)])).await, "applied");
    assert_eq!(told(&shop, "T-1").await, ["returned, -: A 2 -> 2 of 7"]);
    assert_eq!(send_one(&mut shop, returned("T-2", "O-1", &[("A", 4), ("B", 1)])).await, "applied");
    assert_eq!(told(&shop, "T-2").await, ["returned, -: A 4 -> 3 of 10; B 1 -> 1 of 9"]);
    assert_eq!(send_one(&mut shop, returned("T-3", "O-1", &[("A", 1)])).await, "refused");
    assert_eq!(told(&shop, "T-3").await, ["returned, -: A 1 -> 0 of 10"]);
    assert_eq!((shop.units("A").await.0, shop.units("B").await.0), (10, 9));
    assert_eq!(ledger(&shop, "A").await[..2], ["return 7 -> 10", "return 5 -> 7"]);
    let order = shop.order("O-1").await;
    assert_eq!(order.state.as_str(), "shipped", "a return leaves the order where it is");
    assert_eq!(order.lines.values().map(|line| line.returned).collect::<Vec<_>>(), [5, 1]);
    let answer = shop.answers("T-1").await.remove(0);
    assert_eq!((answer.kind.as_str(), answer.reference.as_str()), ("return", "T-1"));
    assert_eq!(told(&shop, "O-1").await.len(), 2, "its answers are the order's own");
    shop.assert_sound().await;
}

#[tokio::test]
async fn what_cannot_be_sold_again_comes_back_and_stays_out_of_stock() {
    let mut shop = sold().await;
    assert_eq!(send_one(&mut shop, not_resellable("T-1", "O-1", &[("A", 2)])).await, "applied");
    assert_eq!(told(&shop, "T-1").await, ["returned, -: A 2 -> 2 of 5"]);
    assert_eq!((shop.units("A").await.0, shop.stock("A").await.version), (5, 2));
    // It came back all the same: the rest is three.
    assert_eq!(send_one(&mut shop, returned("T-2", "O-1", &[("A", 5)])).await, "applied");
    assert_eq!(told(&shop, "T-2").await, ["returned, -: A 5 -> 3 of 8"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn each_line_of_a_return_counts_once() {
    let mut shop = sold().await;
    let first = returned("T-1", "O-1", &[("A", 1)]);
    send_one(&mut shop, first.clone()).await;
    assert_eq!(send_one(&mut shop, retold(&first)).await, "ignored");
    assert_eq!(send_one(&mut shop, returned("T-1", "O-1", &[("A", 3)])).await, "ignored");
    // Further lines of the same return are news.
    assert_eq!(send_one(&mut shop, returned("T-1", "O-1", &[("A", 3), ("B", 1)])).await, "applied");
    assert_eq!(told(&shop, "T-1").await, ["returned, -: A 1 -> 1 of 6", "returned, -: B 1 -> 1 of 9"]);
    // Lines of one row are one line.
    assert_eq!(send_one(&mut shop, returned("T-2", "O-1", &[("A", 1), ("A", 2)])).await, "applied");
    assert_eq!(last_told(&shop, "T-2").await, "returned, -: A 3 -> 3 of 9");
    assert_eq!((shop.units("A").await.0, shop.units("B").await.0), (9, 9));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_return_of_an_order_that_nobody_knows_is_a_conflict_and_leaves_nothing() {
    let mut shop = stocked(&[("A", 10)]).await;
    let unknown = returned("T-1", "O-1", &[("A", 1)]);
    assert_eq!(send_one(&mut shop, unknown.clone()).await, "refused");
    assert_eq!(told(&shop, "T-1").await, ["conflict, -: "]);
    assert_eq!(shop.answers("T-1").await[0].kind.as_str(), "return");
    assert!(shop.kept().await.claims.is_empty());
    // Neither is one known of which only later events have come; they go on waiting.
    send_one(&mut shop, shipped("O-1", "S-1")).await;
    assert_eq!(send_one(&mut shop, retold(&unknown)).await, "refused");
    send_one(&mut shop, cancelled("O-2")).await;
    assert_eq!(send_one(&mut shop, returned("T-2", "O-2", &[("A", 1)])).await, "refused");
    assert_eq!(told(&shop, "T-2").await, ["conflict, -: "]);
    send_one(&mut shop, ordered("O-1", &[("A", 3)])).await;
    assert_eq!(shop.claim_state("O-1").await.as_deref(), Some("shipped"));
    // Nothing of it stands in the way when it is told again.
    assert_eq!(send_one(&mut shop, retold(&unknown)).await, "applied");
    assert_eq!(last_told(&shop, "T-1").await, "returned, -: A 1 -> 1 of 8");
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_return_that_overtook_its_shipment_may_be_told_again() {
    let mut shop = stocked_with(deducting_on(DeductOn::Shipped), &[("A", 10)]).await;
    send_one(&mut shop, ordered("O-1", &[("A", 3)])).await;
    let early = returned("T-1", "O-1", &[("A", 2), ("X", 1)]);
    assert_eq!(send_one(&mut shop, early.clone()).await, "refused");
    // A line that the order does not have had nothing to send either.
    assert_eq!(told(&shop, "T-1").await, ["returned, -: A 2 -> 0 of 7; X 1 -> 0 of 0"]);
    assert_eq!(shop.units("A").await, (10, 0, 3, 7));
    send_one(&mut shop, shipped_part("O-1", "S-1", &[("A", 1)])).await;
    assert_eq!(send_one(&mut shop, retold(&early)).await, "applied");
    assert_eq!(last_told(&shop, "T-1").await, "returned, -: A 2 -> 1 of 8; X 1 -> 0 of 0");
    assert_eq!(shop.units("A").await, (10, 0, 2, 8));
    // The order goes on: what came back is not called off.
    send_one(&mut shop, shipped("O-1", "S-2")).await;
    assert_eq!(last_told(&shop, "O-1").await, "shipped, shipped: A 2 -> 2 of 8");
    shop.assert_sound().await;
}

#[tokio::test]
async fn shipped_units_of_a_cancelled_order_come_back() {
    let mut shop = stocked(&[("A", 10)]).await;
    let events = vec![ordered("O-1", &[("A", 5)]), shipped_part("O-1", "S-1", &[("A", 2)]), cancelled("O-1")];
    send(&mut shop, events).await;
    assert_eq!(shop.units("A").await.0, 8);
    assert_eq!(shop.claim_state("O-1").await.as_deref(), Some("cancelled"));
    assert_eq!(send_one(&mut shop, returned("T-1", "O-1", &[("A", 5)])).await, "applied");
    assert_eq!(told(&shop, "T-1").await, ["returned, -: A 5 -> 2 of 10"]);
    assert_eq!(shop.claim_state("O-1").await.as_deref(), Some("cancelled"));
    // Anything else stays closed, and nothing comes back a second time.
    assert_eq!(send_one(&mut shop, confirmed("O-1")).await, "refused closed");
    assert_eq!(send_one(&mut shop, cancelled("O-1")).await, "ignored");
    assert_eq!(shop.units("A").await.0, 10);
    shop.assert_sound().await;
}

#[tokio::test]
async fn returns_go_on_whatever_the_status_and_the_maximum_and_by_location() {
    let mut shop = Shop::open().await;
    let north = json!({"sku": "A", "location": "north", "initial": 4});
    send(&mut shop, vec![sku("A", json!({"initial": 4, "max_stock": 4})), fresh("sku-registered", north)]).await;
    let line = |location: &str, units: i64| json!({"sku": "A", "location": location, "quantity": units});
    let order = json!({"order_id": "O-1", "lines": [line("default", 3), line("north", 1)]});
    send(&mut shop, vec![fresh("order-created", order), shipped("O-1", "S-1")]).await;
    send(&mut shop, vec![super::received("R-1", &[("A", 9)]), sku("A", json!({"status": "locked"}))]).await;
    let data = json!({"return_id": "T-1", "order_id": "O-1", "lines": [line("north", 2), line("default", 2)]});
    assert_eq!(send_one(&mut shop, fresh("return-received", data)).await, "applied");
    assert_eq!(told(&shop, "T-1").await, ["returned, -: A@north 2 -> 1 of 4; A 2 -> 2 of 12"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_order_and_its_return_may_stand_in_one_batch() {
    let mut shop = stocked(&[("A", 10)]).await;
    let events = vec![
        created("O-1", &[("A", 4)], json!({})),
        shipped("O-1", "S-1"),
        returned("T-1", "O-1", &[("A", 1)]),
        returned("T-2", "O-1", &[("A", 9)]),
    ];
    assert_eq!(send(&mut shop, events).await, ["applied"; 4]);
    assert_eq!(last_told(&shop, "T-2").await, "returned, -: A 9 -> 3 of 10");
    assert_eq!(shop.units("A").await, (10, 0, 0, 10));
    shop.assert_sound().await;
}
