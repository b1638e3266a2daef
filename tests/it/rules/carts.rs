//! Carts.

use holdfast::domain::claim::{ClaimKind, ClaimState};
use holdfast::domain::rules::Rules;
use holdfast::domain::words::Timestamp;
use serde_json::{Value, json};

use super::{cart, created, last_told, lives_for, make_due, send, send_one, sku, stocked, stocked_with, told, with};
use crate::shop::{Tampering, fresh, lines, ordered};

/// A cart event without a version; its time decides.
fn cart_at(cart: &str, time: &str, wanted: &[(&str, i64)]) -> Value {
    with(fresh("cart-updated", json!({"cart_id": cart, "lines": lines(wanted)})), json!({"time": time}))
}

/// A cart event with a time to live.
fn cart_for(cart: &str, version: i64, ttl: i64, wanted: &[(&str, i64)]) -> Value {
    let data = json!({"cart_id": cart, "cart_version": version, "ttl_s": ttl, "lines": lines(wanted)});
    fresh("cart-updated", data)
}

fn seconds_ago(seconds: i64) -> String {
    let now = i64::try_from(uuid::Uuid::now_v7().get_timestamp().unwrap().to_unix().0).unwrap();
    holdfast::wire::instant::format(Timestamp((now - seconds) * 1_000_000))
}

