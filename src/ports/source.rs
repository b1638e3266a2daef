//! Where events come from.

use std::future::Future;
use std::sync::Arc;

use super::{Delivery, Outcome};

/// How much one batch may carry.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimit {
    /// Deliveries.
    pub deliveries: usize,
    /// Payload bytes; the delivery that crosses the line is still taken.
    pub bytes: usize,
}

/// What a source is doing, for metrics and health. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SourceStatus {
    /// Whether it is connected, as far as it knows.
    pub connected: bool,
    /// Records not yet settled, by topic and partition.
    pub lag: Vec<(Arc<str>, i32, i64)>,
    /// Assignments that changed since the start.
    pub rebalances: u64,
    /// The newest trouble, for people.
    pub trouble: Option<Arc<str>>,
}

/// A batch with what settles it; `None` when the source is closed and empty.
pub type Taken<Receipt> = Option<(Vec<Delivery>, Receipt)>;

/// Where deliveries come from.
pub trait Source: Send {
    /// What settles one batch.
    type Receipt: Send;

    /// Waits until something is there and returns all of it, up to `limit`, in partition order; `None` when the
    /// source is closed and empty. Cancel-safe: what was not returned is returned next time.
    fn next_batch(
        &mut self,
        limit: BatchLimit,
    ) -> impl Future<Output = Result<Taken<Self::Receipt>, SourceError>> + Send;

    /// Says that a batch is committed: its input is acknowledged. `outcomes` stand in the order of the deliveries.
    /// Batches are settled in the order in which they were returned.
    fn settle(
        &mut self,
        receipt: Self::Receipt,
        outcomes: &[Outcome],
    ) -> impl Future<Output = Result<(), SourceError>> + Send;

    /// Stops taking, acknowledges what was settled, leaves. Returns when that is done.
    fn close(self) -> impl Future<Output = Result<(), SourceError>> + Send;
}

/// What a source cannot mend by itself.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Stop: going on would lose or skip something.
    #[error("{0}")]
    Fatal(String),
}
