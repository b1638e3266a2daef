//! `order-confirmed` and `order-shipped`.

use holdfast::domain::claim::ClaimState;
use holdfast::domain::rules::DeductOn;
use holdfast::domain::words::StockKey;
use serde_json::json;

use super::{
    Shop, cancelled, cancelled_part, confirmed, created, deducting_on, last_told, make_due, received, retold, send,
    send_one, shipped, shipped_part, sku, stocked, stocked_with, told,
};
use crate::shop::ordered;

/// Lets the time of every order run out and sweeps.
async fn expire(shop: &mut Shop) {
    make_due(shop).await;
    assert!(shop.sweep().await > 0);
}

#[tokio::test]
async fn units_leave_on_hand_when_deduct_on_says_so() {
    let created = [(7, 0, 0, 7); 3];
    let confirmed_ = [(10, 0, 3, 7), (7, 0, 0, 7), (7, 0, 0, 7)];
    let shipped_ = [(10, 0, 3, 7), (10, 0, 3, 7), (7, 0, 0, 7)];
    for (deduct_on, units, after_confirmation) in [
        (DeductOn::Created, created, ClaimState::Deducted),
        (DeductOn::Confirmed, confirmed_, ClaimState::Deducted),
        (DeductOn::Shipped, shipped_, ClaimState::Confirmed),
    ] {
        let mut shop = stocked_with(deducting_on(deduct_on), &[("A", 10)]).await;
        send_one(&mut shop, ordered("O-1", &[("A", 3)])).await;
        assert_eq!(shop.units("A").await, units[0], "{deduct_on:?}");
        send_one(&mut shop, confirmed("O-1")).await;
        assert_eq!(shop.units("A").await, units[1], "{deduct_on:?}");
        let order = shop.order("O-1").await;
        assert_eq!((order.state, order.expires_at), (after_confirmation, None));
        send_one(&mut shop, shipped("O-1", "S-1")).await;
        assert_eq!(shop.units("A").await, units[2], "{deduct_on:?}");
        assert_eq!(shop.order("O-1").await.state, ClaimState::Shipped);
        let confirmation = format!("confirmed, {}: A 3 -> 3 of 7", after_confirmation.as_str());
        assert_eq!(told(&shop, "O-1").await[1..], [confirmation, "shipped, shipped: A 3 -> 3 of 7".to_owned()]);
        // One movement an event that moves something, and none for the others.
        let movements = if deduct_on == DeductOn::Created { 1 } else { 2 };
        assert_eq!(shop.kept().await.movements_of("O-1"), movements);
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn a_confirmation_ends_the_expiry() {
    let mut shop = stocked_with(deducting_on(DeductOn::Shipped), &[("A", 10)]).await;
    send(&mut shop, vec![ordered("O-1", &[("A", 3)]), confirmed("O-1"), confirmed("O-1")]).await;
    assert_eq!(shop.order("O-1").await.expires_at, None);
    assert_eq!(shop.sweep().await, 0);
    assert_eq!(told(&shop, "O-1").await.len(), 2, "a second confirmation is no news");
}

#[tokio::test]
async fn a_confirmation_after_the_deadline_gets_the_units_again() {
    for (deduct_on, units, state) in
        [(DeductOn::Confirmed, (7, 0, 0, 7), "deducted"), (DeductOn::Shipped, (10, 0, 3, 7), "confirmed")]
    {
        let mut shop = stocked_with(deducting_on(deduct_on), &[("A", 10)]).await;
        send_one(&mut shop, ordered("O-1", &[("A", 3)])).await;
        expire(&mut shop).await;
        assert_eq!(shop.units("A").await, (10, 0, 0, 10));
        assert_eq!(send_one(&mut shop, confirmed("O-1")).await, "applied");
        assert_eq!(shop.units("A").await, units);
        assert_eq!(shop.order("O-1").await.expires_at, None);
        assert_eq!(
            told(&shop, "O-1").await[1..],
            ["expired, expired: A 3 -> 3 of 10".to_owned(), format!("confirmed, {state}: A 3 -> 3 of 7")]
        );
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn a_confirmation_after_the_deadline_that_finds_too_little_is_told_lost_for_good() {
    let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 10), ("B", 10)]).await;
    send_one(&mut shop, ordered("O-1", &[("A", 6), ("B", 1)])).await;
    expire(&mut shop).await;
    send_one(&mut shop, ordered("O-2", &[("A", 5)])).await;
    assert_eq!(send_one(&mut shop, confirmed("O-1")).await, "refused insufficient_stock");
    let lost = "lost, expired (insufficient_stock): A 6 -> 0 of 5 (insufficient_stock)";
    assert_eq!(last_told(&shop, "O-1").await, lost);
    assert_eq!((shop.units("A").await, shop.units("B").await), ((10, 0, 5, 5), (10, 0, 0, 10)));
    // The shop pays back: no later delivery may confirm it after all.
    send_one(&mut shop, received("R-1", &[("A", 50)])).await;
    assert_eq!(send_one(&mut shop, confirmed("O-1")).await, "ignored");
    assert_eq!(send_one(&mut shop, shipped("O-1", "S-1")).await, "refused");
    assert_eq!(last_told(&shop, "O-1").await, "lost, expired: A 6 -> 0 of 55; B 1 -> 0 of 10");
    assert_eq!(shop.units("B").await, (10, 0, 0, 10));
    // Only a higher version can.
    let again = created("O-1", &[("A", 6), ("B", 1)], json!({"order_version": 1}));
    assert_eq!(send_one(&mut shop, again).await, "applied");
    assert_eq!(send_one(&mut shop, confirmed("O-1")).await, "applied");
    assert_eq!(shop.order("O-1").await.state, ClaimState::Deducted);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_shipment_after_the_deadline_gets_the_units_again_or_is_told_lost() {
    for deduct_on in [DeductOn::Confirmed, DeductOn::Shipped] {
        let mut shop = stocked_with(deducting_on(deduct_on), &[("A", 10)]).await;
        send(&mut shop, vec![ordered("O-1", &[("A", 6)]), ordered("O-2", &[("A", 2)]), ordered("O-3", &[("A", 1)])])
            .await;
        expire(&mut shop).await;
        // A shipment of something else gets nothing again.
        assert_eq!(send_one(&mut shop, shipped_part("O-1", "S-0", &[("X", 1)])).await, "refused");
        assert_eq!(last_told(&shop, "O-1").await, "conflict, expired: X 1 -> 0 of 0");
        assert_eq!(shop.units("A").await, (10, 0, 0, 10));
        assert_eq!(send_one(&mut shop, shipped("O-1", "S-1")).await, "applied");
        assert_eq!(last_told(&shop, "O-1").await, "shipped, shipped: A 6 -> 6 of 4");
        assert_eq!(send_one(&mut shop, shipped_part("O-2", "S-2", &[("A", 1)])).await, "applied");
        assert_eq!(last_told(&shop, "O-2").await, "shipped, deducted: A 1 -> 1 of 2");
        assert_eq!(shop.units("A").await, (3, 0, 1, 2));
        send_one(&mut shop, sku("A", json!({"status": "locked"}))).await;
        assert_eq!(send_one(&mut shop, shipped("O-3", "S-3")).await, "refused not_sellable");
        assert_eq!(last_told(&shop, "O-3").await, "lost, expired (not_sellable): A 1 -> 0 of 2 (not_sellable)");
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn a_shipment_counts_once_and_is_capped_by_what_the_order_holds() {
    for deduct_on in [DeductOn::Created, DeductOn::Confirmed, DeductOn::Shipped] {
        let mut shop = stocked_with(deducting_on(deduct_on), &[("A", 10), ("B", 10)]).await;
        send_one(&mut shop, ordered("O-1", &[("A", 5), ("B", 1)])).await;
        let first = shipped_part("O-1", "S-1", &[("A", 2)]);
        assert_eq!(send_one(&mut shop, first.clone()).await, "applied");
        assert_eq!(send_one(&mut shop, retold(&first)).await, "ignored");
        // The same shipment with other lines is the same shipment.
        assert_eq!(send_one(&mut shop, shipped("O-1", "S-1")).await, "ignored");
        assert_eq!(last_told(&shop, "O-1").await, "shipped, deducted: A 2 -> 2 of 5");
        send_one(&mut shop, shipped_part("O-1", "S-2", &[("A", 9), ("X", 1)])).await;
        assert_eq!(last_told(&shop, "O-1").await, "shipped, deducted: A 9 -> 3 of 5; X 1 -> 0 of 0");
        assert_eq!(send_one(&mut shop, shipped_part("O-1", "S-3", &[("A", 1)])).await, "refused");
        assert_eq!(last_told(&shop, "O-1").await, "conflict, deducted: A 1 -> 0 of 5");
        assert_eq!(send_one(&mut shop, shipped("O-1", "S-4")).await, "applied");
        assert_eq!(last_told(&shop, "O-1").await, "shipped, shipped: B 1 -> 1 of 9");
        assert_eq!(send_one(&mut shop, shipped("O-1", "S-5")).await, "refused");
        assert_eq!(last_told(&shop, "O-1").await, "conflict, shipped: ");
        assert_eq!((shop.units("A").await, shop.units("B").await), ((5, 0, 0, 5), (9, 0, 0, 9)));
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn a_first_shipment_ends_the_expiry_and_a_confirmation_deducts_the_rest() {
    let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 10)]).await;
    send_one(&mut shop, ordered("O-1", &[("A", 5)])).await;
    send_one(&mut shop, shipped_part("O-1", "S-1", &[("A", 2)])).await;
    assert_eq!(shop.units("A").await, (8, 0, 3, 5));
    assert_eq!(shop.order("O-1").await.expires_at, None);
    assert_eq!(send_one(&mut shop, confirmed("O-1")).await, "applied");
    assert_eq!(shop.units("A").await, (5, 0, 0, 5));
    assert_eq!(last_told(&shop, "O-1").await, "confirmed, deducted: A 5 -> 5 of 5");
    send_one(&mut shop, shipped("O-1", "S-2")).await;
    assert_eq!(shop.order("O-1").await.state, ClaimState::Shipped);
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_order_is_shipped_when_every_line_that_it_holds_is() {
    let mut shop = stocked(&[("A", 2), ("B", 10)]).await;
    let partial = created("O-1", &[("A", 5), ("B", 2)], json!({"policy": "partial"}));
    send(&mut shop, vec![partial, cancelled_part("O-1", &[("B", 1)])]).await;
    send_one(&mut shop, shipped_part("O-1", "S-1", &[("A", 2)])).await;
    assert_eq!(shop.order("O-1").await.state, ClaimState::Deducted);
    send_one(&mut shop, shipped_part("O-1", "S-2", &[("B", 2)])).await;
    assert_eq!(last_told(&shop, "O-1").await, "shipped, shipped: B 2 -> 1 of 9");
    assert_eq!(send_one(&mut shop, cancelled("O-1")).await, "refused");
    shop.assert_sound().await;
}

#[tokio::test]
async fn every_first_confirmation_of_a_lost_order_is_answered_whatever_told_of_the_loss() {
    for first in ["shipment", "confirmation"] {
        let mut shop = stocked_with(deducting_on(DeductOn::Shipped), &[("A", 6)]).await;
        send_one(&mut shop, ordered("O-1", &[("A", 6)])).await;
        make_due(&shop).await;
        assert_eq!(shop.sweep().await, 1);
        send_one(&mut shop, ordered("O-2", &[("A", 6)])).await;
        let events = match first {
            "shipment" => [shipped("O-1", "S-1"), confirmed("O-1")],
            _ => [confirmed("O-1"), shipped("O-1", "S-1")],
        };
        for event in &events {
            assert!(send_one(&mut shop, event.clone()).await.starts_with("refused"));
            assert!(last_told(&shop, "O-1").await.starts_with("lost, expired"), "after {first}");
        }
        let answers = told(&shop, "O-1").await.len();
        for event in &events {
            assert_eq!(send_one(&mut shop, retold(event)).await, "ignored", "the same fact again");
        }
        assert_eq!(told(&shop, "O-1").await.len(), answers);
        // Units that come back do not bring back an order that was paid back.
        send_one(&mut shop, cancelled("O-2")).await;
        send_one(&mut shop, shipped("O-1", "S-2")).await;
        assert!(last_told(&shop, "O-1").await.starts_with("lost, expired"));
        assert_eq!(shop.units("A").await, (6, 0, 0, 6));
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn a_shipment_that_was_refused_counts_no_more_when_it_is_told_again() {
    let mut shop = stocked(&[("A", 10), ("B", 10)]).await;
    send_one(&mut shop, ordered("O-1", &[("A", 5), ("B", 1)])).await;
    send_one(&mut shop, shipped_part("O-1", "S-1", &[("A", 5)])).await;
    let too_much = shipped_part("O-1", "S-2", &[("A", 1)]);
    assert_eq!(send_one(&mut shop, too_much.clone()).await, "refused");
    let more = created("O-1", &[("A", 7), ("B", 1)], json!({"order_version": 1}));
    assert_eq!(send_one(&mut shop, more).await, "applied");
    assert_eq!(send_one(&mut shop, retold(&too_much)).await, "ignored");
    assert_eq!(shop.order("O-1").await.lines[&StockKey::new("A", "default")].shipped, 5);
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_order_that_was_reserved_before_the_shop_chose_to_deduct_at_creation_keeps_every_unit_in_view() {
    let reserving = deducting_on(DeductOn::Confirmed);
    for last in ["confirmed", "expired"] {
        let mut shop = stocked_with(reserving.clone(), &[("A", 10)]).await;
        send_one(&mut shop, ordered("O-1", &[("A", 4)])).await;
        let mut shop = Shop::at(shop.url.clone(), deducting_on(DeductOn::Created)).await;
        send_one(&mut shop, created("O-1", &[("A", 6)], json!({"order_version": 1}))).await;
        assert_eq!(shop.units("A").await, (10, 0, 6, 4));
        if last == "confirmed" {
            send_one(&mut shop, confirmed("O-1")).await;
            assert_eq!(shop.units("A").await, (4, 0, 0, 4));
        } else {
            make_due(&shop).await;
            assert_eq!(shop.sweep().await, 1);
            assert_eq!(shop.units("A").await, (10, 0, 0, 10));
        }
        shop.assert_sound().await;
    }
}
