//! Databases on a real PostgreSQL.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use holdfast::store::Upkeep;
use holdfast::store::postgres::{PostgresSettings, PostgresStore};
use serde::Deserialize;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::kinds::retention;
use crate::servers::Servers;

/// An ordinary user, who owns the databases of the tests and nothing else.
const USER: &str = "shopkeeper";
/// Made once a run, migrated, and copied for each test.
const TEMPLATE: &str = "shop_template";

#[derive(Clone, Deserialize)]
pub struct PostgresAddress {
    /// As the superuser.
    pub url: String,
    pub port: u16,
}

impl PostgresAddress {
    /// A database as the ordinary user.
    pub fn database(&self, name: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{name}", self.port)
    }
}

/// The PostgreSQL that all tests of this process share. Nobody may stop it.
pub fn shared_postgres() -> PostgresAddress {
    // Never dropped: the end of the process closes the pipe, and with it ends the server.
    static SHARED: OnceLock<Servers> = OnceLock::new();
    SHARED.get_or_init(|| Servers::start(&["postgres"])).address("postgres")
}

async fn execute(url: &str, statement: String) {
    let mut connection = PgConnection::connect(url).await.expect("the server should take connections");
    sqlx::query(AssertSqlSafe(statement.clone()))
        .execute(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    connection.close().await.expect("a connection should close");
}

/// A new database on the shared server. Returns its URL.
pub async fn new_database() -> String {
    static SHARED: tokio::sync::OnceCell<Databases> = tokio::sync::OnceCell::const_new();
    let server = tokio::task::spawn_blocking(shared_postgres).await.expect("the server should start");
    SHARED.get_or_init(|| Databases::on(server)).await.create().await
}

/// The databases of one server: each a copy of one that was migrated once, owned by the ordinary user.
pub struct Databases {
    server: PostgresAddress,
    created: AtomicU32,
}

impl Databases {
    /// Makes ready on a new server.
    pub async fn on(server: PostgresAddress) -> Self {
        execute(&server.url, format!("create role {USER} login nosuperuser nocreatedb nocreaterole")).await;
        execute(&server.url, format!("create database {TEMPLATE} owner {USER}")).await;
        let store = PostgresStore::connect(settings(server.database(TEMPLATE))).await.expect("it should connect");
        store.migrate().await.expect("an ordinary user should be able to migrate");
        store.close().await;
        Self { server, created: AtomicU32::new(0) }
    }

    /// A new database with the current schema. Returns its URL.
    pub async fn create(&self) -> String {
        let name = format!("shop_{}", self.created.fetch_add(1, Ordering::Relaxed));
        execute(&self.server.url, format!("create database {name} template {TEMPLATE} owner {USER}")).await;
        self.server.database(&name)
    }
}

/// The usual settings of a store.
pub fn settings(url: String) -> PostgresSettings {
    PostgresSettings { url: url.into(), connections: 4, acquire_timeout_ms: 10_000, retention: retention() }
}
