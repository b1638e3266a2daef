//! Rows against another system's figures.

use std::path::PathBuf;
use std::sync::Arc;

use super::commands::command;
use super::figures::{Figures, FiguresError};
use super::{endpoint, passing, snapshot};
use crate::bus::direct::DirectSubmitter;
use crate::domain::event::{Comparison, ReconciliationTask, Taking};
use crate::domain::reconciliation::{Decision, Difference, DifferenceKey, Figure, FigureSource};
use crate::domain::words::{StockKey, Timestamp};
use crate::health::Pulse;
use crate::ports::{AuditPage, Audited, DifferenceFilter, Outcome, Queries, Store, StoreError};

/// One look at rows. Nothing is summed.
const PAGE: AuditPage = AuditPage { rows: 500, movements: None };
/// How many rows of a kind a report names.
const MOST_NAMED: usize = 100;

/// Where another system's figures are.
#[derive(Clone, Debug)]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// A list over HTTP; may hold credentials.
    Url(Arc<str>),
}

impl Place {
    /// Reads the figures. Cancel-safe.
    ///
    /// # Errors
    /// See [`FiguresError`].
    pub async fn read(&self) -> Result<Figures, FiguresError> {
        match self {
            Self::File(path) => snapshot::read_file(path).await,
            Self::Url(address) => endpoint::read_list(address).await,
        }
    }
}

/// What is done about differences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fix {
    /// Nothing but telling.
    None,
    /// Ours counts and is announced again.
    UseOurs(Decision),
    /// Ours is adjusted by the recorded difference.
    UseTheirs {
        /// The most units that are adjusted at once.
        max_amount: i64,
        /// Whether stock may grow: only where a person decides it.
        may_raise: bool,
        /// By whom and why.
        decision: Decision,
    },
}

/// How one other system is compared.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Its name.
    pub source: Arc<str>,
    /// Up to this many units of difference are none.
    pub tolerance: i64,
    /// From this many units on people should look at once.
    pub alert_threshold: Option<i64>,
    /// What is done.
    pub fix: Fix,
}

/// What a round has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutsideReport {
    /// Figures that the other system has.
    pub figures: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// Rows that differ, missing ones among them.
    pub differing: u64,
    /// Rows for which the other system has no figure.
    pub missing: u64,
    /// Rows whose difference people should look at at once.
    pub alerts: u64,
    /// Rows of which a difference was announced, or settled.
    pub changed: u64,
    /// Rows that were adjusted.
    pub adjusted: u64,
    /// Rows that were to be adjusted and were not, the first of them with why.
    pub unadjusted: Vec<(StockKey, &'static str)>,
    /// How many there are of those.
    pub not_adjusted: u64,
    /// Figures of rows that we do not have, the first of them.
    pub unknown: Vec<StockKey>,
    /// How many there are of those.
    pub not_known: u64,
}

/// One round over all rows: compares page by page, then fixes page by page.
#[derive(Debug)]
pub struct OutsideRound {
    terms: Terms,
    started: Timestamp,
    figures: Figures,
    stage: Stage,
    /// What it has found so far.
    pub report: OutsideReport,
}

#[derive(Debug)]
enum Stage {
    Comparing(Option<StockKey>),
    Fixing(Option<DifferenceKey>),
    Ended,
}

impl OutsideRound {
    /// A round that began at an instant of the database's clock.
    pub fn new(started: Timestamp, terms: Terms, figures: Figures) -> Self {
        let report = OutsideReport { figures: figures.count() as u64, ..OutsideReport::default() };
        Self { terms, started, figures, stage: Stage::Comparing(None), report }
    }

