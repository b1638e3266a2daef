//! The stores that shops are opened on, and what a test needs to know of each to look behind it.

use std::fmt::Debug;
use std::future::Future;

use holdfast::engine::judge::Bench;
use holdfast::ports::{Entry, Store};
use holdfast::store::{Retention, Upkeep};

use super::behind::{Ended, Kept, Tampering};

/// A kind of store.
pub trait StoreKind: Default + 'static {
    /// The store.
    type Store: Upkeep + Send + Sync + 'static;
    /// What finds a database again.
    type Address: Clone + Debug + Send + Sync + 'static;
    /// What keeps a database there.
    type Place: Send;

    /// Whether another writer can commit between the reading and the writing of a batch.
    const LETS_OTHERS_BETWEEN: bool;

    /// A new database with the current schema.
    fn new_database() -> impl Future<Output = (Self::Address, Self::Place)> + Send;

    /// A store on a database, with the usual settings.
    fn connect(database: &Self::Address) -> impl Future<Output = Self::Store> + Send {
        Self::connect_with(database, retention())
    }

    /// A store on a database that keeps things for other times.
    fn connect_with(database: &Self::Address, retention: Retention) -> impl Future<Output = Self::Store> + Send;

    /// Everything that a database keeps, of one moment.
    fn kept(database: &Self::Address) -> impl Future<Output = Kept> + Send;

    /// Changes a database behind the back of its stores.
    fn tamper(database: &Self::Address, tampering: &Tampering<'_>) -> impl Future<Output = ()> + Send;

    /// Commits a batch by a writer of its own that is to die at one of its moments, counted from 0.
    fn commit_and_die(
        database: &Self::Address,
        entries: &[Entry],
        bench: &Bench,
        moment: usize,
    ) -> impl Future<Output = Ended> + Send;

    /// Has the database's clock go on by so many seconds at least.
    fn pass(_database: &Self::Address, store: &Self::Store, seconds: i64) -> impl Future<Output = ()> + Send {
        async move {
            let now = async || store.outbox_status().await.expect("the store should answer").now;
            let then = now().await.plus_seconds(seconds);
            while now().await < then {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// The usual settings.
pub fn retention() -> Retention {
    Retention {
        inbox_keep_days: 35,
        inbox_max_days: 1_100,
        dead_letter_keep_days: 400,
        keep_published_seconds: 7 * 86_400,
        alert_keep_days: 365,
    }
}
