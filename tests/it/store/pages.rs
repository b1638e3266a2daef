//! Pages: a walk from cursor to cursor meets everything once, whatever the size of a page.

use holdfast::domain::words::StockKey;
use holdfast::ports::{
    HolderPlace, HolderView, MovementView, OutboxBatch, OutboxLimit, Progress, Queries, StockFilter, Store,
};
use serde_json::json;
use uuid::Uuid;

use super::{Shop, stocked};
use crate::shop::{Tampering, fresh, lines, ordered, registered};

const SIZES: [u32; 4] = [1, 2, 5, 100];

#[tokio::test]
async fn a_walk_over_filtered_stock_meets_each_row_once() {
    let mut shop = Shop::open().await;
    let row = |number: usize| {
        let location = ["default", "north", "south"][number % 3];
        fresh(
            "sku-registered",
            json!({"sku": format!("{}-{number:02}", ["shoe", "sock"][number % 2]), "location": location}),
        )
    };
    shop.send((0..24).map(row).collect()).await;
    let filters = [
        StockFilter::default(),
        StockFilter { prefix: Some("shoe-".into()), ..StockFilter::default() },
        StockFilter { location: Some("north".into()), ..StockFilter::default() },
        StockFilter { prefix: Some("sock".into()), location: Some("south".into()), ..StockFilter::default() },
    ];
    for filter in &filters {
        let whole = shop.store.stock_page(filter, None, 1_000).await.unwrap();
        assert!(whole.len() >= 4 && whole.is_sorted_by(|one, other| one.key < other.key), "{filter:?}");
        for size in SIZES {
            let mut walked: Vec<StockKey> = Vec::new();
            loop {
                let page = shop.store.stock_page(filter, walked.last(), size).await.unwrap();
                assert!(page.len() <= size as usize);
                if page.is_empty() {
                    break;
                }
                walked.extend(page.into_iter().map(|row| row.key));
            }
            assert!(walked.iter().eq(whole.iter().map(|row| &row.key)), "{filter:?} by {size}");
        }
        assert!(shop.store.stock_page(filter, None, 0).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_walk_over_the_history_of_a_row_meets_each_movement_once() {
    let mut shop = stocked(100).await;
    shop.send((0..11).map(|order| ordered(&format!("O-{order}"), &[("A", 1)])).collect()).await;
    let key = StockKey::new("A", "default");
    let whole = shop.store.movements(&key, None, 1_000).await.unwrap();
    assert!(whole.iter().map(|movement| movement.version).eq((1..=12).rev()));
    for size in SIZES {
        let mut walked: Vec<MovementView> = Vec::new();
        loop {
            let before = walked.last().map(|movement| movement.version);
            let page = shop.store.movements(&key, before, size).await.unwrap();
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= size as usize);
            walked.extend(page);
        }
        assert_eq!(walked, whole, "by {size}");
    }
    assert!(shop.store.movements(&key, None, 0).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_walk_over_the_holders_of_a_row_meets_each_once_however_equal_their_times() {
    let mut shop = stocked(1_000).await;
    // One batch, one moment: only their names tell them apart.
    let cart = |number: usize| {
        let body = json!({"cart_id": format!("C-{number}"), "cart_version": 1, "lines": lines(&[("A", 1)])});
        fresh("cart-updated", body)
    };
    shop.send((0..13).map(cart).collect()).await;
    for of in ["C-3", "C-11"] {
        shop.tamper(Tampering::HeldSince { of, seconds: Some(-60) }).await;
    }
    let key = StockKey::new("A", "default");
    let whole = shop.store.holders(&key, None, 1_000).await.unwrap();
    assert_eq!(whole.len(), 13);
    assert!(whole.is_sorted_by(|one, other| {
        one.held_since > other.held_since || (one.held_since == other.held_since && one.key < other.key)
    }));
    for size in SIZES {
        let (mut walked, mut after): (Vec<HolderView>, Option<HolderPlace>) = (Vec::new(), None);
        loop {
            let page = shop.store.holders(&key, after.as_ref(), size).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= size as usize);
            after = Some(HolderPlace { held_since: last.held_since, key: last.key.clone() });
            walked.extend(page);
        }
        assert_eq!(walked, whole, "by {size}");
    }
}

#[tokio::test]
async fn a_walk_over_what_is_published_meets_each_batch_once_and_nothing_beyond_the_mark() {
    let mut shop = stocked(1_000).await;
    for batch in 0..9_usize {
        shop.send((0..=batch % 3).map(|order| ordered(&format!("O-{batch}-{order}"), &[("A", 1)])).collect()).await;
    }
    shop.send_one(registered("B", 1)).await;
    let whole = shop.store.unpublished(0, 100).await.unwrap();
    let published = &whole[..8];
    let lease = shop.store.take_lease(Uuid::new_v4(), 60).await.unwrap().expect("nobody has it");
    let installation = shop.store.outbox_status().await.unwrap().installation;
    let progress = Progress { installation, batch: 8, seq: published[7].last_seq() };
    assert!(shop.store.mark_published(lease, progress).await.unwrap());
    for batches in [1, 3, 100] {
        for announcements in [1, 4, 1_000] {
            let limit = OutboxLimit { batches, announcements };
            let mut walked: Vec<OutboxBatch> = Vec::new();
            loop {
                let page = shop.store.published_behind(walked.len() as i64, limit).await.unwrap();
                if page.is_empty() {
                    break;
                }
                let but_the_last: usize = page[..page.len() - 1].iter().map(|batch| batch.announcements.len()).sum();
                assert!(page.len() <= batches as usize && but_the_last < announcements as usize, "{limit:?}");
                walked.extend(page);
            }
            assert_eq!(walked, published, "{limit:?}");
        }
    }
}
