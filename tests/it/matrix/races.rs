//! What happens at the same moment, on two workers.

use serde_json::json;

use super::super::Here;
use super::{all, backordered, cancelled, of_cart, received};
use crate::market::{crowded, of};
use crate::shop::{fresh, lines, ordered};

/// How often a race is run: enough that either side is first at times.
const ROUNDS: usize = 15;

#[tokio::test]
async fn cancel_and_create_at_the_same_moment_on_two_workers() {
    let market = crowded::<Here>().await;
    market.stock(&[("moment-A", 100)]).await;
    let orders: Vec<String> = (0..ROUNDS).map(|round| format!("moment-{round}")).collect();
    for (round, order) in orders.iter().enumerate() {
        let mut events = [ordered(order, &[("moment-A", 2)]), cancelled(order)];
        if round % 2 == 0 {
            events.reverse();
        }
        market.publish(&all(&events)).await;
    }
    for order in &orders {
        // One answer is the last when the cancellation came first.
        let mut told = market.told_at_least(order, 1).await;
        if told[0].starts_with("granted") {
            told = market.told_at_least(order, 2).await;
        }
        match told.len() {
            1 => assert!(told[0].starts_with("refused, cancelled (cancelled): "), "{told:?}"),
            2 => assert!(told[0].starts_with("granted") && told[1].starts_with("cancelled, cancelled"), "{told:?}"),
            _ => panic!("{told:?}"),
        }
        assert_eq!(market.order_state(order).await.as_deref(), Some("cancelled"));
    }
    assert_eq!(market.units("moment-A").await, (100, 0, 0, 100));
    market.assert_sound().await;
}

#[tokio::test]
async fn order_while_the_sweeper_holds_its_cart() {
    let market = crowded::<Here>().await;
    let carts: Vec<String> = (0..ROUNDS).map(|round| format!("swept-C-{round}")).collect();
    market.stock(&[("swept-A", 100)]).await;
    let held = |cart: &String| {
        let data = json!({"cart_id": cart, "cart_version": 1, "ttl_s": 1, "lines": lines(&[("swept-A", 2)])});
        of(&fresh("cart-updated", data))
    };
    market.publish(&carts.iter().map(held).collect::<Vec<_>>()).await;
    // The sweeper has begun with them when the first is told.
    market.told_at_least(&carts[0], 2).await;
    let orders: Vec<_> = carts.iter().map(|cart| of_cart(&format!("order-{cart}"), cart, &[("swept-A", 2)])).collect();
    market.publish(&all(&orders)).await;
    for cart in &carts {
        let told = market.told_at_least(&format!("order-{cart}"), 1).await;
        assert!(told[0].starts_with("granted, deducted: swept-A 2 -> 2 of "), "{told:?}");
        assert_eq!(market.cart_state(cart).await.as_deref(), Some("converted"));
    }
    let sold = 2 * ROUNDS as i64;
    assert_eq!(market.units("swept-A").await, (100 - sold, 0, 0, 100 - sold));
    market.assert_sound().await;
}

#[tokio::test]
async fn two_orders_for_the_last_unit() {
    let market = crowded::<Here>().await;
    let names: Vec<String> = (0..ROUNDS).map(|round| format!("last-{round}")).collect();
    market.stock(&names.iter().map(|sku| (sku.as_str(), 1)).collect::<Vec<_>>()).await;
    for sku in &names {
        let orders = ["left", "right"].map(|side| ordered(&format!("{sku}-{side}"), &[(sku, 1)]));
        market.publish(&all(&orders)).await;
    }
    for sku in &names {
        let left = market.told_at_least(&format!("{sku}-left"), 1).await;
        let right = market.told_at_least(&format!("{sku}-right"), 1).await;
        let mut told = [left, right].concat();
        told.sort();
        let refused = format!("refused, refused (insufficient_stock): {sku} 1 -> 0 of 0 (insufficient_stock)");
        assert_eq!(told, [format!("granted, deducted: {sku} 1 -> 1 of 1"), refused]);
        assert_eq!(market.units(sku).await, (0, 0, 0, 0));
    }
    market.assert_sound().await;
}

#[tokio::test]
async fn backorders_receipts_and_cancellations_at_once() {
    let market = crowded::<Here>().await;
    market.stock(&[("queue-A", 1), ("queue-B", 1)]).await;
    let round = |round: usize| {
        let (kept, gone) = (format!("queue-{round}-kept"), format!("queue-{round}-gone"));
        [
            backordered(&kept, &[("queue-A", 2), ("queue-B", 1)]),
            backordered(&gone, &[("queue-B", 2), ("queue-A", 1)]),
            received(&format!("queue-R-{round}"), &[("queue-A", 2), ("queue-B", 2)]),
            cancelled(&gone),
        ]
    };
    market.publish(&all(&(0..ROUNDS).flat_map(round).collect::<Vec<_>>())).await;
    for round in 0..ROUNDS {
        market.told_at_least(&format!("queue-{round}-gone"), 1).await;
        // Everything came that it waited for, whoever was ahead of it.
        let kept = format!("queue-{round}-kept");
        let mut told = market.told_at_least(&kept, 1).await;
        while !told.last().is_some_and(|told| told.starts_with("granted, deducted")) {
            told = market.told_at_least(&kept, told.len() + 1).await;
        }
    }
    let rounds = ROUNDS as i64;
    assert_eq!(market.units("queue-A").await, (1, 0, 0, 1));
    assert_eq!(market.units("queue-B").await, (1 + rounds, 0, 0, 1 + rounds));
    market.assert_sound().await;
}

#[tokio::test]
async fn orders_a_b_and_b_a_at_once() {
    let market = crowded::<Here>().await;
    market.stock(&[("cross-A", 1_000), ("cross-B", 1_000)]).await;
    let pairs = (0..ROUNDS).map(|round| {
        [
            ordered(&format!("cross-{round}-left"), &[("cross-A", 1), ("cross-B", 2)]),
            ordered(&format!("cross-{round}-right"), &[("cross-B", 1), ("cross-A", 2)]),
        ]
    });
    market.publish(&all(&pairs.flatten().collect::<Vec<_>>())).await;
    for round in 0..ROUNDS {
        for side in ["left", "right"] {
            let told = market.told_at_least(&format!("cross-{round}-{side}"), 1).await;
            assert!(told.len() == 1 && told[0].starts_with("granted"), "{told:?}");
        }
    }
    let left = 1_000 - 3 * ROUNDS as i64;
    assert_eq!(market.units("cross-A").await, (left, 0, 0, left));
    assert_eq!(market.units("cross-B").await, (left, 0, 0, left));
    market.assert_sound().await;
}
