//! Reconciliation under the lock of a row: differences noted and settled, counters rebuilt, another system's figure
//! taken over.

use std::sync::Arc;

use super::announce::{AnnouncementBody, Reason};
use super::books::{Broken, Work};
use super::orders::{Conclusion, IGNORED};
use super::reconciliation::{Decision, Difference, DifferenceKey, Figure, FigureSource, Finding, Resolution};
use super::stock::Counters;
use super::verdict::Verdict;
use super::words::StockKey;

const APPLIED: Conclusion = (Verdict::Applied, None);

/// A row is compared with what others say of it, or corrected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciliation {
    /// The row.
    pub key: StockKey,
    /// What is done.
    pub task: ReconciliationTask,
}

/// What reconciliation does with a row, under its lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReconciliationTask {
    /// Compares it with our own books and notes what differs.
    CompareBooks,
    /// Compares what is available with another system's figure and notes the difference.
    CompareFigure(Comparison),
    /// Sets its counters and its level to what our own books say.
    Rebuild {
        /// The version at which the row was seen.
        version: i64,
        /// Who wants it, and why.
        decision: Decision,
    },
    /// Adjusts it by a recorded difference.
    TakeTheirs(Taking),
}

impl ReconciliationTask {
    /// Whether it needs what our own books say of the row, which costs the reading of all its movements.
    pub fn needs_books(&self) -> bool {
        match self {
            Self::CompareBooks | Self::Rebuild { .. } => true,
            Self::CompareFigure(_) | Self::TakeTheirs(_) => false,
        }
    }

    /// Who corrects the row, and why, where it does.
    pub fn decision(&self) -> Option<&Decision> {
        match self {
            Self::CompareBooks | Self::CompareFigure(_) => None,
            Self::Rebuild { decision, .. } => Some(decision),
            Self::TakeTheirs(taking) => Some(&taking.decision),
        }
    }
}

/// A figure of another system, and from when on it counts as another one than ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The other system.
    pub source: Arc<str>,
    /// Its figure of what is available; `None` when it has none.
    pub theirs: Option<i64>,
    /// Up to this many units of difference are none.
    pub tolerance: i64,
    /// From this many units of difference on people should look at once; never, where there is none.
    pub alert_threshold: Option<i64>,
    /// That ours counts, where that is decided: it is announced again for the other system to take.
    pub use_ours: Option<Decision>,
}

/// A recorded difference that is to be adjusted away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taking {
    /// The other system.
    pub source: Arc<str>,
    /// Our figure as recorded.
    pub ours: i64,
    /// The other one as recorded.
    pub theirs: i64,
    /// The version of the row for which both were recorded.
    pub version: i64,
    /// The most units that may be adjusted.
    pub max_amount: i64,
    /// Whether on_hand may grow: only a person may decide that.
    pub may_raise: bool,
    /// By whom and why.
    pub decision: Decision,
}

impl Comparison {
    /// Whether this is a difference from `ours`.
    pub fn differs(&self, ours: i64) -> bool {
        self.theirs.is_none_or(|theirs| ours.abs_diff(theirs) > self.tolerance.unsigned_abs())
    }

    /// Whether people should look at once. A figure that is missing has no amount.
    pub fn alerts(&self, ours: i64) -> bool {
        let amount = self.theirs.map(|theirs| ours.abs_diff(theirs));
        amount.zip(self.alert_threshold).is_some_and(|(amount, threshold)| amount >= threshold.unsigned_abs())
    }
}

/// Applies `reconciliation`. A row that is not there has nothing to compare.
pub(super) fn reconciled(work: &mut Work<'_, '_>, event: &Reconciliation) -> Result<Conclusion, Broken> {
    if work.row(&event.key).is_none() {
        return Ok(IGNORED);
    }
    match &event.task {
        ReconciliationTask::CompareBooks => Ok(compare_books(work, &event.key)),
        ReconciliationTask::CompareFigure(comparison) => Ok(compare_figure(work, &event.key, comparison)),
        ReconciliationTask::Rebuild { version, .. } => Ok(rebuild(work, &event.key, *version)),
        ReconciliationTask::TakeTheirs(taking) => take_theirs(work, &event.key, taking),
    }
}

/// Notes where the row differs from our own books, and settles what no longer does. Every such difference is an alert:
/// no event can make one.
fn compare_books(work: &mut Work<'_, '_>, key: &StockKey) -> Conclusion {
    let ignore_cart_holds = work.rules().ignore_cart_holds;
    let Some(said) = work.audit(key).and_then(|audit| audit.said) else { return IGNORED };
    let findings = work.row(key).map(|row| said.findings(row, ignore_cart_holds)).unwrap_or_default();
    let mut told = false;
    for Finding { source, field, ours, theirs } in &findings {
        let difference = DifferenceKey { key: key.clone(), source: source.clone(), field: *field };
        told |= note(work, difference, *ours, Some(*theirs), true, None);
    }
    let gone = |(source, field): &(FigureSource, Figure)| {
        source.is_inside() && !findings.iter().any(|finding| (&finding.source, finding.field) == (source, *field))
    };
    let settled = settle(work, key, gone);
    if told || settled { APPLIED } else { IGNORED }
}

