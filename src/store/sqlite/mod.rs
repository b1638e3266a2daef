//! State in one SQLite file: nothing to install, and as durable as a file can be.
//!
//! The file is in WAL mode: one writer at a time, readers beside it that see the last commit. A store has one writing
//! connection, for which its callers queue in order; several processes on one file take turns by the file's own lock.
//! Whoever writes holds that lock before it reads anything, so that no other writer ever comes between: no key is raced
//! for, and a transaction fails only with the disk.
//!
//! [`commit`] is the one transaction that changes stock; [`read`], [`write`] and [`alerts`] hold its statements,
//! [`days`] files keys by day, [`outbox`] serves the relay, [`log`] spares it work, [`queries`] the sidecar with
//! [`stock_page`], [`alerts`], [`as_of`], [`holders`] and [`published`], [`audits`] reconciliation, [`verify`] the
//! operator, [`maintenance`] the clock and [`backup`] whoever wants a copy.

mod alerts;
mod as_of;
mod audits;
mod backup;
mod commit;
mod days;
mod error;
mod holders;
mod log;
mod maintenance;
mod outbox;
mod published;
mod queries;
mod read;
mod stock_page;
mod verify;
mod write;

pub use log::{AnnouncementLog, AppendedHook};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Sqlite, Transaction};

use crate::domain::words::{StockKey, Timestamp};
use crate::ports::{
    AuditPage, Audited, Committed, DueClaim, Entry, Judge, Lease, OutboxBatch, OutboxStatus, Progress, Store,
    StoreError,
};
use crate::store::upkeep::migration_failed;
use crate::store::{MaintenanceReport, Migration, Retention, Upkeep, Verification};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a statement waits for the file's lock before the batch is tried again. Another process that was stopped in
/// mid-transaction must not look like work.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
/// How many pages a connection caches, in KiB: the upper levels of every table, whatever their size.
const CACHE_KIB: &str = "-16384";
/// To what length the log file is cut back after it was copied into the database, in bytes.
const LOG_KEPT_BYTES: &str = "67108864";

/// The day of the database's clock, in days since 1970.
macro_rules! today {
    () => {
        "(unixepoch() / 86400)"
    };
}
use today;

/// What the store needs to know.
#[derive(Clone, Debug)]
pub struct SqliteSettings {
    /// The file.
    pub file: PathBuf,
    /// Whether to make the file when it is not there.
    pub create: bool,
    /// Connections that read, at most; one more writes.
    pub readers: u32,
    /// How long to wait for a connection, in milliseconds.
    pub acquire_timeout_ms: u64,
    /// How long things are kept.
    pub retention: Retention,
}

/// The store. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct SqliteStore {
    /// One connection.
    writer: SqlitePool,
    readers: SqlitePool,
    settings: Arc<SqliteSettings>,
    /// Where batches are announced as they are committed, when that is this file.
    announcements: Option<Arc<AnnouncementLog>>,
}

impl SqliteStore {
    /// Opens the file, which must be there unless the settings say to make it.
    ///
    /// # Errors
    /// [`StoreError::Fatal`] for a file that is missing, is no database or cannot be written to.
    pub async fn connect(settings: SqliteSettings) -> Result<Self, StoreError> {
        if !settings.create && !settings.file.exists() {
            return Err(StoreError::Fatal("the file is not there; `holdfast migrate` makes it".to_owned()));
        }
        let writer = pool(&settings, 1)
            .connect_with(writing(&settings.file).create_if_missing(settings.create))
            .await
            .map_err(error::classify)?;
        let mode: String =
            sqlx::query_scalar("pragma journal_mode").fetch_one(&writer).await.map_err(error::classify)?;
        if mode != "wal" {
            return Err(StoreError::Fatal(format!(
                "the file is in the journal mode {mode} and cannot be brought to wal; put it on a local file system"
            )));
        }
        let readers = pool(&settings, settings.readers)
            .connect_with(options(&settings.file).pragma("query_only", "on"))
            .await
            .map_err(error::classify)?;
        Ok(Self { writer, readers, settings: Arc::new(settings), announcements: None })
    }

    /// The same store, announcing its batches in the embedded log of its file in the transaction that commits them.
    pub fn announcing(self, announcements: AnnouncementLog) -> Self {
        Self { announcements: Some(Arc::new(announcements)), ..self }
    }

