//! Questions and pages.

use holdfast::domain::announce::MovementKind;
use holdfast::domain::claim::{ClaimKey, ClaimKind};
use holdfast::domain::words::StockKey;
use holdfast::ports::{Queries, StockFilter};
use serde_json::json;

use super::{Shop, stocked};
use crate::shop::{Tampering, event, fresh, lines, ordered, registered};

/// Keys whose order by bytes is not the order of any language.
const KEYS: [(&str, &str); 8] = [
    ("A", "default"),
    ("A-1", "default"),
    ("B", "default"),
    ("B", "north"),
    ("a", "default"),
    ("a", "south"),
    ("Ä", "default"),
    ("\u{1f600}", "default"),
];

async fn with_keys() -> Shop {
    let mut shop = Shop::open().await;
    let registered = |(sku, location): &(&str, &str)| {
        fresh("sku-registered", json!({"sku": sku, "location": location, "initial": 5, "name": format!("the {sku}")}))
    };
    shop.send(KEYS.iter().rev().map(registered).collect()).await;
    shop
}

async fn page(shop: &Shop, filter: &StockFilter, after: Option<&StockKey>, limit: u32) -> Vec<StockKey> {
    let rows = shop.store.stock_page(filter, after, limit).await.expect("the store should answer");
    rows.into_iter().map(|row| row.key).collect()
}

fn keys(keys: &[(&str, &str)]) -> Vec<StockKey> {
    keys.iter().map(|(sku, location)| StockKey::new(*sku, *location)).collect()
}

#[tokio::test]
async fn a_list_of_stock_goes_by_the_bytes_of_its_keys_page_by_page() {
    let shop = with_keys().await;
    let all = StockFilter::default();
    assert_eq!(page(&shop, &all, None, 100).await, keys(&KEYS));
    let mut paged: Vec<StockKey> = Vec::new();
    loop {
        let next = page(&shop, &all, paged.last(), 3).await;
        if next.is_empty() {
            break;
        }
        paged.extend(next);
    }
    assert_eq!(paged, keys(&KEYS));
    // A cursor need not be a row.
    assert_eq!(page(&shop, &all, Some(&StockKey::new("B", "east")), 1).await, keys(&[("B", "north")]));
}

#[tokio::test]
async fn a_list_of_stock_shows_the_skus_and_the_location_that_it_is_asked_for() {
    let shop = with_keys().await;
    let filter = |skus: &[&str], location: Option<&str>| StockFilter {
        skus: skus.iter().map(|sku| (*sku).into()).collect(),
        location: location.map(Into::into),
        prefix: None,
    };
    let of_two = page(&shop, &filter(&["B", "a", "not there"], None), None, 10).await;
    assert_eq!(of_two, keys(&[("B", "default"), ("B", "north"), ("a", "default"), ("a", "south")]));
    assert_eq!(page(&shop, &filter(&["B"], Some("north")), None, 10).await, keys(&[("B", "north")]));
    assert_eq!(page(&shop, &filter(&[], Some("south")), None, 10).await, keys(&[("a", "south")]));
    assert_eq!(shop.store.stock(&StockKey::new("B", "south")).await.unwrap(), None);
    let row = shop.store.stock(&StockKey::new("Ä", "default")).await.unwrap().expect("it is there");
    assert_eq!((row.name.as_deref(), row.counters.on_hand), (Some("the Ä"), 5));
}

