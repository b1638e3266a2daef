//! What reconciliation asks of a store: pages of rows with what they are compared with, turns, lists of differences.

use holdfast::domain::reconciliation::{Difference, DifferenceKey, FigureSource, Ledger};
use holdfast::domain::stock::Counters;
use holdfast::domain::words::StockKey;
use holdfast::ports::{AuditPage, Audited, DifferenceFilter, Queries, Store};
use holdfast::reconcile::{Fix, Terms};
use serde_json::json;

use super::Shop;
use crate::shop::{Tampering, fresh, lines, ordered, registered};

/// Every row in pages of a size, with the number of pages.
async fn walk(shop: &Shop, page: AuditPage) -> (Vec<Audited>, usize) {
    let (mut found, mut pages) = (Vec::<Audited>::new(), 0);
    loop {
        let after = found.last().map(|it| it.row.key.clone());
        let more = shop.store.audited(after.as_ref(), page).await.expect("rows should be readable");
        if more.is_empty() {
            return (found, pages);
        }
        found.extend(more);
        pages += 1;
    }
}

async fn differences(shop: &Shop, filter: &DifferenceFilter, limit: u32) -> Vec<(DifferenceKey, Difference)> {
    let mut found: Vec<(DifferenceKey, Difference)> = Vec::new();
    loop {
        let after = found.last().map(|(key, _)| key.clone());
        let more = shop.store.differences(filter, after.as_ref(), limit).await.expect("differences should be readable");
        assert!(more.len() <= limit as usize);
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

#[tokio::test]
async fn rows_come_in_pages_with_what_ledger_and_claims_say() {
    let mut shop = Shop::open().await;
    let skus: Vec<String> = (0..7).map(|number| format!("S{number}")).collect();
    shop.send(skus.iter().map(|sku| registered(sku, 10)).collect()).await;
    shop.send_one(fresh("sku-registered", json!({"sku": "S0", "location": "north", "initial": 3}))).await;
    shop.send_one(fresh("cart-updated", json!({"cart_id": "C-1", "cart_version": 1, "lines": lines(&[("S1", 2)])})))
        .await;
    shop.send_one(ordered("O-1", &[("S1", 1)])).await;
    let everything = AuditPage { rows: 100, movements: Some(1_000) };
    let (all, pages) = walk(&shop, everything).await;
    assert_eq!((all.len(), pages), (8, 1));
    let row = all.iter().find(|it| it.row.key.sku.as_str() == "S1").unwrap();
    let said = row.audit.said.unwrap();
    assert_eq!(said.ledger.sum, row.row.counters);
    assert_eq!(said.ledger, Ledger { movements: 3, versions: 3, first: 1, last: 3, ..said.ledger });
    assert_eq!((said.cart_held, said.order_reserved), (2, 0));
    for (page, pages) in [
        (AuditPage { rows: 3, movements: Some(1_000) }, 3),
        // The row that crosses the line still comes.
        (AuditPage { rows: 100, movements: Some(1) }, 8),
        (AuditPage { rows: 100, movements: Some(5) }, 2),
    ] {
        assert_eq!(walk(&shop, page).await, (all.clone(), pages), "{page:?}");
    }
    let (unsummed, _) = walk(&shop, AuditPage { rows: 5, movements: None }).await;
    assert!(unsummed.iter().all(|it| it.audit.said.is_none()));
    assert!(unsummed.iter().map(|it| &it.row).eq(all.iter().map(|it| &it.row)));
}

#[tokio::test]
async fn a_row_that_lost_its_movements_has_sums_of_nothing() {
    let mut shop = Shop::open().await;
    shop.send_one(registered("A", 10)).await;
    shop.tamper(Tampering::MovementLost { sku: "A", version: 1 }).await;
    let (all, _) = walk(&shop, AuditPage { rows: 10, movements: Some(10) }).await;
    let said = all[0].audit.said.unwrap();
    assert_eq!((said.ledger, said.ledger.is_whole()), (Ledger::default(), false));
    assert_eq!(said.ledger.sum, Counters::default());
}

#[tokio::test]
async fn a_turn_is_taken_by_one_worker_an_interval() {
    let shop = Shop::open().await;
    let other = Shop::at(shop.url.clone(), Default::default()).await;
    let (first, second) = tokio::join!(shop.store.take_turn("books", 3_600), other.store.take_turn("books", 3_600));
    let taken = [first.unwrap(), second.unwrap()];
    assert_eq!(taken.iter().flatten().count(), 1, "{taken:?}");
    assert!(shop.store.take_turn("outside:wms", 3_600).await.unwrap().is_some(), "jobs have turns of their own");
    assert!(shop.store.take_turn("books", 3_600).await.unwrap().is_none());
    shop.pass(1).await;
    let again = other.store.take_turn("books", 1).await.unwrap();
    assert!(again > taken.into_iter().flatten().next());
    assert!(shop.store.take_turn("books", 1).await.unwrap().is_none());
}

#[tokio::test]
async fn open_differences_are_listed_in_order_and_counted() {
    let mut shop = Shop::open().await;
    shop.send(vec![registered("A", 10), registered("B", 10), registered("ä", 10)]).await;
    for sku in ["A", "B", "ä"] {
        shop.tamper(Tampering::OnHand { sku, units: 9 }).await;
    }
    shop.reconcile().await;
    let terms = Terms { source: "wms".into(), tolerance: 0, alert_threshold: Some(3), fix: Fix::None };
    shop.compare(terms, "sku,available\nA,5\nB,9\nä,\n").await;
    let shown = |found: &[(DifferenceKey, Difference)]| -> Vec<String> {
        found.iter().map(|(key, _)| format!("{} {}", key.key.sku, key.source.as_str())).collect()
    };
    let all = differences(&shop, &DifferenceFilter::default(), 2).await;
    assert_eq!(shown(&all), ["A ledger", "A wms", "B ledger", "ä ledger", "ä wms"]);
    let of_wms = DifferenceFilter { source: Some(FigureSource::named("wms")), sku: None };
    assert_eq!(shown(&differences(&shop, &of_wms, 1).await), ["A wms", "ä wms"]);
    let of_a = DifferenceFilter { source: Some(FigureSource::Ledger), sku: Some("A".into()) };
    assert_eq!(shown(&differences(&shop, &of_a, 10).await), ["A ledger"]);
    let (key, open) = &all[1];
    assert_eq!((key.key.clone(), open.ours, open.theirs), (StockKey::new("A", "default"), 9, Some(5)));
    assert_eq!((open.version, open.is_alert, open.first_seen_at), (1, true, open.last_seen_at));
    let counts = shop.store.difference_counts().await.unwrap();
    let counts: Vec<(&str, i64, i64)> =
        counts.iter().map(|count| (count.source.as_str(), count.open, count.alerts)).collect();
    assert_eq!(counts, [("ledger", 3, 3), ("wms", 2, 1)]);
}
