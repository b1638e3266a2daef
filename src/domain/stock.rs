//! A stock row: what is kept of one SKU at one location, and how its level is judged.

use std::sync::Arc;

use super::words::{StockKey, Timestamp};
use crate::planted_bug::{PlantedBug, is_planted};

/// Whether units of a SKU may be promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Status {
    /// It may be reserved and sold.
    #[default]
    Active,
    /// Not offered: new reservations and sales are refused.
    Inactive,
    /// Stopped, for instance by a recall: new reservations and sales are refused.
    Locked,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Active, Self::Inactive, Self::Locked];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Locked => "locked",
        }
    }

    /// The status that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// How much is left to promise, in steps that people act on. Ordered from the emptiest up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing available.
    Out,
    /// At or below the critical threshold.
    Critical,
    /// At or below the warning threshold.
    Low,
    /// Above every threshold.
    Normal,
    /// Never had a unit.
    Unstocked,
}

impl Level {
    /// Every level.
    pub const ALL: [Self; 5] = [Self::Unstocked, Self::Normal, Self::Low, Self::Critical, Self::Out];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unstocked => "unstocked",
            Self::Normal => "normal",
            Self::Low => "low",
            Self::Critical => "critical",
            Self::Out => "out",
        }
    }

    /// The level that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }

    /// The level as a figure, from the emptiest up: what a difference of levels is told in.
    pub fn number(self) -> i64 {
        match self {
            Self::Out => 0,
            Self::Critical => 1,
            Self::Low => 2,
            Self::Normal => 3,
            Self::Unstocked => 4,
        }
    }
}

/// The four numbers of a row, in units. As a change, they are signed differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Units physically there.
    pub on_hand: i64,
    /// Units set aside for carts.
    pub cart_held: i64,
    /// Units set aside for placed orders.
    pub order_reserved: i64,
    /// Units kept back from sale.
    pub safety_stock: i64,
}

impl Counters {
    /// Units set aside, for carts and orders together.
    pub fn reserved(&self) -> i64 {
        self.cart_held + self.order_reserved
    }

    /// Units that can be promised now; negative while a row is short.
    pub fn available(&self) -> i64 {
        self.on_hand - self.reserved() - self.safety_stock
    }

    /// What must be added to `before` to get these counters.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            on_hand: self.on_hand - before.on_hand,
            cart_held: self.cart_held - before.cart_held,
            order_reserved: self.order_reserved - before.order_reserved,
            safety_stock: self.safety_stock - before.safety_stock,
        }
    }
}

/// What a subscriber sees of a row at one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The four numbers.
    pub counters: Counters,
    /// Whether it may be sold.
    pub status: Status,
    /// The stored level.
    pub level: Level,
}

impl Snapshot {
    /// What stands before version 1: every number 0.
    pub const NOTHING: Self = Self {
        counters: Counters { on_hand: 0, cart_held: 0, order_reserved: 0, safety_stock: 0 },
        status: Status::Active,
        level: Level::Unstocked,
    };
}

/// One stock row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockRow {
    /// SKU and location.
    pub key: StockKey,
    /// A name for people.
    pub name: Option<Arc<str>>,
    /// The four numbers, in units.
    pub counters: Counters,
    /// At or below it the level is `low`, in units.
    pub warning_threshold: i64,
    /// At or below it the level is `critical`, in units.
    pub critical_threshold: i64,
    /// The most that corrections may raise on_hand to, in units.
    pub max_stock: Option<i64>,
    /// Whether it may be sold.
    pub status: Status,
    /// The level that was announced last.
    pub level: Level,
    /// Raised by one with every change; 1 when the row is created.
    pub version: i64,
    /// The version of the last registration that carried one.
    pub sku_version: Option<i64>,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// Units that orders wait for. No counter: it raises no version and is not announced.
    pub waiting: i64,
}

impl StockRow {
    /// What a subscriber sees.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { counters: self.counters, status: self.status, level: self.level }
    }

    /// The level that the row should have as it stands.
    pub fn level_called_for(&self, ignore_cart_holds: bool) -> Level {
        let held = if ignore_cart_holds { self.counters.cart_held } else { 0 };
        self.next_level(self.counters.available() + held)
    }

    /// The level that the numbers call for, without memory: what a changed threshold is judged by.
    pub fn plain_level(&self, available: i64) -> Level {
        if available <= 0 {
            Level::Out
        } else if available <= self.critical_threshold {
            Level::Critical
        } else if available <= self.warning_threshold {
            Level::Low
        } else {
            Level::Normal
        }
    }

    /// The level after a change of the numbers: downwards at once; upwards each level passed is left only when
    /// `available` has risen by a tenth of its threshold (rounded up, at least one unit) above it. A row stays
    /// `unstocked` until its first unit is on hand.
    pub fn next_level(&self, available: i64) -> Level {
        let plain = self.plain_level(available);
        match self.level {
            Level::Unstocked if self.counters.on_hand == 0 => Level::Unstocked,
            Level::Unstocked => plain,
            current if plain <= current || is_planted(PlantedBug::HysteresisForgotten) => plain,
            current => self.climb(current, available),
        }
    }

    /// How far `available` leads up from a level.
    fn climb(&self, current: Level, available: i64) -> Level {
        let mut reached = current;
        loop {
            let (threshold, next) = match reached {
                Level::Out => (0, Level::Critical),
                Level::Critical => (self.critical_threshold, Level::Low),
                Level::Low => (self.warning_threshold, Level::Normal),
                Level::Normal | Level::Unstocked => return reached,
            };
            let margin = 1.max((threshold + 9) / 10);
            if available < threshold + margin {
                return reached;
            }
            reached = next;
        }
    }
}
