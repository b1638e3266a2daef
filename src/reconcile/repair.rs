//! Rows rebuilt from our own books, each by one event under its lock.

use super::books::{BOOKS, PAGE};
use super::commands::command;
use super::passing;
use crate::bus::direct::DirectSubmitter;
use crate::domain::event::ReconciliationTask;
use crate::domain::reconciliation::{Decision, Finding, Irreparable};
use crate::domain::stock::{Counters, Level, StockRow};
use crate::domain::words::{StockKey, Timestamp};
use crate::health::Pulse;
use crate::ports::{Audited, Outcome, Queries, Store, StoreError};

/// How often a row that others changed meanwhile is looked at again.
const MOST_LOOKS: usize = 10;

/// What a repair of one row does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The row.
    pub key: StockKey,
    /// The version at which it was seen.
    pub version: i64,
    /// Where it differs from the books.
    pub findings: Vec<Finding>,
    /// Counters and level now.
    pub now: (Counters, Level),
    /// Counters and level afterwards, or why it cannot be mended.
    pub then: Result<(Counters, Level), Irreparable>,
}

/// What became of a planned repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mended {
    /// The row says what the books say.
    Done,
    /// It did so by itself meanwhile.
    NothingToDo,
    /// It cannot be mended.
    Irreparable,
    /// Others changed it each time that it was looked at.
    Busy,
}

/// What there is to repair in a row, if anything.
fn planned(it: &Audited, ignore_cart_holds: bool) -> Option<Planned> {
    let said = it.audit.said?;
    let findings = said.findings(&it.row, ignore_cart_holds);
    if findings.is_empty() {
        return None;
    }
    let then = said.rebuilt(&it.row).map(|(known, counters)| {
        let row = StockRow { counters, ..known };
        (counters, row.level_called_for(ignore_cart_holds))
    });
    let now = (it.row.counters, it.row.level);
    Some(Planned { key: it.row.key.clone(), version: it.row.version, findings, now, then })
}

/// A look at every row, page by page.
#[derive(Debug)]
pub struct Survey {
    after: Option<StockKey>,
    ignore_cart_holds: bool,
    /// Rows that were looked at.
    pub rows: u64,
}

impl Survey {
    /// A look that begins with the first row.
    pub fn new(ignore_cart_holds: bool) -> Self {
        Self { after: None, ignore_cart_holds, rows: 0 }
    }

    /// What there is to repair on the next page; `None` when there are no more rows.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn step(&mut self, store: &impl Store) -> Result<Option<Vec<Planned>>, StoreError> {
        let page = store.audited(self.after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.row.key.clone());
        self.rows += page.len() as u64;
        Ok(Some(page.iter().filter_map(|it| planned(it, self.ignore_cart_holds)).collect()))
    }
}

/// Mends one row: hands the repair to the engine, which does it when the row is still at the version that was seen, and
/// looks again when it is not.
///
/// # Errors
/// See [`StoreError`]. The row is mended or not, never in part.
pub async fn mend(
    planned: &Planned,
    decision: &Decision,
    round: Timestamp,
    store: &(impl Store + Queries),
    submitter: &DirectSubmitter,
    pulse: &Pulse,
) -> Result<Mended, StoreError> {
    if planned.then.is_err() {
        return Ok(Mended::Irreparable);
    }
    let key = &planned.key;
    let mut version = planned.version;
    for _ in 0..MOST_LOOKS {
        let task = ReconciliationTask::Rebuild { version, decision: decision.clone() };
        let delivery = command(&format!("rebuild:{version}"), round, key, BOOKS, task);
        let outcomes = pulse.turn_while(submitter.submit(vec![delivery])).await?;
        match outcomes.first() {
            Some(Outcome::Applied | Outcome::Duplicate) => return Ok(Mended::Done),
            Some(Outcome::Refused(Some(_))) => {}
            Some(Outcome::Refused(None) | Outcome::DeadLettered { .. }) => return Ok(Mended::Irreparable),
            Some(Outcome::Ignored) | None => return Ok(Mended::NothingToDo),
        }
        let row = store.stock(key).await.map_err(passing)?;
        match row {
            Some(row) => version = row.version,
            None => return Ok(Mended::NothingToDo),
        }
    }
    Ok(Mended::Busy)
}
