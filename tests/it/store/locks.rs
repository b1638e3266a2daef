//! Writers on the same rows in opposite order: both come to their end, whatever they had to wait for.

use std::time::Duration;

use holdfast::domain::rules::{DeductOn, Rules};
use holdfast::ports::{Entry, Outcome, Store};
use serde_json::json;

use super::Shop;
use crate::shop::{decoded, fresh, lines, ordered, record, registered};

/// Longer than anything here takes on a slow machine.
const DEADLINE: Duration = Duration::from_secs(60);
const ROUNDS: usize = 30;
const ROWS: usize = 12;

fn rules() -> Rules {
    Rules { deduct_on: DeductOn::Confirmed, ..Rules::default() }
}

async fn with_rows() -> Shop {
    let mut shop = Shop::with_rules(rules()).await;
    shop.send((0..ROWS).map(|row| registered(&format!("SKU-{row}"), 1_000_000)).collect()).await;
    shop
}

/// Two writers at once, each with batches of its own, for as many rounds.
async fn both_finish(shop: &Shop, batch: fn(usize, bool) -> Vec<Entry>) -> usize {
    let mut writers = tokio::task::JoinSet::new();
    for is_turned in [false, true] {
        let writer = Shop::at(shop.url.clone(), rules()).await;
        writers.spawn(async move {
            let (bench, mut applied) = (writer.bench(), 0);
            for round in 0..ROUNDS {
                let entries = batch(round, is_turned);
                let judge = |loaded| bench.judge(&entries, loaded);
                let committed = writer.store.commit(&entries, &judge).await.expect("it should come to its end");
                applied += committed.outcomes.iter().filter(|outcome| **outcome == Outcome::Applied).count();
            }
            applied
        });
    }
    let applied = tokio::time::timeout(DEADLINE, writers.join_all()).await.expect("both should come to their end");
    applied.into_iter().sum()
}

fn in_order(mut events: Vec<serde_json::Value>, is_turned: bool) -> Vec<Entry> {
    if is_turned {
        events.reverse();
    }
    decoded(events.into_iter().map(|event| record(event.to_string().into_bytes())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_on_the_same_stock_rows_in_opposite_order_both_finish() {
    let shop = with_rows().await;
    let batch = |round: usize, is_turned: bool| {
        let order = |row: usize| ordered(&format!("O-{is_turned}-{round}-{row}"), &[(&format!("SKU-{row}"), 1)]);
        in_order((0..ROWS).map(order).collect(), is_turned)
    };
    assert_eq!(both_finish(&shop, batch).await, 2 * ROUNDS * ROWS);
    for row in 0..ROWS {
        assert_eq!(shop.units(&format!("SKU-{row}")).await.2, 2 * ROUNDS as i64);
    }
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_on_the_same_claims_in_opposite_order_both_finish() {
    let shop = with_rows().await;
    let batch = |round: usize, is_turned: bool| {
        // The same carts, and a version that is the writer's own: the higher one stays.
        let version = 2 * round as i64 + i64::from(is_turned);
        let units = version % 5 + 1;
        let cart = |row: usize| {
            let wanted = lines(&[(&format!("SKU-{row}"), units)]);
            fresh("cart-updated", json!({"cart_id": format!("C-{row}"), "cart_version": version, "lines": wanted}))
        };
        in_order((0..ROWS).map(cart).collect(), is_turned)
    };
    both_finish(&shop, batch).await;
    let last = 2 * ROUNDS as i64 - 1;
    for row in 0..ROWS {
        assert_eq!(shop.cart(&format!("C-{row}")).await.version, Some(last));
        assert_eq!(shop.units(&format!("SKU-{row}")).await.1, last % 5 + 1);
    }
    shop.assert_sound().await;
}
