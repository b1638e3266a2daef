//! Several workers at once, on one database: whoever is second sees what the first did.

use std::collections::HashSet;

use holdfast::domain::claim::ClaimState;
use holdfast::domain::rules::DeductOn;
use serde_json::{Value, json};

use super::{Shop, cancelled, cart, created, deducting_on, sku, stocked, stocked_with, told, words};
use crate::shop::ordered;

/// How often a race is run: enough that either worker is first at times.
const ROUNDS: usize = 20;

async fn second_worker(shop: &Shop) -> Shop {
    Shop::at(shop.url.clone(), Default::default()).await
}

/// Sends one event to each of two workers at the same moment.
async fn at_once(left: &mut Shop, right: &mut Shop, events: [Value; 2]) -> [String; 2] {
    let [first, second] = events;
    let (first, second) = tokio::join!(left.send_one(first), right.send_one(second));
    [words(&[first]).remove(0), words(&[second]).remove(0)]
}

#[tokio::test]
async fn of_two_orders_for_the_last_unit_one_gets_it() {
    let mut left = stocked(&[]).await;
    let mut right = second_worker(&left).await;
    for round in 0..ROUNDS {
        let sku_name = format!("SKU-{round}");
        left.send_one(crate::shop::registered(&sku_name, 1)).await;
        let orders = ["left", "right"].map(|side| ordered(&format!("O-{round}-{side}"), &[(&sku_name, 1)]));
        let mut outcomes = at_once(&mut left, &mut right, orders).await;
        outcomes.sort();
        assert_eq!(outcomes, ["applied", "refused insufficient_stock"]);
        assert_eq!(left.units(&sku_name).await.0, 0);
    }
    left.assert_sound().await;
}

#[tokio::test]
async fn orders_for_a_and_b_and_for_b_and_a_do_not_block_each_other_for_good() {
    let mut left = stocked(&[("A", 1_000), ("B", 1_000)]).await;
    let mut right = second_worker(&left).await;
    for round in 0..ROUNDS {
        let orders = [
            ordered(&format!("O-{round}-left"), &[("A", 1), ("B", 2)]),
            ordered(&format!("O-{round}-right"), &[("B", 1), ("A", 2)]),
        ];
        assert_eq!(at_once(&mut left, &mut right, orders).await, ["applied", "applied"]);
    }
    let sold = 3 * ROUNDS as i64;
    assert_eq!((left.units("A").await.0, left.units("B").await.0), (1_000 - sold, 1_000 - sold));
    left.assert_sound().await;
}

#[tokio::test]
async fn a_cancellation_and_a_creation_at_the_same_moment_leave_nothing_taken() {
    let mut left = stocked(&[("A", 100)]).await;
    let mut right = second_worker(&left).await;
    let mut seen = HashSet::new();
    for round in 0..ROUNDS {
        let order = format!("O-{round}");
        let mut events = [ordered(&order, &[("A", 2)]), cancelled(&order)];
        if round % 2 == 0 {
            events.reverse();
        }
        at_once(&mut left, &mut right, events).await;
        let answers = told(&left, &order).await;
        let first = answers[0].split(',').next().unwrap().to_owned();
        match first.as_str() {
            "granted" => assert!(answers[1].starts_with("cancelled, cancelled"), "{answers:?}"),
            "refused" => assert_eq!(answers.len(), 1, "{answers:?}"),
            _ => panic!("{answers:?}"),
        }
        seen.insert(first);
        assert_eq!(left.order(&order).await.state, ClaimState::Cancelled);
        assert_eq!(left.units("A").await, (100, 0, 0, 100));
    }
    assert!(!seen.is_empty());
    left.assert_sound().await;
}

#[tokio::test]
async fn the_same_event_on_two_workers_takes_effect_once() {
    let mut left = stocked(&[("A", 1_000)]).await;
    let mut right = second_worker(&left).await;
    for round in 0..ROUNDS {
        for event in [
            ordered(&format!("O-{round}"), &[("A", 1)]),
            cart(&format!("C-{round}"), 1, &[("A", 1)]),
            sku(&format!("SKU-{round}"), json!({"initial": 3})),
            super::received(&format!("R-{round}"), &[("A", 1)]),
        ] {
            let mut outcomes = at_once(&mut left, &mut right, [event.clone(), event]).await;
            outcomes.sort();
            assert_eq!(outcomes, ["applied", "duplicate"]);
        }
    }
    assert_eq!(left.units("A").await, (1_000, ROUNDS as i64, 0, 1_000 - ROUNDS as i64));
    left.assert_sound().await;
}

#[tokio::test]
async fn versions_of_an_order_on_two_workers_end_at_the_higher_one() {
    let mut left = stocked_with(deducting_on(DeductOn::Shipped), &[("A", 1_000)]).await;
    let mut right = Shop::at(left.url.clone(), deducting_on(DeductOn::Shipped)).await;
    for round in 0..ROUNDS {
        let order = format!("O-{round}");
        let version = |version: i64| created(&order, &[("A", version)], json!({"order_version": version}));
        at_once(&mut left, &mut right, [version(1), version(2)]).await;
        let claim = left.order(&order).await;
        let held: i64 = claim.lines.values().map(holdfast::domain::claim::ClaimLine::held).sum();
        assert_eq!((claim.version, held), (Some(2), 2));
    }
    left.assert_sound().await;
}

#[tokio::test]
async fn carts_that_become_orders_on_two_workers_are_converted_once() {
    let mut left = stocked(&[("A", 1_000)]).await;
    let mut right = second_worker(&left).await;
    for round in 0..ROUNDS {
        let cart_name = format!("C-{round}");
        left.send_one(cart(&cart_name, 1, &[("A", 3)])).await;
        let orders = ["left", "right"]
            .map(|side| created(&format!("O-{round}-{side}"), &[("A", 3)], json!({"cart_id": cart_name})));
        assert_eq!(at_once(&mut left, &mut right, orders).await, ["applied", "applied"]);
        assert_eq!(left.cart(&cart_name).await.state, ClaimState::Converted);
        let sold = 6 * (round as i64 + 1);
        assert_eq!(left.units("A").await, (1_000 - sold, 0, 0, 1_000 - sold));
    }
    left.assert_sound().await;
}
