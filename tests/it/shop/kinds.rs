//! The stores that shops are opened on, and what a test needs to know of each to look behind it.

use std::future::Future;

use holdfast::store::postgres::{PostgresSettings, PostgresStore};
use holdfast::store::sqlite::{SqliteSettings, SqliteStore};
use holdfast::store::{Retention, Upkeep};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

use super::databases::{new_database, settings};

/// A kind of store.
pub trait StoreKind: Default + 'static {
    /// The store.
    type Store: Upkeep + Send + Sync + 'static;
    /// What keeps a database there.
    type Place: Send;

    /// A new database with the current schema, as the text that [`StoreKind::connect`] takes.
    fn new_database() -> impl Future<Output = (String, Self::Place)> + Send;

    /// A store on a database, with the usual settings.
    fn connect(url: &str) -> impl Future<Output = Self::Store> + Send {
        Self::connect_with(url, retention())
    }

    /// A store on a database that keeps things for other times.
    fn connect_with(url: &str, retention: Retention) -> impl Future<Output = Self::Store> + Send;

    /// Bytes out of a database, in the order of the query.
    fn bytes(url: &str, query: &str) -> impl Future<Output = Vec<Vec<u8>>> + Send;

    /// One number out of a database.
    fn number(url: &str, query: &str) -> impl Future<Output = i64> + Send;

    /// Changes a database behind the back of its stores.
    fn tamper(url: &str, statement: &str) -> impl Future<Output = ()> + Send;

    /// An instant some seconds earlier, in SQL.
    fn before(&self, instant: &str, seconds: i64) -> String;

    /// The instant some seconds ago, in SQL.
    fn before_now(&self, seconds: i64) -> String;

    /// An instant, from RFC 3339, in SQL.
    fn instant(&self, text: &str) -> String;

    /// A day, from `YYYY-MM-DD`, in SQL.
    fn day(&self, date: &str) -> String;

    /// The inbox key of an event whose id is a UUID, in SQL.
    fn key(&self, id: &str) -> String;
}

/// The usual settings.
pub fn retention() -> Retention {
    Retention {
        inbox_keep_days: 35,
        inbox_max_days: 1_100,
        dead_letter_keep_days: 400,
        keep_published_seconds: 7 * 86_400,
    }
}

/// A database on the server that all tests share.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnPostgres;

impl StoreKind for OnPostgres {
    type Store = PostgresStore;
    type Place = ();

    async fn new_database() -> (String, ()) {
        (new_database().await, ())
    }

    async fn connect_with(url: &str, retention: Retention) -> PostgresStore {
        let settings = PostgresSettings { retention, ..settings(url.to_owned()) };
        PostgresStore::connect(settings).await.expect("it should connect")
    }

    async fn bytes(url: &str, query: &str) -> Vec<Vec<u8>> {
        let mut connection = PgConnection::connect(url).await.expect("it should connect");
        let bytes = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_all(&mut connection).await;
        bytes.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    async fn number(url: &str, query: &str) -> i64 {
        let mut connection = PgConnection::connect(url).await.expect("it should connect");
        sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
            .fetch_one(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    async fn tamper(url: &str, statement: &str) {
        let mut connection = PgConnection::connect(url).await.expect("it should connect");
        sqlx::query(AssertSqlSafe(statement.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    fn before(&self, instant: &str, seconds: i64) -> String {
        format!("{instant} - interval '{seconds} seconds'")
    }

    fn before_now(&self, seconds: i64) -> String {
        self.before("now()", seconds)
    }

    fn instant(&self, text: &str) -> String {
        format!("'{text}'")
    }

    fn day(&self, date: &str) -> String {
        format!("'{date}'")
    }

    fn key(&self, id: &str) -> String {
        format!("'{id}'")
    }
}

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
}

impl StoreKind for OnSqlite {
    type Store = SqliteStore;
    type Place = TempDir;

    async fn new_database() -> (String, TempDir) {
        // Not where temporary files are kept: that may be in memory, and what is tested here is a disk.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let file = folder.path().join("shop.db").to_str().expect("a name in UTF-8").to_owned();
        let store = Self::connect(&file).await;
        store.migrate().await.expect("it should migrate");
        store.close().await;
        (file, folder)
    }

    async fn connect_with(url: &str, retention: Retention) -> SqliteStore {
        let settings = SqliteSettings { retention, ..Self::settings(url) };
        SqliteStore::connect(settings).await.expect("it should connect")
    }

    async fn bytes(url: &str, query: &str) -> Vec<Vec<u8>> {
        let mut connection = Self::connection(url).await;
        let bytes = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_all(&mut connection).await;
        bytes.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    async fn number(url: &str, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
            .fetch_one(&mut Self::connection(url).await)
            .await
            .unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    async fn tamper(url: &str, statement: &str) {
        sqlx::query(AssertSqlSafe(statement.to_owned()))
            .execute(&mut Self::connection(url).await)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    fn before(&self, instant: &str, seconds: i64) -> String {
        format!("{instant} - {seconds} * 1000000")
    }

    fn before_now(&self, seconds: i64) -> String {
        self.before("cast(unixepoch('subsec') * 1000000 as integer)", seconds)
    }

    fn instant(&self, text: &str) -> String {
        format!("(unixepoch('{text}') * 1000000)")
    }

    fn day(&self, date: &str) -> String {
        format!("(unixepoch('{date}') / 86400)")
    }

    fn key(&self, id: &str) -> String {
        format!("x'{}'", id.replace('-', ""))
    }
}
