//! Units that come or are given back and go to who waits in the same event: what ledger and levels say of them.

use holdfast::domain::announce::MovementKind;
use holdfast::domain::rules::DeductOn;
use holdfast::domain::words::StockKey;
use holdfast::ports::Queries;
use serde_json::json;

use super::{
    Shop, cancelled, cart, created, deducting_on, last_told, levels, make_one_due, received, send, send_one, stocked,
    stocked_with,
};
use crate::shop::ordered;

async fn last_kind(shop: &Shop) -> MovementKind {
    shop.store.movements(&StockKey::new("A", "default"), None, 1).await.expect("a ledger").remove(0).kind
}

#[tokio::test]
async fn what_a_cart_gives_back_to_who_waits_is_a_release_also_where_orders_reserve() {
    for expires in [false, true] {
        let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 3)]).await;
        let order = created("O-1", &[("A", 3)], json!({"policy": "backorder"}));
        send(&mut shop, vec![cart("C-1", 1, &[("A", 3)]), order]).await;
        if expires {
            make_one_due(&shop, "C-1").await;
            shop.sweep().await;
        } else {
            send_one(&mut shop, cart("C-1", 2, &[])).await;
        }
        assert_eq!(shop.units("A").await, (3, 0, 3, 0));
        assert_eq!(last_kind(&shop).await, MovementKind::Release, "expires: {expires}");
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn a_cart_that_becomes_an_order_reserves_where_nobody_waits() {
    let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 3)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 3)])).await;
    assert_eq!(last_kind(&shop).await, MovementKind::Reserve);
    send_one(&mut shop, created("O-1", &[("A", 3)], json!({"cart_id": "C-1"}))).await;
    assert_eq!(last_kind(&shop).await, MovementKind::Reserve);
}

#[tokio::test]
async fn a_row_whose_first_units_all_went_to_who_waited_is_out_and_not_unstocked() {
    let mut shop = stocked(&[("A", 0)]).await;
    send_one(&mut shop, created("O-1", &[("A", 5)], json!({"policy": "backorder"}))).await;
    send_one(&mut shop, received("R-1", &[("A", 5)])).await;
    assert_eq!(shop.units("A").await.0, 0, "sold at once");
    assert_eq!(levels(&shop).await, ["A unstocked -> out at 0"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn what_a_cancellation_frees_is_told_before_it_goes_to_who_waits() {
    let mut shop = stocked(&[("A", 5)]).await;
    let waits = created("O-2", &[("A", 5)], json!({"policy": "backorder"}));
    send(&mut shop, vec![ordered("O-1", &[("A", 5)]), waits]).await;
    send_one(&mut shop, cancelled("O-1")).await;
    assert_eq!(last_told(&shop, "O-1").await, "cancelled, cancelled: A 5 -> 5 of 5");
    assert_eq!(shop.units("A").await.3, 0);
}
