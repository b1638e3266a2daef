//! A store in memory: the reference of what a store is. It is written from the documentation of the ports and from
//! `docs/semantics.md`, as plainly as that can be said in maps: one mutex, no statements, no locks of rows. What it
//! answers is what every database must answer.
//!
//! Writers come between each other all the same: a commit reads under the mutex, has its batch judged without it, and
//! begins again when anybody else has written meanwhile. [`faults`] makes a writer die within a commit. The clock is a
//! value that stands still until somebody moves it.

mod audits;
mod commit;
mod faults;
mod outbox;
mod queries;
mod tables;
mod upkeep;
mod verify;

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

pub use faults::Step;
pub use tables::{Journaled, OpenDay, SetAside, Tables};
pub use verify::run_checks;

use holdfast::domain::words::Timestamp;
use holdfast::store::Retention;
use uuid::Uuid;

use faults::Faults;

/// What several stores share: the rows of one shop.
#[derive(Clone, Debug)]
pub struct ModelDatabase(Arc<Mutex<Tables>>);

impl ModelDatabase {
    /// An empty one whose clock stands at an instant.
    pub fn new(clock: Timestamp, installation: Uuid) -> Self {
        Self(Arc::new(Mutex::new(Tables::new(clock, installation))))
    }

    /// Looks at the rows of one moment.
    pub fn look<T>(&self, look: impl FnOnce(&Tables) -> T) -> T {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes rows, at once for everybody else.
    pub fn change<T>(&self, change: impl FnOnce(&mut Tables) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Moves the clock ahead.
    pub fn move_clock(&self, seconds: i64) {
        self.change(|tables| tables.clock = tables.clock.plus_seconds(seconds));
    }
}

/// Lets others come between. Who that is decides whoever drives the writers, at once: a runtime's own yielding would have
/// all of them go on first.
async fn others_come_between() {
    let mut have_come = false;
    poll_fn(|context| {
        if std::mem::replace(&mut have_come, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// One worker's store on a database. Clones share what befalls it.
#[derive(Clone, Debug)]
pub struct ModelStore {
    database: ModelDatabase,
    retention: Arc<Retention>,
    faults: Faults,
}

impl ModelStore {
    /// A store on a database.
    pub fn on(database: ModelDatabase, retention: Retention) -> Self {
        Self { database, retention: Arc::new(retention), faults: Faults::default() }
    }

    /// Has the writer of the next commit die at a step of it.
    pub fn die_at(&self, step: Step) {
        self.faults.arm(step);
    }

    /// Has no writer die any more. Whether one was still to die: its commit ended before it came to that step.
    pub fn let_live(&self) -> bool {
        self.faults.disarm()
    }
}
