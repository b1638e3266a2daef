//! The outbox to the sink: the only publisher.
//!
//! Any number of workers run a relay; the one that holds the lease publishes. Batches of its own worker reach it in
//! memory, those of the others through the table, in the order of their numbers. A wake-up is a hint, polling is the
//! promise.
//!
//! Traps: a listener of the database loses notifications while it reconnects, and each NOTIFY takes a global lock at
//! commit. So there is none: what other workers committed is found by looking into the table.

mod lead;

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::lead::{Trouble, renew, renewing, starting_point};
use crate::domain::words::Timestamp;
use crate::fail_point::fail_point;
use crate::health::Pulse;
use crate::metrics::Metrics;
use crate::planted_bug::{PlantedBug, is_planted};
use crate::ports::{Lease, OutboxBatch, OutboxStatus, OutputRecord, Progress, Sink, Store, StoreError};
use crate::retry::{Delays, RetryPolicy};
use crate::wire::encode::Encoder;

/// How long the leader waits for a hand-over before it looks into the table for batches of other workers.
const POLL: Duration = Duration::from_millis(20);
/// How many records one publication carries at most, so that a transaction stays short and its memory bounded.
const MOST_RECORDS: usize = 20_000;
/// How many batches are read from the table at once.
const MOST_BATCHES: usize = 64;
/// How many batches that were handed over wait in memory for those before them; further ones are read from the table.
const MOST_WAITING: usize = 8;
/// How long a relay stands by at most before it asks for the lease again, however long that lasts: it must show that it
/// turns, and a lease that was given back should not lie there.
const LONGEST_STANDBY: Duration = Duration::from_secs(10);
/// What dead letters are cut to, in bytes with key and headers, each time that the sink has refused a record as too large:
/// its topic may have been made with a smaller limit than the contract's. Kafka's own default is about 1 MB.
const LETTER_CUTS: [usize; 3] = [512 * 1024, 64 * 1024, 8 * 1024];
/// How often the mark in the database follows what was published, while publishing goes on.
const MARK_INTERVAL: Duration = Duration::from_millis(200);

/// What a relay works with.
pub struct Parts<S> {
    /// Where the outbox is.
    pub store: S,
    /// Batches of this worker as they are committed; some may be missing.
    pub committed: mpsc::Receiver<OutboxBatch>,
    /// Names this relay where leases are given: a random id, another one for each relay.
    pub holder: Uuid,
    /// Makes records.
    pub encoder: Encoder,
    /// How long the lease lasts without renewal.
    pub lease: Duration,
    /// Counts.
    pub metrics: Metrics,
    /// Says that the loop turns.
    pub pulse: Pulse,
    /// Ends the loop once everything is published that was committed when it was set.
    pub drain: CancellationToken,
}

/// Why a relay ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The sink can never take what is to be published.
    #[error("publishing is impossible: {0}")]
    Sink(String),
    /// The outbox cannot be read.
    #[error(transparent)]
    Store(StoreError),
    /// The sink is ahead of the database, or belongs to another one.
    #[error("{0}")]
    Behind(String),
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Another worker publishes.
    Standby,
    /// Became the one who publishes.
    Leading,
    /// So many records were published.
    Published(usize),
    /// Nothing to publish.
    Idle,
    /// Everything that was committed when the drain began is published and the lease given back, or another worker will
    /// publish it.
    Drained,
}

/// Publishes what is committed, in order.
pub struct Relay<K, S> {
    sink: K,
    parts: Parts<S>,
    waiting: VecDeque<OutboxBatch>,
    leading: Option<Leading>,
    trouble: Delays,
    /// How often the sink has refused what is to be published next because of its size.
    refusals: usize,
    /// The last batch that was committed when the drain began.
    drain_until: Option<i64>,
}

/// What the leader knows.
struct Leading {
    lease: Lease,
    renewed: Instant,
    progress: Progress,
    marked: i64,
    marked_at: Instant,
}

impl<K: Sink, S: Store> Relay<K, S> {
    /// A relay to a sink.
    pub fn new(sink: K, parts: Parts<S>) -> Self {
        let trouble = RetryPolicy::AWAY.delays();
        Self { sink, parts, waiting: VecDeque::new(), leading: None, trouble, refusals: 0, drain_until: None }
    }

    /// Steps until it is drained.
    ///
    /// # Errors
    /// [`RelayError`] when going on would lose or repeat something.
    pub async fn run(mut self) -> Result<(), RelayError> {
        let ended = loop {
            match self.step().await {
                Ok(Step::Drained) => break Ok(()),
                Ok(Step::Standby) => self.stand_by().await,
                Ok(Step::Leading | Step::Published(_) | Step::Idle) => {}
                Err(error) => break Err(error),
            }
        };
        self.sink.close().await;
        ended
    }