#[tokio::test]
async fn a_cart_is_whole_and_its_version_grows() {
    let mut shop = stocked(&[("A", 10), ("B", 10)]).await;
    let updates = [
        (cart("C-1", 3, &[("A", 3), ("B", 1)]), "applied", (7, 9)),
        // Version 3 came before 2: the older one is stale.
        (cart("C-1", 2, &[("A", 9)]), "ignored", (7, 9)),
        (cart("C-1", 3, &[("A", 9)]), "ignored", (7, 9)),
        // B is no longer in the cart.
        (cart("C-1", 4, &[("A", 5)]), "applied", (5, 10)),
        (cart("C-1", 9, &[("B", 2)]), "applied", (10, 8)),
        (cart("C-1", 10, &[]), "applied", (10, 10)),
    ];
    for (update, expected, (a, b)) in updates {
        assert_eq!(send_one(&mut shop, update.clone()).await, expected, "{update}");
        assert_eq!((shop.units("A").await.3, shop.units("B").await.3), (a, b), "{update}");
    }
    assert_eq!(
        told(&shop, "C-1").await,
        [
            "granted, held: A 3 -> 3 of 10; B 1 -> 1 of 10",
            "granted, held: A 5 -> 5 of 10",
            "granted, held: B 2 -> 2 of 10",
            "released, released: ",
        ]
    );
    let versions: Vec<_> = shop.answers("C-1").await.iter().map(|answer| answer.request_version).collect();
    assert_eq!(versions, [Some(3), Some(4), Some(9), Some(10)]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_cart_without_versions_is_ordered_by_the_time_of_its_events() {
    let mut shop = stocked(&[("A", 10)]).await;
    let (early, middle, late) = (seconds_ago(30), seconds_ago(20), seconds_ago(10));
    assert_eq!(send_one(&mut shop, cart_at("C-1", &middle, &[("A", 2)])).await, "applied");
    assert_eq!(send_one(&mut shop, cart_at("C-1", &early, &[("A", 9)])).await, "ignored");
    assert_eq!(send_one(&mut shop, cart_at("C-1", &middle, &[("A", 8)])).await, "ignored");
    assert_eq!(send_one(&mut shop, cart_at("C-1", &late, &[("A", 3)])).await, "applied");
    assert_eq!(shop.units("A").await, (10, 3, 0, 7));
    // Without any time the moment of its arrival counts.
    let timeless = fresh("cart-updated", json!({"cart_id": "C-1", "lines": lines(&[("A", 4)])}));
    assert_eq!(send_one(&mut shop, timeless).await, "applied");
    assert_eq!(shop.units("A").await, (10, 4, 0, 6));
}

#[tokio::test]
async fn decreases_go_first_and_a_line_that_does_not_fit_keeps_its_hold() {
    let mut shop = stocked(&[("A", 10), ("B", 10), ("C", 2)]).await;
    send_one(&mut shop, ordered("O-1", &[("A", 6)])).await;
    assert_eq!(send_one(&mut shop, cart("C-1", 1, &[("A", 3), ("B", 9)])).await, "applied");
    // A does not fit (4 are its own and free), B shrinks, C is new.
    assert_eq!(send_one(&mut shop, cart("C-1", 2, &[("A", 5), ("B", 1), ("C", 2)])).await, "applied");
    assert_eq!(
        last_told(&shop, "C-1").await,
        "partial, held (insufficient_stock): A 5 -> 3 of 4 (insufficient_stock); B 1 -> 1 of 10; C 2 -> 2 of 2"
    );
    assert_eq!((shop.units("A").await.1, shop.units("B").await.1, shop.units("C").await.1), (3, 1, 2));
    // Nothing of this one can be had, and what it held is not asked for any more.
    assert_eq!(send_one(&mut shop, cart("C-1", 3, &[("X", 1)])).await, "refused unknown_sku");
    assert_eq!(last_told(&shop, "C-1").await, "refused, released (unknown_sku): X 1 -> 0 of 0 (unknown_sku)");
    assert_eq!(shop.units("B").await, (10, 0, 0, 10));
    shop.assert_sound().await;
}

#[tokio::test]
async fn every_line_of_a_cart_carries_its_own_reason_and_the_answer_the_first_of_them() {
    let rules = Rules { cart_max_per_sku: Some(5), ..Rules::default() };
    let mut shop = stocked_with(rules, &[("A", 3), ("B", 100), ("L", 100), ("C", 100)]).await;
    send_one(&mut shop, sku("L", json!({"status": "locked"}))).await;
    let wanted = [("A", 4), ("B", 6), ("L", 6), ("C", 5), ("X", 6)];
    assert_eq!(send_one(&mut shop, cart("C-1", 1, &wanted)).await, "applied");
    assert_eq!(
        last_told(&shop, "C-1").await,
        "partial, held (unknown_sku): A 4 -> 0 of 3 (insufficient_stock); B 6 -> 0 of 100 (over_cap); \
         L 6 -> 0 of 100 (not_sellable); C 5 -> 5 of 100; X 6 -> 0 of 0 (unknown_sku)"
    );
    let old = with(cart("C-2", 1, &wanted), json!({"time": seconds_ago(3_600)}));
    assert_eq!(send_one(&mut shop, old).await, "refused unknown_sku");
    assert_eq!(
        last_told(&shop, "C-2").await,
        "refused, released (unknown_sku): A 4 -> 0 of 3 (too_old); B 6 -> 0 of 100 (too_old); \
         L 6 -> 0 of 100 (not_sellable); C 5 -> 0 of 95 (too_old); X 6 -> 0 of 0 (unknown_sku)"
    );
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_capped_line_keeps_its_old_hold() {
    let rules = Rules { cart_max_per_sku: Some(5), ..Rules::default() };
    let mut shop = stocked_with(rules, &[("A", 100)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 4)])).await;
    assert_eq!(send_one(&mut shop, cart("C-1", 2, &[("A", 6)])).await, "applied");
    assert_eq!(last_told(&shop, "C-1").await, "partial, held (over_cap): A 6 -> 4 of 100 (over_cap)");
    assert_eq!(send_one(&mut shop, cart("C-1", 3, &[("A", 5)])).await, "applied");
    assert_eq!(shop.units("A").await, (100, 5, 0, 95));
}

#[tokio::test]
async fn an_event_may_shorten_a_carts_time_and_never_lengthen_it() {
    let mut shop = stocked(&[("A", 10)]).await;
    for (version, ttl, expected) in [(1, None, 1_800), (2, Some(60), 60), (3, Some(100_000), 1_800)] {
        let update = match ttl {
            None => cart("C-1", version, &[("A", version)]),
            Some(ttl) => cart_for("C-1", version, ttl, &[("A", version)]),
        };
        send_one(&mut shop, update).await;
        let left = lives_for(&shop, ClaimKind::Cart, "C-1").await;
        assert!((expected - 5..=expected).contains(&left), "{left} s left with a time to live of {ttl:?}");
        assert_eq!(shop.answers("C-1").await.last().unwrap().expires_at, shop.cart("C-1").await.expires_at);
    }
}

#[tokio::test]
async fn a_cart_holds_units_for_max_hold_at_most_however_often_it_is_updated() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 1)])).await;
    shop.tamper(Tampering::HeldLonger { seconds: 7_000 }).await;
    send_one(&mut shop, cart("C-1", 2, &[("A", 2)])).await;
    let left = lives_for(&shop, ClaimKind::Cart, "C-1").await;
    assert!((190..=200).contains(&left), "{left} s left of 7,200");
    // An empty cart ends it; the next hold begins anew.
    send(&mut shop, vec![cart("C-1", 3, &[]), cart("C-1", 4, &[("A", 1)])]).await;
    assert!(lives_for(&shop, ClaimKind::Cart, "C-1").await > 1_700);
}

