//! Database errors by what to do about them, by SQLite's result codes.

use crate::ports::StoreError;

/// Primary result codes that pass: busy, locked, out of memory, interrupted, input or output, disk full, file not
/// opened (for want of descriptors), lock protocol.
const PASSING: [i32; 8] = [5, 6, 7, 9, 10, 13, 14, 15];
/// Read-only file, damaged file, broken constraint, not a database.
const READ_ONLY: i32 = 8;
const CORRUPT: i32 = 11;
const CONSTRAINT: i32 = 19;
const NOT_A_DATABASE: i32 = 26;

/// What to do about an error.
pub(super) fn classify(error: sqlx::Error) -> StoreError {
    let Some(code) = code(&error) else {
        return match error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
            | sqlx::Error::Protocol(_) => StoreError::Transient(error.to_string()),
            sqlx::Error::PoolClosed => StoreError::Fatal("the connection pool is closed".to_owned()),
            other => StoreError::Fatal(format!("the database driver failed: {other}")),
        };
    };
    // The low byte is the primary code; the rest says more of it.
    let primary = code & 0xff;
    if PASSING.contains(&primary) {
        return StoreError::Transient(format!("{error} (SQLite result code {code})"));
    }
    StoreError::Fatal(match primary {
        READ_ONLY => format!("{error}; the user of the worker must be able to write to the file and its folder"),
        CORRUPT => damaged(&error.to_string()),
        NOT_A_DATABASE => format!("{error}; correct store.url"),
        // SQLite names a CHECK, and of a broken key its columns.
        CONSTRAINT => format!("a constraint refused a row: {error}"),
        _ if lacks_schema(&error) => format!("the database schema is not complete: {error}; run `holdfast migrate`"),
        _ => format!("{error} (SQLite result code {code})"),
    })
}

/// What is said of a damaged file.
pub(super) fn damaged(what: &str) -> String {
    format!("the file is damaged: {what}; stop every worker on it and restore a backup (`holdfast backup` makes them)")
}

/// Whether a table or column is missing. SQLite has no code for it: this is the one case that is told by its text, and
/// only to say what to do.
fn lacks_schema(error: &sqlx::Error) -> bool {
    let text = error.as_database_error().map(|error| error.message().to_owned()).unwrap_or_default();
    text.starts_with("no such table") || text.starts_with("no such column")
}

fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}