    /// One step: takes or renews the lease, publishes what waits, or waits a little for it.
    ///
    /// # Errors
    /// See [`Relay::run`].
    pub async fn step(&mut self) -> Result<Step, RelayError> {
        self.parts.pulse.turn();
        let result = match self.leading.take() {
            None => self.lead().await,
            Some(leading) => self.publish(leading).await,
        };
        match result {
            Ok(step) => {
                self.trouble = RetryPolicy::AWAY.delays();
                Ok(step)
            }
            Err(Trouble::Passing { what, error }) => {
                let delay = self.trouble.next_delay();
                self.parts.metrics.retry(what);
                tracing::warn!(what, %error, ?delay, "the relay tries again");
                tokio::time::sleep(delay).await;
                Ok(Step::Idle)
            }
            Err(Trouble::TooLarge(error)) => {
                let Some(letter_bytes) = LETTER_CUTS.get(self.refusals) else { return Err(RelayError::Sink(error)) };
                self.refusals += 1;
                self.parts.metrics.retry("publish");
                tracing::warn!(%error, letter_bytes, "the sink takes no record that large, dead letters are cut");
                Ok(Step::Idle)
            }
            Err(Trouble::Fenced(error)) => {
                self.parts.metrics.relay_fenced();
                tracing::error!(%error, "fenced: another relay publishes now, this one stands by");
                Ok(Step::Standby)
            }
            Err(Trouble::Final(error)) => Err(error),
        }
    }

    /// Waits while another worker publishes. What is handed over meanwhile is in the table.
    async fn stand_by(&mut self) {
        self.parts.metrics.relay_leader(false);
        self.waiting.clear();
        let until = Instant::now() + (self.parts.lease / 3).min(LONGEST_STANDBY);
        // The drain begins after the last hand-over: the end of the one must not keep the other from being heard.
        let mut may_come = true;
        loop {
            tokio::select! {
                biased;
                () = self.parts.drain.cancelled() => return,
                () = tokio::time::sleep_until(until) => return,
                batch = self.parts.committed.recv(), if may_come => may_come = batch.is_some(),
            }
        }
    }

    /// The last batch that must be published before this relay may leave: what was committed when the drain began. Other
    /// workers go on committing, and one of them publishes that. `None` while nothing drains.
    async fn drain_target(&mut self) -> Result<Option<i64>, Trouble> {
        if self.parts.drain.is_cancelled() && self.drain_until.is_none() {
            self.drain_until = Some(self.parts.store.outbox_status().await?.last_number);
        }
        Ok(self.drain_until)
    }

    async fn lead(&mut self) -> Result<Step, Trouble> {
        if let Some(target) = self.drain_target().await?
            && self.parts.store.outbox_status().await?.published_number >= target
        {
            return Ok(Step::Drained);
        }
        let seconds = self.parts.lease.as_secs().max(1) as i64;
        let Some(lease) = self.parts.store.take_lease(self.parts.holder, seconds).await? else {
            return Ok(if self.parts.drain.is_cancelled() { Step::Drained } else { Step::Standby });
        };
        let mut renewed = Instant::now();
        let opened = renewing(&self.parts, lease, &mut renewed, self.sink.open()).await;
        let found = match opened {
            Ok(found) => found,
            Err(trouble) => {
                self.parts.store.give_lease(lease).await?;
                return Err(trouble);
            }
        };
        let status = self.parts.store.outbox_status().await?;
        let progress = starting_point(found, &status)?;
        let marked = status.published_number;
        self.leading = Some(Leading { lease, renewed, progress, marked, marked_at: Instant::now() });
        self.parts.metrics.relay_leader(true);
        tracing::info!(
            epoch = lease.epoch,
            after_batch = progress.batch,
            after_seq = progress.seq,
            "this relay publishes"
        );
        Ok(Step::Leading)
    }

    async fn publish(&mut self, mut leading: Leading) -> Result<Step, Trouble> {
        if leading.renewed.elapsed() > self.parts.lease / 3 {
            renew(&self.parts, leading.lease, &mut leading.renewed).await?;
        }
        let target = self.drain_target().await?;
        if target.is_some_and(|target| leading.progress.batch >= target) {
            return self.resign(leading).await;
        }
        let batches = match self.next_batches(leading.progress.batch).await {
            Ok(batches) => batches,
            Err(trouble @ Trouble::Final(_)) => {
                // One that stood still for longer than published batches are kept looks for what another has published.
                renew(&self.parts, leading.lease, &mut leading.renewed).await?;
                return Err(trouble);
            }
            Err(trouble) => return Err(trouble),
        };
        let Some(last) = batches.last() else {
            if target.is_some() {
                return self.resign(leading).await;
            }
            self.mark(&mut leading).await?;
            self.leading = Some(leading);
            return Ok(Step::Idle);
        };
        let progress =
            Progress { installation: leading.progress.installation, batch: last.number, seq: last.last_seq() };
        let announcements: usize = batches.iter().map(|batch| batch.announcements.len()).sum();
        let records: Vec<_> = batches.iter().flat_map(|batch| self.encode(batch)).collect();
        let size = records.len();
        fail_point("before_publish");
        let started = Instant::now();
        let told = if is_planted(PlantedBug::ProgressForgotten) { leading.progress } else { progress };
        let published = self.sink.publish(records, told);
        let published = renewing(&self.parts, leading.lease, &mut leading.renewed, published).await;
        if is_planted(PlantedBug::FenceIgnored) && matches!(published, Err(Trouble::Fenced(_))) {
            self.sink.open().await?;
            self.leading = Some(leading);
            return Ok(Step::Leading);
        }
        published?;
        self.refusals = 0;
        fail_point("after_publish");
        self.parts.metrics.published(announcements as u64, started.elapsed());
        leading.progress = progress;
        if leading.marked_at.elapsed() > MARK_INTERVAL {
            self.mark(&mut leading).await?;
        }
        self.leading = Some(leading);
        Ok(Step::Published(size))
    }

