//! Stock as it stood at an instant.

use holdfast::domain::words::{StockKey, Timestamp};
use holdfast::ports::{MovementView, Queries, StockAsOf, Store};

use super::{Shop, stocked};
use crate::shop::{Tampering, ordered, registered};

fn key() -> StockKey {
    StockKey::new("A", "default")
}

async fn as_of(shop: &Shop, instant: Timestamp) -> StockAsOf {
    shop.store.stock_as_of(&key(), instant).await.expect("the store should answer")
}

/// The history of A, the oldest first.
async fn history(shop: &Shop) -> Vec<MovementView> {
    let mut history = shop.store.movements(&key(), None, 1_000).await.expect("the store should answer");
    history.reverse();
    history
}

async fn clock(shop: &Shop) -> Timestamp {
    shop.store.outbox_status().await.expect("the store should answer").now
}

fn at(movement: &MovementView) -> StockAsOf {
    let MovementView { version, after, recorded_at, .. } = movement;
    StockAsOf::At { version: *version, counters: *after, recorded_at: *recorded_at }
}

/// A shop whose A has moved so often, some of it in one batch and some of it later.
async fn moved(batches: &[usize]) -> Shop {
    let mut shop = stocked(1_000).await;
    for (batch, orders) in batches.iter().enumerate() {
        shop.pass(i64::from(batch == 1)).await;
        shop.send((0..*orders).map(|order| ordered(&format!("O-{batch}-{order}"), &[("A", 1)])).collect()).await;
    }
    shop
}

#[tokio::test]
async fn a_row_is_shown_as_the_newest_movement_by_then_left_it() {
    for batches in [&[][..], &[1], &[1, 1], &[3, 1, 4], &[1, 2, 1, 7, 1, 1]] {
        let shop = moved(batches).await;
        let history = history(&shop).await;
        let now = clock(&shop).await;
        let first = history[0].recorded_at;
        let around = history.iter().flat_map(|it| [-1, 0, 1].map(|by| Timestamp(it.recorded_at.0 + by)));
        for instant in around.chain([now, Timestamp(0), Timestamp(i64::MIN)]).filter(|instant| *instant <= now) {
            let newest = history.iter().rfind(|movement| movement.recorded_at <= instant);
            let expected = newest.map_or(StockAsOf::Before { first }, at);
            assert_eq!(as_of(&shop, instant).await, expected, "{batches:?} at {instant:?}");
        }
    }
}

#[tokio::test]
async fn what_has_not_come_and_what_is_not_kept_is_told_apart() {
    let mut shop = stocked(10).await;
    let soon = clock(&shop).await.plus_seconds(3_600);
    for ahead in [soon, Timestamp(i64::MAX)] {
        let StockAsOf::Ahead { now } = as_of(&shop, ahead).await else { panic!("{ahead:?} has not come") };
        assert!(now < ahead);
    }
    let now = clock(&shop).await;
    for (sku, location) in [("B", "default"), ("A", "north")] {
        let unknown = shop.store.stock_as_of(&StockKey::new(sku, location), now).await.unwrap();
        assert_eq!(unknown, StockAsOf::Unknown, "{sku} at {location}");
    }
    // Other rows move without it.
    shop.send(vec![registered("A-2", 5), ordered("O-1", &[("A-2", 1)])].into_iter().collect()).await;
    let StockAsOf::At { version, .. } = as_of(&shop, clock(&shop).await).await else { panic!("it is there") };
    assert_eq!(version, 1);
}

#[tokio::test]
async fn where_the_clock_was_set_back_the_answer_is_one_of_the_versions_that_were_the_newest_then() {
    for (version, as_version) in [(3, 1), (6, 2), (7, 1), (2, 7)] {
        let shop = moved(&[1, 1, 1, 1, 1, 1]).await;
        shop.tamper(Tampering::MovementDated { sku: "A", version, as_version }).await;
        let history = history(&shop).await;
        for movement in &history {
            let instant = movement.recorded_at;
            let found = as_of(&shop, instant).await;
            let StockAsOf::At { version: found, recorded_at, .. } = found else { panic!("{found:?} at {instant:?}") };
            let successor = history.iter().find(|movement| movement.version == found + 1);
            assert!(recorded_at <= instant, "{found} at {instant:?} of {history:?}");
            assert!(successor.is_none_or(|next| next.recorded_at > instant), "{found} at {instant:?} of {history:?}");
        }
    }
}
