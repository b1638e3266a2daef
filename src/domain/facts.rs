//! What each event says. [`event`](super::event) names them all.

use std::sync::Arc;

use super::claim::ClaimKey;
use super::stock::Status;
use super::words::{Line, Reference, StockKey, Timestamp};

/// Whether an order takes every line or what it can get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Policy {
    /// Every line or none.
    #[default]
    All,
    /// What is there; the rest is reported.
    Partial,
}

/// `order-created`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderCreated {
    /// The order.
    pub order: Reference,
    /// Grows with each version of the same order; 0 when absent.
    pub version: Option<i64>,
    /// The cart that the order came from.
    pub cart: Option<Reference>,
    /// All or what is there.
    pub policy: Policy,
    /// Shortens the time that a reservation lives, in seconds.
    pub ttl_seconds: Option<i64>,
    /// One line a stock row (already summed), in order of first mention.
    pub lines: Vec<Line>,
}

/// `cart-updated`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CartUpdated {
    /// The cart.
    pub cart: Reference,
    /// Grows with each update; without it the event's time decides.
    pub version: Option<i64>,
    /// Shortens the time that the hold lives, in seconds.
    pub ttl_seconds: Option<i64>,
    /// The whole cart, one line a stock row; empty releases everything.
    pub lines: Vec<Line>,
}

/// `order-cancelled`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderCancelled {
    /// The order.
    pub order: Reference,
    /// A cancel with a version lower than the order's is stale; one without never is.
    pub version: Option<i64>,
    /// Why, for people.
    pub reason: Option<Arc<str>>,
    /// The cumulative cancelled quantity of each line; `None` cancels the whole order.
    pub lines: Option<Vec<Line>>,
}

/// `order-shipped`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderShipped {
    /// The order.
    pub order: Reference,
    /// Names this shipment; the same one counts once.
    pub shipment: Reference,
    /// What was shipped; `None` is everything that is left.
    pub lines: Option<Vec<Line>>,
}

/// `return-received`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnReceived {
    /// The return; each of its lines counts once.
    pub id: Reference,
    /// The order that the units were shipped for.
    pub order: Reference,
    /// One line a stock row.
    pub lines: Vec<Line>,
    /// Whether the units go back to on_hand.
    pub resellable: bool,
}

/// `sku-registered`. Fields that are `None` stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkuRegistered {
    /// The row.
    pub key: StockKey,
    /// A name for people.
    pub name: Option<Arc<str>>,
    /// Units kept back from sale.
    pub safety_stock: Option<i64>,
    /// At or below it the level is `low`.
    pub warning_threshold: Option<i64>,
    /// At or below it the level is `critical`.
    pub critical_threshold: Option<i64>,
    /// The most that corrections may raise on_hand to.
    pub max_stock: Option<i64>,
    /// Whether it may be sold.
    pub status: Option<Status>,
    /// Units on hand at creation; ignored later.
    pub initial: Option<i64>,
    /// A registration whose version is not above the last one is stale.
    pub version: Option<i64>,
}

/// `stock-received`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockReceived {
    /// The receipt; each of its lines counts once.
    pub receipt: Reference,
    /// One line a stock row.
    pub lines: Vec<Line>,
}

/// How the quantity of a correction is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdjustmentMode {
    /// So many units more.
    Increase,
    /// So many units fewer.
    Decrease,
    /// So many units from now on.
    Set,
}

impl AdjustmentMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Increase, Self::Decrease, Self::Set];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Increase => "increase",
            Self::Decrease => "decrease",
            Self::Set => "set",
        }
    }
}

/// `stock-adjusted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockAdjusted {
    /// The correction; it counts once.
    pub adjustment: Reference,
    /// The row.
    pub key: StockKey,
    /// How the quantity is meant.
    pub mode: AdjustmentMode,
    /// Units; 0 only with [`AdjustmentMode::Set`].
    pub quantity: i64,
    /// The row's version that the correction was made for. Another one refuses it; [`AdjustmentMode::Set`] needs it.
    pub expected_version: Option<i64>,
    /// Why, for people.
    pub reason: Arc<str>,
    /// Who made it, for people.
    pub operator: Option<Arc<str>>,
}

/// `stock-synced`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockSynced {
    /// The change; it counts once.
    pub trace: Reference,
    /// The row.
    pub key: StockKey,
    /// Units added or taken, signed and never 0.
    pub delta: i64,
    /// The order of the other system that caused it, for people.
    pub order: Option<Reference>,
    /// Why, for people.
    pub reason: Option<Arc<str>>,
}

/// `stock-counted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockCounted {
    /// The count; it counts once.
    pub count: Reference,
    /// The row.
    pub key: StockKey,
    /// Units that were found.
    pub quantity: i64,
    /// When they were found, by the clock of whoever counted.
    pub counted_at: Timestamp,
}

/// A claim was found past its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimExpired {
    /// The claim.
    pub claim: ClaimKey,
    /// The deadline that was seen; a claim whose deadline moved since is left alone.
    pub deadline: Timestamp,
}
