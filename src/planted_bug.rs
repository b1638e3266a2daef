//! Bugs that the simulation must find: each is what the core would do if one of its lines were missing. Nothing in a build
//! without the feature `planted-bugs`, and nothing with it until one is chosen.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// An identity that was seen before is judged again.
    InboxSkipped,
    /// The input is acknowledged before its transaction is committed.
    SettledBeforeCommit,
    /// A batch that could not be committed is given up, and the next one is taken.
    FailedBatchSkipped,
    /// A store gives a transaction its numbers before its last statement, and does not take them back when that fails.
    NumberGivenEarly,
    /// One row of an event gets no ledger entry.
    MovementMissing,
    /// Units that are called off stay set aside on their claim, so that they can be called off again.
    ReleasedTwice,
    /// A touch of a cart gives it its whole time again, however long it has held.
    DeadlineExtended,
    /// An expiry does not look again whether the deadline has moved.
    ExpiryUnchecked,
    /// A level is left upwards as soon as its threshold is passed.
    HysteresisForgotten,
    /// A change of level is announced twice.
    LowStockTwice,
    /// An order that is refused keeps the lines that would have fitted.
    RefusalGrants,
    /// A cancellation that overtakes its order leaves no trace.
    TombstoneForgotten,
    /// What overtook an order is applied in the order opposite to that in which it came.
    RememberedReversed,
    /// A cart that becomes an order keeps what it holds.
    ConvertedCartHolds,
    /// A cart takes an older version for a newer one.
    StaleCartAccepted,
    /// Announcements are published without how far publishing has come.
    ProgressForgotten,
    /// A relay that was fenced opens its sink again and goes on where it was.
    FenceIgnored,
    /// A batch that was handed over is published although one before it is missing.
    HandOverGap,
}

impl PlantedBug {
    /// Every bug.
    pub const ALL: [Self; 18] = [
        Self::InboxSkipped,
        Self::SettledBeforeCommit,
        Self::FailedBatchSkipped,
        Self::NumberGivenEarly,
        Self::MovementMissing,
        Self::ReleasedTwice,
        Self::DeadlineExtended,
        Self::ExpiryUnchecked,
        Self::HysteresisForgotten,
        Self::LowStockTwice,
        Self::RefusalGrants,
        Self::TombstoneForgotten,
        Self::RememberedReversed,
        Self::ConvertedCartHolds,
        Self::StaleCartAccepted,
        Self::ProgressForgotten,
        Self::FenceIgnored,
        Self::HandOverGap,
    ];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InboxSkipped => "inbox-skipped",
            Self::SettledBeforeCommit => "settled-before-commit",
            Self::FailedBatchSkipped => "failed-batch-skipped",
            Self::NumberGivenEarly => "number-given-early",
            Self::MovementMissing => "movement-missing",
            Self::ReleasedTwice => "released-twice",
            Self::DeadlineExtended => "deadline-extended",
            Self::ExpiryUnchecked => "expiry-unchecked",
            Self::HysteresisForgotten => "hysteresis-forgotten",
            Self::LowStockTwice => "low-stock-twice",
            Self::RefusalGrants => "refusal-grants",
            Self::TombstoneForgotten => "tombstone-forgotten",
            Self::RememberedReversed => "remembered-reversed",
            Self::ConvertedCartHolds => "converted-cart-holds",
            Self::StaleCartAccepted => "stale-cart-accepted",
            Self::ProgressForgotten => "progress-forgotten",
            Self::FenceIgnored => "fence-ignored",
            Self::HandOverGap => "hand-over-gap",
        }
    }

    /// The bug that a name names.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.as_str() == name)
    }
}

#[cfg(feature = "planted-bugs")]
mod chosen {
    use std::cell::Cell;

    use super::PlantedBug;

    // A simulation runs in one thread, and tests of several run beside each other.
    thread_local! {
        static CHOSEN: Cell<Option<PlantedBug>> = const { Cell::new(None) };
    }

    /// Has this thread run with a bug from now on, or with none.
    pub fn plant(bug: Option<PlantedBug>) {
        CHOSEN.set(bug);
    }

    /// The bug that this thread runs with.
    pub fn planted() -> Option<PlantedBug> {
        CHOSEN.get()
    }

    /// Whether this thread runs with a bug.
    pub fn is_planted(bug: PlantedBug) -> bool {
        planted() == Some(bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub use chosen::{is_planted, plant, planted};

/// No build without the feature has any.
#[cfg(not(feature = "planted-bugs"))]
#[inline]
pub const fn is_planted(_bug: PlantedBug) -> bool {
    false
}
