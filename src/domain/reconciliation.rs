//! What figures are compared with, and what a comparison finds: the nouns of reconciliation.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::stock::{Counters, StockRow};
use super::words::{StockKey, Timestamp};

/// Whose figure ours is compared with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FigureSource {
    /// Our own ledger: the sum of the movements.
    Ledger,
    /// Our own claims: what their lines set aside.
    Claims,
    /// Our own thresholds: the level that they call for.
    Thresholds,
    /// Another system, by its name.
    Outside(Arc<str>),
}

impl FigureSource {
    /// The parts of our own books.
    pub const INSIDE: [Self; 3] = [Self::Ledger, Self::Claims, Self::Thresholds];

    /// The source of this name: whatever is no part of our own books is another system.
    pub fn named(name: &str) -> Self {
        Self::INSIDE.into_iter().find(|part| part.as_str() == name).unwrap_or_else(|| Self::Outside(name.into()))
    }

    /// Its name, on the wire and in the database.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ledger => "ledger",
            Self::Claims => "claims",
            Self::Thresholds => "thresholds",
            Self::Outside(name) => name,
        }
    }

    /// Whether it is a part of our own books.
    pub fn is_inside(&self) -> bool {
        match self {
            Self::Ledger | Self::Claims | Self::Thresholds => true,
            Self::Outside(_) => false,
        }
    }
}

/// Which figure of a stock row is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Figure {
    /// Units physically there.
    OnHand,
    /// Units set aside for carts.
    CartHeld,
    /// Units set aside for orders.
    OrderReserved,
    /// Units kept back from sale.
    SafetyStock,
    /// The version of the row, with the number of its movements.
    Version,
    /// The level as a number, see [`Level::number`](super::stock::Level::number).
    Level,
    /// Units that can be promised.
    Available,
}

impl Figure {
    /// Every figure.
    pub const ALL: [Self; 7] = [
        Self::OnHand,
        Self::CartHeld,
        Self::OrderReserved,
        Self::SafetyStock,
        Self::Version,
        Self::Level,
        Self::Available,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnHand => "on_hand",
            Self::CartHeld => "cart_held",
            Self::OrderReserved => "order_reserved",
            Self::SafetyStock => "safety_stock",
            Self::Version => "version",
            Self::Level => "level",
            Self::Available => "available",
        }
    }

    /// The figure that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|figure| figure.as_str() == word)
    }
}

/// How a difference with another system was settled by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// Our figure counts and was sent again.
    UseOurs,
}

impl Resolution {
    /// Every resolution.
    pub const ALL: [Self; 1] = [Self::UseOurs];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UseOurs => "use_ours",
        }
    }

    /// The resolution that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resolution| resolution.as_str() == word)
    }
}

/// Who decided something by hand, and why; of what the settings decide there is no operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Who; 1 to 1,000 characters.
    pub operator: Option<Arc<str>>,
    /// Why; 1 to 1,000 characters.
    pub reason: Arc<str>,
}

/// What an open difference is known by. Its order is the order in which differences are written and listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DifferenceKey {
    /// The row.
    pub key: StockKey,
    /// Whose figure.
    pub source: FigureSource,
    /// Which figure.
    pub field: Figure,
}

/// A difference that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Our figure.
    pub ours: i64,
    /// The other figure; `None` when the other side has none, which is not 0.
    pub theirs: Option<i64>,
    /// The version of the row for which this was found.
    pub version: i64,
    /// Whether it is so large that people should look at once.
    pub is_alert: bool,
    /// How it was settled by us, and by whom.
    pub settled: Option<(Resolution, Decision)>,
    /// When it was found first.
    pub first_seen_at: Timestamp,
    /// When it was found last.
    pub last_seen_at: Timestamp,
}

impl Difference {
    /// By how much ours is above theirs, as far as 64 bits go; `None` when theirs is missing. While both figures move
    /// together, the difference is the same.
    pub fn amount(&self) -> Option<i64> {
        self.theirs.map(|theirs| self.ours.saturating_sub(theirs))
    }
}

/// What a comparison of a row with our own books finds in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which part of the books.
    pub source: FigureSource,
    /// Which figure.
    pub field: Figure,
    /// What the row says.
    pub ours: i64,
    /// What the books say.
    pub theirs: i64,
}

/// What the movements of one row say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The sum of all changes.
    pub sum: Counters,
    /// How many movements there are.
    pub movements: i64,
    /// How many different versions they have.
    pub versions: i64,
    /// The lowest version; 0 when there is none.
    pub first: i64,
    /// The highest version; 0 when there is none.
    pub last: i64,
}

