//! Comparisons and corrections as events of our own, handed to the engine.

use std::sync::Arc;

use crate::domain::event::{Cause, Envelope, Event, EventType, Reconciliation, ReconciliationTask, ToldAt, Trace};
use crate::domain::words::{StockKey, Timestamp};
use crate::ports::Delivery;
use crate::wire::identity::{OWN_SOURCE, event_key, fingerprint, reconciliation_id};

/// The event that does `task` with a row. The same row within the same round is the same event, so that a chunk that is
/// handed in again after a lost answer counts once. `with` is what the row is compared with.
pub(super) fn command(job: &str, round: Timestamp, key: &StockKey, with: &str, task: ReconciliationTask) -> Delivery {
    let id: Arc<str> = reconciliation_id(job, round, key).to_string().into();
    let event = Event::Reconciliation(Reconciliation { key: key.clone(), task });
    Delivery::Command(Box::new(Envelope {
        cause: Arc::new(Cause {
            event_type: EventType::Reconciliation,
            id: id.clone(),
            source: OWN_SOURCE.into(),
            reference: Some(with.into()),
        }),
        key: event_key(&id),
        told_at: ToldAt::Publisher(round),
        day: round.day(),
        fingerprint: fingerprint(&event),
        trace: Trace::default(),
        event,
    }))
}
