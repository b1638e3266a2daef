//! Rows against our own books: ledger, claims, thresholds.

use crate::bus::direct::DirectSubmitter;
use crate::domain::event::ReconciliationTask;
use crate::domain::words::{StockKey, Timestamp};
use crate::health::Pulse;
use crate::ports::{AuditPage, Audited, Delivery, Outcome, Store, StoreError};

use super::commands::command;

/// The name of the job, and what its events say they compare with.
pub(super) const BOOKS: &str = "books";
/// One look: so many rows, or rows with so many movements, that a statement is over in some tenths of a second.
pub(super) const PAGE: AuditPage = AuditPage { rows: 500, movements: Some(50_000) };

/// What a round has found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BooksReport {
    /// Rows that were looked at.
    pub rows: u64,
    /// Rows that differ, as far as could be seen without their locks.
    pub differing: u64,
    /// Rows of which a difference was announced, or settled.
    pub changed: u64,
}

/// One round over all rows, page by page.
#[derive(Debug)]
pub struct BooksRound {
    started: Timestamp,
    after: Option<StockKey>,
    ignore_cart_holds: bool,
    /// What it has found so far.
    pub report: BooksReport,
}

impl BooksRound {
    /// A round that began at an instant of the database's clock.
    pub fn new(started: Timestamp, ignore_cart_holds: bool) -> Self {
        Self { started, after: None, ignore_cart_holds, report: BooksReport::default() }
    }

    /// Looks at the next page and hands in what differs, or did. The engine looks again under the lock. `false` when
    /// there are no more rows. May be called again after an error.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn step(
        &mut self,
        store: &impl Store,
        submitter: &DirectSubmitter,
        pulse: &Pulse,
    ) -> Result<bool, StoreError> {
        let page = store.audited(self.after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(false) };
        let differs = |it: &&Audited| {
            it.audit.said.is_some_and(|said| !said.findings(&it.row, self.ignore_cart_holds).is_empty())
        };
        let suspects: Vec<&Audited> = page.iter().filter(|it| differs(it) || it.audit.is_open_inside()).collect();
        let compare = |it: &&Audited| -> Delivery {
            command(BOOKS, self.started, &it.row.key, BOOKS, ReconciliationTask::CompareBooks)
        };
        let outcomes = pulse.turn_while(submitter.submit(suspects.iter().map(compare).collect())).await?;
        for (it, _) in suspects.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Applied) {
            let findings = it.audit.said.map(|said| said.findings(&it.row, self.ignore_cart_holds)).unwrap_or_default();
            if findings.is_empty() {
                tracing::info!(row = %it.row.key, "a row agrees with the books again");
            }
            for found in findings {
                let (source, field) = (found.source.as_str(), found.field.as_str());
                tracing::warn!(row = %it.row.key, source, field, ours = found.ours, theirs = found.theirs,
                    "a row differs from the books; holdfast verify --repair mends it");
            }
        }
        self.report.rows += page.len() as u64;
        self.report.differing += suspects.iter().filter(|it| differs(it)).count() as u64;
        self.report.changed += outcomes.iter().filter(|outcome| **outcome == Outcome::Applied).count() as u64;
        self.after = Some(last.row.key.clone());
        Ok(true)
    }
}
