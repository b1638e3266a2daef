//! A file that is missing, foreign or damaged is told of before anything is done with it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use holdfast::domain::announce::MovementKind;
use holdfast::domain::claim::{ClaimKey, ClaimKind};
use holdfast::domain::words::{StockKey, Timestamp};
use holdfast::ports::{Queries, Store};
use holdfast::store::sqlite::{SqliteSettings, SqliteStore};
use holdfast::store::{Migration, Upkeep};
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

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
    assert_eq!(store.migration().await.unwrap(), Migration::Missing(vec![1, 2, 3, 4, 5]));
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

/// A file with the schema of an older version: the first so many migrations.
async fn older_file(folder: &Path, migrations: i64) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    let mut migrator = Migrator::new(here).await.expect("the migrations of this version");
    migrator.migrations = migrator.iter().filter(|step| step.version <= migrations).cloned().collect();
    let file = folder.join("older.db").to_str().expect("UTF-8").to_owned();
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut connection = options.connect().await.expect("it should connect");
    migrator.run(&mut connection).await.expect("it should migrate");
    connection.close().await.expect("it should close");
    file
}

#[tokio::test]
async fn what_an_older_version_kept_is_there_after_its_tables_are_made_anew() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let file = older_file(folder.path(), 4).await;
    let rows = [
        "insert into source (id, name) values (7, '/shop')",
        "insert into stock (sku, location, status, level, on_hand, cart_held, order_reserved, version, updated_at)
         values ('A', 'default', 'active', 'normal', 10, 0, 4, 2, 5)",
        "insert into movement (recorded_at, version, on_hand, on_hand_change, kind, cause_type, cause_source, cause_key,
                               sku, location, reference, cause_id, reason, operator, trace_parent)
         values (4, 1, 10, 10, 'register', 'sku-registered', 7, x'01', 'A', 'default', 'r', 'i', 'why', 'who', 't')",
        "insert into movement (recorded_at, version, on_hand, order_reserved, order_reserved_change, kind, cause_type,
                               cause_source, cause_key, sku, location)
         values (5, 2, 10, 4, 4, 'reserve', 'order-created', 7, x'02', 'A', 'default')",
        "insert into claim (version, updated_time, first_held_at, expires_at, kind, state, revision, confirmed,
                            reference, lines, answer, shipments, remembered)
         values (3, 1, 2, 9, 'order', 'reserved', 6, 1, 'O-1', '[{\"sku\":\"A\",\"requested\":4,\"reserved\":4}]', null,
                 '[\"S-1\"]', null)",
        "insert into claim_line (kind, reserved, sku, location, reference) values ('order', 4, 'A', 'default', 'O-1')",
    ];
    for row in rows {
        OnSqlite::tamper(&file, row).await;
    }
    let store = SqliteStore::connect(OnSqlite::settings(&file)).await.expect("it should open");
    assert_eq!(store.migration().await.unwrap(), Migration::Missing(vec![5]));
    store.migrate().await.expect("it should migrate");
    let sound = store.verify(false).await.expect("the checks should run");
    assert!(sound.iter().all(|check| check.differing == 0), "{sound:?}");
    let history = store.movements(&StockKey::new("A", "default"), None, 10).await.unwrap();
    let [reserved, registered] = &history[..] else { panic!("{history:?}") };
    assert_eq!(
        (reserved.kind, reserved.change.order_reserved, reserved.reason.as_deref()),
        (MovementKind::Reserve, 4, None)
    );
    let words = (registered.reason.as_deref(), registered.operator.as_deref(), registered.trace.parent.as_deref());
    assert_eq!((words, registered.recorded_at), ((Some("why"), Some("who"), Some("t")), Timestamp(4)));
    assert_eq!((&*registered.cause.id, registered.cause.reference.as_ref()), ("i", Some(&"r".into())));
    let claim = ClaimKey { kind: ClaimKind::Order, reference: "O-1".into() };
    let claim = store.claim(&claim).await.unwrap().expect("it is known").claim;
    assert_eq!((claim.revision, claim.version, claim.confirmed, claim.shipments.len()), (6, Some(3), true, 1));
    assert_eq!((claim.first_held_at, claim.expires_at), (Some(Timestamp(2)), Some(Timestamp(9))));
    // The sweeper finds it by its index, as before.
    assert_eq!(store.due_claims(10).await.unwrap().len(), 1);
    let indexed = "select count(*) from sqlite_schema where name = 'claim_due' and tbl_name = 'claim'";
    assert_eq!(OnSqlite::number(&file, indexed).await, 1);
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
