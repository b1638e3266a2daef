//! Where state is kept: one adapter a database, and what is the same in all of them.
//!
//! An adapter holds connections, statements and locks. What a batch looks up and writes ([`batch`]), how rows read
//! ([`rows`], [`lines`], [`instant`]), what days and sources are ([`filing`]), where a page of stock is looked for
//! ([`stock_range`]), who waits for a row ([`waiting`]), what a batch makes of alerts ([`alerts`]), what a row was at an
//! instant ([`as_of`]), what rows are compared with ([`audits`]) and what is asked of a store beside its batches ([`upkeep`],
//! [`verify`]) is written once, here.

#[cfg(feature = "adapters")]
mod alerts;
#[cfg(feature = "adapters")]
mod any;
#[cfg(feature = "adapters")]
mod as_of;
#[cfg(feature = "adapters")]
mod audits;
#[cfg(feature = "adapters")]
mod batch;
#[cfg(feature = "adapters")]
mod filing;
#[cfg(feature = "adapters")]
mod instant;
#[cfg(feature = "adapters")]
mod kept;
pub mod lines;
#[cfg(feature = "adapters")]
pub mod postgres;
#[cfg(feature = "adapters")]
mod rows;
#[cfg(feature = "adapters")]
pub mod sqlite;
#[cfg(feature = "adapters")]
mod stock_range;
mod upkeep;
mod verify;
#[cfg(feature = "adapters")]
mod waiting;

#[cfg(feature = "adapters")]
pub use any::AnyStore;
pub use upkeep::{MaintenanceReport, Migration, Retention, Upkeep};
pub use verify::{CHECKS, Difference, Verification};
