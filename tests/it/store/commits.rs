//! A batch is one transaction: all of it or nothing.

use holdfast::domain::books::Broken;
use holdfast::domain::stock::Counters;
use holdfast::domain::words::StockKey;
use holdfast::ports::{Entry, Store, StoreError};

use super::stocked;
use crate::shop::{decoded, ordered, record};

fn entries() -> Vec<Entry> {
    decoded(vec![record(ordered("O-1", &[("A", 1)]).to_string().into_bytes()), record(b"poison".to_vec())])
}

#[tokio::test]
async fn a_batch_that_breaks_a_rule_writes_nothing_and_stops() {
    let shop = stocked(5).await;
    let before = shop.kept().await;
    let judge = |_| {
        let counters = Counters::default();
        Err(Broken { key: StockKey::new("A", "default"), rule: "a rule", counters })
    };
    let error = shop.store.commit(&entries(), &judge).await.expect_err("nothing may be committed");
    assert!(matches!(&error, StoreError::Fatal(error) if error.contains("a rule of A@default")), "{error}");
    assert_eq!(shop.kept().await, before);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_row_that_its_table_refuses_takes_the_whole_batch_back_and_is_named() {
    let shop = stocked(5).await;
    let before = shop.kept().await;
    let entries = entries();
    let bench = shop.bench();
    // A bug in the rules, as the table would see it.
    let judge = |loaded| {
        let mut judged = bench.judge(&entries, loaded)?;
        for row in judged.books.stock.values_mut() {
            row.counters.on_hand = -1;
        }
        Ok(judged)
    };
    let error = shop.store.commit(&entries, &judge).await.expect_err("nothing may be committed");
    assert!(
        matches!(&error, StoreError::Fatal(error) if error.contains("stock_on_hand_not_negative")),
        "the constraint should be named: {error}"
    );
    assert_eq!(shop.kept().await, before);
    // And the store goes on.
    let judge = |loaded| bench.judge(&entries, loaded);
    let committed = shop.store.commit(&entries, &judge).await.expect("the next batch is whole");
    assert_eq!(committed.outcomes.len(), 2);
    assert_eq!(shop.units("A").await.0, 4);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_batch_that_changes_nothing_takes_no_number_and_writes_no_row() {
    let shop = stocked(5).await;
    let entries = entries();
    let bench = shop.bench();
    let judge = |loaded| bench.judge(&entries, loaded);
    let first = shop.store.commit(&entries, &judge).await.expect("it should commit");
    assert!(first.outbox.is_some());
    let before = shop.kept().await;
    let again = shop.store.commit(&entries, &judge).await.expect("it should commit");
    assert!(again.outbox.is_none());
    assert_eq!(shop.kept().await, before);
}
