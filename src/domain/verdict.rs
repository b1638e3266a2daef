//! How an event ended, for the inbox and for the caller.

use super::announce::Reason;

/// The verdict on an event that could be understood and was not seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It took effect, at least in part.
    Applied,
    /// It was answered with a refusal, a conflict or a loss; `None` where the contract names no reason.
    Refused(Option<Reason>),
    /// It was recorded and changes nothing: stale, or the same fact again.
    Ignored,
}
