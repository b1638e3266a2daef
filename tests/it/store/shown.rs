//! What is shown beside the state itself: who holds a row, what begins with a text, and what is published.

use holdfast::domain::words::StockKey;
use holdfast::ports::{HolderPlace, OutboxLimit, OutboxPlace, Progress, Queries, StockFilter, Store};
use serde_json::json;
use uuid::Uuid;

use super::{Shop, stocked};
use crate::shop::{Tampering, fresh, lines, ordered, registered};

const MANY: OutboxLimit = OutboxLimit { batches: 100, announcements: 1_000 };

/// Publishes nothing, but says that everything up to a batch is.
async fn mark(shop: &Shop, batch: i64, seq: i64) {
    let lease = shop.store.take_lease(Uuid::new_v4(), 60).await.unwrap().expect("nobody has it");
    let installation = shop.store.outbox_status().await.unwrap().installation;
    assert!(shop.store.mark_published(lease, Progress { installation, batch, seq }).await.unwrap());
    shop.store.give_lease(lease).await.unwrap();
}

async fn held(shop: &Shop) -> Vec<String> {
    let key = StockKey::new("A", "default");
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = shop.store.holders(&key, after.as_ref(), 2).await.unwrap();
        let Some(last) = page.last() else { return names };
        after = Some(HolderPlace { held_since: last.held_since, key: last.key.clone() });
        names.extend(page.iter().map(|holder| format!("{} {}", holder.key.reference, holder.reserved)));
    }
}

fn cart(name: &str, version: i64, units: i64) -> serde_json::Value {
    let wanted = if units == 0 { json!([]) } else { lines(&[("A", units)]) };
    fresh("cart-updated", json!({"cart_id": name, "cart_version": version, "lines": wanted}))
}

#[tokio::test]
async fn holders_come_newest_first_and_those_of_whom_it_is_not_known_last_page_by_page() {
    let mut shop = stocked(100).await;
    for (name, seconds) in [("C-1", Some(-60)), ("C-2", Some(-20)), ("C-3", Some(-40)), ("D-2", None), ("D-1", None)] {
        shop.send_one(cart(name, 1, 2)).await;
        shop.tamper(Tampering::HeldSince { of: name, seconds }).await;
    }
    // The deadline says nothing of it.
    shop.tamper(Tampering::NoDeadline { of: "C-2" }).await;
    shop.send_one(cart("C-0", 1, 1)).await;
    assert_eq!(held(&shop).await, ["C-0 1", "C-2 2", "C-3 2", "C-1 2", "D-1 2", "D-2 2"]);
    assert!(shop.store.holders(&StockKey::new("B", "default"), None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_claim_holds_since_its_first_unit_of_a_row_until_it_holds_none() {
    let mut shop = stocked(100).await;
    for (name, seconds) in [("C-1", -60), ("C-2", -20)] {
        shop.send_one(cart(name, 1, 2)).await;
        shop.tamper(Tampering::HeldSince { of: name, seconds: Some(seconds) }).await;
    }
    // More and less of it changes nothing.
    shop.send_one(cart("C-1", 2, 5)).await;
    shop.send_one(cart("C-1", 3, 1)).await;
    assert_eq!(held(&shop).await, ["C-2 2", "C-1 1"]);
    // Given back and held again is held anew.
    shop.send_one(cart("C-1", 4, 0)).await;
    shop.send_one(cart("C-1", 5, 3)).await;
    assert_eq!(held(&shop).await, ["C-1 3", "C-2 2"]);
    let now = shop.store.outbox_status().await.unwrap().now;
    let holders = shop.store.holders(&StockKey::new("A", "default"), None, 1).await.unwrap();
    let since = holders[0].held_since.expect("it is known");
    assert!(since <= now && since > now.plus_seconds(-20), "{since:?} at {now:?}");
}

#[tokio::test]
async fn a_prefix_is_compared_letter_by_letter() {
    let mut shop = Shop::open().await;
    shop.send(["shoe-1", "shoe-2", "Shoe-3", "sho%", "shé-1"].map(|sku| registered(sku, 1)).into()).await;
    for (prefix, expected) in
        [("shoe-", vec!["shoe-1", "shoe-2"]), ("sho%", vec!["sho%"]), ("shé", vec!["shé-1"]), ("x", vec![])]
    {
        let filter = StockFilter { prefix: Some(prefix.into()), ..StockFilter::default() };
        let page = shop.store.stock_page(&filter, None, 10).await.unwrap();
        let found: Vec<&str> = page.iter().map(|row| row.key.sku.as_str()).collect();
        assert_eq!(found, expected, "{prefix}");
    }
}

#[tokio::test]
async fn the_place_of_every_number_is_found_as_long_as_what_follows_is_kept() {
    let mut shop = stocked(100).await;
    assert_eq!(shop.store.outbox_place(0).await.unwrap(), OutboxPlace::Behind(0));
    for order in 0..9 {
        shop.send_one(ordered(&format!("O-{order}"), &[("A", 1)])).await;
    }
    let batches = shop.store.unpublished(0, 100).await.unwrap();
    let last = batches.last().expect("batches");
    for batch in &batches {
        let seqs = batch.first_seq..=batch.last_seq();
        for seq in seqs {
            let place = shop.store.outbox_place(seq - 1).await.unwrap();
            assert_eq!(place, OutboxPlace::Behind(batch.number - 1), "what follows {}", seq - 1);
        }
    }
    assert_eq!(shop.store.outbox_place(last.last_seq()).await.unwrap(), OutboxPlace::Behind(last.number));
    assert_eq!(shop.store.outbox_place(last.last_seq() + 1).await.unwrap(), OutboxPlace::NotGiven);
    shop.tamper(Tampering::OutboxLost { numbers: 0..=3 }).await;
    assert_eq!(shop.store.outbox_place(0).await.unwrap(), OutboxPlace::Dropped);
    assert_eq!(shop.store.outbox_place(batches[2].last_seq()).await.unwrap(), OutboxPlace::Behind(3));
}

#[tokio::test]
async fn only_what_is_marked_as_published_is_shown_within_the_limit() {
    let mut shop = stocked(100).await;
    for order in 0..4 {
        shop.send_one(ordered(&format!("O-{order}"), &[("A", 1)])).await;
    }
    let all = shop.store.unpublished(0, 100).await.unwrap();
    assert!(shop.store.published_behind(0, MANY).await.unwrap().is_empty());
    mark(&shop, 4, all[3].last_seq()).await;
    let seen = shop.store.published_mark().await.unwrap();
    assert_eq!((seen.number, seen.seq), (4, all[3].last_seq()));
    assert_eq!(shop.store.published_behind(0, MANY).await.unwrap(), all[..4]);
    assert_eq!(shop.store.published_behind(1, OutboxLimit { batches: 2, ..MANY }).await.unwrap(), all[1..3]);
    assert_eq!(shop.store.published_behind(1, OutboxLimit { announcements: 1, ..MANY }).await.unwrap(), all[1..2]);
    assert!(shop.store.published_behind(4, MANY).await.unwrap().is_empty());
    shop.tamper(Tampering::OutboxLost { numbers: 1..=1 }).await;
    assert!(shop.store.published_behind(0, MANY).await.unwrap().is_empty(), "it is not kept any more");
}