    /// Begins to write: whoever else writes is waited for, and nobody else writes until the transaction ends.
    async fn begin_writing(&self) -> Result<Writing, sqlx::Error> {
        self.writer.begin_with("begin immediate").await
    }
}

/// A transaction of the one writer.
type Writing = Transaction<'static, Sqlite>;

fn pool(settings: &SqliteSettings, connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_millis(settings.acquire_timeout_ms))
        // A file does not hang up. The last connection that closes copies the log, which is not to happen now and then.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        // A cancelled `begin` can leave a transaction open in a pooled connection (sqlx 0.9), and SQLite ends one by
        // itself when the disk fails: such a connection is not taken back.
        .after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", CACHE_KIB)
        .disable_statement_logging()
}

fn writing(file: &Path) -> SqliteConnectOptions {
    options(file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // Where a plain flush leaves data in the drive's own memory.
        .pragma("fullfsync", "on")
        .pragma("checkpoint_fullfsync", "on")
        .pragma("journal_size_limit", LOG_KEPT_BYTES)
}

impl Store for SqliteStore {
    async fn commit(&self, entries: &[Entry], judge: &Judge<'_>) -> Result<Committed, StoreError> {
        self.commit_batch(entries, judge).await
    }

    async fn unpublished(&self, after: i64, limit: usize) -> Result<Vec<OutboxBatch>, StoreError> {
        // What the store has announced by itself is marked so, whatever the relay remembers.
        let announced = match &self.announcements {
            Some(_) => self.outbox_status().await?.published_number,
            None => after,
        };
        outbox::unpublished(&self.readers, after.max(announced), limit).await
    }

    async fn outbox_status(&self) -> Result<OutboxStatus, StoreError> {
        outbox::status(&self.readers).await.map_err(error::classify)
    }

    async fn take_lease(&self, holder: uuid::Uuid, seconds: i64) -> Result<Option<Lease>, StoreError> {
        outbox::take_lease(&self.writer, holder, seconds).await.map_err(error::classify)
    }

    async fn give_lease(&self, lease: Lease) -> Result<(), StoreError> {
        outbox::give_lease(&self.writer, lease).await.map_err(error::classify)
    }

    async fn mark_published(&self, lease: Lease, progress: Progress) -> Result<bool, StoreError> {
        outbox::mark_published(&self.writer, lease, progress).await.map_err(error::classify)
    }

    async fn audited(&self, after: Option<&StockKey>, page: AuditPage) -> Result<Vec<Audited>, StoreError> {
        self.audit_page(after, page).await
    }

    async fn take_turn(&self, job: &str, interval_seconds: i64) -> Result<Option<Timestamp>, StoreError> {
        audits::take_turn(&self.readers, &self.writer, job, interval_seconds).await.map_err(error::classify)
    }

    async fn due_claims(&self, limit: usize) -> Result<Vec<DueClaim>, StoreError> {
        read::due_claims(&self.readers, limit).await
    }
}

impl Upkeep for SqliteStore {
    async fn check_integrity(&self) -> Result<(), StoreError> {
        verify::check_integrity(&self.readers).await
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        // Everything in one transaction: another process that migrates waits for its end and finds nothing to do.
        let mut transaction = self.begin_writing().await.map_err(error::classify)?;
        let migrated = MIGRATIONS.run_direct(None, &mut *transaction, false).await;
        migrated.map_err(|error| migration_failed(error, error::classify))?;
        transaction.commit().await.map_err(error::classify)
    }

    async fn migration(&self) -> Result<Migration, StoreError> {
        let applied = read::applied_migrations(&self.readers).await.map_err(error::classify)?;
        Ok(Migration::of(&applied, &MIGRATIONS))
    }

    async fn maintain(&self) -> Result<MaintenanceReport, StoreError> {
        self.run_round().await.map_err(error::classify)
    }

    async fn verify_with(
        &self,
        ignore_cart_holds: bool,
        begins: impl FnMut(usize, &'static str) + Send,
    ) -> Result<Vec<Verification>, StoreError> {
        verify::run_checks(&self.readers, ignore_cart_holds, begins).await
    }

    async fn backup(&self, file: &Path) -> Result<u64, StoreError> {
        backup::write(&self.settings.file, file).await
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
