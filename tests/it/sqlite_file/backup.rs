//! Copies that are taken while workers go on.

use std::fs::{self, File};
use std::path::Path;
use std::task::Poll;
use std::time::{Duration, Instant};

use holdfast::ports::StoreError;
use holdfast::store::Upkeep;
use tokio_util::sync::CancellationToken;

use crate::shop::{OnPostgres, OnSqlite, ShopOn, ordered, registered};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_one_moment_of_a_database_that_goes_on() {
    let mut shop = ShopOn::<OnSqlite>::open().await;
    shop.send_one(registered("A", 1_000_000)).await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let mut worker = ShopOn::<OnSqlite>::at(shop.url.clone(), Default::default()).await;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let working = tokio::spawn(async move {
        let mut batches: i64 = 0;
        while !stopped.is_cancelled() {
            worker.send((0..20).map(|order| ordered(&format!("O-{batches}-{order}"), &[("A", 1)])).collect()).await;
            batches += 1;
        }
        batches
    });
    let mut copied = Vec::new();
    for number in 0..5 {
        // Each copy is of another moment, in which the worker goes on.
        let earlier = copied.last().copied().unwrap_or_default();
        let started = Instant::now();
        while shop.number("select count(*) from claim").await <= earlier {
            assert!(started.elapsed() < Duration::from_secs(60), "the worker stands still");
        }
        let file = folder.path().join(format!("copy-{number}.db"));
        let bytes = shop.store.backup(&file).await.expect("it should be written");
        assert_eq!(bytes, file.metadata().expect("it is there").len());
        let copy = ShopOn::<OnSqlite>::at(file.to_str().expect("UTF-8").to_owned(), Default::default()).await;
        copy.store.check_integrity().await.expect("it is whole");
        copy.assert_sound().await;
        let orders = copy.number("select count(*) from claim").await;
        assert_eq!(orders % 20, 0, "{orders} orders are no whole number of batches");
        assert_eq!(copy.units("A").await.0, 1_000_000 - orders);
        copied.push(orders);
    }
    assert!(!working.is_finished(), "the worker went on beside the copies");
    stop.cancel();
    let batches = working.await.expect("the worker should go on");
    assert!(copied.is_sorted_by(|one, next| one < next), "{copied:?} are not moments one after the other");
    assert!(copied[4] <= 20 * batches, "a copy has orders that nobody sent");
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

/// What stands in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_dropped_at_any_moment_leaves_nothing_behind() {
    let mut shop = ShopOn::<OnSqlite>::open().await;
    shop.send_one(registered("A", 1_000)).await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    for moment in 0.. {
        let file = folder.path().join(format!("copy-{moment}.db"));
        let mut backup = Box::pin(shop.store.backup(&file));
        let mut left = moment;
        let ended = std::future::poll_fn(|context| match backup.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => {
                left -= 1;
                Poll::Pending
            }
        })
        .await;
        if let Some(done) = ended {
            done.expect("it should be written");
            assert!(moment > 1, "it was never dropped");
            assert_eq!(names(folder.path()), [format!("copy-{moment}.db")]);
            break;
        }
        assert_eq!(names(folder.path()), [format!("copy-{moment}.db.partial")], "it has begun");
        drop(backup);
        assert!(names(folder.path()).is_empty(), "after {moment} waits");
    }
}

#[tokio::test]
async fn what_a_killed_backup_left_is_replaced_and_what_a_living_one_has_is_not() {
    let shop = ShopOn::<OnSqlite>::open().await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let [file, partial] = ["copy.db", "copy.db.partial"].map(|name| folder.path().join(name));
    fs::create_dir(&partial).expect("a folder");
    let lock = File::create(partial.join("lock")).expect("a file");
    for name in ["copy.db", "copy.db-journal"] {
        fs::write(partial.join(name), "half of it").expect("a file");
    }
    lock.lock().expect("nobody has it");
    let error = shop.store.backup(&file).await.unwrap_err().to_string();
    assert!(error.contains("another process is writing the backup") && error.contains("copy.db"), "{error}");
    assert_eq!(names(&partial), ["copy.db", "copy.db-journal", "lock"]);
    drop(lock);
    shop.store.backup(&file).await.expect("it should be written");
    assert_eq!(names(folder.path()), ["copy.db"]);
    let copy = ShopOn::<OnSqlite>::at(file.to_str().expect("UTF-8").to_owned(), Default::default()).await;
    copy.store.check_integrity().await.expect("it is whole");
    // A folder that no backup made is somebody's.
    let [file, partial] = ["other.db", "other.db.partial"].map(|name| folder.path().join(name));
    fs::create_dir(&partial).expect("a folder");
    fs::write(partial.join("letter"), "Dear shop").expect("a file");
    let error = shop.store.backup(&file).await.unwrap_err().to_string();
    assert!(error.contains("other.db.partial exists already"), "{error}");
    assert_eq!(names(&partial), ["letter"]);
}

#[tokio::test]
async fn a_postgresql_database_has_tools_of_its_own() {
    let shop = ShopOn::<OnPostgres>::open().await;
    let error = shop.store.backup("copy.dump".as_ref()).await.unwrap_err().to_string();
    assert!(error.contains("pg_dump --format=custom --file=copy.dump"), "{error}");
}
