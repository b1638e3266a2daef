//! What can be asked without changing anything.

use std::future::Future;
use std::sync::Arc;

use super::OutboxBatch;
use crate::domain::announce::MovementKind;
use crate::domain::claim::{Claim, ClaimKey, ClaimState};
use crate::domain::event::{Cause, Trace};
use crate::domain::reconciliation::{Difference, DifferenceKey, FigureSource};
use crate::domain::stock::{Counters, StockRow};
use crate::domain::words::{Location, Sku, StockKey, Timestamp};

/// Which stock rows a list shows; an empty filter shows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StockFilter {
    /// Only these SKUs; every SKU when empty.
    pub skus: Vec<Sku>,
    /// Only SKUs that begin with this text, letter by letter.
    pub prefix: Option<Sku>,
    /// Only this location.
    pub location: Option<Location>,
}

/// An open claim that has units of one stock row set aside, as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderView {
    /// The claim.
    pub key: ClaimKey,
    /// Set aside of this row now, in units; at least 1.
    pub reserved: i64,
    /// Where the claim stands.
    pub state: ClaimState,
    /// Since when it holds units of this row without a break, by the database's clock; `None` for what was set aside
    /// before stores kept this.
    pub held_since: Option<Timestamp>,
    /// When it is given back by itself; `None` when it is not.
    pub expires_at: Option<Timestamp>,
}

/// A place in a list of holders: behind this claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderPlace {
    /// Since when it holds.
    pub held_since: Option<Timestamp>,
    /// Its key.
    pub key: ClaimKey,
}

/// What the ledger knows of a row at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StockAsOf {
    /// The row as a movement left it: one that was recorded at or before the instant and whose successor, if it has one,
    /// was recorded after it.
    At {
        /// The version that the movement reached.
        version: i64,
        /// The numbers after it, in units.
        counters: Counters,
        /// When it was recorded.
        recorded_at: Timestamp,
    },
    /// Nothing is known of the row as early as that.
    Before {
        /// When its first movement was recorded.
        first: Timestamp,
    },
    /// The instant has not come.
    Ahead {
        /// The database's clock.
        now: Timestamp,
    },
    /// There is no such row.
    Unknown,
}

/// Which open differences a list shows; an empty filter shows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DifferenceFilter {
    /// Only those with this source.
    pub source: Option<FigureSource>,
    /// Only those of this SKU.
    pub sku: Option<Sku>,
}

/// How many differences are open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DifferenceCount {
    /// With which source.
    pub source: FigureSource,
    /// All of them.
    pub open: i64,
    /// Those that people should look at at once.
    pub alerts: i64,
}

/// How far publishing has come, by the mark in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishedMark {
    /// The last batch that is marked as published; 0 before the first.
    pub number: i64,
    /// The last `seq` that is marked as published; 0 before the first.
    pub seq: i64,
}

/// Where in the outbox stands what follows an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxPlace {
    /// Behind the batch of this number.
    Behind(i64),
    /// Some of what follows is not kept any more.
    Dropped,
    /// The announcement's number was never given.
    NotGiven,
}

/// How much of the outbox one answer may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimit {
    /// Batches.
    pub batches: u32,
    /// Announcements; the batch that crosses the line is still shown.
    pub announcements: u32,
}

/// One ledger entry as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovementView {
    /// The version that the row reached.
    pub version: i64,
    /// What it did.
    pub kind: MovementKind,
    /// Signed differences, in units.
    pub change: Counters,
    /// The numbers after it, in units.
    pub after: Counters,
    /// What made it happen.
    pub cause: Cause,
    /// Why, for people.
    pub reason: Option<Arc<str>>,
    /// Who did it, where a person did.
    pub operator: Option<Arc<str>>,
    /// Trace context of the cause.
    pub trace: Trace,
    /// When it was recorded, by the database's clock.
    pub recorded_at: Timestamp,
}

/// A claim as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimView {
    /// The claim with its lines.
    pub claim: Claim,
    /// The last answer to it: the body of a `reservation-result`.
    pub answer: Option<serde_json::Value>,
}

/// What can be asked of the store without changing anything. Every answer is of one moment. Implementations run one
/// statement outside of any transaction for each, so that a cancelled question leaves nothing behind.
pub trait Queries: Send + Sync + 'static {
    /// One stock row.
    fn stock(&self, key: &StockKey) -> impl Future<Output = Result<Option<StockRow>, QueryError>> + Send;

    /// Stock rows behind `after`, in the order of their keys by bytes, at most `limit`.
    fn stock_page(
        &self,
        filter: &StockFilter,
        after: Option<&StockKey>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StockRow>, QueryError>> + Send;

    /// Movements of one row below `before_version`, the newest first, at most `limit`; none for a row that is not
    /// there.
    fn movements(
        &self,
        key: &StockKey,
        before_version: Option<i64>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<MovementView>, QueryError>> + Send;

    /// One cart, order or receipt.
    fn claim(&self, key: &ClaimKey) -> impl Future<Output = Result<Option<ClaimView>, QueryError>> + Send;

    /// The row as it stood at an instant, by the ledger. Versions order the ledger, and the database's clock dates it:
    /// where the clock was set back, so that a later version has an earlier instant, several versions are the newest
    /// one at an instant, and the answer is one of them. Takes as many look-ups as halving the versions does.
    fn stock_as_of(
        &self,
        key: &StockKey,
        instant: Timestamp,
    ) -> impl Future<Output = Result<StockAsOf, QueryError>> + Send;

    /// The open claims that have units of a row set aside, at most `limit`: who holds them for the shortest time first,
    /// those of whom that is not known last, equals by kind and then by reference by bytes. None for a row that is not
    /// there.
    fn holders(
        &self,
        key: &StockKey,
        after: Option<&HolderPlace>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<HolderView>, QueryError>> + Send;

    /// How far publishing has come.
    fn published_mark(&self) -> impl Future<Output = Result<PublishedMark, QueryError>> + Send;

    /// Where in the outbox the announcements behind `seq` stand, whether or not they are published. 0 asks for all.
    fn outbox_place(&self, seq: i64) -> impl Future<Output = Result<OutboxPlace, QueryError>> + Send;

    /// Batches behind `number` that are marked as published, in order without a hole. None when there are none, and
    /// none when the first of them is not kept any more.
    fn published_behind(
        &self,
        number: i64,
        limit: OutboxLimit,
    ) -> impl Future<Output = Result<Vec<OutboxBatch>, QueryError>> + Send;

    /// Open differences behind `after`, in the order of SKU, location, source and field by bytes, at most `limit`.
    fn differences(
        &self,
        filter: &DifferenceFilter,
        after: Option<&DifferenceKey>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(DifferenceKey, Difference)>, QueryError>> + Send;

    /// How many differences are open, by source, in the order of their names.
    fn difference_counts(&self) -> impl Future<Output = Result<Vec<DifferenceCount>, QueryError>> + Send;

    /// Whether the store answers.
    fn ping(&self) -> impl Future<Output = Result<(), QueryError>> + Send;
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The store is away or overloaded: ask again later.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// The store holds something that cannot be, or this program asks wrongly.
    #[error("{0}")]
    Broken(String),
}
