//! The batch: deliveries in, one transaction, settled. The one door to stock.

pub mod judge;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::judge::Bench;
use crate::domain::event::EventType;
use crate::domain::words::Timestamp;
use crate::fail_point::fail_point;
use crate::health::Pulse;
use crate::metrics::Metrics;
use crate::planted_bug::{PlantedBug, is_planted};
use crate::ports::{
    BatchLimit, Committed, Delivery, Entry, OutboxBatch, Outcome, Source, SourceError, Store, StoreError,
};
use crate::retry::{GaveUp, RetryPolicy, Verdict};
use crate::wire::decode::{Decoded, Decoder};

/// How long an idle loop waits before it shows that it turns.
const IDLE_TURN: std::time::Duration = std::time::Duration::from_secs(1);

/// What an engine works with.
pub struct Parts<S> {
    /// Names the engine in logs and metrics.
    pub name: &'static str,
    /// Where batches become durable.
    pub store: S,
    /// Reads bytes.
    pub decoder: Arc<Decoder>,
    /// Judges events.
    pub bench: Bench,
    /// The size of a batch at most.
    pub limit: BatchLimit,
    /// Committed batches go to the relay through it while it keeps up; the table has them in any case.
    pub relay: mpsc::Sender<OutboxBatch>,
    /// Counts.
    pub metrics: Metrics,
    /// Says that the loop turns.
    pub pulse: Pulse,
    /// Ends the loop after the running batch.
    pub stop: CancellationToken,
}

/// Why an engine ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The source cannot go on.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The store cannot go on.
    #[error(transparent)]
    Store(StoreError),
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A batch of so many deliveries was committed and settled.
    Committed(usize),
    /// Nothing came for a while.
    Idle,
    /// The source is closed, or the process stops; what was taken and not committed will be delivered again.
    Ended,
}

/// Takes what waits at a source, commits it as one batch, settles it.
pub struct Engine<Src, S> {
    source: Src,
    parts: Parts<S>,
}

impl<Src: Source, S: Store> Engine<Src, S> {
    /// An engine on a source.
    pub fn new(source: Src, parts: Parts<S>) -> Self {
        Self { source, parts }
    }

