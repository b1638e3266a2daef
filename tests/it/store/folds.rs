//! A batch is judged on what is there when it is written: when another writer comes between, it is judged again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use holdfast::domain::rules::Rules;
use holdfast::domain::words::StockKey;
use holdfast::ports::{Committed, Entry, Loaded, Outcome, Seen, Store};
use serde_json::{Value, json};

use super::{Shop, stocked};
use crate::shop::{decoded, fresh, lines, ordered, record, registered};

fn entries(events: &[Value]) -> Vec<Entry> {
    decoded(events.iter().map(|event| record(event.to_string().into_bytes())).collect())
}

/// Commits on a runtime of its own, as another process would.
fn commit_elsewhere(other: Shop, entries: Vec<Entry>) -> std::thread::JoinHandle<Committed> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            // Its connections belong to this runtime.
            let other = Shop::at(other.url.clone(), Rules::default()).await;
            let bench = other.bench();
            other.store.commit(&entries, &|loaded| bench.judge(&entries, loaded)).await.expect("it should commit")
        })
    })
}

/// Has the same event, or another one of the same new SKU, committed while a batch is judged. Returns how both ended.
async fn come_between(shop: &Shop, mine: Value, theirs: Value) -> [Outcome; 2] {
    let (mine, theirs) = (entries(&[mine]), entries(&[theirs]));
    let other = Mutex::new(Some(Shop::at(shop.url.clone(), Rules::default()).await));
    let (calls, running) = (AtomicUsize::new(0), Mutex::new(None));
    let bench = shop.bench();
    let judge = |loaded: Loaded| {
        calls.fetch_add(1, Ordering::Relaxed);
        if let Some(other) = other.lock().unwrap().take() {
            let committing = commit_elsewhere(other, theirs.clone());
            if Shop::LETS_OTHERS_BETWEEN {
                while !committing.is_finished() {
                    std::thread::yield_now();
                }
            }
            *running.lock().unwrap() = Some(committing);
        }
        bench.judge(&mine, loaded)
    };
    let committed = shop.store.commit(&mine, &judge).await.expect("it should commit");
    let theirs = running.into_inner().unwrap().expect("it was begun").join().expect("it should end");
    let expected = if Shop::LETS_OTHERS_BETWEEN { 1 } else { 0 };
    assert_eq!((calls.into_inner(), committed.repeats), (expected + 1, expected));
    [committed, theirs].map(|mut committed| committed.outcomes.remove(0))
}

/// Whoever was first, in the words of `ends`, and the other one.
fn in_order([mine, theirs]: [Outcome; 2]) -> [Outcome; 2] {
    if Shop::LETS_OTHERS_BETWEEN { [theirs, mine] } else { [mine, theirs] }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_that_came_between_makes_a_batch_a_duplicate() {
    let shop = stocked(5).await;
    let event = registered("B", 7);
    let ends = come_between(&shop, event.clone(), event).await;
    assert_eq!(in_order(ends), [Outcome::Applied, Outcome::Duplicate]);
    assert_eq!((shop.units("B").await.0, shop.stock("B").await.version), (7, 1));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_row_that_came_between_is_the_row_that_a_batch_is_judged_on() {
    let shop = stocked(5).await;
    let mut named = registered("B", 7);
    named["data"]["name"] = "first or second".into();
    let ends = come_between(&shop, named, registered("B", 9)).await;
    // One creates the row; the other one changes its name, or nothing.
    let expected = if Shop::LETS_OTHERS_BETWEEN { [Outcome::Applied, Outcome::Applied] } else { ends.clone() };
    assert_eq!(ends, expected);
    let units = shop.units("B").await.0;
    assert_eq!(units, if Shop::LETS_OTHERS_BETWEEN { 9 } else { 7 }, "who comes first gives the initial units");
    assert_eq!(shop.stock("B").await.name.as_deref(), Some("first or second"));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_batch_is_judged_on_who_waits_for_its_rows_and_on_no_other_row_of_theirs() {
    let mut shop = stocked(0).await;
    shop.send(vec![registered("B", 0), registered("C", 9)]).await;
    for order in ["O-2", "O-1"] {
        let body = json!({"order_id": order, "policy": "backorder", "lines": lines(&[("A", 2), ("B", 1), ("C", 1)])});
        shop.send_one(fresh("order-created", body)).await;
    }
    let event = fresh("stock-received", json!({"receipt_id": "R-1", "lines": lines(&[("A", 3)])}));
    let (batch, bench) = (entries(&[event]), shop.bench());
    let judge = |loaded: Loaded| {
        let books = &loaded.books;
        assert_eq!(books.stock.keys().map(ToString::to_string).collect::<Vec<_>>(), ["A@default"]);
        let mut orders: Vec<String> = books.claims.keys().map(|key| key.reference.to_string()).collect();
        orders.sort();
        assert_eq!(orders, ["O-1", "O-2"]);
        let row = &books.stock[&StockKey::new("A", "default")];
        let (list, only) = (&books.waiting[&row.key], books.waiting.len());
        assert_eq!((row.waiting, list.units(), only), (4, 4, 1));
        let places: Vec<(i64, String)> = list.places().map(|(ticket, order)| (ticket, order.to_string())).collect();
        assert_eq!(places, [(1, "O-2".to_owned()), (2, "O-1".to_owned())]);
        bench.judge(&batch, loaded)
    };
    shop.store.commit(&batch, &judge).await.expect("it should commit");
    let kept = shop.kept().await;
    assert_eq!((kept.line_for("A"), kept.line_for("B")), (vec!["O-1"], vec!["O-2", "O-1"]));
    let rows: Vec<(String, i64)> = kept.stock.iter().map(|row| (row.key.sku.to_string(), row.waiting)).collect();
    assert_eq!(rows, [("A".to_owned(), 1), ("B".to_owned(), 2), ("C".to_owned(), 0)]);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_judged_on_the_units_that_others_left() {
    let shop = stocked(10_000).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let other = Shop::at(shop.url.clone(), Rules::default()).await;
        writers.spawn(async move {
            let bench = other.bench();
            for number in 0..25 {
                let entries = entries(&[ordered(&format!("O-{writer}-{number}"), &[("A", 1)])]);
                let last = Mutex::new(Vec::new());
                let judge = |loaded: Loaded| {
                    assert_eq!(loaded.seen, [Seen::New]);
                    let judged = bench.judge(&entries, loaded)?;
                    *last.lock().unwrap() = judged.effects.announcements.clone();
                    Ok(judged)
                };
                let committed = other.store.commit(&entries, &judge).await.expect("it should commit");
                // What was judged last is what counts, and nothing of what was judged before.
                let told = committed.outbox.expect("it was answered").announcements;
                assert_eq!(told, *last.lock().unwrap());
            }
        });
    }
    writers.join_all().await;
    assert_eq!(shop.units("A").await.0, 10_000 - 100);
    assert_eq!(shop.stock("A").await.version, 101);
    shop.assert_sound().await;
}
