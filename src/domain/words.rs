//! The words of the contract: opaque texts, quantities, instants.

use std::fmt;
use std::sync::Arc;

/// Largest quantity that one line may carry (2,147,483,647 units): the contract's limit for lines.
pub const MAX_LINE_QUANTITY: i64 = i32::MAX as i64;
/// Longest SKU and location, in characters.
pub const MAX_SKU_CHARACTERS: usize = 100;
/// Longest reference or event id, in characters.
pub const MAX_REFERENCE_CHARACTERS: usize = 200;
/// Most lines in one event.
pub const MAX_LINES: usize = 10_000;
/// The location of a line that names none.
pub const DEFAULT_LOCATION: &str = "default";

macro_rules! opaque_text {
    ($(#[$about:meta])* $name:ident) => {
        $(#[$about])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is; limits are checked where it enters the process.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }
    };
}

opaque_text!(
    /// What is kept. Opaque: 1 to 100 characters.
    Sku
);
opaque_text!(
    /// Where it is kept. Opaque: 1 to 100 characters.
    Location
);
opaque_text!(
    /// The name of an order, a cart, a receipt or a shipment. Opaque: 1 to 200 characters.
    Reference
);

/// The key of a stock row. Its order is the order in which rows are locked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StockKey {
    /// What is kept.
    pub sku: Sku,
    /// Where it is kept.
    pub location: Location,
}

impl StockKey {
    /// A key from its two parts.
    pub fn new(sku: impl Into<Arc<str>>, location: impl Into<Arc<str>>) -> Self {
        Self { sku: Sku::new(sku), location: Location::new(location) }
    }
}

impl fmt::Display for StockKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.sku, self.location)
    }
}

/// An instant in microseconds since 1970-01-01T00:00:00Z. The domain never reads a clock: instants come in as values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This instant moved by whole seconds; saturates at the ends of the range.
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// The UTC day that holds this instant.
    pub fn day(self) -> Day {
        // The range of i64 microseconds spans less than i32 days.
        Day(self.0.div_euclid(86_400_000_000) as i32)
    }
}

/// A UTC day, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

/// One line of an event: a stock row and a number of units (never negative).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The row.
    pub key: StockKey,
    /// Units.
    pub quantity: i64,
}
