//! Copies that are taken while workers go on.

use holdfast::ports::StoreError;
use holdfast::store::Upkeep;

use crate::shop::{OnPostgres, OnSqlite, ShopOn, ordered, registered};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_one_moment_of_a_database_that_goes_on() {
    let mut shop = ShopOn::<OnSqlite>::open().await;
    shop.send_one(registered("A", 1_000_000)).await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let mut worker = ShopOn::<OnSqlite>::at(shop.url.clone(), Default::default()).await;
    let working = tokio::spawn(async move {
        for batch in 0..20 {
            worker.send((0..20).map(|order| ordered(&format!("O-{batch}-{order}"), &[("A", 1)])).collect()).await;
        }
    });
    let mut earlier = 0;
    for number in 0..5 {
        let file = folder.path().join(format!("copy-{number}.db"));
        let bytes = shop.store.backup(&file).await.expect("it should be written");
        assert_eq!(bytes, file.metadata().expect("it is there").len());
        let copy = ShopOn::<OnSqlite>::at(file.to_str().expect("UTF-8").to_owned(), Default::default()).await;
        copy.store.check_integrity().await.expect("it is whole");
        copy.assert_sound().await;
        let orders = copy.number("select count(*) from claim").await;
        assert!(orders >= earlier && orders % 20 == 0, "{orders} orders are no whole number of batches");
        assert_eq!(copy.units("A").await.0, 1_000_000 - orders);
        earlier = orders;
    }
    working.await.expect("the worker should go on");
    // A copy goes on where it was taken.
    let last = folder.path().join("copy-4.db");
    let mut restored = ShopOn::<OnSqlite>::at(last.to_str().expect("UTF-8").to_owned(), Default::default()).await;
    assert_eq!(restored.send_one(ordered("O-new", &[("A", 1)])).await.as_str(), "applied");
    restored.assert_sound().await;
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_leaves_nothing_half_done() {
    let shop = ShopOn::<OnSqlite>::open().await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let file = folder.path().join("copy.db");
    std::fs::write(&file, "somebody's").expect("a file");
    let refused = |error: StoreError, file: &std::path::Path| {
        let error = error.to_string();
        assert!(error.contains("is not overwritten") && error.contains(file.to_str().unwrap()), "{error}");
    };
    refused(shop.store.backup(&file).await.unwrap_err(), &file);
    assert_eq!(std::fs::read(&file).expect("it is there"), b"somebody's");
    refused(shop.store.backup(shop.url.as_ref()).await.unwrap_err(), shop.url.as_ref());
    let error = shop.store.backup(&folder.path().join("no folder/copy.db")).await.unwrap_err().to_string();
    assert!(error.contains("no folder/copy.db"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    shop.store.backup(&folder.path().join("other.db")).await.expect("it should be written");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2, "nothing but the copy");
}

#[tokio::test]
async fn a_postgresql_database_has_tools_of_its_own() {
    let shop = ShopOn::<OnPostgres>::open().await;
    let error = shop.store.backup("copy.dump".as_ref()).await.unwrap_err().to_string();
    assert!(error.contains("pg_dump --format=custom --file=copy.dump"), "{error}");
}
