//! Where state is kept: one adapter a database, and what is the same in all of them.
//!
//! An adapter holds connections, statements and locks. What a batch looks up and writes ([`batch`]), how rows read
//! ([`rows`], [`lines`], [`instant`]), what days and sources are ([`filing`]), where a page of stock is looked for
//! ([`stock_range`]), who waits for a row ([`waiting`]) and what is asked of a store beside its batches ([`upkeep`], [`verify`]) is written once, here.

mod any;
mod batch;
mod filing;
mod instant;
mod kept;
mod lines;
pub mod postgres;
mod rows;
pub mod sqlite;
mod stock_range;
mod upkeep;
mod verify;
mod waiting;

pub use any::AnyStore;
pub use upkeep::{MaintenanceReport, Migration, Retention, Upkeep};
pub use verify::{CHECKS, Difference, Verification};
