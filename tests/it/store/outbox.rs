//! Numbers, the lease and the mark.

use holdfast::domain::announce::AnnouncementBody;
use holdfast::ports::{Lease, OutboxBatch, Progress, Store};
use uuid::Uuid;

use super::{Shop, stocked};
use crate::shop::{Tampering, decoded, ordered, record};

async fn take(shop: &Shop, holder: Uuid, seconds: i64) -> Option<Lease> {
    shop.store.take_lease(holder, seconds).await.expect("the store should answer")
}

async fn mark(shop: &Shop, lease: Lease, batch: i64, seq: i64) -> bool {
    let installation = shop.store.outbox_status().await.expect("the store should answer").installation;
    let progress = Progress { installation, batch, seq };
    shop.store.mark_published(lease, progress).await.expect("the store should answer")
}

#[tokio::test]
async fn numbers_and_seq_run_without_a_hole_and_a_burial_uses_no_seq() {
    let mut shop = stocked(100).await;
    for round in 0..5 {
        shop.send((0..3).map(|order| ordered(&format!("O-{round}-{order}"), &[("A", 1)])).collect()).await;
        shop.deliver(vec![record(b"poison".to_vec())]).await;
    }
    let batches = shop.store.unpublished(0, 1_000).await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.number).collect::<Vec<_>>(), (1..=11).collect::<Vec<_>>());
    let mut next = 1;
    for batch in &batches {
        assert_eq!(batch.first_seq, next);
        next += batch.announcements.len() as i64;
        assert_eq!(batch.announcements.is_empty(), !batch.dead_letters.is_empty());
    }
    let status = shop.store.outbox_status().await.unwrap();
    assert_eq!((status.last_number, status.last_seq), (11, next - 1));
    assert_eq!((status.published_number, status.published_seq), (0, 0));
    assert_eq!(status.oldest_unpublished, Some(batches[0].recorded_at));
    assert!(status.now >= batches[10].recorded_at);
    // Page by page it is the same.
    let mut paged = Vec::new();
    while let Some(page) =
        Some(shop.store.unpublished(paged.len() as i64, 4).await.unwrap()).filter(|page| !page.is_empty())
    {
        assert!(page.len() <= 4);
        paged.extend(page);
    }
    assert_eq!(paged, batches);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_stand_in_the_order_of_commits_and_each_writer_is_told_its_own() {
    let shop = stocked(100_000).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let other = Shop::at(shop.url.clone(), Default::default()).await;
        writers.spawn(async move {
            let (bench, mut told) = (other.bench(), Vec::new());
            for order in 0..25 {
                let event = ordered(&format!("O-{writer}-{order}"), &[("A", 1)]);
                let entries = decoded(vec![record(event.to_string().into_bytes())]);
                let judge = |loaded| bench.judge(&entries, loaded);
                let committed = other.store.commit(&entries, &judge).await.expect("it should commit");
                told.push(committed.outbox.expect("it was answered"));
            }
            assert!(told.is_sorted_by_key(|batch| batch.number), "a writer's own batches stand in its order");
            told
        });
    }
    let mut told: Vec<OutboxBatch> = writers.join_all().await.into_iter().flatten().collect();
    told.sort_by_key(|batch| batch.number);
    let kept = shop.store.unpublished(1, 1_000).await.unwrap();
    assert_eq!(kept, told, "what is kept is what each writer was told");
    assert!(kept.iter().map(|batch| batch.number).eq(2..=101));
    // Each order saw what the one before it left, and says so: the versions of the row go by the numbers.
    let versions = kept.iter().flat_map(|batch| &batch.announcements).filter_map(|it| match &it.body {
        AnnouncementBody::StockChanged { version, .. } => Some(*version),
        AnnouncementBody::LowStock { .. }
        | AnnouncementBody::ReservationResult(_)
        | AnnouncementBody::StockShortage { .. } => None,
    });
    assert!(versions.eq(2..=101));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_hole_in_the_outbox_is_found_by_whoever_reads_over_it() {
    let mut shop = stocked(100).await;
    for order in 0..3 {
        shop.send_one(ordered(&format!("O-{order}"), &[("A", 1)])).await;
    }
    shop.tamper(Tampering::OutboxLost { numbers: 3..=3 }).await;
    let error = shop.store.unpublished(1, 10).await.expect_err("a batch is missing").to_string();
    assert!(error.contains("lacks batch 3"), "{error}");
    assert_eq!(shop.store.unpublished(3, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn one_holds_the_lease_until_it_gives_it_back_or_its_time_is_over() {
    let shop = stocked(1).await;
    let (left, right) = (Uuid::new_v4(), Uuid::new_v4());
    let first = take(&shop, left, 60).await.expect("nobody has it");
    assert_eq!(take(&shop, right, 60).await, None);
    assert_eq!(take(&shop, left, 60).await, Some(first), "a renewal keeps the epoch");
    shop.store.give_lease(first).await.unwrap();
    let second = take(&shop, right, 60).await.expect("it was given back");
    assert_eq!(second.epoch, first.epoch + 1);
    // Who was replaced gives nothing back and marks nothing.
    shop.store.give_lease(first).await.unwrap();
    assert_eq!(take(&shop, left, 60).await, None);
    shop.tamper(Tampering::LeaseEnds { in_seconds: -1 }).await;
    let third = take(&shop, left, 60).await.expect("its time is over");
    assert_eq!(third.epoch, second.epoch + 1);
    assert!(!mark(&shop, second, 1, 1).await);
    assert!(mark(&shop, third, 1, 1).await);
}

#[tokio::test]
async fn a_lease_ends_by_the_databases_clock() {
    let shop = stocked(1).await;
    let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
    take(&shop, one, 600).await.expect("nobody has it");
    shop.pass(1).await;
    assert_eq!(take(&shop, other, 60).await, None, "it has not ended");
    take(&shop, one, 1).await.expect("it is renewed, for a shorter time");
    shop.pass(2).await;
    take(&shop, other, 60).await.expect("it has ended");
}

#[tokio::test]
async fn a_lease_from_before_the_clock_was_set_back_keeps_nobody_from_publishing() {
    let shop = stocked(1).await;
    let (gone, heir) = (Uuid::new_v4(), Uuid::new_v4());
    let first = take(&shop, gone, 60).await.expect("nobody has it");
    shop.tamper(Tampering::LeaseEnds { in_seconds: 500 }).await;
    assert_eq!(take(&shop, heir, 60).await, None, "so long may a lease last");
    shop.tamper(Tampering::LeaseEnds { in_seconds: 7_200 }).await;
    let second = take(&shop, heir, 60).await.expect("nobody gives it for so long");
    assert_eq!(second.epoch, first.epoch + 1);
}

#[tokio::test]
async fn the_mark_never_goes_back() {
    let mut shop = stocked(100).await;
    for order in 0..3 {
        shop.send_one(ordered(&format!("O-{order}"), &[("A", 1)])).await;
    }
    let lease = take(&shop, Uuid::new_v4(), 60).await.expect("nobody has it");
    assert!(mark(&shop, lease, 3, 5).await);
    assert!(mark(&shop, lease, 2, 3).await);
    let status = shop.store.outbox_status().await.unwrap();
    assert_eq!((status.published_number, status.published_seq), (3, 5));
    assert_eq!(status.oldest_unpublished, Some(shop.store.unpublished(3, 1).await.unwrap()[0].recorded_at));
    assert!(mark(&shop, lease, 4, 7).await);
    assert_eq!(shop.store.outbox_status().await.unwrap().oldest_unpublished, None);
}
