//! State in PostgreSQL 14 or newer.
//!
//! [`commit`] is the one transaction that changes stock; [`read`], [`write`] and [`alerts`] hold its statements,
//! [`days`] makes the partitions that it writes to, [`outbox`] serves the relay, [`queries`] the sidecar with
//! [`alerts`], [`as_of`], [`holders`] and [`published`], [`audits`] reconciliation, [`verify`] the
//! operator and [`maintenance`] the clock.

mod alerts;
mod as_of;
mod audits;
mod commit;
mod database_url;
mod days;
mod error;
mod held;
mod holders;
mod maintenance;
mod outbox;
mod published;
mod queries;
mod read;
mod verify;
mod write;

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

pub use database_url::DatabaseUrl;

use crate::domain::words::{StockKey, Timestamp};
use crate::ports::{
    AuditPage, Audited, Committed, DueClaim, Entry, Judge, Lease, OutboxBatch, OutboxStatus, Progress, Store,
    StoreError,
};
use crate::store::upkeep::migration_failed;
use crate::store::{MaintenanceReport, Migration, Retention, Upkeep, Verification, instant, rows};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// How long a statement waits for a lock before the batch is tried again, in milliseconds. A worker that was stopped
/// in mid-transaction must not stop the others for good.
const LOCK_TIMEOUT_MS: u32 = 20_000;
/// How long a transaction may stand idle, in milliseconds, before the server ends it and frees its locks.
const IDLE_TRANSACTION_TIMEOUT_MS: u32 = 30_000;

/// What the store needs to know.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// Where it is.
    pub url: DatabaseUrl,
    /// Connections of this pool at most.
    pub connections: u32,
    /// How long to wait for a connection, in milliseconds.
    pub acquire_timeout_ms: u64,
    /// How long things are kept.
    pub retention: Retention,
}

/// The store. Cheap to clone; clones share their pool and what they have learned of days and sources.
#[derive(Clone)]
pub struct PostgresStore {
    pool: PgPool,
    settings: Arc<PostgresSettings>,
    known: Arc<days::Known>,
}

impl PostgresStore {
    /// Opens a pool and proves that the database answers.
    ///
    /// # Errors
    /// [`StoreError::Fatal`] for a URL that cannot be read, [`StoreError::Transient`] when nobody answers.
    pub async fn connect(settings: PostgresSettings) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(settings.url.expose())
            .map_err(|error| StoreError::Fatal(format!("store.url is not a PostgreSQL URL: {error}")))?
            .application_name("holdfast")
            // Every statement here finds rows by key. Statistics of a table that grows from nothing to millions within
            // minutes must not talk the planner out of its indexes.
            .options([
                ("enable_hashjoin", "off"),
                ("enable_mergejoin", "off"),
                ("enable_seqscan", "off"),
                ("jit", "off"),
            ])
            .options([
                ("lock_timeout", LOCK_TIMEOUT_MS),
                ("idle_in_transaction_session_timeout", IDLE_TRANSACTION_TIMEOUT_MS),
            ])
            .disable_statement_logging();
        // A pool tells only that it waited in vain; one connection of our own tells why.
        let probe = tokio::time::timeout(
            Duration::from_millis(settings.acquire_timeout_ms),
            PgConnection::connect_with(&options),
        );
        let probe = probe.await.map_err(|_| {
            StoreError::Transient(format!("no answer to a connection within {} ms", settings.acquire_timeout_ms))
        })?;
        probe.map_err(error::classify)?.close().await.map_err(error::classify)?;
        let pool = PgPoolOptions::new()
            .max_connections(settings.connections)
            .acquire_timeout(Duration::from_millis(settings.acquire_timeout_ms))
            // A round trip before each use is not needed: a dead connection shows at the first statement, and the batch
            // is tried again.
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .map_err(error::classify)?;
        Ok(Self { pool, settings: Arc::new(settings), known: Arc::default() })
    }
}

impl Upkeep for PostgresStore {
    /// Nothing: the server proves the checksums of its pages and replays its log by itself.
    async fn check_integrity(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        MIGRATIONS.run(&self.pool).await.map_err(|error| migration_failed(error, error::classify))?;
        self.make_months_ahead().await
    }

    async fn migration(&self) -> Result<Migration, StoreError> {
        let applied = read::applied_migrations(&self.pool).await.map_err(error::classify)?;
        Ok(Migration::of(&applied, &MIGRATIONS))
    }

    async fn maintain(&self) -> Result<MaintenanceReport, StoreError> {
        self.run_round().await
    }

    async fn verify_with(
        &self,
        ignore_cart_holds: bool,
        begins: impl FnMut(usize, &'static str) + Send,
    ) -> Result<Vec<Verification>, StoreError> {
        self.run_checks(ignore_cart_holds, begins).await
    }

    async fn backup(&self, file: &Path) -> Result<u64, StoreError> {
        Err(StoreError::Fatal(format!(
            "a PostgreSQL database is backed up with its own tools: pg_dump --format=custom --file={} and the address \
             of store.url",
            file.display()
        )))
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

impl Store for PostgresStore {
    async fn commit(&self, entries: &[Entry], judge: &Judge<'_>) -> Result<Committed, StoreError> {
        self.commit_batch(entries, judge).await
    }

    async fn unpublished(&self, after: i64, limit: usize) -> Result<Vec<OutboxBatch>, StoreError> {
        outbox::unpublished(&self.pool, after, limit).await
    }

    async fn outbox_status(&self) -> Result<OutboxStatus, StoreError> {
        outbox::status(&self.pool).await.map_err(error::classify)
    }

    async fn take_lease(&self, holder: uuid::Uuid, seconds: i64) -> Result<Option<Lease>, StoreError> {
        outbox::take_lease(&self.pool, holder, seconds).await.map_err(error::classify)
    }

    async fn give_lease(&self, lease: Lease) -> Result<(), StoreError> {
        outbox::give_lease(&self.pool, lease).await.map_err(error::classify)
    }

    async fn mark_published(&self, lease: Lease, progress: Progress) -> Result<bool, StoreError> {
        outbox::mark_published(&self.pool, lease, progress).await.map_err(error::classify)
    }

    async fn audited(&self, after: Option<&StockKey>, page: AuditPage) -> Result<Vec<Audited>, StoreError> {
        self.audit_page(after, page).await
    }

    async fn take_turn(&self, job: &str, interval_seconds: i64) -> Result<Option<Timestamp>, StoreError> {
        audits::take_turn(&self.pool, job, interval_seconds).await.map_err(error::classify)
    }

    async fn due_claims(&self, limit: usize) -> Result<Vec<DueClaim>, StoreError> {
        let rows = read::due_claims(&self.pool, limit).await.map_err(error::classify)?;
        rows.iter()
            .map(|(kind, reference, deadline, seen_at)| {
                rows::due_claim(kind, reference, instant::read(*deadline), instant::read(*seen_at))
            })
            .collect()
    }
}
