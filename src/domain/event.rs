//! What can happen: the input events after decoding, and the envelope that names one of them.

use std::sync::Arc;

use super::claim::{ClaimKey, ClaimKind};
use super::stock::Status;
use super::words::{Day, Line, Reference, StockKey, Timestamp};

/// The type of an event that stock rules know, and of the causes that this worker makes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// A placed order.
    OrderCreated,
    /// The whole content of a cart.
    CartUpdated,
    /// An order or a part of it is called off.
    OrderCancelled,
    /// An order is final.
    OrderConfirmed,
    /// Units left the house.
    OrderShipped,
    /// A stock row is created or its settings change.
    SkuRegistered,
    /// Units arrived.
    StockReceived,
    /// A claim is past its deadline: our own event.
    ClaimExpired,
}

impl EventType {
    /// Every type that arrives from outside, in the order of the contract.
    pub const INPUT: [Self; 7] = [
        Self::OrderCreated,
        Self::CartUpdated,
        Self::OrderCancelled,
        Self::OrderConfirmed,
        Self::OrderShipped,
        Self::SkuRegistered,
        Self::StockReceived,
    ];

    /// The type that a name on the wire names, our own causes included.
    pub fn parse(name: &str) -> Option<Self> {
        Self::INPUT.into_iter().chain([Self::ClaimExpired]).find(|known| known.as_str() == name)
    }

    /// The name on the wire, which is the unmapped name of its topic.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OrderCreated => "order-created",
            Self::CartUpdated => "cart-updated",
            Self::OrderCancelled => "order-cancelled",
            Self::OrderConfirmed => "order-confirmed",
            Self::OrderShipped => "order-shipped",
            Self::SkuRegistered => "sku-registered",
            Self::StockReceived => "stock-received",
            Self::ClaimExpired => "claim-expired",
        }
    }
}

/// Whether an order takes every line or what it can get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Policy {
    /// Every line or none.
    #[default]
    All,
    /// What is there; the rest is reported.
    Partial,
    /// What is there; the rest waits for units that come.
    Backorder,
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

/// A claim was found past its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimExpired {
    /// The claim.
    pub claim: ClaimKey,
    /// The deadline that was seen; a claim whose deadline moved since is left alone.
    pub deadline: Timestamp,
}

/// One decoded event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// See [`OrderCreated`].
    OrderCreated(OrderCreated),
    /// See [`CartUpdated`].
    CartUpdated(CartUpdated),
    /// See [`OrderCancelled`].
    OrderCancelled(OrderCancelled),
    /// The order is final.
    OrderConfirmed {
        /// The order.
        order: Reference,
    },
    /// See [`OrderShipped`].
    OrderShipped(OrderShipped),
    /// See [`SkuRegistered`].
    SkuRegistered(SkuRegistered),
    /// See [`StockReceived`].
    StockReceived(StockReceived),
    /// See [`ClaimExpired`].
    ClaimExpired(ClaimExpired),
}

impl Event {
    /// Its type.
    pub fn event_type(&self) -> EventType {
        match self {
            Self::OrderCreated(_) => EventType::OrderCreated,
            Self::CartUpdated(_) => EventType::CartUpdated,
            Self::OrderCancelled(_) => EventType::OrderCancelled,
            Self::OrderConfirmed { .. } => EventType::OrderConfirmed,
            Self::OrderShipped(_) => EventType::OrderShipped,
            Self::SkuRegistered(_) => EventType::SkuRegistered,
            Self::StockReceived(_) => EventType::StockReceived,
            Self::ClaimExpired(_) => EventType::ClaimExpired,
        }
    }

    /// The claim that this event is about, if it is about one.
    pub fn claim_key(&self) -> Option<ClaimKey> {
        let (kind, reference) = match self {
            Self::OrderCreated(event) => (ClaimKind::Order, &event.order),
            Self::OrderCancelled(event) => (ClaimKind::Order, &event.order),
            Self::OrderConfirmed { order } => (ClaimKind::Order, order),
            Self::OrderShipped(event) => (ClaimKind::Order, &event.order),
            Self::CartUpdated(event) => (ClaimKind::Cart, &event.cart),
            Self::StockReceived(event) => (ClaimKind::Receipt, &event.receipt),
            Self::ClaimExpired(event) => (event.claim.kind, &event.claim.reference),
            Self::SkuRegistered(_) => return None,
        };
        Some(ClaimKey { kind, reference: reference.clone() })
    }

    /// The cart that an order takes over.
    pub fn cart_key(&self) -> Option<ClaimKey> {
        match self {
            Self::OrderCreated(OrderCreated { cart: Some(cart), .. }) => {
                Some(ClaimKey { kind: ClaimKind::Cart, reference: cart.clone() })
            }
            _ => None,
        }
    }

    /// The stock rows that the event itself names; the rows of its claims come on top.
    pub fn stock_keys(&self) -> impl Iterator<Item = &StockKey> {
        let (lines, single): (&[Line], Option<&StockKey>) = match self {
            Self::OrderCreated(event) => (&event.lines, None),
            Self::CartUpdated(event) => (&event.lines, None),
            Self::StockReceived(event) => (&event.lines, None),
            Self::SkuRegistered(event) => (&[], Some(&event.key)),
            // These move only what their claim holds.
            Self::OrderCancelled(_) | Self::OrderConfirmed { .. } | Self::OrderShipped(_) | Self::ClaimExpired(_) => {
                (&[], None)
            }
        };
        lines.iter().map(|line| &line.key).chain(single)
    }
}

/// What made something happen: the identity of an input event, or of work of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The type.
    pub event_type: EventType,
    /// The event's id, unique within its source; 1 to 200 characters.
    pub id: Arc<str>,
    /// Who published it; 1 to 200 characters.
    pub source: Arc<str>,
    /// The order, cart or receipt that the event is about.
    pub reference: Option<Reference>,
}

/// W3C trace context, carried from a cause to what it causes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Trace {
    /// `traceparent`.
    pub parent: Option<Arc<str>>,
    /// `tracestate`.
    pub state: Option<Arc<str>>,
}

/// The 16 bytes under which an event's identity is filed within its source and day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey(pub [u8; 16]);

/// 64 bits of a digest of the decoded type and fields: the same for the same content in any encoding, on every
/// machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub i64);

/// When something was told, and by whose clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldAt {
    /// The time that the event itself carries.
    Publisher(Timestamp),
    /// The broker's timestamp, or that of the request: when the event arrived.
    Broker(Timestamp),
    /// Nobody knows.
    Unknown,
}

impl ToldAt {
    /// The time, whoever gave it.
    pub fn time(self) -> Option<Timestamp> {
        match self {
            Self::Publisher(time) | Self::Broker(time) => Some(time),
            Self::Unknown => None,
        }
    }
}

/// A decoded event with its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Type, id, source and reference.
    pub cause: Arc<Cause>,
    /// The id as a key.
    pub key: EventKey,
    /// The event's own time, else the broker's timestamp.
    pub told_at: ToldAt,
    /// The day by which the key is filed.
    pub day: Day,
    /// Digest of the content.
    pub fingerprint: Fingerprint,
    /// Trace context.
    pub trace: Trace,
    /// The content.
    pub event: Event,
}