#[tokio::test]
async fn an_event_older_than_its_time_to_live_only_releases() {
    let mut shop = stocked(&[("A", 10), ("B", 10)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 5), ("B", 2)])).await;
    let old =
        |version, wanted: &[(&str, i64)]| with(cart_for("C-1", version, 60, wanted), json!({"time": seconds_ago(100)}));
    assert_eq!(send_one(&mut shop, old(2, &[("A", 3), ("B", 4)])).await, "applied");
    assert_eq!(last_told(&shop, "C-1").await, "partial, held (too_old): A 3 -> 3 of 10; B 4 -> 2 of 10 (too_old)");
    assert_eq!((shop.units("A").await.1, shop.units("B").await.1), (3, 2));
    assert_eq!(send_one(&mut shop, old(3, &[])).await, "applied");
    assert_eq!(shop.units("A").await, (10, 0, 0, 10));
    // Old by its own time to live only: the same age is young enough for the usual one.
    let young = with(cart("C-1", 4, &[("A", 1)]), json!({"time": seconds_ago(100)}));
    assert_eq!(send_one(&mut shop, young).await, "applied");
    assert_eq!(last_told(&shop, "C-1").await, "granted, held: A 1 -> 1 of 10");
}

#[tokio::test]
async fn a_cart_that_became_an_order_holds_nothing_again() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 2)])).await;
    send_one(&mut shop, created("O-1", &[("A", 2)], json!({"cart_id": "C-1"}))).await;
    assert_eq!(shop.cart("C-1").await.state, ClaimState::Converted);
    assert_eq!(send_one(&mut shop, cart("C-1", 2, &[("A", 3)])).await, "refused closed");
    assert_eq!(last_told(&shop, "C-1").await, "conflict, converted (closed): ");
    assert_eq!(shop.cart("C-1").await.version, Some(2), "the version is recorded");
    assert_eq!(send_one(&mut shop, cart("C-1", 2, &[])).await, "ignored");
    // An order that overtook all events of its cart closes it as well.
    send_one(&mut shop, created("O-2", &[("A", 1)], json!({"cart_id": "C-2"}))).await;
    assert_eq!(send_one(&mut shop, cart("C-2", 1, &[("A", 1)])).await, "refused closed");
    assert_eq!(shop.units("A").await, (7, 0, 0, 7));
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_expired_cart_competes_anew_with_a_higher_version() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 8)])).await;
    make_due(&shop).await;
    assert_eq!(shop.sweep().await, 1);
    assert_eq!(shop.cart("C-1").await.state, ClaimState::Expired);
    send_one(&mut shop, ordered("O-1", &[("A", 7)])).await;
    assert_eq!(send_one(&mut shop, cart("C-1", 1, &[("A", 8)])).await, "ignored");
    assert_eq!(send_one(&mut shop, cart("C-1", 2, &[("A", 8)])).await, "refused insufficient_stock");
    assert_eq!(send_one(&mut shop, cart("C-1", 3, &[("A", 3)])).await, "applied");
    assert_eq!(
        told(&shop, "C-1").await,
        [
            "granted, held: A 8 -> 8 of 10",
            "expired, expired: A 8 -> 8 of 10",
            "refused, released (insufficient_stock): A 8 -> 0 of 3 (insufficient_stock)",
            "granted, held: A 3 -> 3 of 3",
        ]
    );
    shop.assert_sound().await;
}

