//! A file that is missing, foreign or damaged is told of before anything is done with it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use holdfast::store::sqlite::{SqliteSettings, SqliteStore};
use holdfast::store::{Migration, Upkeep};

use crate::shop::{OnSqlite, ShopOn, ordered, registered};

async fn refusal(settings: SqliteSettings) -> String {
    match SqliteStore::connect(settings).await {
        Ok(_) => panic!("it should not open"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_file_that_is_missing_is_made_only_when_asked_for() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let file = folder.path().join("shop.db").to_str().expect("UTF-8").to_owned();
    let error = refusal(SqliteSettings { create: false, ..OnSqlite::settings(&file) }).await;
    assert!(error.contains("holdfast migrate"), "{error}");
    assert!(!folder.path().join("shop.db").exists());
    let store = SqliteStore::connect(OnSqlite::settings(&file)).await.expect("it should be made");
    assert_eq!(store.migration().await.unwrap(), Migration::Missing(vec![1, 2, 3, 4, 6]));
    // Several at once: one waits for the other.
    let others = [store.clone(), SqliteStore::connect(OnSqlite::settings(&file)).await.expect("it is there")];
    let [left, right] = &others;
    let (left, right) = tokio::join!(left.migrate(), right.migrate());
    left.expect("it should migrate");
    right.expect("it should migrate");
    assert_eq!(store.migration().await.unwrap(), Migration::Current);
    let folder = folder.path().join("no folder/shop.db").to_str().expect("UTF-8").to_owned();
    let error = refusal(OnSqlite::settings(&folder)).await;
    assert!(error.contains("unable to open"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let file = folder.path().join("letter.txt");
    let letter = "Dear shop, ".repeat(1_000);
    fs::write(&file, &letter).expect("a file");
    let error = refusal(OnSqlite::settings(file.to_str().expect("UTF-8"))).await;
    assert!(error.contains("not a database") && error.contains("store.url"), "{error}");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), letter);
}

#[tokio::test]
async fn a_damaged_file_is_told_of_at_the_start() {
    let mut shop = ShopOn::<OnSqlite>::open().await;
    shop.send_one(registered("A", 1_000_000)).await;
    for batch in 0..10 {
        shop.send((0..100).map(|order| ordered(&format!("O-{batch}-{order}"), &[("A", 1)])).collect()).await;
    }
    shop.store.check_integrity().await.expect("it is whole");
    shop.store.close().await;
    let file = OpenOptions::new().write(true).open(&shop.url).expect("the file is there");
    let pages = file.metadata().expect("it is there").len() / 4_096;
    // What a disk that lost some sectors gives back.
    for page in (pages / 2)..(pages / 2 + 4) {
        file.write_all_at(&[0xa5; 4_096], page * 4_096).expect("it should be written");
    }
    let store = SqliteStore::connect(OnSqlite::settings(&shop.url)).await.expect("its first page is whole");
    let error = store.check_integrity().await.expect_err("it is damaged").to_string();
    assert!(error.contains("the file is damaged") && error.contains("backup"), "{error}");
}
