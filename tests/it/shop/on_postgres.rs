//! Shops on PostgreSQL.

use holdfast::engine::judge::Bench;
use holdfast::ports::{Entry, Store};
use holdfast::store::Retention;
use holdfast::store::postgres::{PostgresSettings, PostgresStore};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::ShopOn;
use super::behind::{Ended, Kept, Tampering};
use super::cutting_proxy::CuttingProxy;
use super::databases::{new_database, settings, shared_postgres};
use super::kinds::StoreKind;
use super::sql::{Dialect, kept_on_postgres};

/// A database on the server that all tests share.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnPostgres;

impl OnPostgres {
    /// One number out of a database.
    pub async fn number(url: &str, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
            .fetch_one(&mut connection(url).await)
            .await
            .unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Changes a database behind the back of its stores.
    pub async fn tamper(url: &str, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&mut connection(url).await)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

impl ShopOn<OnPostgres> {
    /// One number out of the database.
    pub async fn number(&self, query: &str) -> i64 {
        OnPostgres::number(&self.url, query).await
    }
}

async fn connection(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("it should connect")
}

impl StoreKind for OnPostgres {
    type Store = PostgresStore;
    type Address = String;
    type Place = ();

    const LETS_OTHERS_BETWEEN: bool = true;

    async fn new_database() -> (String, ()) {
        (new_database().await, ())
    }

    async fn connect_with(url: &String, retention: Retention) -> PostgresStore {
        let settings = PostgresSettings { retention, ..settings(url.clone()) };
        PostgresStore::connect(settings).await.expect("it should connect")
    }

    async fn kept(url: &String) -> Kept {
        kept_on_postgres(&mut connection(url).await).await
    }

    async fn tamper(url: &String, tampering: &Tampering<'_>) {
        Self::tamper(url, &Dialect::POSTGRES.tampering(tampering)).await;
    }

    /// Its connection is cut at a request.
    async fn commit_and_die(url: &String, entries: &[Entry], bench: &Bench, moment: usize) -> Ended {
        let port = tokio::task::spawn_blocking(shared_postgres).await.expect("it runs").port;
        let proxy = CuttingProxy::before(port).await;
        let through = url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port));
        let store = Self::connect(&format!("{through}?sslmode=disable")).await;
        proxy.cut_after(moment);
        let judge = |loaded| bench.judge(entries, loaded);
        match store.commit(entries, &judge).await {
            Ok(_) => Ended::Committed,
            Err(error) => Ended::Died(Some(error)),
        }
    }
}
