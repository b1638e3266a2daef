//! Whole workers as processes of their own, on every store and bus: this module stands below each of them.

mod alerts;
mod crashes;
mod page;
mod reconciliation;
mod replay;
mod stream;