    /// Does the next page; `false` when there is nothing left to do. May be called again after an error.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn step<S: Store + Queries>(
        &mut self,
        store: &S,
        submitter: &DirectSubmitter,
        pulse: &Pulse,
    ) -> Result<bool, StoreError> {
        match &self.stage {
            Stage::Comparing(after) => {
                let page = store.audited(after.as_ref(), PAGE).await?;
                self.stage = match page.last().map(|it| it.row.key.clone()) {
                    Some(last) => {
                        self.compare(&page, submitter, pulse).await?;
                        Stage::Comparing(Some(last))
                    }
                    None => {
                        self.tell_unknown();
                        Stage::Fixing(None)
                    }
                };
                Ok(true)
            }
            Stage::Fixing(after) => {
                let Fix::UseTheirs { .. } = &self.terms.fix else {
                    self.stage = Stage::Ended;
                    return Ok(false);
                };
                let source = FigureSource::Outside(self.terms.source.clone());
                let filter = DifferenceFilter { source: Some(source), sku: None };
                let open = store.differences(&filter, after.as_ref(), PAGE.rows).await.map_err(passing)?;
                self.stage = match open.last().map(|(key, _)| key.clone()) {
                    Some(last) => {
                        self.take_theirs(&open, submitter, pulse).await?;
                        Stage::Fixing(Some(last))
                    }
                    None => Stage::Ended,
                };
                Ok(!matches!(self.stage, Stage::Ended))
            }
            Stage::Ended => Ok(false),
        }
    }

    async fn compare(
        &mut self,
        page: &[Audited],
        submitter: &DirectSubmitter,
        pulse: &Pulse,
    ) -> Result<(), StoreError> {
        let place = (FigureSource::Outside(self.terms.source.clone()), Figure::Available);
        let job = format!("compare:{}", self.terms.source);
        let (mut suspects, mut deliveries) = (Vec::new(), Vec::new());
        let mut compared = 0;
        for it in page {
            if !self.figures.covers(&it.row.key.location) {
                continue;
            }
            let is_open = it.audit.open.contains_key(&place);
            compared += 1;
            let comparison = self.comparison(self.figures.get(&it.row.key));
            let ours = it.row.counters.available();
            if is_open || comparison.differs(ours) {
                suspects.push((&it.row.key, ours, comparison.clone()));
                let task = ReconciliationTask::CompareFigure(comparison);
                deliveries.push(command(&job, self.started, &it.row.key, &self.terms.source, task));
            }
        }
        let outcomes = pulse.turn_while(submitter.submit(deliveries)).await?;
        self.report.rows += compared;
        for ((key, ours, comparison), outcome) in suspects.iter().zip(outcomes) {
            let is_changed = outcome == Outcome::Applied;
            self.report.changed += u64::from(is_changed);
            if comparison.differs(*ours) {
                self.report.differing += 1;
                self.report.missing += u64::from(comparison.theirs.is_none());
                self.report.alerts += u64::from(comparison.alerts(*ours));
            }
            if is_changed && comparison.alerts(*ours) {
                tracing::warn!(row = %key, source = &*self.terms.source, ours, theirs = comparison.theirs,
                    "another system's figure is far from ours");
            }
        }
        for it in page {
            self.figures.mark(&it.row.key);
        }
        Ok(())
    }

    fn comparison(&self, theirs: Option<i64>) -> Comparison {
        Comparison {
            source: self.terms.source.clone(),
            theirs,
            tolerance: self.terms.tolerance,
            alert_threshold: self.terms.alert_threshold,
            use_ours: match &self.terms.fix {
                Fix::UseOurs(decision) => Some(decision.clone()),
                Fix::None | Fix::UseTheirs { .. } => None,
            },
        }
    }

    fn tell_unknown(&mut self) {
        let left = self.figures.left();
        self.report.not_known = left.len() as u64;
        self.report.unknown = left.into_iter().take(MOST_NAMED).collect();
        if let Some(first) = self.report.unknown.first() {
            tracing::warn!(source = &*self.terms.source, unknown = self.report.not_known, %first,
                "another system has figures of rows that are not registered");
        }
    }

    async fn take_theirs(
        &mut self,
        open: &[(DifferenceKey, Difference)],
        submitter: &DirectSubmitter,
        pulse: &Pulse,
    ) -> Result<(), StoreError> {
        let Fix::UseTheirs { max_amount, may_raise, decision } = self.terms.fix.clone() else { return Ok(()) };
        let (mut taken, mut deliveries) = (Vec::new(), Vec::new());
        let mut skipped = Vec::new();
        for (key, difference) in open {
            // A figure of an earlier snapshot may not be true any more.
            if !self.figures.covers(&key.key.location) {
                continue;
            }
            match takable(difference, max_amount, may_raise) {
                Err(why) => skipped.push((key.key.clone(), why)),
                Ok(theirs) => {
                    let taking = Taking {
                        source: self.terms.source.clone(),
                        ours: difference.ours,
                        theirs,
                        version: difference.version,
                        max_amount,
                        may_raise,
                        decision: decision.clone(),
                    };
                    let job = format!("take:{}:{}", self.terms.source, difference.version);
                    let task = ReconciliationTask::TakeTheirs(taking);
                    deliveries.push(command(&job, self.started, &key.key, &self.terms.source, task));
                    taken.push(key);
                }
            }
        }
        let outcomes = pulse.turn_while(submitter.submit(deliveries)).await?;
        for (key, outcome) in taken.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Applied => self.report.adjusted += 1,
                Outcome::Refused(Some(reason)) => skipped.push((key.key.clone(), reason.as_str())),
                Outcome::Refused(None) | Outcome::DeadLettered { .. } => {
                    skipped.push((key.key.clone(), "the difference is another one by now"));
                }
                // It was adjusted before, or the row is gone.
                Outcome::Ignored | Outcome::Duplicate => {}
            }
        }
        self.report.not_adjusted += skipped.len() as u64;
        let room = MOST_NAMED.saturating_sub(self.report.unadjusted.len());
        self.report.unadjusted.extend(skipped.into_iter().take(room));
        Ok(())
    }
}

/// The figure that a recorded difference may be adjusted to, or why not.
pub fn takable(difference: &Difference, max_amount: i64, may_raise: bool) -> Result<i64, &'static str> {
    let Some(theirs) = difference.theirs else { return Err("the other system has no figure") };
    if difference.ours.abs_diff(theirs) > max_amount.unsigned_abs() {
        return Err("the difference is above max_fix_amount");
    }
    if theirs > difference.ours && !may_raise {
        return Err("stock is never raised without a person who decides it");
    }
    Ok(theirs)
}
