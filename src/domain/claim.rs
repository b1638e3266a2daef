//! A claim: the one row of a cart, an order or a receipt, with its state, version, lines and remembered events.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::event::{Cause, Event, Trace};
use super::words::{Reference, StockKey, Timestamp};

/// What a claim belongs to. The order of the variants is the order in which claims are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimKind {
    /// A cart.
    Cart,
    /// An order.
    Order,
    /// A receipt of goods: its lines are the natural keys that let each line count once.
    Receipt,
}

impl ClaimKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Cart, Self::Order, Self::Receipt];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cart => "cart",
            Self::Order => "order",
            Self::Receipt => "receipt",
        }
    }
}

/// The key of a claim. Its order is the order in which claims are locked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimKey {
    /// Cart, order or receipt.
    pub kind: ClaimKind,
    /// Its name.
    pub reference: Reference,
}

/// Where a claim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimState {
    /// An order of which only later events have come; they are remembered.
    Awaited,
    /// A cart that holds units.
    Held,
    /// A cart that holds nothing.
    Released,
    /// A cart that became an order.
    Converted,
    /// A cart or order whose time ran out.
    Expired,
    /// An order whose units are set aside.
    Reserved,
    /// A reserved order that is final.
    Confirmed,
    /// An order whose units left on_hand.
    Deducted,
    /// An order of which every line was shipped.
    Shipped,
    /// An order that got nothing.
    Refused,
    /// An order that was called off, perhaps before it came.
    Cancelled,
    /// A receipt.
    Received,
}

impl ClaimState {
    /// Every state.
    pub const ALL: [Self; 12] = [
        Self::Awaited,
        Self::Held,
        Self::Released,
        Self::Converted,
        Self::Expired,
        Self::Reserved,
        Self::Confirmed,
        Self::Deducted,
        Self::Shipped,
        Self::Refused,
        Self::Cancelled,
        Self::Received,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Awaited => "awaited",
            Self::Held => "held",
            Self::Released => "released",
            Self::Converted => "converted",
            Self::Expired => "expired",
            Self::Reserved => "reserved",
            Self::Confirmed => "confirmed",
            Self::Deducted => "deducted",
            Self::Shipped => "shipped",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Received => "received",
        }
    }

    /// The state that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What one claim holds of one stock row, in units. `reserved` and `deducted` are what it holds now; `released`,
/// `shipped` and `returned` only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ClaimLine {
    /// Asked for.
    pub requested: i64,
    /// Set aside now.
    pub reserved: i64,
    /// Taken out of on_hand and not given back.
    pub deducted: i64,
    /// Called off and given back, cumulatively.
    pub released: i64,
    /// Shipped, cumulatively; part of `deducted`.
    pub shipped: i64,
    /// Come back, cumulatively.
    pub returned: i64,
    /// Called off in parts and not given back, because it was shipped or never held: what tells a repetition of such a
    /// part from a further one.
    pub too_late: i64,
    /// Given back because time ran out: what a late confirmation or shipment asks for again.
    pub lapsed: i64,
    /// Asked for by the newest version when that version was refused and the order stayed as it was: what tells a
    /// repetition of it from another request.
    pub refused: i64,
    /// Given back because time ran out and told to be lost: the shop may have paid the money back, so that no later
    /// confirmation or shipment asks for them again.
    pub lost: i64,
    /// Not there when they were asked for, and waited for: the next units of the row that are nobody's go to whoever came
    /// first.
    pub waiting: i64,
}

impl ClaimLine {
    /// Units that the claim has, set aside or taken out.
    pub fn held(&self) -> i64 {
        self.reserved + self.deducted
    }

    /// Units that the claim has or waits for.
    pub fn standing(&self) -> i64 {
        self.held() + self.waiting
    }

    /// Whether the line is of the claim: asked for, or touched while it was. Others only remember what was refused.
    pub fn stands(&self) -> bool {
        self.requested > 0 || self.standing() > 0 || self.released > 0 || self.returned > 0
    }

    /// Units that were called off in parts, cumulatively, whatever could be given back of them.
    pub fn called_off(&self) -> i64 {
        self.released + self.too_late
    }

    /// Units that could still be shipped: held and not shipped yet.
    pub fn unshipped(&self) -> i64 {
        self.held() - self.shipped
    }

    /// Units that could still be called off: waited for, or held and not shipped.
    pub fn open(&self) -> i64 {
        self.waiting + self.unshipped()
    }
}

/// An event that came before its order and waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Its identity, for the answer that it gets when it takes effect.
    pub cause: Arc<Cause>,
    /// Its trace context.
    pub trace: Trace,
    /// A partial `order-cancelled`, an `order-confirmed` or an `order-shipped`.
    pub event: Event,
}

/// One cart, order or receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Kind and reference.
    pub key: ClaimKey,
    /// Where it stands.
    pub state: ClaimState,
    /// The highest version that took effect or was answered; 0 for an order that names none, `None` for a cart
    /// without versions.
    pub version: Option<i64>,
    /// The event time of the last update, which orders the updates of a cart without versions.
    pub updated_time: Option<Timestamp>,
    /// An order that was confirmed, even when its state says more.
    pub confirmed: bool,
    /// When a cart first held something.
    pub first_held_at: Option<Timestamp>,
    /// When what it holds is given back.
    pub expires_at: Option<Timestamp>,
    /// What it holds, by stock row.
    pub lines: BTreeMap<StockKey, ClaimLine>,
    /// The shipments that were counted.
    pub shipments: Vec<Reference>,
    /// Events that wait for the order.
    pub remembered: Vec<Remembered>,
    /// Raised by one with each write of the row; 0 when it is not stored yet. What a writer expects to find.
    pub revision: i64,
}

impl Claim {
    /// A claim that holds nothing and is not stored yet.
    pub fn new(key: ClaimKey, state: ClaimState) -> Self {
        Self {
            key,
            state,
            version: None,
            updated_time: None,
            confirmed: false,
            first_held_at: None,
            expires_at: None,
            lines: BTreeMap::new(),
            shipments: Vec::new(),
            remembered: Vec::new(),
            revision: 0,
        }
    }

    /// Whether a confirmation or a shipment came after the deadline and found the units gone. The shop was told so and
    /// may have paid the money back: from then on only a higher version can bring the order back. An order that only
    /// waited when its time ran out had nothing that could be got again.
    pub fn is_lost(&self) -> bool {
        let nothing_lapsed = || self.lines.values().all(|line| line.lapsed == 0);
        self.state == ClaimState::Expired && (self.lines.values().any(|line| line.lost > 0) || nothing_lapsed())
    }

    /// Whether any line waits for units.
    pub fn waits(&self) -> bool {
        self.lines.values().any(|line| line.waiting > 0)
    }

    /// Whether any line has units set aside.
    pub fn reserves(&self) -> bool {
        self.lines.values().any(|line| line.reserved > 0)
    }
}