#[tokio::test]
async fn a_prefix_is_compared_letter_by_letter_up_to_the_last_letter_that_there_is() {
    let mut shop = Shop::open().await;
    let skus = [
        "a",
        "a~",
        "a\u{7ff}",
        "a\u{d7ff}",
        "a\u{d7ff}x",
        "a\u{e000}",
        "a\u{10ffff}",
        "a\u{10ffff}\u{10ffff}",
        "b",
        "\u{10ffff}",
        "\u{10ffff}\u{10ffff}",
        "\u{10ffff}\u{10ffff}z",
    ];
    shop.send(skus.map(|sku| registered(sku, 1)).into()).await;
    for prefix in skus.into_iter().chain(["c", "a\u{10fffe}"]) {
        let begins: Vec<&str> = skus.into_iter().filter(|sku| sku.starts_with(prefix)).collect();
        let filter = StockFilter { prefix: Some(prefix.into()), ..StockFilter::default() };
        let found = page(&shop, &filter, None, 100).await;
        assert!(found.iter().map(|key| key.sku.as_str()).eq(begins.iter().copied()), "{prefix:?}: {found:?}");
        // A cursor before the prefix, in it, and behind it.
        for after in ["A", "a\u{d7ff}", "b", "\u{10ffff}\u{10ffff}"] {
            let found = page(&shop, &filter, Some(&StockKey::new(after, "default")), 100).await;
            let behind = begins.iter().copied().filter(|sku| *sku > after);
            assert!(found.iter().map(|key| key.sku.as_str()).eq(behind), "{prefix:?} behind {after:?}: {found:?}");
        }
    }
    // Both at once, and a SKU that is named twice.
    let both = StockFilter {
        skus: ["b", "a", "b", "a\u{7ff}"].map(Into::into).into(),
        prefix: Some("a".into()),
        ..StockFilter::default()
    };
    assert_eq!(page(&shop, &both, None, 100).await, keys(&[("a", "default"), ("a\u{7ff}", "default")]));
    let twice = StockFilter { prefix: None, ..both };
    assert_eq!(page(&shop, &twice, Some(&StockKey::new("a", "default")), 1).await, keys(&[("a\u{7ff}", "default")]));
}

#[tokio::test]
async fn the_history_of_a_row_is_told_newest_first_with_its_causes() {
    let mut shop = stocked(10).await;
    let uuid = uuid::Uuid::new_v4().to_string();
    let order =
        |id: &str, order: &str| event("order-created", id, json!({"order_id": order, "lines": lines(&[("A", 1)])}));
    shop.send(vec![order(&uuid, "O-1"), order("plain id", "O-2")]).await;
    let upper = uuid::Uuid::new_v4().to_string().to_uppercase();
    shop.send(vec![order(&upper, "O-3")]).await;
    shop.send_one(fresh("order-cancelled", json!({"order_id": "O-1", "reason": "too late"}))).await;
    let key = StockKey::new("A", "default");
    let all = shop.store.movements(&key, None, 100).await.unwrap();
    assert_eq!(all.iter().map(|movement| movement.version).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
    let kinds: Vec<MovementKind> = all.iter().map(|movement| movement.kind).collect();
    use MovementKind::{Deduct, Register, Release};
    assert_eq!(kinds, [Release, Deduct, Deduct, Deduct, Register]);
    let ids: Vec<&str> = all[1..4].iter().map(|movement| &*movement.cause.id).collect();
    assert_eq!(ids, [upper.as_str(), "plain id", uuid.as_str()], "an id is told as it came");
    assert_eq!((all[0].reason.as_deref(), all[0].change.on_hand, all[0].after.on_hand), (Some("too late"), 1, 8));
    assert_eq!(all[3].cause.reference, Some("O-1".into()));
    assert_eq!(&*all[3].cause.source, "/shop");
    assert_eq!(shop.store.movements(&key, None, 2).await.unwrap(), all[..2]);
    assert_eq!(shop.store.movements(&key, Some(4), 2).await.unwrap(), all[2..4]);
    assert!(shop.store.movements(&StockKey::new("B", "default"), None, 5).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_claim_shows_its_last_answer_with_the_seq_under_which_it_was_published() {
    let mut shop = stocked(10).await;
    for order in ["O-1", "O-2"] {
        shop.send_one(ordered(order, &[("A", 2)])).await;
    }
    let key = |reference: &str| ClaimKey { kind: ClaimKind::Order, reference: reference.into() };
    let view = shop.store.claim(&key("O-2")).await.unwrap().expect("it is known");
    let answer = view.answer.expect("it was answered");
    assert_eq!((&answer["outcome"], &answer["seq"]), (&json!("granted"), &json!(5)), "{answer}");
    // The outbox is not kept for ever.
    shop.tamper(Tampering::OutboxLost { numbers: 0..=i64::MAX }).await;
    let view = shop.store.claim(&key("O-2")).await.unwrap().expect("it is known");
    assert_eq!(view.answer.expect("the claim keeps it").get("seq"), None);
    assert_eq!(shop.store.claim(&key("O-3")).await.unwrap(), None);
    shop.store.ping().await.expect("the store answers");
}