impl Ledger {
    /// Whether every version from 1 to the last stands in it once: only then its sum tells what a row should be.
    pub fn is_whole(&self) -> bool {
        self.first == 1 && self.movements == self.last && self.versions == self.last
    }

    /// The same with one more movement.
    pub fn with(self, version: i64, change: &Counters) -> Self {
        Self {
            sum: Counters {
                on_hand: self.sum.on_hand.saturating_add(change.on_hand),
                cart_held: self.sum.cart_held.saturating_add(change.cart_held),
                order_reserved: self.sum.order_reserved.saturating_add(change.order_reserved),
                safety_stock: self.sum.safety_stock.saturating_add(change.safety_stock),
            },
            movements: self.movements + 1,
            versions: self.versions + 1,
            first: if self.movements == 0 { version } else { self.first.min(version) },
            last: self.last.max(version),
        }
    }
}

/// What our own books say of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The ledger.
    pub ledger: Ledger,
    /// What the lines of carts set aside.
    pub cart_held: i64,
    /// What the lines of orders set aside.
    pub order_reserved: i64,
}

/// What is loaded of a row to compare it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// What our own books say, where it was asked for: it costs the reading of every movement of the row.
    pub said: Option<Said>,
    /// The open differences of the row.
    pub open: BTreeMap<(FigureSource, Figure), Difference>,
}

impl Audit {
    /// Whether a difference with our own books is open.
    pub fn is_open_inside(&self) -> bool {
        self.open.keys().any(|(source, _)| source.is_inside())
    }
}

/// Why a row cannot be rebuilt from our own books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Irreparable {
    /// Movements are missing, or stand in the ledger twice.
    LedgerHasGaps(Ledger),
    /// The sum of the movements is no stock.
    NegativeSum(Counters),
}

impl fmt::Display for Irreparable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LedgerHasGaps(Ledger { movements, first, last, .. }) => write!(
                formatter,
                "its ledger has gaps and cannot be repaired: {movements} movements from version {first} to {last}; \
                 restore the ledger from a backup"
            ),
            Self::NegativeSum(sum) => write!(formatter, "the sum of its movements is negative: {sum:?}"),
        }
    }
}

impl Said {
    /// Where a row differs from the books, in a fixed order.
    pub fn findings(&self, row: &StockRow, ignore_cart_holds: bool) -> Vec<Finding> {
        let Counters { on_hand, cart_held, order_reserved, safety_stock } = row.counters;
        let sum = &self.ledger.sum;
        let level = row.level_called_for(ignore_cart_holds);
        // With a gap in the ledger the row may well be right; the number of movements tells which of both it is.
        let movements = if self.ledger.is_whole() { self.ledger.last } else { self.ledger.movements };
        [
            (FigureSource::Ledger, Figure::OnHand, on_hand, sum.on_hand),
            (FigureSource::Ledger, Figure::CartHeld, cart_held, sum.cart_held),
            (FigureSource::Ledger, Figure::OrderReserved, order_reserved, sum.order_reserved),
            (FigureSource::Ledger, Figure::SafetyStock, safety_stock, sum.safety_stock),
            (FigureSource::Ledger, Figure::Version, row.version, movements),
            (FigureSource::Claims, Figure::CartHeld, cart_held, self.cart_held),
            (FigureSource::Claims, Figure::OrderReserved, order_reserved, self.order_reserved),
            (FigureSource::Thresholds, Figure::Level, row.level.number(), level.number()),
        ]
        .into_iter()
        .filter(|(_, _, ours, theirs)| ours != theirs)
        .map(|(source, field, ours, theirs)| Finding { source, field, ours, theirs })
        .collect()
    }

    /// The row as subscribers saw it last, and the counters that it should have: what the ledger says, with what claims
    /// set aside. The difference of the two is what the correction changes. A counter that was changed behind our back
    /// is in no movement and was announced to nobody, so that correcting it changes nothing.
    pub fn rebuilt(&self, row: &StockRow) -> Result<(StockRow, Counters), Irreparable> {
        let Ledger { sum, last, .. } = self.ledger;
        if !self.ledger.is_whole() {
            return Err(Irreparable::LedgerHasGaps(self.ledger));
        }
        if sum.on_hand < 0 || sum.safety_stock < 0 {
            return Err(Irreparable::NegativeSum(sum));
        }
        let known = StockRow { counters: sum, version: last, ..row.clone() };
        let counters = Counters { cart_held: self.cart_held, order_reserved: self.order_reserved, ..sum };
        Ok((known, counters))
    }
}
