//! Connections that transactions are begun on.

use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, Postgres, Transaction};

use super::PostgresStore;

/// A connection out of the pool. It goes back when this is dropped, unless it is not known whether a transaction is open
/// on it.
///
/// Traps: sqlx 0.9 counts a transaction only when the answer to its BEGIN has come. A begin that was cancelled, or whose
/// answer was lost, leaves one open that the driver does not know of: nothing rolls it back, `is_in_transaction` says
/// no, and whatever the next one writes on that connection is never committed. So such a connection is closed, and the
/// server rolls back.
pub(super) struct Held {
    connection: PoolConnection<Postgres>,
    /// True from the start of a begin until it succeeded.
    is_beginning: bool,
}

impl Held {
    /// Begins a transaction; dropped without an end, it is rolled back by the driver. Cancel-safe: the connection of a
    /// cancelled begin is closed.
    pub async fn begin(&mut self) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
        self.is_beginning = true;
        let transaction = self.connection.begin().await?;
        self.is_beginning = false;
        Ok(transaction)
    }

    /// The connection itself, for statements outside of any transaction.
    pub fn plain(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.is_beginning {
            self.connection.close_on_drop();
        }
    }
}

impl PostgresStore {
    /// A connection for a transaction.
    pub(super) async fn hold(&self) -> Result<Held, sqlx::Error> {
        Ok(Held { connection: self.pool.acquire().await?, is_beginning: false })
    }
}
