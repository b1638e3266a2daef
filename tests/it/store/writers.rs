//! Several writers on one database: each sees what the others did, none waits for ever, nothing is done twice.

use holdfast::domain::rules::{DeductOn, Rules};
use holdfast::ports::Outcome;
use serde_json::Value;

use super::{Shop, stocked};
use crate::shop::{ordered, registered};

const WRITERS: usize = 4;
const BATCHES: usize = 10;
const ORDERS: usize = 20;

/// Sends its orders, and each batch of its neighbour's as well.
async fn write(mut shop: Shop, writer: usize) -> [usize; 2] {
    let mut counted = [0; 2];
    for batch in 0..BATCHES {
        for whose in [writer, (writer + 1) % WRITERS] {
            let order = |number: usize| {
                let (sku, other) = (format!("SKU-{}", number % 3), format!("SKU-{}", 3 + number % 2));
                let mut told = ordered(&format!("O-{whose}-{batch}-{number}"), &[(&sku, 1), (&other, 1)]);
                told["id"] = serde_json::json!(format!("{whose}-{batch}-{number}"));
                told
            };
            for outcome in shop.send((0..ORDERS).map(order).collect()).await {
                match outcome {
                    Outcome::Applied => counted[0] += 1,
                    Outcome::Duplicate => counted[1] += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    counted
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_with_overlapping_orders_apply_each_once_and_number_them_without_a_hole() {
    let mut shop = Shop::with_rules(Rules { deduct_on: DeductOn::Confirmed, ..Rules::default() }).await;
    shop.send((0..5).map(|sku| registered(&format!("SKU-{sku}"), 1_000_000)).collect()).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let rules = Rules { deduct_on: DeductOn::Confirmed, ..Rules::default() };
        let other = Shop::at(shop.url.clone(), rules).await;
        writers.spawn(write(other, writer));
    }
    let counted = writers.join_all().await;
    let (applied, duplicates) = counted.iter().fold((0, 0), |sum, one| (sum.0 + one[0], sum.1 + one[1]));
    assert_eq!((applied, duplicates), (WRITERS * BATCHES * ORDERS, WRITERS * BATCHES * ORDERS));
    let kept = shop.kept().await;
    assert_eq!(kept.stock.iter().map(|row| row.counters.order_reserved).sum::<i64>(), 2 * applied as i64);
    assert_eq!(kept.claim_lines.len(), 2 * applied);
    assert_eq!(shop.announcements().await.len() as i64, kept.last_seq);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clones_of_one_store_take_turns() {
    let shop = stocked(1_000_000).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let mut clone = Shop::on(shop.url.clone(), shop.store.clone(), Rules::default());
        writers.spawn(async move {
            for order in 0..30 {
                let told = ordered(&format!("O-{writer}-{order}"), &[("A", 1)]);
                assert_eq!(clone.send_one(told).await, Outcome::Applied);
            }
        });
    }
    writers.join_all().await;
    assert_eq!(shop.units("A").await.0, 1_000_000 - 30 * WRITERS as i64);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_with_the_same_batches_apply_each_event_once_whoever_is_first() {
    const ROUNDS: usize = 15;
    let shop = stocked(1_000_000).await;
    let batches: Vec<Vec<Value>> = (0..ROUNDS)
        .map(|round| (0..5).map(|order| ordered(&format!("O-{round}-{order}"), &[("A", 1)])).collect())
        .collect();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (mut other, batches) = (Shop::at(shop.url.clone(), Rules::default()).await, batches.clone());
        writers.spawn(async move {
            let mut applied = 0;
            for batch in batches {
                for outcome in other.send(batch).await {
                    assert!(matches!(outcome, Outcome::Applied | Outcome::Duplicate), "{outcome:?}");
                    applied += usize::from(outcome == Outcome::Applied);
                }
            }
            applied
        });
    }
    assert_eq!(writers.join_all().await.into_iter().sum::<usize>(), 5 * ROUNDS);
    assert_eq!(shop.units("A").await.0, 1_000_000 - 5 * ROUNDS as i64);
    let kept = shop.kept().await;
    assert_eq!((kept.inbox.len(), kept.claims.len()), (5 * ROUNDS + 1, 5 * ROUNDS));
    assert_eq!(kept.last_seq, 10 * ROUNDS as i64 + 1, "each was answered once");
    shop.assert_sound().await;
}