fn compare_figure(work: &mut Work<'_, '_>, key: &StockKey, comparison: &Comparison) -> Conclusion {
    let Some(ours) = work.row(key).map(|row| row.counters.available()) else { return IGNORED };
    let source = FigureSource::Outside(comparison.source.clone());
    if !comparison.differs(ours) {
        let settled = settle(work, key, |(known, field)| *known == source && *field == Figure::Available);
        return if settled { APPLIED } else { IGNORED };
    }
    let difference = DifferenceKey { key: key.clone(), source, field: Figure::Available };
    let settled = comparison.use_ours.clone().map(|decision| (Resolution::UseOurs, decision));
    let told = note(work, difference, ours, comparison.theirs, comparison.alerts(ours), settled);
    if told { APPLIED } else { IGNORED }
}

/// Records a difference as it is now. It is told when it is new, is another one than before, or is settled in our favour
/// for the first time; `true` says that it was.
fn note(
    work: &mut Work<'_, '_>,
    key: DifferenceKey,
    ours: i64,
    theirs: Option<i64>,
    is_alert: bool,
    settled: Option<(Resolution, Decision)>,
) -> bool {
    let now = work.now();
    let version = work.row(&key.key).map_or(0, |row| row.version);
    let place = (key.source.clone(), key.field);
    let known = work.audit(&key.key).and_then(|audit| audit.open.get(&place)).cloned();
    let first_seen_at = known.as_ref().map_or(now, |known| known.first_seen_at).min(now);
    let mut difference = Difference { ours, theirs, version, is_alert, settled, first_seen_at, last_seen_at: now };
    let is_same = known.as_ref().is_some_and(|known| known.amount() == difference.amount());
    let was_settled = known.as_ref().is_some_and(|known| known.settled.is_some());
    let tells = !is_same || (difference.settled.is_some() && !was_settled);
    if is_same && was_settled {
        difference.settled = known.and_then(|known| known.settled);
    }
    if tells {
        work.tell(AnnouncementBody::StockDrift {
            key: key.key.clone(),
            source: key.source.clone(),
            field: key.field,
            ours,
            theirs,
            resolution: difference.settled.as_ref().map(|(resolution, _)| *resolution),
        });
    }
    work.put_difference(key, Some(difference));
    tells
}

/// Removes the open differences of a row that are gone; `true` when there were any.
fn settle(work: &mut Work<'_, '_>, key: &StockKey, is_gone: impl Fn(&(FigureSource, Figure)) -> bool) -> bool {
    let open = work.audit(key).map(|audit| audit.open.keys().filter(|place| is_gone(place)).cloned().collect());
    let gone: Vec<(FigureSource, Figure)> = open.unwrap_or_default();
    for (source, field) in &gone {
        work.put_difference(DifferenceKey { key: key.clone(), source: source.clone(), field: *field }, None);
    }
    !gone.is_empty()
}

/// Sets the row to what our own books say, when it is at the version that the operator saw.
fn rebuild(work: &mut Work<'_, '_>, key: &StockKey, version: i64) -> Conclusion {
    let ignore_cart_holds = work.rules().ignore_cart_holds;
    let (Some(row), Some(said)) = (work.row(key), work.audit(key).and_then(|audit| audit.said)) else {
        return IGNORED;
    };
    if said.findings(row, ignore_cart_holds).is_empty() {
        return IGNORED;
    }
    if row.version != version {
        return (Verdict::Refused(Some(Reason::VersionMismatch)), None);
    }
    let Ok((known, counters)) = said.rebuilt(row) else { return (Verdict::Refused(None), None) };
    work.correct_row(known, counters);
    settle(work, key, |(source, _)| source.is_inside());
    APPLIED
}

/// Adjusts on_hand by a difference as it was recorded, when it still stands as it was and the row has not changed since.
fn take_theirs(work: &mut Work<'_, '_>, key: &StockKey, taking: &Taking) -> Result<Conclusion, Broken> {
    let refused = |reason| Ok((Verdict::Refused(reason), None));
    let place = (FigureSource::Outside(taking.source.clone()), Figure::Available);
    let recorded = work.audit(key).and_then(|audit| audit.open.get(&place));
    let is_as_recorded = recorded.is_some_and(|known| {
        (known.ours, known.theirs, known.version) == (taking.ours, Some(taking.theirs), taking.version)
    });
    let Some(row) = work.row(key) else { return Ok(IGNORED) };
    if !is_as_recorded || row.version != taking.version {
        return refused(Some(Reason::VersionMismatch));
    }
    let Some(change) = taking.theirs.checked_sub(taking.ours) else { return refused(None) };
    let is_too_much = change.unsigned_abs() > taking.max_amount.unsigned_abs();
    if is_too_much || (change.is_positive() && !taking.may_raise) {
        return refused(None);
    }
    let on_hand = row.counters.on_hand.saturating_add(change);
    if change.is_negative() && on_hand < row.counters.reserved() {
        return refused(Some(Reason::InsufficientStock));
    }
    if change.is_positive() && row.max_stock.is_some_and(|most| on_hand > most) {
        return refused(Some(Reason::OverMax));
    }
    work.add(key, Counters { on_hand: change, ..Counters::default() })?;
    settle(work, key, |known| *known == place);
    Ok(APPLIED)
}