#[tokio::test]
async fn with_holds_off_a_cart_is_recorded_and_neither_reserved_nor_answered() {
    let rules = Rules { carts_hold: false, ..Rules::default() };
    let mut shop = stocked_with(rules, &[("A", 10)]).await;
    let update = cart("C-1", 1, &[("A", 2)]);
    assert_eq!(send_one(&mut shop, update).await, "ignored");
    assert!(told(&shop, "C-1").await.is_empty());
    assert!(shop.claim(ClaimKind::Cart, "C-1").await.is_none());
    assert_eq!(shop.units("A").await, (10, 0, 0, 10));
    assert_eq!(shop.kept().await.inbox.len(), 2, "the registration and the cart");
    assert_eq!(send_one(&mut shop, created("O-1", &[("A", 2)], json!({"cart_id": "C-1"}))).await, "applied");
}

#[tokio::test]
async fn a_cart_that_lives_long_keeps_only_the_lines_that_it_has() {
    let names: Vec<String> = (0..50).map(|sku| format!("SKU-{sku}")).collect();
    let mut shop = stocked(&names.iter().map(|sku| (sku.as_str(), 3)).collect::<Vec<_>>()).await;
    let updates = names.iter().zip(1..).map(|(sku, version)| cart("C-1", version, &[(sku, 1)]));
    for update in updates {
        send_one(&mut shop, update).await;
    }
    assert!(shop.cart("C-1").await.lines.len() <= 2);
    assert_eq!(shop.kept().await.claim_lines.len(), 1);
    shop.assert_sound().await;
}

#[tokio::test]
async fn updates_without_version_and_time_count_in_the_order_in_which_they_arrive() {
    let mut shop = stocked(&[("A", 10)]).await;
    let update = |units| fresh("cart-updated", json!({"cart_id": "C-1", "lines": lines(&[("A", units)])}));
    // One request, one moment of arrival.
    assert_eq!(send(&mut shop, vec![update(1), update(2), update(3)]).await, ["applied", "applied", "applied"]);
    assert_eq!(shop.units("A").await, (10, 3, 0, 7));
    // A time of the publisher's own stands for itself: what is not later comes too late.
    let at =
        |units| with(update(units), json!({"time": "2026-01-01T00:00:00Z", "id": uuid::Uuid::new_v4().to_string()}));
    let mut other = stocked(&[("A", 10)]).await;
    assert_eq!(send(&mut other, vec![at(1), at(2)]).await, ["refused too_old", "ignored"]);
}

#[tokio::test]
async fn an_update_that_is_too_old_gives_a_cart_no_more_time() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 5)])).await;
    shop.tamper(Tampering::Deadline { of: None, seconds: 60 }).await;
    let before = shop.cart("C-1").await.expires_at;
    let old = with(cart("C-1", 2, &[("A", 3)]), json!({"time": "2026-01-01T00:00:00Z"}));
    assert_eq!(send_one(&mut shop, old).await, "applied");
    assert_eq!(shop.units("A").await, (10, 3, 0, 7));
    assert_eq!(shop.cart("C-1").await.expires_at, before);
}

#[tokio::test]
async fn the_cap_of_a_cart_counts_a_sku_at_all_locations() {
    let mut shop = stocked_with(Rules { cart_max_per_sku: Some(5), ..Rules::default() }, &[("A", 10)]).await;
    send_one(&mut shop, sku("A", json!({"location": "north", "initial": 10}))).await;
    let everywhere = json!([{"sku": "A", "quantity": 4}, {"sku": "A", "location": "north", "quantity": 4}]);
    send_one(&mut shop, fresh("cart-updated", json!({"cart_id": "C-1", "cart_version": 1, "lines": everywhere}))).await;
    let answer = last_told(&shop, "C-1").await;
    assert!(answer.starts_with("partial, held (over_cap): A 4 -> 4 of 10; "), "{answer}");
    assert_eq!(shop.units("A").await, (10, 4, 0, 6));
    shop.assert_sound().await;
}
