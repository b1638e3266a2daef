//! The file's lock: who writes waits for it, who reads does not.

use holdfast::ports::{Queries, Store};
use sqlx::Executor;

use crate::shop::{OnSqlite, ShopOn, ordered, registered};

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_waits_for_another_process_that_writes_and_readers_wait_for_nobody() {
    let mut shop = ShopOn::<OnSqlite>::open().await;
    shop.send_one(registered("A", 10)).await;
    let mut stranger = OnSqlite::connection(&shop.url).await;
    stranger.execute("begin immediate").await.expect("nobody writes");
    stranger.execute("update stock set name = 'half done'").await.expect("it has the lock");
    let store = shop.store.clone();
    let batch = tokio::spawn(async move {
        let outcome = shop.send_one(ordered("O-1", &[("A", 4)])).await;
        (shop, outcome)
    });
    // Readers see the last commit, as often as they ask.
    for _ in 0..50 {
        store.ping().await.expect("a reader does not wait");
        let page = store.stock_page(&Default::default(), None, 10).await.expect("a reader does not wait");
        assert_eq!((page[0].name.as_deref(), page[0].counters.on_hand), (None, 10));
        assert_eq!(store.outbox_status().await.expect("a reader does not wait").last_number, 1);
    }
    assert!(!batch.is_finished(), "two wrote at once");
    stranger.execute("commit").await.expect("it should commit");
    let (shop, outcome) = batch.await.expect("the batch should go on");
    assert_eq!(outcome.as_str(), "applied");
    let row = shop.stock("A").await;
    assert_eq!((row.name.as_deref(), row.counters.on_hand), (Some("half done"), 6), "it saw what the other wrote");
}

#[tokio::test]
async fn the_file_is_in_the_mode_that_keeps_what_was_acknowledged() {
    let shop = ShopOn::<OnSqlite>::open().await;
    let mut connection = OnSqlite::connection(&shop.url).await;
    let mode: String = sqlx::query_scalar("pragma journal_mode").fetch_one(&mut connection).await.expect("an answer");
    assert_eq!(mode, "wal");
    // Each table is STRICT, so that no text comes to stand where a number is meant.
    let loose = "select count(*) from pragma_table_list
                 where schema = 'main' and type = 'table' and not strict and name not like 'sqlite%'
                   and name <> '_sqlx_migrations'";
    assert_eq!(shop.number(loose).await, 0);
    assert_eq!(shop.number("select count(*) from installation where length(id) = 16").await, 1);
}
