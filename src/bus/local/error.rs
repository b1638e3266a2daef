//! What the embedded log cannot mend by itself, in words that name the remedy.

use std::path::PathBuf;

use crate::ports::{SinkError, SourceError};
use crate::wire::stored::Damaged;

/// Primary result codes of SQLite that pass: busy, locked, out of memory, interrupted, input or output, disk full, file
/// not opened (for want of descriptors), lock protocol.
const PASSING: [i32; 8] = [5, 6, 7, 9, 10, 13, 14, 15];

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum LocalFailure {
    /// There is no file, or it has no log.
    #[error(
        "the embedded log is not in {}; `holdfast migrate` makes the file, and so does a `holdfast run` on it",
        file.display()
    )]
    NoLog {
        /// The store's file.
        file: PathBuf,
    },
    /// Topics are missing.
    #[error("missing in the embedded log in {}: {}; create them with: holdfast topics apply", file.display(), topics.join(", "))]
    MissingTopics {
        /// The store's file.
        file: PathBuf,
        /// The topics.
        topics: Vec<String>,
    },
    /// A statement that should have worked.
    #[error("{doing}: {cause}")]
    Database {
        /// What was tried.
        doing: String,
        /// What SQLite says.
        cause: sqlx::Error,
    },
    /// The file that says which process reads cannot be used.
    #[error("{doing} {}: {cause}; the user of the worker must be able to write to its folder", file.display())]
    LockFile {
        /// What was tried.
        doing: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// A record that no version of this program wrote.
    #[error("record {id} of the embedded log: {cause}")]
    Damaged {
        /// Its number.
        id: i64,
        /// What is wrong.
        cause: Damaged,
    },
    /// A task of the log ended without an answer.
    #[error("a task of the embedded log ended unexpectedly")]
    TaskEnded,
}

impl LocalFailure {
    /// Wraps what SQLite says; for use with `map_err`.
    pub(super) fn database(doing: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Self {
        let doing = doing.into();
        move |cause| Self::Database { doing, cause }
    }

    /// Whether the same call may work later.
    pub fn is_passing(&self) -> bool {
        let Self::Database { cause, .. } = self else { return false };
        match cause.as_database_error() {
            // The low byte is the primary code; the rest says more of it.
            Some(error) => error
                .code()
                .and_then(|code| code.parse::<i32>().ok())
                .is_some_and(|code| PASSING.contains(&(code & 0xff))),
            None => matches!(
                cause,
                sqlx::Error::Io(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::WorkerCrashed
                    | sqlx::Error::BeginFailed
                    | sqlx::Error::Protocol(_)
            ),
        }
    }
}

impl From<LocalFailure> for SourceError {
    fn from(failure: LocalFailure) -> Self {
        Self::Fatal(failure.to_string())
    }
}

impl From<LocalFailure> for SinkError {
    fn from(failure: LocalFailure) -> Self {
        if failure.is_passing() { Self::Unclear(failure.to_string()) } else { Self::Fatal(failure.to_string()) }
    }
}
