//! Comparisons and corrections as events of our own, handed to the engine.

use std::sync::Arc;
use std::time::Duration;

use crate::bus::direct::{DirectSubmitter, SubmitError};
use crate::domain::event::{Cause, Envelope, Event, EventType, Reconciliation, ReconciliationTask, ToldAt, Trace};
use crate::domain::words::{StockKey, Timestamp};
use crate::health::Pulse;
use crate::ports::{Delivery, Outcome, StoreError};
use crate::sweeper::OWN_SOURCE;
use crate::wire::identity::{event_key, fingerprint, reconciliation_id};

/// How often the loop shows that it turns while something else has not answered.
const TURN: Duration = Duration::from_secs(1);

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

/// Hands events to the engine and waits until they are committed; outcomes stand in their order. The pulse turns
/// meanwhile: that the engine waits for the database is told by its own.
///
/// # Errors
/// [`StoreError::Transient`] when the engine did not take them or did not answer: hand them in again.
pub(super) async fn hand_in(
    submitter: &DirectSubmitter,
    pulse: &Pulse,
    deliveries: Vec<Delivery>,
) -> Result<Vec<Outcome>, StoreError> {
    turning(pulse, submitter.submit(deliveries)).await.map_err(
        |error @ (SubmitError::Busy | SubmitError::Closed | SubmitError::Unanswered)| {
            StoreError::Transient(error.to_string())
        },
    )
}

/// Waits for something while the pulse turns.
pub(super) async fn turning<T>(pulse: &Pulse, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(TURN, work.as_mut()).await {
            Ok(done) => return done,
            Err(_) => pulse.turn(),
        }
    }
}
