//! What the end of a run is compared with: the same events, in the order in which they were committed, at the moments at
//! which they were, by somebody to whom nothing happens.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use holdfast::domain::announce::Announcement;
use holdfast::domain::claim::{Claim, ClaimKey};
use holdfast::domain::event::Envelope;
use holdfast::domain::rules::Rules;
use holdfast::domain::stock::StockRow;
use holdfast::domain::verdict::Verdict;
use holdfast::domain::words::{StockKey, Timestamp};
use holdfast::engine::judge::Bench;
use holdfast::planted_bug;
use holdfast::ports::{Entry, Store};
use holdfast::store::Retention;
use uuid::Uuid;

use crate::model::{ModelDatabase, ModelStore};

/// An event as it was committed: new, and judged at a moment.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The event.
    pub envelope: Envelope,
    /// The database's clock when it was judged.
    pub now: Timestamp,
    /// What came of it.
    pub verdict: Verdict,
}

/// Where events lead.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Every stock row.
    pub stock: BTreeMap<StockKey, StockRow>,
    /// Every claim, its revision left at 0: how often a row was written says nothing of what it holds.
    pub claims: BTreeMap<ClaimKey, Claim>,
    /// The verdict on each event.
    pub verdicts: Vec<Verdict>,
    /// Everything that was announced, in order.
    pub announcements: Vec<Announcement>,
}

/// Where these events lead under these rules, or why that cannot be said.
pub type Reference = fn(&Rules, &[Applied]) -> Result<State, String>;

/// The same core, one event a transaction, one worker, no fault, and no bug that was planted.
///
/// # Errors
/// What the core refuses to commit.
pub fn same_core(rules: &Rules, applied: &[Applied]) -> Result<State, String> {
    let bug = planted_bug::planted();
    planted_bug::plant(None);
    let state = run(rules, applied);
    planted_bug::plant(bug);
    state
}

fn run(rules: &Rules, applied: &[Applied]) -> Result<State, String> {
    let database = ModelDatabase::new(Timestamp(0), Uuid::nil());
    // Whatever the day of an event is, it was open.
    let retention = Retention {
        inbox_keep_days: i32::MAX / 2,
        inbox_max_days: i64::MAX,
        dead_letter_keep_days: i32::MAX / 2,
        keep_published_seconds: i64::MAX / 2_000_000,
        alert_keep_days: i32::MAX / 2,
    };
    let store = ModelStore::on(database.clone(), retention);
    let bench = Bench {
        rules: rules.clone(),
        max_clock_skew_seconds: i64::MAX / 4_000_000,
        count_max_age_seconds: i64::MAX / 4_000_000,
        buries: false,
    };
    database.change(|tables| tables.journal = Some(Vec::new()));
    for Applied { envelope, now, .. } in applied {
        database.change(|tables| tables.clock = *now);
        let entries = [Entry::Event { envelope: Box::new(envelope.clone()), record: None }];
        let judge = |loaded| bench.judge(&entries, loaded);
        ready(store.commit(&entries, &judge)).map_err(|error| format!("{}: {error}", envelope.cause.id))?;
    }
    Ok(database.look(|tables| {
        let journal = tables.journal.as_deref().unwrap_or_default();
        State {
            stock: tables.stock.clone(),
            claims: tables.claims.values().map(|kept| plain(&kept.claim)).collect(),
            verdicts: journal.iter().flat_map(|it| &it.fresh).map(|(_, verdict)| *verdict).collect(),
            announcements: journal.iter().flat_map(|it| &it.outbox).flat_map(|it| it.announcements.clone()).collect(),
        }
    }))
}

/// A claim without how often its row was written.
pub fn plain(claim: &Claim) -> (ClaimKey, Claim) {
    (claim.key.clone(), Claim { revision: 0, ..claim.clone() })
}

/// What a future that only ever waits for itself comes to.
fn ready<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}