    /// Steps until it is told to stop or the source is closed, then closes the source.
    ///
    /// # Errors
    /// [`EngineError`] when going on would lose or skip something. The source's offsets have not moved past it.
    pub async fn run(mut self) -> Result<(), EngineError> {
        let ended = loop {
            match self.step().await {
                Ok(Step::Committed(_) | Step::Idle) => {}
                Ok(Step::Ended) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let closed = self.source.close().await;
        ended?;
        Ok(closed?)
    }

    /// One batch: waits for deliveries, decodes, commits, settles, hands over. Waiting is what can be interrupted;
    /// work runs to its end.
    ///
    /// # Errors
    /// See [`Engine::run`].
    pub async fn step(&mut self) -> Result<Step, EngineError> {
        self.parts.pulse.turn();
        let stop = self.parts.stop.clone();
        let taken = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(Step::Ended),
            taken = self.source.next_batch(self.parts.limit) => taken?,
            () = tokio::time::sleep(IDLE_TURN) => return Ok(Step::Idle),
        };
        let Some((deliveries, receipt)) = taken else { return Ok(Step::Ended) };
        let started = Instant::now();
        let size = deliveries.len();
        fail_point("after_poll");
        let Some(entries) = self.decode(deliveries).await else { return Ok(Step::Ended) };
        if is_planted(PlantedBug::SettledBeforeCommit) {
            self.source.settle(receipt, &vec![Outcome::Ignored; size]).await?;
            return Ok(self.commit(&entries).await?.map_or(Step::Ended, |_| Step::Committed(size)));
        }
        let Some(committed) = self.commit(&entries).await? else { return Ok(Step::Ended) };
        fail_point("after_commit");
        self.count(&entries, &committed.outcomes);
        if let Some(batch) = committed.outbox {
            fail_point("before_hand_over");
            // A full channel is no loss: the relay reads from the table what it did not get here.
            let _full_or_closed = self.parts.relay.try_send(batch);
        }
        fail_point("before_settle");
        self.source.settle(receipt, &committed.outcomes).await?;
        self.parts.metrics.batch_settled(size, started.elapsed());
        fail_point("after_settle");
        Ok(Step::Committed(size))
    }

    /// Decodes a batch. A registry that is away is waited for, so that order is kept; `None` when the process stops
    /// meanwhile.
    async fn decode(&self, deliveries: Vec<Delivery>) -> Option<Vec<Entry>> {
        let Parts { decoder, metrics, pulse, stop, .. } = &self.parts;
        let schemas = RetryPolicy::AWAY
            .run(
                stop,
                |_| Verdict::TryAgain,
                |error, delay| {
                    pulse.turn();
                    metrics.retry("registry");
                    tracing::warn!(%error, ?delay, "the schema registry is away, the batch waits");
                },
                || decoder.writer_schemas(&deliveries),
            )
            .await
            .ok()?;
        let received_at = Timestamp(unix_microseconds());
        let decode = |delivery| match decoder.decode(delivery, &schemas, received_at) {
            Decoded::Event(envelope, record) => Entry::Event { envelope, record: record.map(Box::new) },
            Decoded::DeadLetter(letter) => Entry::DeadLetter(Box::new(letter)),
        };
        Some(deliveries.into_iter().map(decode).collect())
    }

    /// Commits a batch, again and again while the database is away; `None` when the process stops meanwhile.
    async fn commit(&self, entries: &[Entry]) -> Result<Option<Committed>, EngineError> {
        let Parts { store, bench, metrics, pulse, stop, name, .. } = &self.parts;
        let judge = |loaded| bench.judge(entries, loaded);
        let committed = RetryPolicy::AWAY
            .run(
                stop,
                |error| match error {
                    StoreError::Transient(_) if is_planted(PlantedBug::FailedBatchSkipped) => Verdict::GiveUp,
                    StoreError::Transient(_) => Verdict::TryAgain,
                    StoreError::Fatal(_) => Verdict::GiveUp,
                },
                |error, delay| {
                    pulse.turn();
                    metrics.retry("commit");
                    tracing::warn!(engine = name, %error, ?delay, "the batch could not be committed, it goes again");
                },
                || async {
                    let started = Instant::now();
                    let committed = store.commit(entries, &judge).await?;
                    metrics.commit_took(started.elapsed());
                    for _ in 0..committed.repeats {
                        metrics.retry("conflict");
                    }
                    Ok(committed)
                },
            )
            .await;
        match committed {
            Ok(committed) => Ok(Some(committed)),
            Err(GaveUp::Stopped(error)) => {
                tracing::warn!(engine = name, %error, "stopping with a batch that is not committed; it will be delivered again");
                Ok(None)
            }
            Err(GaveUp::Final(StoreError::Transient(_))) if is_planted(PlantedBug::FailedBatchSkipped) => {
                Ok(Some(Committed { outcomes: vec![Outcome::Ignored; entries.len()], outbox: None, repeats: 0 }))
            }
            Err(GaveUp::Final(error)) => Err(EngineError::Store(error)),
        }
    }

    fn count(&self, entries: &[Entry], outcomes: &[Outcome]) {
        for (entry, outcome) in entries.iter().zip(outcomes) {
            let event_type: Option<EventType> = match entry {
                Entry::Event { envelope, .. } => Some(envelope.cause.event_type),
                Entry::DeadLetter(_) => None,
            };
            self.parts.metrics.event(event_type, outcome);
            if let Outcome::DeadLettered { reason, detail } = outcome {
                self.parts.metrics.dead_letter(*reason);
                let position = match entry {
                    Entry::DeadLetter(letter) => Some(letter.record.position.to_string()),
                    Entry::Event { record, .. } => record.as_ref().map(|record| record.position.to_string()),
                };
                tracing::warn!(engine = self.parts.name, position, reason = reason.as_str(), %detail, "dead letter");
            }
        }
    }
}

/// When a delivery without any time of its own came: only its day counts, and only for where its key is filed.
fn unix_microseconds() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}
