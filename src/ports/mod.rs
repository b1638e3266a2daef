//! The edges of the engine: where events come from, where state is kept, where announcements go.

mod queries;
mod record;
mod sink;
mod source;
mod store;
mod watch;

pub use queries::{
    ClaimView, DifferenceCount, DifferenceFilter, HolderPlace, HolderView, MovementView, OutboxLimit, OutboxPlace,
    PublishedMark, Queries, QueryError, StockAsOf, StockFilter,
};
pub use record::{DeadLetter, DeadLetterReason, Delivery, Entry, Header, Outcome, Position, Record};
pub use sink::{OutputRecord, Progress, Sink, SinkError};
pub use source::{BatchLimit, Source, SourceError, SourceStatus, Taken};
pub use store::{
    AuditPage, Audited, Committed, DueClaim, Judge, Judged, LONGEST_LEASE_SECONDS, Lease, Loaded, OutboxBatch,
    OutboxStatus, Seen, Store, StoreError,
};
pub use watch::{Acknowledgement, AlertFilter, AlertPlace, Watch};
