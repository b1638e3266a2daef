//! What the clock asks for: nothing grows without bound, and nothing goes that is needed.

use holdfast::ports::{Progress, Store};
use holdfast::store::Upkeep;
use serde_json::json;
use uuid::Uuid;

use super::{Shop, stocked};
use crate::shop::{Tampering, day, event, lines, ordered, record};

#[tokio::test]
async fn published_batches_go_after_their_grace_period_and_the_newest_stays() {
    let mut shop = stocked(100).await;
    for order in 0..4 {
        shop.send_one(ordered(&format!("O-{order}"), &[("A", 1)])).await;
    }
    let lease = shop.store.take_lease(Uuid::new_v4(), 60).await.unwrap().expect("nobody has it");
    let installation = shop.store.outbox_status().await.unwrap().installation;
    shop.store.mark_published(lease, Progress { installation, batch: 3, seq: 5 }).await.unwrap();
    assert_eq!(shop.store.maintain().await.unwrap().batches_deleted, 0, "they are young");
    // As it stands where the clock was set back: the first is the youngest.
    shop.tamper(Tampering::OutboxAged { from: 2, seconds: 8 * 86_400 }).await;
    assert_eq!(shop.store.maintain().await.unwrap().batches_deleted, 0, "nothing goes behind what stays");
    shop.tamper(Tampering::OutboxAged { from: 1, seconds: 8 * 86_400 }).await;
    assert_eq!(shop.store.maintain().await.unwrap().batches_deleted, 2);
    let left: Vec<i64> = shop.store.unpublished(2, 10).await.unwrap().iter().map(|batch| batch.number).collect();
    assert_eq!(left, [3, 4, 5], "the newest that is published, and what is not");
    shop.assert_sound().await;
}

#[tokio::test]
async fn positions_of_dead_letters_are_forgotten_after_their_time() {
    let mut shop = stocked(1).await;
    shop.deliver(vec![record(b"poison".to_vec()), record(b"venom".to_vec())]).await;
    assert_eq!(shop.store.maintain().await.unwrap().positions_deleted, 0);
    shop.tamper(Tampering::LettersAged { seconds: 401 * 86_400 }).await;
    assert_eq!(shop.store.maintain().await.unwrap().positions_deleted, 2);
    assert!(shop.kept().await.dead_letters.is_empty());
}

#[tokio::test]
async fn the_keys_of_a_day_go_all_at_once_and_those_of_other_days_stay() {
    let mut shop = stocked(100_000).await;
    let of_day = |day: &str, number: usize| {
        let order = json!({"order_id": format!("O-{day}-{number}"), "lines": lines(&[("A", 1)])});
        let mut told = event("order-created", &format!("{day}-{number}"), order);
        told["time"] = json!(format!("{day}T12:00:00Z"));
        told
    };
    for day in ["2026-01-05", "2026-01-06"] {
        shop.send((0..3_000).map(|number| of_day(day, number)).collect()).await;
    }
    assert_eq!((keys(&shop, "2026-01-05").await, keys(&shop, "2026-01-06").await), (3_000, 3_000));
    shop.tamper(Tampering::DayWritten { day: day("2026-01-05"), on: day("2026-01-07") }).await;
    assert_eq!(shop.store.maintain().await.unwrap().days_dropped, 1);
    assert_eq!((keys(&shop, "2026-01-05").await, keys(&shop, "2026-01-06").await), (0, 3_000));
    assert_eq!(shop.store.maintain().await.unwrap().days_dropped, 0);
    let again = shop.send(vec![of_day("2026-01-05", 1), of_day("2026-01-06", 1)]).await;
    assert_eq!([again[0].as_str(), again[1].as_str()], ["dead_lettered", "duplicate"]);
    shop.assert_sound().await;
}

async fn keys(shop: &Shop, date: &str) -> usize {
    shop.kept().await.keys_of(day(date))
}

#[tokio::test]
async fn more_days_than_may_be_open_are_refused_and_named() {
    let mut shop = Shop::with_days(3).await;
    let registered = |day: u32| {
        let mut told = event("sku-registered", &format!("r-{day}"), json!({"sku": format!("S-{day}"), "initial": 1}));
        told["time"] = json!(format!("2026-01-{day:02}T12:00:00Z"));
        told
    };
    let outcomes = shop.send((1..=5).map(registered).collect()).await;
    let words: Vec<&str> = outcomes.iter().map(|outcome| outcome.as_str()).collect();
    assert_eq!(words, ["applied", "applied", "applied", "dead_lettered", "dead_lettered"]);
    assert_eq!(shop.kept().await.open_days(), 3);
    assert_eq!(shop.send_one(registered(3)).await.as_str(), "duplicate");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_by_several_workers_while_others_write_takes_each_thing_once() {
    let mut shop = stocked(100_000).await;
    for order in 0..20 {
        shop.send_one(ordered(&format!("O-{order}"), &[("A", 1)])).await;
    }
    let lease = shop.store.take_lease(Uuid::new_v4(), 60).await.unwrap().expect("nobody has it");
    let installation = shop.store.outbox_status().await.unwrap().installation;
    shop.store.mark_published(lease, Progress { installation, batch: 15, seq: 29 }).await.unwrap();
    shop.tamper(Tampering::OutboxAged { from: 1, seconds: 8 * 86_400 }).await;
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..3 {
        let mut other = Shop::at(shop.url.clone(), Default::default()).await;
        workers.spawn(async move {
            let mut deleted = 0;
            for order in 0..10 {
                deleted += other.store.maintain().await.expect("maintenance should run").batches_deleted;
                let told = ordered(&format!("O-{worker}-{order}"), &[("A", 1)]);
                assert_eq!(other.send_one(told).await.as_str(), "applied");
            }
            deleted
        });
    }
    assert_eq!(workers.join_all().await.into_iter().sum::<u64>(), 14);
    assert_eq!(shop.units("A").await.0, 100_000 - 50);
    let left: Vec<i64> = shop.kept().await.outbox.iter().map(|batch| batch.number).collect();
    assert!(left.iter().copied().eq(15..=51), "{left:?}");
    shop.assert_sound().await;
}
