//! What comes out: verdicts, movements, announcements, as plain data.

use super::inputs::{Cause, Place};

/// How an event ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It took effect, at least in part, or is remembered until it can.
    Applied,
    /// It was answered with a refusal, a conflict or a loss.
    Refused(Option<&'static str>),
    /// Stale, or the same fact again.
    Ignored,
    /// It cannot be believed.
    DeadLettered(&'static str),
}

/// The four numbers of a row, in units; as a change, signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Physically there.
    pub on_hand: i64,
    /// For carts.
    pub cart_held: i64,
    /// For orders.
    pub order_reserved: i64,
    /// Kept back.
    pub safety_stock: i64,
}

impl Numbers {
    /// `reserved` of the contract.
    pub fn reserved(&self) -> i64 {
        self.cart_held + self.order_reserved
    }

    /// `available` of the contract.
    pub fn available(&self) -> i64 {
        self.on_hand - self.reserved() - self.safety_stock
    }

    /// What leads from `before` to this.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            on_hand: self.on_hand - before.on_hand,
            cart_held: self.cart_held - before.cart_held,
            order_reserved: self.order_reserved - before.order_reserved,
            safety_stock: self.safety_stock - before.safety_stock,
        }
    }
}

/// A ledger entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// The row.
    pub place: Place,
    /// The version reached.
    pub version: i64,
    /// `register`, `restock`, `reserve`, `release`, `deduct`, `adjust`, `count`, `return`.
    pub kind: &'static str,
    /// Signed differences.
    pub change: Numbers,
    /// Afterwards.
    pub after: Numbers,
    /// Why it happened.
    pub cause: Cause,
    /// For people.
    pub reason: Option<String>,
    /// For people.
    pub operator: Option<String>,
}

/// A row as a subscriber sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its numbers.
    pub numbers: Numbers,
    /// `active`, `inactive`, `locked`.
    pub status: &'static str,
    /// `unstocked`, `normal`, `low`, `critical`, `out`.
    pub level: &'static str,
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerLine {
    /// The row.
    pub place: Place,
    /// Units asked for.
    pub requested: i64,
    /// Units got.
    pub granted: i64,
    /// Units that it could have had.
    pub available: i64,
    /// Units that wait to be granted.
    pub waiting: i64,
    /// Why less.
    pub reason: Option<&'static str>,
}

/// `reservation-result`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `order`, `cart`, `return`, `stock`.
    pub kind: &'static str,
    /// The claim or the natural key.
    pub reference: String,
    /// As the request told it.
    pub request_version: Option<i64>,
    /// The word of the contract.
    pub outcome: &'static str,
    /// Where the claim stands.
    pub state: Option<&'static str>,
    /// The first of the lines' reasons.
    pub reason: Option<&'static str>,
    /// Line by line.
    pub lines: Vec<AnswerLine>,
    /// When it is given back.
    pub expires_at: Option<i64>,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// `stock-changed`.
    Changed { place: Place, version: i64, before: Seen, after: Seen },
    /// `low-stock`.
    Low {
        place: Place,
        version: i64,
        from: &'static str,
        to: &'static str,
        available: i64,
        warning: i64,
        critical: i64,
    },
    /// `reservation-result`.
    Answer(Answer),
    /// `stock-shortage`, with (kind, reference, reserved).
    Shortage { place: Place, on_hand: i64, reserved: i64, short: i64, claims: Vec<(&'static str, String, i64)> },
}

/// One announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Why.
    pub cause: Cause,
    /// What.
    pub body: Body,
}

/// Everything that one event did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub ended: Ended,
    /// Ledger entries in order.
    pub movements: Vec<Movement>,
    /// Announcements in order.
    pub announcements: Vec<Announcement>,
}

/// Reasons in the order in which the contract ranks them.
const RANK: [&str; 10] = [
    "unknown_sku",
    "not_sellable",
    "too_old",
    "over_cap",
    "insufficient_stock",
    "over_max",
    "cancelled",
    "closed",
    "version_mismatch",
    "invalid_thresholds",
];

/// Of several reasons the first in rank.
pub fn first_reason(lines: &[AnswerLine]) -> Option<&'static str> {
    RANK.into_iter().find(|reason| lines.iter().any(|line| line.reason == Some(reason)))
}
