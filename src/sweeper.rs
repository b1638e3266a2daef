//! Claims past their deadline, handed to the engine as events of our own.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::bus::direct::DirectSubmitter;
use crate::domain::event::{Cause, ClaimExpired, Envelope, Event, EventType, ToldAt, Trace};
use crate::health::Pulse;
use crate::metrics::Metrics;
use crate::ports::{Delivery, DueClaim, Outcome, Store, StoreError};
use crate::retry::{Delays, RetryPolicy};
use crate::wire::identity::{OWN_SOURCE, event_key, fingerprint};

/// How often due claims are looked for: well within the 5 s in which the contract wants them swept.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many claims one round takes; a full round is followed by the next at once.
const MOST_CLAIMS: usize = 500;

/// What a sweeper works with.
pub struct Parts<S> {
    /// Where claims are.
    pub store: S,
    /// The way into the engine.
    pub submitter: DirectSubmitter,
    /// Counts.
    pub metrics: Metrics,
    /// Says that the loop turns.
    pub pulse: Pulse,
    /// Ends the loop.
    pub stop: CancellationToken,
}

/// Finds due claims and has the engine release them.
pub struct Sweeper<S> {
    parts: Parts<S>,
    trouble: Delays,
}

impl<S: Store> Sweeper<S> {
    /// A sweeper.
    pub fn new(parts: Parts<S>) -> Self {
        Self { parts, trouble: RetryPolicy::AWAY.delays() }
    }

    /// Steps until it is told to stop.
    ///
    /// # Errors
    /// [`StoreError::Fatal`] when due claims cannot be read.
    pub async fn run(mut self) -> Result<(), StoreError> {
        while !self.parts.stop.is_cancelled() {
            let wait = match self.step().await {
                Ok(swept) => {
                    self.trouble = RetryPolicy::AWAY.delays();
                    if swept == MOST_CLAIMS { Duration::ZERO } else { INTERVAL }
                }
                Err(StoreError::Transient(error)) => {
                    let delay = self.trouble.next_delay();
                    self.parts.metrics.retry("sweep");
                    tracing::warn!(%error, ?delay, "due claims could not be swept, they wait");
                    delay
                }
                Err(error @ StoreError::Fatal(_)) => return Err(error),
            };
            if self.parts.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// One round. Returns how many claims were released. The engine looks again under the claim's lock: a claim whose
    /// deadline moved meanwhile, or that another sweeper released, is left alone.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn step(&mut self) -> Result<usize, StoreError> {
        self.parts.pulse.turn();
        let due = self.parts.store.due_claims(MOST_CLAIMS).await?;
        if due.is_empty() {
            return Ok(0);
        }
        let deliveries = due.into_iter().map(|claim| Delivery::Command(Box::new(expiry(claim)))).collect();
        let outcomes = self.parts.pulse.turn_while(self.parts.submitter.submit(deliveries)).await?;
        // A claim that stays due is looked at again after the usual wait, not at once.
        Ok(outcomes.iter().filter(|outcome| **outcome == Outcome::Applied).count())
    }
}

/// The event of a deadline. The same claim and deadline are the same cause, and the engine compares the deadline under
/// the claim's lock, so that two sweepers do no harm. Filed by the moment of this look, not by the deadline: a deadline
/// whose day is closed, or that a look found passed by a clock which then stepped back, must not keep the claim for ever.
fn expiry(claim: DueClaim) -> Envelope {
    let DueClaim { key, deadline, seen_at } = claim;
    let id: Arc<str> = expiry_id(key.kind.as_str(), key.reference.as_str(), deadline.0).into();
    let event = Event::ClaimExpired(ClaimExpired { claim: key.clone(), deadline });
    Envelope {
        cause: Arc::new(Cause {
            event_type: EventType::ClaimExpired,
            id: id.clone(),
            source: OWN_SOURCE.into(),
            reference: Some(key.reference),
        }),
        key: event_key(&format!("{id}:{}", seen_at.0)),
        told_at: ToldAt::Publisher(deadline),
        day: seen_at.day(),
        fingerprint: fingerprint(&event),
        trace: Trace::default(),
        event,
    }
}

fn expiry_id(kind: &str, reference: &str, deadline: i64) -> String {
    format!("{kind}:{reference}:{deadline}")
}
