//! Shops on SQLite.

use std::task::Poll;

use holdfast::engine::judge::Bench;
use holdfast::ports::{Entry, Store};
use holdfast::store::sqlite::{SqliteSettings, SqliteStore};
use holdfast::store::{Retention, Upkeep};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};
use tempfile::TempDir;

use super::ShopOn;
use super::behind::{Ended, Kept, Tampering};
use super::kinds::{StoreKind, retention};
use super::sql::{Dialect, kept_on_sqlite};

/// A file of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnSqlite;

impl OnSqlite {
    /// The settings of a store on a file.
    pub fn settings(file: &str) -> SqliteSettings {
        SqliteSettings {
            file: file.into(),
            create: true,
            readers: 4,
            acquire_timeout_ms: 30_000,
            retention: retention(),
        }
    }

    /// A connection that is no store's.
    pub async fn connection(file: &str) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(file).busy_timeout(std::time::Duration::from_secs(20));
        options.connect().await.expect("it should connect")
    }

    /// One number out of a file.
    pub async fn number(file: &str, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
            .fetch_one(&mut Self::connection(file).await)
            .await
            .unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Changes a file behind the back of its stores.
    pub async fn tamper(file: &str, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&mut Self::connection(file).await)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

impl ShopOn<OnSqlite> {
    /// One number out of the file.
    pub async fn number(&self, query: &str) -> i64 {
        OnSqlite::number(&self.url, query).await
    }

    /// Runs a statement on the file.
    pub async fn execute(&self, statement: &str) {
        OnSqlite::tamper(&self.url, statement).await;
    }
}

impl StoreKind for OnSqlite {
    type Store = SqliteStore;
    type Address = String;
    type Place = TempDir;

    // The file's lock is held from the start.
    const LETS_OTHERS_BETWEEN: bool = false;

    async fn new_database() -> (String, TempDir) {
        // Not where temporary files are kept: that may be in memory, and what is tested here is a disk.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let file = folder.path().join("shop.db").to_str().expect("a name in UTF-8").to_owned();
        let store = Self::connect(&file).await;
        store.migrate().await.expect("it should migrate");
        store.close().await;
        (file, folder)
    }

    async fn connect_with(file: &String, retention: Retention) -> SqliteStore {
        let settings = SqliteSettings { retention, ..Self::settings(file) };
        SqliteStore::connect(settings).await.expect("it should connect")
    }

    async fn kept(file: &String) -> Kept {
        kept_on_sqlite(&mut Self::connection(file).await).await
    }

    async fn tamper(file: &String, tampering: &Tampering<'_>) {
        Self::tamper(file, &Dialect::SQLITE.tampering(tampering)).await;
    }

    /// Nobody looks at it any more from one of its waits on: each statement is one, and COMMIT goes on by itself. What a
    /// killed process leaves is seen in `sqlite_file::crashes`.
    async fn commit_and_die(file: &String, entries: &[Entry], bench: &Bench, moment: usize) -> Ended {
        let store = Self::connect(file).await;
        let judge = |loaded| bench.judge(entries, loaded);
        let mut commit = Box::pin(store.commit(entries, &judge));
        let mut left = moment;
        let ended = std::future::poll_fn(|context| match commit.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => {
                left -= 1;
                Poll::Pending
            }
        })
        .await;
        drop(commit);
        // Its connection comes to its end.
        store.close().await;
        match ended {
            Some(committed) => {
                committed.expect("who does not die commits");
                Ended::Committed
            }
            None => Ended::Died(None),
        }
    }
}
