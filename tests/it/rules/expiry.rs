//! Expiry: due claims are released through the engine, once each.

use holdfast::domain::claim::{ClaimKind, ClaimState};
use holdfast::domain::rules::DeductOn;
use holdfast::ports::Store;
use holdfast::store::Upkeep;
use serde_json::json;

use super::{
    Shop, cart, confirmed, created, deducting_on, last_told, make_due, send, send_one, stocked, stocked_with, told,
};
use crate::shop::{Tampering, day, fresh, instant, lines, ordered};

#[tokio::test]
async fn a_claim_is_due_when_its_time_to_live_is_over_and_not_before() {
    let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 10), ("B", 10)]).await;
    let held = json!({"cart_id": "C-1", "cart_version": 1, "ttl_s": 1, "lines": lines(&[("A", 2)])});
    send(&mut shop, vec![fresh("cart-updated", held), created("O-1", &[("B", 3)], json!({"ttl_s": 1}))]).await;
    assert_eq!(shop.sweep().await, 0);
    shop.pass(1).await;
    assert_eq!(shop.store.due_claims(10).await.unwrap().len(), 2);
    assert_eq!(shop.sweep().await, 2);
    assert_eq!((shop.units("A").await, shop.units("B").await), ((10, 0, 0, 10), (10, 0, 0, 10)));
    assert_eq!(told(&shop, "C-1").await[1..], ["expired, expired: A 2 -> 2 of 10"]);
    assert_eq!(told(&shop, "O-1").await[1..], ["expired, expired: B 3 -> 3 of 10"]);
    assert_eq!(shop.sweep().await, 0, "what was swept is not due");
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_expiry_is_an_event_whose_cause_is_the_claim_and_its_deadline() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 2)])).await;
    make_due(&shop).await;
    let deadline = shop.cart("C-1").await.expires_at.unwrap();
    shop.sweep().await;
    let announcements = shop.announcements().await;
    let last = announcements.last().unwrap();
    assert_eq!(last.cause.event_type.as_str(), "claim-expired");
    assert_eq!(&*last.cause.source, "holdfast");
    assert_eq!(*last.cause.id, format!("cart:C-1:{}", deadline.0));
    assert_eq!(last.cause.reference, Some("C-1".into()));
    let movements = shop.kept().await.movements;
    assert_eq!(movements.iter().filter(|movement| movement.cause_type == "claim-expired").count(), 1);
}

#[tokio::test]
async fn a_confirmed_deducted_shipped_or_cancelled_order_is_never_due() {
    for deduct_on in [DeductOn::Created, DeductOn::Confirmed, DeductOn::Shipped] {
        let mut shop = stocked_with(deducting_on(deduct_on), &[("A", 10)]).await;
        for (order, last) in [("O-1", "confirmed"), ("O-2", "shipped"), ("O-3", "cancelled"), ("O-4", "refused")] {
            send_one(&mut shop, ordered(order, &[("A", if last == "refused" { 99 } else { 1 })])).await;
            match last {
                "confirmed" => drop(send_one(&mut shop, confirmed(order)).await),
                "shipped" => drop(send_one(&mut shop, super::shipped(order, "S-1")).await),
                "cancelled" => drop(send_one(&mut shop, super::cancelled(order)).await),
                _ => {}
            }
        }
        assert!(shop.kept().await.claims.iter().all(|claim| claim.expires_at.is_none()));
    }
}

