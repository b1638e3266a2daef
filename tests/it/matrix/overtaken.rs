//! What comes before that which it is about.

use super::super::Here;
use super::{cancelled, cancelled_part, cart, confirmed, of_cart, shipped};
use crate::market::{of, selling};
use crate::shop::ordered;

#[tokio::test]
async fn cancel_before_create() {
    let market = selling::<Here>().await;
    market.stock(&[("early-A", 10)]).await;
    market.send(&[of(&cancelled("early-1"))]).await;
    assert_eq!(market.order_state("early-1").await.as_deref(), Some("cancelled"));
    assert!(market.told("early-1").is_empty(), "it is answered when it takes effect");
    market.send(&[of(&ordered("early-1", &[("early-A", 4)]))]).await;
    assert_eq!(market.told("early-1"), ["refused, cancelled (cancelled): early-A 4 -> 0 of 10 (cancelled)"]);
    assert_eq!(market.units("early-A").await, (10, 0, 0, 10));
    assert_eq!(market.changes("early-A"), 1, "nothing moved but the registration");
    market.assert_sound().await;
}

#[tokio::test]
async fn partial_cancel_confirm_and_ship_before_create() {
    let market = selling::<Here>().await;
    market.stock(&[("before-A", 10)]).await;
    let before =
        [cancelled_part("before-1", &[("before-A", 2)]), confirmed("before-1"), shipped("before-1", "before-S")];
    for event in before {
        market.send(&[of(&event)]).await;
    }
    assert_eq!(market.order_state("before-1").await.as_deref(), Some("awaited"));
    assert_eq!(market.units("before-A").await, (10, 0, 0, 10));
    market.send(&[of(&ordered("before-1", &[("before-A", 5)]))]).await;
    let expected = [
        "granted, deducted: before-A 5 -> 5 of 10",
        "released, deducted: before-A 2 -> 2 of 7",
        "confirmed, deducted: before-A 5 -> 3 of 7",
        "shipped, shipped: before-A 3 -> 3 of 7",
    ];
    assert_eq!(market.told("before-1"), expected);
    assert_eq!(market.units("before-A").await, (7, 0, 0, 7));
    market.assert_sound().await;
}

#[tokio::test]
async fn cart_version_3_before_2() {
    let market = selling::<Here>().await;
    market.stock(&[("three-A", 10)]).await;
    market.send(&[of(&cart("three-C", 3, &[("three-A", 3)])), of(&cart("three-C", 2, &[("three-A", 9)]))]).await;
    assert_eq!(market.told("three-C"), ["granted, held: three-A 3 -> 3 of 10"]);
    assert_eq!(market.units("three-A").await, (10, 3, 0, 7));
    market.assert_sound().await;
}

#[tokio::test]
async fn cart_after_its_order() {
    let market = selling::<Here>().await;
    market.stock(&[("late-A", 10)]).await;
    market.send(&[of(&of_cart("late-1", "late-C", &[("late-A", 2)]))]).await;
    market.send(&[of(&cart("late-C", 1, &[("late-A", 2)]))]).await;
    assert_eq!(market.told("late-1"), ["granted, deducted: late-A 2 -> 2 of 10"]);
    assert_eq!(market.told("late-C"), ["conflict, converted (closed): "]);
    assert_eq!(market.cart_state("late-C").await.as_deref(), Some("converted"));
    assert_eq!(market.units("late-A").await, (8, 0, 0, 8));
    market.assert_sound().await;
}