    /// The records of a batch; its dead letters cut where the sink has refused them whole.
    fn encode(&self, batch: &OutboxBatch) -> Vec<OutputRecord> {
        match self.refusals.checked_sub(1).and_then(|last| LETTER_CUTS.get(last)) {
            Some(letter_bytes) => self.parts.encoder.encode_within(batch, *letter_bytes),
            None => self.parts.encoder.encode(batch),
        }
    }

    /// Marks what is published and lets another relay lead.
    async fn resign(&mut self, mut leading: Leading) -> Result<Step, Trouble> {
        self.mark(&mut leading).await?;
        self.parts.store.give_lease(leading.lease).await?;
        self.parts.metrics.relay_leader(false);
        Ok(Step::Drained)
    }

    /// The batches that follow, without a hole: from memory where they are there, else from the table. Waits a moment
    /// when there are none.
    async fn next_batches(&mut self, after: i64) -> Result<Vec<OutboxBatch>, Trouble> {
        let mut batches = Vec::new();
        let mut records = 0;
        let mut next = after + 1;
        let mut waited = false;
        while records < MOST_RECORDS {
            self.take_handed_over(next);
            let follows = |batch: &OutboxBatch| batch.number == next || is_planted(PlantedBug::HandOverGap);
            if self.waiting.front().is_some_and(follows) {
                batches.extend(self.waiting.pop_front());
            } else if !batches.is_empty() {
                break;
            } else if self.waiting.is_empty() && !waited && !self.parts.drain.is_cancelled() {
                waited = true;
                self.wait().await;
                continue;
            } else {
                let found = self.parts.store.unpublished(after, MOST_BATCHES).await?;
                batches = take_records(found);
                break;
            }
            next += 1;
            records += batches.last().map_or(0, |batch| batch.announcements.len() + batch.dead_letters.len());
        }
        Ok(batches)
    }

    /// Takes what was handed over, as far as it may wait in memory. While the relay is far behind, the hand-over fills up,
    /// and what is committed meanwhile is found in the table.
    fn take_handed_over(&mut self, next: i64) {
        while self.waiting.front().is_some_and(|batch| batch.number < next) {
            self.waiting.pop_front();
        }
        while self.waiting.len() < MOST_WAITING
            && let Ok(batch) = self.parts.committed.try_recv()
        {
            if batch.number >= next {
                self.waiting.push_back(batch);
            }
        }
    }

    async fn wait(&mut self) {
        // Time-out, hand-over and the wish to drain all end the wait; what is there is looked up afterwards.
        tokio::select! {
            biased;
            batch = self.parts.committed.recv() => match batch {
                Some(batch) => self.waiting.push_back(batch),
                // Nobody commits any more in this worker; others may.
                None => tokio::time::sleep(POLL).await,
            },
            () = self.parts.drain.cancelled() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }

    async fn mark(&self, leading: &mut Leading) -> Result<(), Trouble> {
        if leading.marked == leading.progress.batch {
            return Ok(());
        }
        fail_point("before_mark");
        if !self.parts.store.mark_published(leading.lease, leading.progress).await? {
            return Err(Trouble::Fenced("the lease was taken over before the mark".to_owned()));
        }
        leading.marked = leading.progress.batch;
        leading.marked_at = Instant::now();
        Ok(())
    }
}

/// As many of the batches as one publication carries; at least one.
fn take_records(found: Vec<OutboxBatch>) -> Vec<OutboxBatch> {
    let mut records = 0;
    found
        .into_iter()
        .take_while(|batch| {
            let fits = records < MOST_RECORDS;
            records += batch.announcements.len() + batch.dead_letters.len();
            fits
        })
        .collect()
}

/// How long the oldest batch that is not published has waited, by the database's clock.
pub fn oldest_age(status: &OutboxStatus) -> Duration {
    let age = status.oldest_unpublished.map_or(0, |Timestamp(oldest)| status.now.0 - oldest);
    Duration::from_micros(u64::try_from(age).unwrap_or_default())
}
