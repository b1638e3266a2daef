//! Where announcements go.

use std::future::Future;
use std::sync::Arc;

use super::Header;
use crate::domain::words::Timestamp;

/// One record to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputRecord {
    /// The topic as the broker names it.
    pub topic: Arc<str>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its headers in order.
    pub headers: Vec<Header>,
    /// Its body; `None` only for a dead letter that had none.
    pub payload: Option<Vec<u8>>,
    /// The timestamp that the record carries on the broker.
    pub timestamp: Timestamp,
}

/// How far publishing has come. Kept in the sink itself where the sink can do that together with publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The database whose outbox it is: a random id made when the database was migrated first.
    pub installation: uuid::Uuid,
    /// The last batch that was published.
    pub batch: i64,
    /// The last `seq` that was published.
    pub seq: i64,
}

/// Where announcements go. One instance publishes at a time; opening it fences every earlier one where the sink can.
pub trait Sink: Send {
    /// Makes ready to publish and reads back how far publishing has come; `None` when nothing was ever published, or
    /// when the sink keeps no progress of its own (then the database's mark counts). Called again after every error.
    fn open(&mut self) -> impl Future<Output = Result<Option<Progress>, SinkError>> + Send;

    /// Publishes the records in order, and the progress with them; returns when every record is confirmed. Not
    /// cancel-safe: after a cancelled call the sink must be opened again.
    fn publish(
        &mut self,
        records: Vec<OutputRecord>,
        progress: Progress,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Lets go of the connection.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// What went wrong while publishing, by what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// It may or may not have been published: open again and look.
    #[error("publishing is unclear: {0}")]
    Unclear(String),
    /// A record is larger than its topic takes. Nothing is usable afterwards but an opening; a smaller record may pass.
    #[error("{0}")]
    TooLarge(String),
    /// Another relay took over: stop publishing at once.
    #[error("fenced by a newer relay: {0}")]
    Fenced(String),
    /// It can never work as things are.
    #[error("{0}")]
    Fatal(String),
}
