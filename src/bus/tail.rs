//! Reading what is published, on any bus.

use crate::domain::words::Timestamp;

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailStart {
    /// At the first record that the broker still has.
    Start,
    /// Behind everything that is there now.
    End,
    /// At the first record that is no older than this, by the broker's timestamps.
    Time(Timestamp),
}
