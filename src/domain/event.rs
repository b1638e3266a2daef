//! What can happen: the input events after decoding, and the envelope that names one of them.

use std::sync::Arc;

use super::claim::{ClaimKey, ClaimKind};
pub use super::facts::{
    AdjustmentMode, CartUpdated, ClaimExpired, OrderCancelled, OrderCreated, OrderShipped, Policy, ReturnReceived,
    SkuRegistered, StockAdjusted, StockCounted, StockReceived, StockSynced,
};
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
    /// Units of an order came back.
    ReturnReceived,
    /// A stock row is created or its settings change.
    SkuRegistered,
    /// Units arrived.
    StockReceived,
    /// Somebody corrects the units on hand.
    StockAdjusted,
    /// A system that does not reserve moved units.
    StockSynced,
    /// Somebody counted.
    StockCounted,
    /// A claim is past its deadline: our own event.
    ClaimExpired,
}

impl EventType {
    /// Every type that arrives from outside, in the order of the contract.
    pub const INPUT: [Self; 11] = [
        Self::OrderCreated,
        Self::CartUpdated,
        Self::OrderCancelled,
        Self::OrderConfirmed,
        Self::OrderShipped,
        Self::ReturnReceived,
        Self::SkuRegistered,
        Self::StockReceived,
        Self::StockAdjusted,
        Self::StockSynced,
        Self::StockCounted,
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
            Self::ReturnReceived => "return-received",
            Self::SkuRegistered => "sku-registered",
            Self::StockReceived => "stock-received",
            Self::StockAdjusted => "stock-adjusted",
            Self::StockSynced => "stock-synced",
            Self::StockCounted => "stock-counted",
            Self::ClaimExpired => "claim-expired",
        }
    }
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
    /// See [`ReturnReceived`].
    ReturnReceived(ReturnReceived),
    /// See [`SkuRegistered`].
    SkuRegistered(SkuRegistered),
    /// See [`StockReceived`].
    StockReceived(StockReceived),
    /// See [`StockAdjusted`].
    StockAdjusted(StockAdjusted),
    /// See [`StockSynced`].
    StockSynced(StockSynced),
    /// See [`StockCounted`].
    StockCounted(StockCounted),
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
            Self::ReturnReceived(_) => EventType::ReturnReceived,
            Self::SkuRegistered(_) => EventType::SkuRegistered,
            Self::StockReceived(_) => EventType::StockReceived,
            Self::StockAdjusted(_) => EventType::StockAdjusted,
            Self::StockSynced(_) => EventType::StockSynced,
            Self::StockCounted(_) => EventType::StockCounted,
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
            Self::ReturnReceived(event) => (ClaimKind::Return, &event.id),
            Self::StockAdjusted(event) => (ClaimKind::Adjustment, &event.adjustment),
            Self::StockSynced(event) => (ClaimKind::Sync, &event.trace),
            Self::StockCounted(event) => (ClaimKind::Count, &event.count),
            Self::ClaimExpired(event) => (event.claim.kind, &event.claim.reference),
            Self::SkuRegistered(_) => return None,
        };
        Some(ClaimKey { kind, reference: reference.clone() })
    }

    /// A second claim that the event touches: the cart that an order takes over, the order that a return is of.
    pub fn other_claim_key(&self) -> Option<ClaimKey> {
        let (kind, reference) = match self {
            Self::OrderCreated(event) => (ClaimKind::Cart, event.cart.as_ref()?),
            Self::ReturnReceived(event) => (ClaimKind::Order, &event.order),
            Self::CartUpdated(_)
            | Self::OrderCancelled(_)
            | Self::OrderConfirmed { .. }
            | Self::OrderShipped(_)
            | Self::SkuRegistered(_)
            | Self::StockReceived(_)
            | Self::StockAdjusted(_)
            | Self::StockSynced(_)
            | Self::StockCounted(_)
            | Self::ClaimExpired(_) => return None,
        };
        Some(ClaimKey { kind, reference: reference.clone() })
    }

    /// The row and the instant of a count: what stood there then decides what it changes now.
    pub fn counted(&self) -> Option<(&StockKey, Timestamp)> {
        let Self::StockCounted(event) = self else { return None };
        Some((&event.key, event.counted_at))
    }

    /// The row that the event may leave with less on hand than is reserved: what it tells is what there is, whatever
    /// was promised.
    pub fn may_leave_short(&self) -> Option<&StockKey> {
        match self {
            Self::StockCounted(event) => Some(&event.key),
            Self::StockSynced(event) => Some(&event.key),
            Self::OrderCreated(_)
            | Self::CartUpdated(_)
            | Self::OrderCancelled(_)
            | Self::OrderConfirmed { .. }
            | Self::OrderShipped(_)
            | Self::ReturnReceived(_)
            | Self::SkuRegistered(_)
            | Self::StockReceived(_)
            | Self::StockAdjusted(_)
            | Self::ClaimExpired(_) => None,
        }
    }

    /// Why, for people, where the event says so.
    pub fn reason(&self) -> Option<&Arc<str>> {
        match self {
            Self::OrderCancelled(event) => event.reason.as_ref(),
            Self::StockAdjusted(event) => Some(&event.reason),
            Self::StockSynced(event) => event.reason.as_ref(),
            Self::OrderCreated(_)
            | Self::CartUpdated(_)
            | Self::OrderConfirmed { .. }
            | Self::OrderShipped(_)
            | Self::ReturnReceived(_)
            | Self::SkuRegistered(_)
            | Self::StockReceived(_)
            | Self::StockCounted(_)
            | Self::ClaimExpired(_) => None,
        }
    }

    /// Who did it, for people, where the event says so.
    pub fn operator(&self) -> Option<&Arc<str>> {
        let Self::StockAdjusted(event) = self else { return None };
        event.operator.as_ref()
    }

    /// The stock rows that the event itself names; the rows of its claims come on top.
    pub fn stock_keys(&self) -> impl Iterator<Item = &StockKey> {
        let (lines, single): (&[Line], Option<&StockKey>) = match self {
            Self::OrderCreated(event) => (&event.lines, None),
            Self::CartUpdated(event) => (&event.lines, None),
            Self::StockReceived(event) => (&event.lines, None),
            Self::SkuRegistered(event) => (&[], Some(&event.key)),
            Self::StockAdjusted(event) => (&[], Some(&event.key)),
            Self::StockSynced(event) => (&[], Some(&event.key)),
            Self::StockCounted(event) => (&[], Some(&event.key)),
            // These move only what their claim, or that of their order, has.
            Self::OrderCancelled(_)
            | Self::OrderConfirmed { .. }
            | Self::OrderShipped(_)
            | Self::ReturnReceived(_)
            | Self::ClaimExpired(_) => (&[], None),
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
    /// The order, cart or other natural key that the event is about.
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
