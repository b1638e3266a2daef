//! The embedded log: topics, records and group offsets in the SQLite file of the store, with the contract of a broker.
//!
//! A topic has one partition. All records stand in one table in the order of their arrival, which is the order of
//! commits, so that [`LocalSource`] and [`LocalTail`] read every topic in one order. [`LocalPublisher`] and
//! [`LocalSink`] append; where the sink's file is the store's, the store appends announcements in the transaction of
//! their batch by itself, and the sink has only left-overs to publish. One member of a group reads at a time.
//!
//! Waking a reader in this process is a hint; looking at the last number, some hundred times a second, is the promise,
//! which also holds for records of other processes.

mod admin;
mod cursor;
mod error;
mod handover;
mod log;
mod membership;
mod publisher;
mod reading;
mod replay;
mod retention;
mod sink;
mod source;
mod tail;
mod topics;

pub use admin::LocalAdmin;
pub use error::LocalFailure;
pub use handover::BufferLimit;
pub use log::{LocalLog, LogHint};
pub use publisher::LocalPublisher;
pub use replay::{ReplayError, apply_replay, plan_replay};
pub use retention::{DroppedRecords, LONGEST_UNREAD, drop_old};
pub use sink::{LocalSink, LocalSinkSettings};
pub use source::{LocalReceipt, LocalSource, LocalSourceSettings};
pub use tail::{LocalTail, LocalTailSettings};
