//! What operators and the clock ask of a store, beside the batches of the engine and the questions of the sidecar.

use std::future::Future;
use std::path::Path;

use sqlx::migrate::{MigrateError, Migrator};

use super::verify::Verification;
use crate::ports::{QueryError, Store, StoreError, Watch};

/// A store as the worker and the commands keep it. Clones share their connections.
pub trait Upkeep: Store + Watch + Clone {
    /// Proves that what is kept can be read, as far as nobody else proves it all the time.
    ///
    /// # Errors
    /// [`StoreError::Fatal`] that names the damage.
    fn check_integrity(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Brings the schema up to date. Safe to run from several processes at once: one waits for the other.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn migrate(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Compares the schema with what this binary needs.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn migration(&self) -> impl Future<Output = Result<Migration, StoreError>> + Send;

    /// One round of what the clock asks for: old days dropped; published batches, positions of dead letters and resolved
    /// alerts deleted after their time. A round deletes a bounded number of rows, so that it can be stopped after any;
    /// see [`MaintenanceReport::is_unfinished`]. Safe on any number of workers.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn maintain(&self) -> impl Future<Output = Result<MaintenanceReport, StoreError>> + Send;

    /// Runs every check on one snapshot, while workers go on. Locks nothing.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn verify(&self, ignore_cart_holds: bool) -> impl Future<Output = Result<Vec<Verification>, StoreError>> + Send {
        self.verify_with(ignore_cart_holds, |_, _| {})
    }

    /// [`Self::verify`]; `begins` is told the number of each check, from 0, and what it proves, before it runs. There
    /// are [`CHECKS`](super::CHECKS) of them.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn verify_with(
        &self,
        ignore_cart_holds: bool,
        begins: impl FnMut(usize, &'static str) + Send,
    ) -> impl Future<Output = Result<Vec<Verification>, StoreError>> + Send;

    /// Writes one snapshot into a file that does not exist yet, while workers go on. Returns its size in bytes. The
    /// file is there when it is whole and on disk, and not before; cancelled, this leaves nothing behind.
    ///
    /// # Errors
    /// [`StoreError::Fatal`] when the file is there already, is being written by another process or cannot be written, or
    /// this store has tools of its own.
    fn backup(&self, file: &Path) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Waits until every connection is back and closes them.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// How long things are kept.
#[derive(Clone, Debug)]
pub struct Retention {
    /// How long inbox keys are kept, in days.
    pub inbox_keep_days: i32,
    /// How many days of inbox keys may be open at once.
    pub inbox_max_days: i64,
    /// How long the positions of dead letters are kept, in days.
    pub dead_letter_keep_days: i32,
    /// How long published batches are kept, in seconds.
    pub keep_published_seconds: i64,
    /// How long resolved alerts are kept, in days.
    pub alert_keep_days: i32,
}

/// What one round of maintenance did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceReport {
    /// Days whose inbox keys were dropped.
    pub days_dropped: u64,
    /// Published batches that were deleted.
    pub batches_deleted: u64,
    /// Positions of dead letters that were forgotten.
    pub positions_deleted: u64,
    /// Resolved alerts that were forgotten.
    pub alerts_deleted: u64,
    /// Whether rows that are due were left for another round, which should follow soon.
    pub is_unfinished: bool,
}

/// How the schema of a database stands to what this binary needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Migration {
    /// Everything was applied.
    Current,
    /// These versions are missing.
    Missing(Vec<i64>),
    /// The database is newer than this binary, or a migration was changed after it was applied.
    Foreign(Vec<i64>),
}

impl Migration {
    /// Compares what was applied, as (version, checksum), with what `migrator` would apply.
    pub(super) fn of(applied: &[(i64, Vec<u8>)], migrator: &Migrator) -> Self {
        let needed: Vec<(i64, &[u8])> = migrator.iter().map(|step| (step.version, step.checksum.as_ref())).collect();
        let foreign: Vec<i64> = applied
            .iter()
            .filter(|(version, checksum)| !needed.contains(&(*version, checksum.as_slice())))
            .map(|(version, _)| *version)
            .collect();
        if !foreign.is_empty() {
            return Self::Foreign(foreign);
        }
        let missing: Vec<i64> = needed
            .iter()
            .map(|(version, _)| *version)
            .filter(|version| !applied.iter().any(|(known, _)| known == version))
            .collect();
        if missing.is_empty() { Self::Current } else { Self::Missing(missing) }
    }
}

/// What to do about a migration that failed; `classify` judges what the database said.
pub(super) fn migration_failed(error: MigrateError, classify: fn(sqlx::Error) -> StoreError) -> StoreError {
    match error {
        MigrateError::Execute(error) => classify(error),
        other => StoreError::Fatal(format!("the database cannot be migrated: {other}")),
    }
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Transient(error) => Self::Unavailable(error),
            StoreError::Fatal(error) => Self::Broken(error),
        }
    }
}