#[tokio::test]
async fn two_sweepers_release_a_claim_once() {
    let mut shop = stocked(&[("A", 100)]).await;
    let mut other = Shop::at(shop.url.clone(), Default::default()).await;
    for round in 0..10 {
        let carts = (0..5).map(|cart_number| cart(&format!("C-{round}-{cart_number}"), 1, &[("A", 2)])).collect();
        send(&mut shop, carts).await;
        make_due(&shop).await;
        tokio::join!(shop.sweep(), other.sweep());
        assert_eq!(shop.units("A").await, (100, 0, 0, 100));
    }
    for round in 0..10 {
        for cart_number in 0..5 {
            assert_eq!(told(&shop, &format!("C-{round}-{cart_number}")).await.len(), 2);
        }
    }
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_claim_whose_deadline_moved_meanwhile_is_left_alone() {
    let mut shop = stocked(&[("A", 10)]).await;
    let mut other = Shop::at(shop.url.clone(), Default::default()).await;
    for round in 1..=20 {
        // The update and the sweep meet: whoever is second sees what the first did.
        send_one(&mut shop, cart("C-1", 10 * round, &[("A", 2)])).await;
        make_due(&shop).await;
        let update = cart("C-1", 10 * round + 1, &[("A", 3)]);
        let (outcome, _) = tokio::join!(shop.send_one(update), other.sweep());
        assert_eq!(outcome.as_str(), "applied");
        assert_eq!(shop.units("A").await, (10, 3, 0, 7));
        assert_eq!(shop.cart("C-1").await.state, ClaimState::Held);
    }
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_order_and_the_sweeper_that_want_the_same_cart_end_with_one_of_the_two() {
    let mut shop = stocked(&[("A", 100)]).await;
    let mut other = Shop::at(shop.url.clone(), Default::default()).await;
    for round in 0..20 {
        let (cart_name, order) = (format!("C-{round}"), format!("O-{round}"));
        send_one(&mut shop, cart(&cart_name, 1, &[("A", 2)])).await;
        make_due(&shop).await;
        let event = created(&order, &[("A", 2)], json!({"cart_id": cart_name}));
        let (outcome, _) = tokio::join!(shop.send_one(event), other.sweep());
        assert_eq!(outcome.as_str(), "applied");
        let state = shop.cart(&cart_name).await.state;
        assert_eq!(state, ClaimState::Converted, "a cart that was swept first is converted all the same");
        let expired = last_told(&shop, &cart_name).await.starts_with("expired");
        assert_eq!(told(&shop, &cart_name).await.len(), if expired { 2 } else { 1 });
    }
    assert_eq!(shop.units("A").await, (60, 0, 0, 60));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_claim_that_contradicts_its_stock_row_stops_no_other() {
    let mut shop = stocked(&[("A", 10), ("B", 10)]).await;
    send(
        &mut shop,
        vec![cart("C-1", 1, &[("A", 2)]), cart("C-2", 1, &[("A", 1), ("B", 2)]), cart("C-3", 1, &[("A", 3)])],
    )
    .await;
    shop.tamper(Tampering::CartHeld { sku: "B", units: 0 }).await;
    make_due(&shop).await;
    assert_eq!(shop.sweep().await, 2);
    let states: Vec<ClaimState> =
        [shop.cart("C-1").await, shop.cart("C-2").await, shop.cart("C-3").await].map(|cart| cart.state).into();
    assert_eq!(states, [ClaimState::Expired, ClaimState::Held, ClaimState::Expired]);
    assert_eq!(shop.units("A").await, (10, 1, 0, 9), "nothing of the damaged claim was released");
    assert_eq!(shop.sweep().await, 0, "its next turn is later");
    let now = shop.store.outbox_status().await.expect("a clock").now;
    assert!(shop.cart("C-2").await.expires_at > Some(now), "it does not stand before others at every look");
    // The comparison tells of it, and once mended it is released like any other.
    let checks = shop.store.verify(false).await.unwrap();
    assert!(checks.iter().any(|check| check.differing > 0));
    shop.tamper(Tampering::CartHeld { sku: "B", units: 2 }).await;
    // Its turn has come: what was swept at one moment is not swept again at the same one.
    shop.tamper(Tampering::Deadline { of: None, seconds: -2 }).await;
    assert_eq!(shop.sweep().await, 1);
    assert!(shop.claim(ClaimKind::Cart, "C-2").await.is_some_and(|cart| cart.state == ClaimState::Expired));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_claim_whose_deadline_is_of_a_day_that_was_closed_long_ago_is_swept_all_the_same() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 2)])).await;
    shop.tamper(Tampering::DeadlineAt(instant("2020-01-02T00:00:00Z"))).await;
    shop.tamper(Tampering::DayDropped { day: day("2020-01-02") }).await;
    assert_eq!(shop.sweep().await, 1);
    assert_eq!(shop.units("A").await, (10, 0, 0, 10));
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_expiry_tells_of_what_was_given_back_and_not_of_lines_that_held_nothing() {
    let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 10), ("B", 0)]).await;
    let wanted = [("A", 2), ("B", 5)];
    send(&mut shop, vec![cart("C-1", 1, &wanted), created("O-1", &wanted, json!({"policy": "partial"}))]).await;
    make_due(&shop).await;
    assert_eq!(shop.sweep().await, 2);
    let gave_back = |told: String| told.split(" of ").next().unwrap_or_default().to_owned();
    assert_eq!(gave_back(last_told(&shop, "C-1").await), "expired, expired: A 2 -> 2");
    assert_eq!(gave_back(last_told(&shop, "O-1").await), "expired, expired: A 2 -> 2");
    for reference in ["C-1", "O-1"] {
        assert!(!last_told(&shop, reference).await.contains("B "), "{reference} held nothing of B");
    }
}
