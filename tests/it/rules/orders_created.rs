//! `order-created`: all or nothing, carts that become orders, versions.

use holdfast::domain::claim::{ClaimKind, ClaimState};
use holdfast::domain::rules::{DeductOn, Rules};
use serde_json::{Value, json};

use super::{
    Shop, cancelled_part, cart, created, deducting_on, last_told, levels, lives_for, make_due, received, retold, send,
    send_one, shipped_part, sku, stocked, stocked_with, told, words,
};
use crate::shop::ordered;

fn version(order: &str, version: i64, wanted: &[(&str, i64)]) -> Value {
    created(order, wanted, json!({"order_version": version}))
}

fn of_cart(order: &str, cart: &str, wanted: &[(&str, i64)]) -> Value {
    created(order, wanted, json!({"cart_id": cart}))
}

#[tokio::test]
async fn an_order_gets_every_line_or_none_and_the_refusal_lists_every_short_line() {
    let mut shop = stocked(&[("A", 10), ("B", 1), ("C", 0), ("L", 9)]).await;
    send_one(&mut shop, sku("L", json!({"status": "inactive"}))).await;
    let wanted = [("A", 3), ("B", 2), ("C", 1), ("L", 1), ("X", 4)];
    assert_eq!(send_one(&mut shop, ordered("O-1", &wanted)).await, "refused unknown_sku");
    assert_eq!(
        told(&shop, "O-1").await,
        ["refused, refused (unknown_sku): B 2 -> 0 of 1 (insufficient_stock); C 1 -> 0 of 0 (insufficient_stock); \
          L 1 -> 0 of 9 (not_sellable); X 4 -> 0 of 0 (unknown_sku)"]
    );
    assert_eq!(shop.units("A").await, (10, 0, 0, 10));
    assert_eq!(shop.kept().await.stock.len(), 4, "an order creates no SKU");
    assert_eq!(send_one(&mut shop, ordered("O-2", &[("A", 3), ("B", 1)])).await, "applied");
    assert_eq!(told(&shop, "O-2").await, ["granted, deducted: A 3 -> 3 of 10; B 1 -> 1 of 1"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_partial_order_gets_what_is_there_and_is_told_the_rest() {
    let mut shop = stocked(&[("A", 10), ("B", 1), ("L", 9)]).await;
    send_one(&mut shop, sku("L", json!({"status": "locked"}))).await;
    let partial = |order, wanted| created(order, wanted, json!({"policy": "partial"}));
    assert_eq!(send_one(&mut shop, partial("O-1", &[("A", 3), ("B", 2), ("L", 1)])).await, "applied");
    assert_eq!(
        told(&shop, "O-1").await,
        ["partial, deducted (not_sellable): A 3 -> 3 of 10; B 2 -> 1 of 1 (insufficient_stock); \
          L 1 -> 0 of 9 (not_sellable)"]
    );
    assert_eq!(send_one(&mut shop, partial("O-2", &[("A", 7)])).await, "applied");
    assert_eq!(told(&shop, "O-2").await, ["granted, deducted: A 7 -> 7 of 7"]);
    assert_eq!(send_one(&mut shop, partial("O-3", &[("A", 1), ("X", 1)])).await, "refused unknown_sku");
    assert_eq!(
        told(&shop, "O-3").await,
        ["refused, refused (unknown_sku): A 1 -> 0 of 0 (insufficient_stock); X 1 -> 0 of 0 (unknown_sku)"]
    );
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_hundred_orders_for_ten_units_are_ten_grants_and_ninety_refusals() {
    let mut shop = stocked(&[("A", 10)]).await;
    let orders: Vec<Value> = (0..100).map(|order| ordered(&format!("O-{order:03}"), &[("A", 1)])).collect();
    let (first, rest) = orders.split_at(37);
    let outcomes = [send(&mut shop, first.to_vec()).await, send(&mut shop, rest.to_vec()).await].concat();
    assert!(outcomes[..10].iter().all(|outcome| outcome == "applied"));
    assert!(outcomes[10..].iter().all(|outcome| outcome == "refused insufficient_stock"));
    assert_eq!(shop.units("A").await, (0, 0, 0, 0));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_cart_becomes_its_order_in_place_and_its_surplus_is_released() {
    for deduct_on in [DeductOn::Created, DeductOn::Confirmed, DeductOn::Shipped] {
        let mut shop = stocked_with(deducting_on(deduct_on), &[("A", 5), ("B", 5), ("C", 5)]).await;
        send_one(&mut shop, cart("C-1", 1, &[("A", 4), ("B", 2)])).await;
        // A: fewer than the cart held; B: more; C: only in the order. Others see one A and three B.
        assert_eq!(send_one(&mut shop, ordered("O-0", &[("A", 2)])).await, "refused insufficient_stock");
        assert_eq!(send_one(&mut shop, of_cart("O-1", "C-1", &[("A", 3), ("B", 5), ("C", 1)])).await, "applied");
        let (on_hand, reserved) = if deduct_on == DeductOn::Created { (2, 0) } else { (5, 3) };
        assert_eq!(shop.units("A").await, (on_hand, 0, reserved, 2));
        assert_eq!(shop.units("B").await.3, 0);
        assert_eq!(shop.units("C").await.3, 4);
        let state = if deduct_on == DeductOn::Created { "deducted" } else { "reserved" };
        let granted = format!("granted, {state}: A 3 -> 3 of 5; B 5 -> 5 of 5; C 1 -> 1 of 5");
        assert_eq!(told(&shop, "O-1").await, [granted]);
        let cart = shop.cart("C-1").await;
        assert_eq!((cart.state, cart.expires_at, cart.reserves()), (ClaimState::Converted, None, false));
        assert_eq!(told(&shop, "C-1").await.len(), 1, "the cart itself is not answered again");
        // One net change a row: no unit was free in between.
        assert_eq!(shop.kept().await.movements_of("O-1"), 3);
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn a_conversion_makes_no_low_stock_flutter() {
    let mut shop = Shop::open().await;
    let fields = json!({"initial": 10, "warning_threshold": 5, "critical_threshold": 2});
    send_one(&mut shop, sku("A", fields)).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 9)])).await;
    assert_eq!(levels(&shop).await, ["A normal -> critical at 1"]);
    send_one(&mut shop, of_cart("O-1", "C-1", &[("A", 9)])).await;
    assert_eq!(levels(&shop).await, ["A normal -> critical at 1"]);
    assert_eq!(shop.units("A").await, (1, 0, 0, 1));
}

#[tokio::test]
async fn a_due_cart_that_is_not_swept_still_becomes_its_order() {
    let mut shop = stocked(&[("A", 5)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 5)])).await;
    make_due(&shop).await;
    assert_eq!(send_one(&mut shop, of_cart("O-1", "C-1", &[("A", 5)])).await, "applied");
    assert_eq!(shop.sweep().await, 0, "a converted cart is not due");
    // A swept one competes like everybody.
    send_one(&mut shop, received("R-1", &[("A", 5)])).await;
    send_one(&mut shop, cart("C-2", 1, &[("A", 5)])).await;
    make_due(&shop).await;
    assert_eq!(shop.sweep().await, 1);
    assert_eq!(send_one(&mut shop, ordered("O-2", &[("A", 3)])).await, "applied");
    assert_eq!(send_one(&mut shop, of_cart("O-3", "C-2", &[("A", 5)])).await, "refused insufficient_stock");
    assert_eq!(told(&shop, "O-3").await, ["refused, refused (insufficient_stock): A 5 -> 0 of 2 (insufficient_stock)"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_refused_order_leaves_its_cart_as_it_was() {
    let mut shop = stocked(&[("A", 5), ("B", 0)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 3)])).await;
    let before = shop.cart("C-1").await;
    assert_eq!(send_one(&mut shop, of_cart("O-1", "C-1", &[("A", 6), ("B", 1)])).await, "refused insufficient_stock");
    assert_eq!(
        told(&shop, "O-1").await,
        ["refused, refused (insufficient_stock): A 6 -> 0 of 5 (insufficient_stock); \
          B 1 -> 0 of 0 (insufficient_stock)"]
    );
    assert_eq!(shop.cart("C-1").await, before);
    assert_eq!(shop.units("A").await, (5, 3, 0, 2));
    // A cart that nobody knows leaves no trace when its order is refused.
    send_one(&mut shop, of_cart("O-2", "C-9", &[("B", 1)])).await;
    assert!(shop.claim(ClaimKind::Cart, "C-9").await.is_none());
    assert_eq!(send_one(&mut shop, cart("C-1", 2, &[("A", 4)])).await, "applied");
}

#[tokio::test]
async fn deduct_on_decides_whether_a_created_order_leaves_on_hand_or_is_reserved_for_a_time() {
    for (deduct_on, units, state) in [
        (DeductOn::Created, (7, 0, 0, 7), ClaimState::Deducted),
        (DeductOn::Confirmed, (10, 0, 3, 7), ClaimState::Reserved),
        (DeductOn::Shipped, (10, 0, 3, 7), ClaimState::Reserved),
    ] {
        let mut shop = stocked_with(deducting_on(deduct_on), &[("A", 10)]).await;
        send_one(&mut shop, ordered("O-1", &[("A", 3)])).await;
        assert_eq!(shop.units("A").await, units);
        let order = shop.order("O-1").await;
        assert_eq!((order.state, order.expires_at.is_some()), (state, deduct_on != DeductOn::Created));
        assert_eq!(shop.answers("O-1").await[0].expires_at, order.expires_at);
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn an_event_may_shorten_an_orders_time_and_never_lengthen_it() {
    let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 10)]).await;
    for (order, ttl, expected) in [("O-1", None, 7_200), ("O-2", Some(60), 60), ("O-3", Some(90_000), 7_200)] {
        let fields = ttl.map_or(json!({}), |ttl: i64| json!({"ttl_s": ttl}));
        send_one(&mut shop, created(order, &[("A", 1)], fields)).await;
        let left = lives_for(&shop, ClaimKind::Order, order).await;
        assert!((expected - 5..=expected).contains(&left), "{left} s left with a time to live of {ttl:?}");
    }
    // Nor does a change of the order.
    let longer = created("O-2", &[("A", 2)], json!({"order_version": 1, "ttl_s": 7_000}));
    assert_eq!(send_one(&mut shop, longer).await, "applied");
    assert!(lives_for(&shop, ClaimKind::Order, "O-2").await <= 60);
}

#[tokio::test]
async fn a_refused_order_stays_refused_after_a_restock_until_a_higher_version_comes() {
    let mut shop = stocked(&[("A", 1)]).await;
    let order = ordered("O-1", &[("A", 2)]);
    assert_eq!(send_one(&mut shop, order.clone()).await, "refused insufficient_stock");
    send_one(&mut shop, received("R-1", &[("A", 10)])).await;
    assert_eq!(words(&[shop.send_one(order.clone()).await]), ["duplicate"]);
    assert_eq!(send_one(&mut shop, retold(&order)).await, "ignored");
    assert_eq!(send_one(&mut shop, version("O-1", 0, &[("A", 2)])).await, "ignored", "an absent version is 0");
    assert_eq!(shop.units("A").await.0, 11);
    assert_eq!(send_one(&mut shop, version("O-1", 1, &[("A", 2)])).await, "applied");
    assert_eq!(
        told(&shop, "O-1").await,
        [
            "refused, refused (insufficient_stock): A 2 -> 0 of 1 (insufficient_stock)",
            "granted, deducted: A 2 -> 2 of 11",
        ]
    );
    assert_eq!(shop.answers("O-1").await[1].request_version, Some(1));
    // A new attempt may ask for other lines, and may be refused again.
    send_one(&mut shop, version("O-2", 1, &[("A", 50)])).await;
    assert_eq!(send_one(&mut shop, version("O-2", 2, &[("A", 40)])).await, "refused insufficient_stock");
    assert_eq!(send_one(&mut shop, version("O-2", 1, &[("A", 50)])).await, "ignored", "stale");
    assert_eq!(send_one(&mut shop, version("O-2", 3, &[("A", 9)])).await, "applied");
    shop.assert_sound().await;
}

#[tokio::test]
async fn the_version_of_an_order_decides_what_another_creation_is() {
    let mut shop = stocked(&[("A", 10), ("B", 10)]).await;
    let steps = [
        (version("O-1", 2, &[("A", 4), ("B", 1)]), "applied", (6, 9)),
        // Lower: stale. Same lines, in whatever order: nothing. Equal with other lines: a conflict.
        (version("O-1", 1, &[("A", 9)]), "ignored", (6, 9)),
        (version("O-1", 2, &[("B", 1), ("A", 4)]), "ignored", (6, 9)),
        (version("O-1", 2, &[("A", 5), ("B", 1)]), "refused", (6, 9)),
        // Higher with the same lines: nothing, but the version counts.
        (version("O-1", 3, &[("A", 4), ("B", 1)]), "ignored", (6, 9)),
        (version("O-1", 2, &[("A", 9)]), "ignored", (6, 9)),
        // Higher with other lines: the difference, both ways.
        (version("O-1", 4, &[("A", 7)]), "applied", (3, 10)),
        // All of it or nothing: B would fit, A does not.
        (version("O-1", 5, &[("A", 11), ("B", 3)]), "refused insufficient_stock", (3, 10)),
        (version("O-1", 5, &[("A", 11), ("B", 3)]), "ignored", (3, 10)),
        (version("O-1", 5, &[("A", 7)]), "refused", (3, 10)),
        (version("O-1", 6, &[("A", 7)]), "ignored", (3, 10)),
        (version("O-1", 7, &[("A", 10)]), "applied", (0, 10)),
    ];
    for (event, expected, (a, b)) in steps {
        assert_eq!(send_one(&mut shop, event.clone()).await, expected, "{event}");
        assert_eq!((shop.units("A").await.0, shop.units("B").await.0), (a, b), "{event}");
    }
    assert_eq!(
        told(&shop, "O-1").await,
        [
            "granted, deducted: A 4 -> 4 of 10; B 1 -> 1 of 10",
            "conflict, deducted: ",
            "granted, deducted: A 7 -> 7 of 10",
            "refused, deducted (insufficient_stock): A 11 -> 0 of 10 (insufficient_stock)",
            "conflict, deducted: ",
            "granted, deducted: A 10 -> 10 of 10",
        ]
    );
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_change_moves_units_as_the_order_stands() {
    let mut shop = stocked_with(deducting_on(DeductOn::Shipped), &[("A", 10)]).await;
    send_one(&mut shop, ordered("O-1", &[("A", 4)])).await;
    send_one(&mut shop, version("O-1", 1, &[("A", 6)])).await;
    assert_eq!(shop.units("A").await, (10, 0, 6, 4));
    // What was called off stays called off; what was shipped cannot be changed away.
    send_one(&mut shop, cancelled_part("O-1", &[("A", 1)])).await;
    send_one(&mut shop, shipped_part("O-1", "S-1", &[("A", 2)])).await;
    assert_eq!(shop.units("A").await, (8, 0, 3, 5));
    send_one(&mut shop, version("O-1", 2, &[("A", 7)])).await;
    assert_eq!(shop.units("A").await, (8, 0, 4, 4));
    send_one(&mut shop, version("O-1", 3, &[("A", 1)])).await;
    assert_eq!(shop.units("A").await, (8, 0, 0, 8));
    assert_eq!(shop.order("O-1").await.state, ClaimState::Shipped, "all that is left was shipped");
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_part_that_came_too_late_is_not_made_up_for_when_a_change_raises_the_line() {
    let mut shop = stocked(&[("A", 10)]).await;
    let part = cancelled_part("O-1", &[("A", 4)]);
    send(&mut shop, vec![ordered("O-1", &[("A", 5)]), shipped_part("O-1", "S-1", &[("A", 2)]), part.clone()]).await;
    assert_eq!(last_told(&shop, "O-1").await, "released, shipped: A 4 -> 3 of 8");
    assert_eq!(send_one(&mut shop, retold(&part)).await, "ignored");
    send(&mut shop, vec![ordered("O-2", &[("A", 5)]), shipped_part("O-2", "S-2", &[("A", 2)])]).await;
    send_one(&mut shop, cancelled_part("O-2", &[("A", 2)])).await;
    send_one(&mut shop, version("O-2", 1, &[("A", 7)])).await;
    assert_eq!(send_one(&mut shop, cancelled_part("O-2", &[("A", 2)])).await, "ignored");
    assert_eq!(shop.units("A").await, (3, 0, 0, 3));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_change_that_leaves_nothing_after_what_was_called_off_cancels_the_order() {
    let mut shop = stocked(&[("A", 10)]).await;
    send(&mut shop, vec![ordered("O-1", &[("A", 5)]), cancelled_part("O-1", &[("A", 2)])]).await;
    assert_eq!(send_one(&mut shop, version("O-1", 1, &[("A", 2)])).await, "applied");
    assert_eq!(last_told(&shop, "O-1").await, "cancelled, cancelled: A 2 -> 0 of 10");
    assert_eq!(shop.units("A").await, (10, 0, 0, 10));
}

#[tokio::test]
async fn a_change_may_take_over_a_cart_as_well() {
    let mut shop = stocked(&[("A", 10)]).await;
    send(&mut shop, vec![ordered("O-1", &[("A", 4)]), cart("C-1", 1, &[("A", 6)])]).await;
    let change = created("O-1", &[("A", 8)], json!({"order_version": 1, "cart_id": "C-1"}));
    assert_eq!(send_one(&mut shop, change).await, "applied");
    assert_eq!(last_told(&shop, "O-1").await, "granted, deducted: A 8 -> 8 of 10");
    assert_eq!(shop.units("A").await, (2, 0, 0, 2));
    assert_eq!(shop.cart("C-1").await.state, ClaimState::Converted);
    shop.assert_sound().await;
}

#[tokio::test]
async fn safety_stock_is_not_for_sale() {
    let mut shop = Shop::with_rules(Rules::default()).await;
    send_one(&mut shop, sku("A", json!({"initial": 10, "safety_stock": 4}))).await;
    assert_eq!(send_one(&mut shop, ordered("O-1", &[("A", 7)])).await, "refused insufficient_stock");
    assert_eq!(told(&shop, "O-1").await, ["refused, refused (insufficient_stock): A 7 -> 0 of 6 (insufficient_stock)"]);
    assert_eq!(send_one(&mut shop, ordered("O-2", &[("A", 6)])).await, "applied");
    // More is kept back than is left: nothing is available, and never less than nothing.
    send_one(&mut shop, sku("A", json!({"safety_stock": 9}))).await;
    assert_eq!(shop.units("A").await, (4, 0, 0, -5));
    send_one(&mut shop, ordered("O-3", &[("A", 1)])).await;
    assert_eq!(told(&shop, "O-3").await, ["refused, refused (insufficient_stock): A 1 -> 0 of 0 (insufficient_stock)"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_change_asks_only_for_what_it_adds_to_an_order_that_was_granted_in_part() {
    let mut shop = stocked(&[("A", 2), ("B", 5)]).await;
    send_one(&mut shop, created("O-1", &[("A", 5)], json!({"policy": "partial"}))).await;
    send_one(&mut shop, version("O-1", 1, &[("A", 4)])).await;
    assert_eq!(
        last_told(&shop, "O-1").await,
        "partial, deducted (insufficient_stock): A 4 -> 2 of 2 (insufficient_stock)"
    );
    send_one(&mut shop, version("O-1", 2, &[("A", 4), ("B", 1)])).await;
    assert!(last_told(&shop, "O-1").await.starts_with("partial, deducted"));
    assert_eq!((shop.units("A").await.3, shop.units("B").await.3), (0, 4));
    // A line that grows is demanded in full.
    assert_eq!(send_one(&mut shop, version("O-1", 3, &[("A", 5), ("B", 1)])).await, "refused insufficient_stock");
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_refused_change_names_what_was_asked_for() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, ordered("O-1", &[("A", 4)])).await;
    send_one(&mut shop, cancelled_part("O-1", &[("A", 1)])).await;
    send_one(&mut shop, version("O-1", 1, &[("A", 20)])).await;
    let expected = "refused, deducted (insufficient_stock): A 20 -> 0 of 10 (insufficient_stock)";
    assert_eq!(last_told(&shop, "O-1").await, expected);
}

#[tokio::test]
async fn an_order_gets_its_carts_hold_also_when_units_were_kept_back_since() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 8)])).await;
    send_one(&mut shop, sku("A", json!({"safety_stock": 5}))).await;
    let order = created("O-1", &[("A", 8)], json!({"cart_id": "C-1"}));
    assert_eq!(send_one(&mut shop, order).await, "applied");
    assert_eq!(shop.units("A").await, (2, 0, 0, -3));
    shop.assert_sound().await;
}
