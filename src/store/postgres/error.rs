//! Database errors by what to do about them. Constraints are recognised by name, never by message text.

use crate::ports::StoreError;

/// Serialization failure, deadlock: another writer was faster, the same batch can go again at once.
const CONFLICTS: [&str; 2] = ["40001", "40P01"];
/// Classes and codes that pass: connection trouble (08), resources (53), operator intervention and statements that ran
/// into a time limit or were cancelled (57), system (58), lock timeout (55P03), idle-in-transaction and transaction
/// timeouts (25P03, 25P04), read-only after a failover (25006).
const PASSING: [&str; 8] = ["08", "53", "57", "58", "55P03", "25P03", "25P04", "25006"];

/// Whether another writer came between.
pub(super) fn is_conflict(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| CONFLICTS.contains(&code.as_str()))
}

/// The keys of which another worker may have made the same row meanwhile.
const RACED: [&str; 2] = ["claim_key", "stock_key"];

/// Whether another worker made the same row meanwhile. A partition's key is named after the partition: a violation of
/// the inbox's key is known by its table.
pub(super) fn is_raced(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    let of_inbox = error.table().is_some_and(|table| table.starts_with("inbox_"));
    error.is_unique_violation() && (of_inbox || error.constraint().is_some_and(|name| RACED.contains(&name)))
}

/// Whether a row found no partition: its day or month was dropped or not made yet.
pub(super) fn lacks_partition(error: &sqlx::Error) -> bool {
    // The server gives this case the code of a check violation without a constraint's name.
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("23514") && error.constraint().is_none())
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(|code| code.into_owned())
}

/// What to do about an error.
pub(super) fn classify(error: sqlx::Error) -> StoreError {
    let Some(code) = code(&error) else {
        return match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
            | sqlx::Error::Protocol(_) => StoreError::Transient(error.to_string()),
            sqlx::Error::PoolClosed => StoreError::Fatal("the connection pool is closed".to_owned()),
            other => StoreError::Fatal(format!("the database driver failed: {other}")),
        };
    };
    if CONFLICTS.contains(&code.as_str()) || PASSING.iter().any(|class| code.starts_with(class)) {
        return StoreError::Transient(format!("{error} (SQLSTATE {code})"));
    }
    let constraint = error.as_database_error().and_then(|error| error.constraint()).map(str::to_owned);
    StoreError::Fatal(match (code.as_str(), constraint) {
        ("42P01" | "42703" | "42704", _) => {
            format!("the database schema is not complete: {error}; run `holdfast migrate`")
        }
        ("3D000", _) => format!("{error}; create it or correct store.url"),
        ("28P01" | "28000", _) => format!("{error}; correct the user or password in store.url"),
        ("42501", _) => format!("{error}; the user in store.url must own its schema"),
        (_, Some(constraint)) => format!("the constraint {constraint} refused a row: {error}"),
        (_, None) => format!("{error} (SQLSTATE {code})"),
    })
}
