//! The file: its connections, and the hint that something was appended.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Sqlite, Transaction};
use tokio::sync::watch;

use super::error::LocalFailure;

/// How long a statement waits for the file's lock before it fails and is tried again by whoever wants it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection is waited for.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections that read: a source, a sink's look, some tails.
const READERS: u32 = 4;

/// An open log. Cheap to clone; clones share connections and hints.
#[derive(Clone)]
pub struct LocalLog {
    file: Arc<PathBuf>,
    /// For what must be on disk when it is answered: one connection.
    writer: SqlitePool,
    /// For what may be lost with the power: offsets and memberships, which a lost write only sets back. One connection.
    notes: SqlitePool,
    readers: SqlitePool,
    hint: LogHint,
}

/// Wakes the readers of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogHint(Arc<watch::Sender<()>>);

impl LogHint {
    /// Says that something was appended.
    pub fn appended(&self) {
        self.0.send_replace(());
    }
}

impl LocalLog {
    /// Opens the log in a file that the store has made and migrated.
    ///
    /// # Errors
    /// [`LocalFailure::NoLog`] for a file that is missing or has no log.
    pub async fn open(file: &Path) -> Result<Self, LocalFailure> {
        if !file.exists() {
            return Err(LocalFailure::NoLog { file: file.to_owned() });
        }
        let doing = || LocalFailure::database(format!("opening the embedded log in {}", file.display()));
        let readers = pool(READERS).connect_with(options(file).pragma("query_only", "on")).await.map_err(doing())?;
        let tables: i64 =
            sqlx::query_scalar("select count(*) from sqlite_schema where name in ('log_end', 'log_progress')")
                .fetch_one(&readers)
                .await
                .map_err(doing())?;
        if tables != 2 {
            return Err(LocalFailure::NoLog { file: file.to_owned() });
        }
        let durable = options(file)
            .synchronous(SqliteSynchronous::Full)
            // Where a plain flush leaves data in the drive's own memory.
            .pragma("fullfsync", "on")
            .pragma("checkpoint_fullfsync", "on");
        // It may be the one that copies the log into the database.
        let unhurried = options(file).synchronous(SqliteSynchronous::Normal).pragma("checkpoint_fullfsync", "on");
        Ok(Self {
            file: Arc::new(file.to_owned()),
            writer: pool(1).connect_lazy_with(durable),
            notes: pool(1).connect_lazy_with(unhurried),
            readers,
            hint: LogHint(Arc::new(watch::channel(()).0)),
        })
    }

    /// Wakes the readers of this log.
    pub fn hint(&self) -> LogHint {
        self.hint.clone()
    }

    /// Waits until every connection is back and closes them.
    pub async fn close(&self) {
        self.notes.close().await;
        self.writer.close().await;
        self.readers.close().await;
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    pub(super) fn notes(&self) -> &SqlitePool {
        &self.notes
    }

    /// A transaction that is on disk when it is committed. Nobody else writes from here on.
    pub(super) async fn begin_writing(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.writer.begin_with("begin immediate").await
    }

    /// Changes whenever something was appended in this process.
    pub(super) fn appended(&self) -> watch::Receiver<()> {
        self.hint.0.subscribe()
    }
}

impl fmt::Debug for LocalLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LocalLog").field("file", &self.file).finish_non_exhaustive()
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A file does not hang up.
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
        .create_if_missing(false)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}
