//! The state table of orders: the one place that says what an event may do to an order in each state.

use crate::domain::claim::ClaimState;

/// What happens to an order. Versions and lines are compared before or after, as each step says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// `order-created`, not stale.
    Created(Comparison),
    /// `order-confirmed`.
    Confirmed,
    /// `order-shipped` with a new shipment id.
    Shipped,
    /// `order-cancelled` of the whole order, not stale.
    CancelledWhole,
    /// `order-cancelled` of some quantities, not stale.
    CancelledPart,
    /// The deadline has passed.
    Expiry,
}

/// How a creation compares with what the claim knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// No creation has come before.
    First,
    /// The same lines, at the same version.
    SameLines,
    /// The same lines, at a higher version.
    SameLinesHigher,
    /// Other lines at the same version.
    OtherLines,
    /// Other lines at a higher version.
    OtherLinesHigher,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Change nothing, answer nothing.
    Nothing,
    /// Only the version is recorded.
    RecordVersion,
    /// Keep the event for the order that will come.
    Remember,
    /// Keep the cancellation for the order that will come.
    Tombstone,
    /// Try to get every line; a refusal is final for this version.
    Attempt,
    /// Apply the difference, all of it or nothing.
    Change,
    /// The order was cancelled before it came.
    RefuseAsCancelled,
    /// It is final: end its expiry, and deduct when the shop deducts on confirmation.
    Confirm,
    /// Only the confirmation is recorded.
    RecordConfirmation,
    /// Mark lines shipped and deduct what is still reserved of them.
    Ship,
    /// Get the units again that time took away, then go on; or tell that they are lost.
    ReserveAgain,
    /// Give back what is held and not shipped; the order is closed.
    CancelWhole,
    /// Give back the part.
    CancelPart,
    /// Nothing is held that a part could give back: say so.
    NothingToRelease,
    /// Give back what is reserved.
    Expire,
    /// It contradicts what is known.
    Conflict,
    /// It contradicts what is known: the order is closed.
    Closed,
}

/// The table of semantics 4. `state` is `None` when no claim exists.
pub(crate) fn step(state: Option<ClaimState>, trigger: Trigger) -> Step {
    use ClaimState as S;
    use Comparison::{First, OtherLines, OtherLinesHigher, SameLines, SameLinesHigher};
    let Some(state) = state else {
        return match trigger {
            Trigger::Created(_) => Step::Attempt,
            Trigger::Confirmed | Trigger::Shipped | Trigger::CancelledPart => Step::Remember,
            Trigger::CancelledWhole => Step::Tombstone,
            Trigger::Expiry => Step::Nothing,
        };
    };
    match (state, trigger) {
        (S::Awaited, trigger) => step(None, trigger),

        (S::Cancelled, Trigger::Created(First)) => Step::RefuseAsCancelled,
        (_, Trigger::Created(First)) => Step::Attempt,
        (_, Trigger::Created(SameLines)) => Step::Nothing,
        (S::Refused | S::Expired, Trigger::Created(SameLinesHigher | OtherLinesHigher)) => Step::Attempt,
        (_, Trigger::Created(SameLinesHigher)) => Step::RecordVersion,
        (S::Cancelled, Trigger::Created(OtherLines | OtherLinesHigher)) => Step::Closed,
        (S::Shipped, Trigger::Created(OtherLines | OtherLinesHigher)) => Step::Conflict,
        (_, Trigger::Created(OtherLines)) => Step::Conflict,
        (_, Trigger::Created(OtherLinesHigher)) => Step::Change,

        (S::Reserved, Trigger::Confirmed) => Step::Confirm,
        (S::Confirmed, Trigger::Confirmed) => Step::Nothing,
        (S::Deducted | S::Shipped, Trigger::Confirmed) => Step::RecordConfirmation,
        (S::Expired, Trigger::Confirmed | Trigger::Shipped) => Step::ReserveAgain,
        (S::Refused, Trigger::Confirmed | Trigger::Shipped) => Step::Conflict,
        (S::Cancelled, Trigger::Confirmed | Trigger::Shipped) => Step::Closed,

        (S::Reserved | S::Confirmed | S::Deducted, Trigger::Shipped) => Step::Ship,
        (S::Shipped, Trigger::Shipped) => Step::Conflict,

        (S::Reserved | S::Confirmed | S::Deducted | S::Expired | S::Refused, Trigger::CancelledWhole) => {
            Step::CancelWhole
        }
        (S::Reserved | S::Confirmed | S::Deducted, Trigger::CancelledPart) => Step::CancelPart,
        (S::Expired | S::Refused, Trigger::CancelledPart) => Step::NothingToRelease,
        (S::Shipped, Trigger::CancelledWhole | Trigger::CancelledPart) => Step::Conflict,
        (S::Cancelled, Trigger::CancelledWhole | Trigger::CancelledPart) => Step::Nothing,

        (S::Reserved, Trigger::Expiry) => Step::Expire,
        (S::Confirmed | S::Deducted | S::Shipped | S::Expired | S::Refused | S::Cancelled, Trigger::Expiry) => {
            Step::Nothing
        }

        // States of carts and receipts never stand on the claim of an order.
        (S::Held | S::Released | S::Converted | S::Received, _) => Step::Conflict,
    }
}
