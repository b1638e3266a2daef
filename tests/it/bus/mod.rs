//! What every bus owes the engine and the relay: this module stands below each of them.

mod carriage;
mod delivery;
mod members;
mod replay;
mod sink;
mod tail;
mod topics;

use super::Bus;
