//! What is told to the world: changes of stock, levels, answers; and the ledger entry of each change.

use std::sync::Arc;

use super::claim::ClaimState;
use super::event::{Cause, Trace};
use super::stock::{Counters, Level, Snapshot};
use super::words::{Reference, StockKey, Timestamp};

/// What kind of request an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// An order event.
    Order,
    /// A cart event.
    Cart,
    /// A return.
    Return,
    /// A stock event that was refused in whole or in part.
    Stock,
}

impl AnswerKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Order, Self::Cart, Self::Return, Self::Stock];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Cart => "cart",
            Self::Return => "return",
            Self::Stock => "stock",
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerOutcome {
    /// Everything asked for.
    Granted,
    /// Some of it.
    Partial,
    /// Nothing of it.
    Refused,
    /// A part was given back.
    Released,
    /// The whole was called off.
    Cancelled,
    /// It is final.
    Confirmed,
    /// Units left the house.
    Shipped,
    /// Units came back.
    Returned,
    /// Its time ran out.
    Expired,
    /// It was confirmed too late: the units are gone.
    Lost,
    /// It contradicts what is known.
    Conflict,
}

impl AnswerOutcome {
    /// Every outcome, in the order of the contract.
    pub const ALL: [Self; 11] = [
        Self::Granted,
        Self::Partial,
        Self::Refused,
        Self::Released,
        Self::Cancelled,
        Self::Confirmed,
        Self::Shipped,
        Self::Returned,
        Self::Expired,
        Self::Lost,
        Self::Conflict,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Partial => "partial",
            Self::Refused => "refused",
            Self::Released => "released",
            Self::Cancelled => "cancelled",
            Self::Confirmed => "confirmed",
            Self::Shipped => "shipped",
            Self::Returned => "returned",
            Self::Expired => "expired",
            Self::Lost => "lost",
            Self::Conflict => "conflict",
        }
    }
}

/// Why a request or one of its lines did not get what it asked for. Ordered as the contract ranks them: of several
/// reasons the first is the answer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No such stock row.
    UnknownSku,
    /// The SKU is not active.
    NotSellable,
    /// The event is older than its own time to live.
    TooOld,
    /// More than one cart may hold.
    OverCap,
    /// Not enough available.
    InsufficientStock,
    /// More than the row may have.
    OverMax,
    /// The order was cancelled before.
    Cancelled,
    /// The claim is closed for good.
    Closed,
    /// The row is not at the expected version.
    VersionMismatch,
    /// The critical threshold is above the warning threshold.
    InvalidThresholds,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::UnknownSku,
        Self::NotSellable,
        Self::TooOld,
        Self::OverCap,
        Self::InsufficientStock,
        Self::OverMax,
        Self::Cancelled,
        Self::Closed,
        Self::VersionMismatch,
        Self::InvalidThresholds,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownSku => "unknown_sku",
            Self::NotSellable => "not_sellable",
            Self::TooOld => "too_old",
            Self::OverCap => "over_cap",
            Self::InsufficientStock => "insufficient_stock",
            Self::OverMax => "over_max",
            Self::Cancelled => "cancelled",
            Self::Closed => "closed",
            Self::VersionMismatch => "version_mismatch",
            Self::InvalidThresholds => "invalid_thresholds",
        }
    }
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerLine {
    /// The row.
    pub key: StockKey,
    /// Units asked for.
    pub requested: i64,
    /// Units that the request got.
    pub granted: i64,
    /// Units that the request could have had, its own cart's hold included; never below 0.
    pub available: i64,
    /// Why it got less than it asked for.
    pub reason: Option<Reason>,
    /// Units that the line waits for.
    pub waiting: i64,
}

/// The answer to a request: `reservation-result`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What kind of request.
    pub kind: AnswerKind,
    /// The order, cart or natural key.
    pub reference: Reference,
    /// The version that the request carried.
    pub request_version: Option<i64>,
    /// How it ended.
    pub outcome: AnswerOutcome,
    /// Where the claim stands afterwards; `None` for a stock event, which has no state.
    pub state: Option<ClaimState>,
    /// Why it did not get everything.
    pub reason: Option<Reason>,
    /// Line by line.
    pub lines: Vec<AnswerLine>,
    /// When what was granted is given back.
    pub expires_at: Option<Timestamp>,
}

/// The content of an announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnnouncementBody {
    /// `stock-changed`: a row moved from one version to the next.
    StockChanged {
        /// The row.
        key: StockKey,
        /// The version reached.
        version: i64,
        /// The row one version earlier.
        before: Snapshot,
        /// The row now.
        after: Snapshot,
    },
    /// `low-stock`: the level of a row changed.
    LowStock {
        /// The row.
        key: StockKey,
        /// The version at which it changed.
        version: i64,
        /// The level now.
        level: Level,
        /// The level before.
        previous_level: Level,
        /// Units available after the change, as the level is judged: without what carts hold where that is ignored.
        available: i64,
        /// The row's warning threshold, in units.
        warning_threshold: i64,
        /// The row's critical threshold, in units.
        critical_threshold: i64,
    },
    /// `reservation-result`: the answer to a request.
    ReservationResult(Answer),
}

/// One thing to publish. Its number and the moment of recording belong to the batch that carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// What made it happen.
    pub cause: Arc<Cause>,
    /// Trace context of the cause.
    pub trace: Trace,
    /// What happened.
    pub body: AnnouncementBody,
}

/// What a movement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovementKind {
    /// Settings changed or the row was created.
    Register,
    /// Units arrived.
    Restock,
    /// Units were set aside.
    Reserve,
    /// Units were given back.
    Release,
    /// Units left on_hand.
    Deduct,
}

impl MovementKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Register, Self::Restock, Self::Reserve, Self::Release, Self::Deduct];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Restock => "restock",
            Self::Reserve => "reserve",
            Self::Release => "release",
            Self::Deduct => "deduct",
        }
    }
}

/// One immutable ledger entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// The row.
    pub key: StockKey,
    /// The version reached.
    pub version: i64,
    /// What it did.
    pub kind: MovementKind,
    /// Signed differences.
    pub change: Counters,
    /// The numbers after it.
    pub after: Counters,
    /// What made it happen.
    pub cause: Arc<Cause>,
    /// Trace context of the cause.
    pub trace: Trace,
    /// Why, for people, where the event said so.
    pub reason: Option<Arc<str>>,
}
