//! Figures compared with what others say of them: rows with our own books, and with other systems.
//!
//! Reading looks for suspects, page by page and without a lock; whatever it finds is handed to the engine as an event of
//! our own, which looks again under the row's lock and alone writes and announces a difference. Which worker does a round
//! is decided by a row of the database.

mod books;
mod commands;
mod endpoint;
mod figures;
mod outside;
mod repair;
mod snapshot;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use books::{BooksReport, BooksRound};
pub use endpoint::List;
pub use figures::{Figures, FiguresError, MAX_FIGURES};
pub use outside::{Fix, OutsideReport, OutsideRound, Place, Terms, takable};
pub use repair::{Mended, Planned, Survey, mend};
pub use snapshot::read_snapshot;

use crate::bus::direct::DirectSubmitter;
use crate::domain::words::Timestamp;
use crate::health::Pulse;
use crate::metrics::Metrics;
use crate::ports::{Queries, QueryError, Store, StoreError};
use crate::retry::{Delays, RetryPolicy};

/// How often is looked whether a job is due, at most; a job with a shorter interval is looked at as often as it runs.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How long is waited between two pages: whoever works on the database comes first.
const BREATH: Duration = Duration::from_millis(20);

/// What is compared, and how often.
#[derive(Clone, Debug)]
pub enum Job {
    /// Rows with our own books.
    Books {
        /// Seconds from one round to the next, over all workers.
        interval_s: i64,
    },
    /// Rows with another system.
    Outside {
        /// Seconds from one round to the next, over all workers.
        interval_s: i64,
        /// Where its figures are.
        place: Place,
        /// How they are compared.
        terms: Terms,
    },
}

impl Job {
    /// The name under which the database keeps whose turn it is.
    fn name(&self) -> String {
        match self {
            Self::Books { .. } => books::BOOKS.to_owned(),
            Self::Outside { terms, .. } => format!("outside:{}", terms.source),
        }
    }

    /// Seconds from one round to the next.
    pub fn interval_s(&self) -> i64 {
        match self {
            Self::Books { interval_s } | Self::Outside { interval_s, .. } => *interval_s,
        }
    }
}

/// What a reconciler works with.
pub struct Parts<S> {
    /// Where rows are: connections of its own, so that nothing waits for its reading.
    pub store: S,
    /// The way into the engine.
    pub submitter: DirectSubmitter,
    /// Counts.
    pub metrics: Metrics,
    /// Says that the loop turns.
    pub pulse: Pulse,
    /// Ends the loop.
    pub stop: CancellationToken,
    /// What is compared.
    pub jobs: Vec<Job>,
    /// Whether levels are judged as if no cart held anything.
    pub ignore_cart_holds: bool,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is due.
    Idle,
    /// A part of a round is done; more follows.
    Went,
}

/// A round that runs.
enum Round {
    Books(BooksRound),
    Outside(Box<OutsideRound>),
}

/// Runs what is due, round by round.
pub struct Reconciler<S> {
    parts: Parts<S>,
    running: Option<Round>,
    trouble: Delays,
}

impl<S: Store + Queries> Reconciler<S> {
    /// A reconciler.
    pub fn new(parts: Parts<S>) -> Self {
        Self { parts, running: None, trouble: RetryPolicy::AWAY.delays() }
    }

    /// Steps until it is told to stop. Without a job it waits for that.
    ///
    /// # Errors
    /// [`StoreError::Fatal`] when rows cannot be read.
    pub async fn run(mut self) -> Result<(), StoreError> {
        let shortest = self.parts.jobs.iter().map(|job| job.interval_s().unsigned_abs()).min().unwrap_or(u64::MAX);
        let idle = LONGEST_WAIT.min(Duration::from_secs(shortest));
        while !self.parts.stop.is_cancelled() {
            let wait = match self.step().await {
                Ok(step) => {
                    self.trouble = RetryPolicy::AWAY.delays();
                    match step {
                        Step::Idle => idle,
                        Step::Went => BREATH,
                    }
                }
                Err(StoreError::Transient(error)) => {
                    let delay = self.trouble.next_delay();
                    self.parts.metrics.retry("reconcile");
                    tracing::warn!(%error, ?delay, "figures could not be compared, they wait");
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

    /// Goes on with the round that runs, or begins one that is due.
    ///
    /// # Errors
    /// See [`StoreError`]. What was not done is done by the next step.
    pub async fn step(&mut self) -> Result<Step, StoreError> {
        let Parts { store, submitter, pulse, .. } = &self.parts;
        pulse.turn();
        match &mut self.running {
            Some(Round::Books(round)) => {
                if !round.step(store, submitter, pulse).await? {
                    let BooksReport { rows, differing, changed } = round.report;
                    tracing::info!(rows, differing, changed, "compared rows with the books");
                    self.running = None;
                }
                Ok(Step::Went)
            }
            Some(Round::Outside(round)) => {
                if !round.step(store, submitter, pulse).await? {
                    tracing::info!(report = ?round.report, "compared rows with another system");
                    self.running = None;
                }
                Ok(Step::Went)
            }
            None => self.begin().await,
        }
    }

    async fn begin(&mut self) -> Result<Step, StoreError> {
        let Parts { store, metrics, pulse, jobs, ignore_cart_holds, .. } = &self.parts;
        metrics.differences(&store.difference_counts().await.map_err(passing)?);
        for job in jobs {
            let Some(started) = store.take_turn(&job.name(), job.interval_s()).await? else { continue };
            match job {
                Job::Books { .. } => {
                    self.running = Some(Round::Books(BooksRound::new(started, *ignore_cart_holds)));
                    return Ok(Step::Went);
                }
                Job::Outside { place, terms, .. } => {
                    if let Some(round) = outside_round(place, terms, started, pulse, metrics).await {
                        self.running = Some(Round::Outside(Box::new(round)));
                        return Ok(Step::Went);
                    }
                }
            }
        }
        Ok(Step::Idle)
    }
}

/// A round over figures that can be read; those that cannot are told of, and asked for again with the next round.
async fn outside_round(
    place: &Place,
    terms: &Terms,
    started: Timestamp,
    pulse: &Pulse,
    metrics: &Metrics,
) -> Option<OutsideRound> {
    match pulse.turn_while(place.read()).await {
        Ok(figures) => Some(OutsideRound::new(started, terms.clone(), figures)),
        Err(error) => {
            metrics.retry("figures");
            tracing::warn!(source = &*terms.source, %error, "another system's figures could not be read");
            None
        }
    }
}

fn passing(error: QueryError) -> StoreError {
    match error {
        QueryError::Unavailable(error) => StoreError::Transient(error),
        QueryError::Broken(error) => StoreError::Fatal(error),
    }
}
