//! The worker as a whole: parts built from settings, started, watched, drained.

mod build;
mod buses;
mod clients;
mod counter;
mod maintenance;
mod part_states;
pub mod streams;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use crate::http::bind;
pub use build::{connect_new_store, connect_store, migrated_store, registry, topic_specs, topics};
pub use clients::{TailWish, kafka_connection, local_log, nats_connection, publisher, tail};
pub use counter::Counter;

use self::buses::Buses;
use crate::bus::direct::{DirectLimits, direct};
use crate::config::Settings;
use crate::engine::{self, Engine};
use crate::health::{Liveness, PartState, Readiness};
use crate::http::{EventStream, MAX_STREAMS, ServerLimits, Sidecar, SidecarLimits};
use crate::metrics::Metrics;
use crate::ports::{SourceStatus, Store};
use crate::reconcile::{self, Reconciler};
use crate::relay::{self, Relay};
use crate::store::AnyStore;
use crate::sweeper::{self, Sweeper};
use crate::wire::decode::Decoder;
use crate::wire::identity::OWN_SOURCE;
use crate::wire::schemas::KnownSchemas;
use crate::wire::shown::Showcase;

/// How long a turn of any loop may take before the process counts as stuck. Longer than every timeout of database and
/// broker: what takes longer is stuck, not slow.
const LONGEST_TURN: Duration = Duration::from_secs(120);
/// How many committed batches wait in memory for the relay, each of some megabytes at most; the table has the rest.
const HANDED_OVER: usize = 8;
/// Connections of the relay and of who looks at the outbox: engines that wait for locks must not keep them waiting.
const RELAY_CONNECTIONS: u32 = 2;
/// Connections of the reconciler, which reads much: nobody waits for it.
const RECONCILER_CONNECTIONS: u32 = 1;
/// How long before the end of the drain requests to the sidecar are cut off that have not ended.
const LAST_ANSWERS: Duration = Duration::from_millis(200);
/// How often the depth of the outbox is looked at.
const OUTBOX_INTERVAL: Duration = Duration::from_secs(1);

/// Why a command did not do what it was asked to, in one line.
#[derive(Debug)]
pub enum Failure {
    /// The settings are wrong: exit code 2.
    Settings(String),
    /// Something that is needed is missing, away or broken: exit code 1.
    Failed(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(line) | Self::Failed(line) => formatter.write_str(line),
        }
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// A failure that an error explains by itself.
    pub fn failed(error: impl fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs a worker until `stop` is set, then drains it: no new batch, the running one committed and settled, everything
/// committed announced, within the drain timeout.
///
/// # Errors
/// [`Failure`] when it cannot start, when a part ends before it was told to, or when the drain takes too long. Nothing
/// that was acknowledged is lost in any of these cases.
pub async fn run(settings: Settings, stop: CancellationToken) -> Result<(), Failure> {
    let started = start(None, settings, stop.clone()).await?;
    started.watch(stop).await
}

/// Runs a worker as [`run`] does; its sidecar has a listener already.
///
/// # Errors
/// As [`run`].
pub async fn run_on(listener: TcpListener, settings: Settings, stop: CancellationToken) -> Result<(), Failure> {
    let started = start(Some(listener), settings, stop.clone()).await?;
    started.watch(stop).await
}

/// A worker whose parts run.
struct Worker {
    /// What takes work in.
    intake: JoinSet<Ended>,
    /// What announces it.
    relay: JoinSet<Ended>,
    /// What serves both, and what answers questions.
    rest: JoinSet<Ended>,
    /// Tells the relay that nothing more is committed here.
    drain: CancellationToken,
    /// Ends what answers questions.
    farewell: CancellationToken,
    drain_timeout: Duration,
    /// Set when the drain begins.
    drain_deadline: Arc<OnceLock<Instant>>,
}

/// How a part ended.
struct Ended {
    part: &'static str,
    result: Result<(), String>,
}

async fn start(listener: Option<TcpListener>, settings: Settings, stop: CancellationToken) -> Result<Worker, Failure> {
    let topics = build::topics(&settings)?;
    let buses = Buses::of(&settings, &topics)?;
    let listen = settings.listen().map_err(|error| Failure::Settings(error.to_string()))?;
    let listener = match listener {
        Some(listener) => listener,
        None => bind(listen).await.map_err(Failure::failed)?,
    };
    let address = listener.local_addr().map_err(Failure::failed)?;
    let integrity = buses.prepare(&settings, &topics).await?;
    let store = build::worker_store(&settings, settings.store.engine_connections, integrity).await?;
    let publishing = build::connect_store(&settings, RELAY_CONNECTIONS).await?;
    let questions = build::connect_store(&settings, settings.store.http_connections).await?;
    let comparing = build::connect_store(&settings, RECONCILER_CONNECTIONS).await?;
    let log = buses.open_log().await?;
    buses.require_topics(&settings, &topics, log.as_ref()).await?;
    let schemas = Arc::new(KnownSchemas::load());
    let registry = build::registry(&settings)?;
    let encoder = build::encoder(&settings, &topics, registry.as_deref(), &schemas).await?;
    let decoder = Arc::new(Decoder::new(topics.clone(), schemas, registry, settings.max_event_bytes));
    let metrics = Metrics::new();
    let store = buses.announcing(store, log.as_ref(), &topics, &encoder, &metrics);
    // The relay's, too: it must know what the others have announced by themselves.
    let publishing = buses.announcing(publishing, log.as_ref(), &topics, &encoder, &metrics);
    let (source, sink) = buses.connect(&settings, &topics, log.clone()).await?;

    let liveness = Liveness::new(LONGEST_TURN);
    let (readiness_writer, readiness) =
        watch::channel(Readiness { bus: PartState::Starting, migrations: PartState::Up, relay: PartState::Starting });
    let (hand_over, committed) = mpsc::channel(HANDED_OVER);
    let (submitter, submissions) = direct(DirectLimits::default());
    let engine_parts = |name, buries| engine::Parts {
        name,
        store: store.clone(),
        decoder: decoder.clone(),
        bench: build::bench(&settings, buries),
        limit: build::batch_limit(&settings),
        relay: hand_over.clone(),
        metrics: metrics.clone(),
        pulse: liveness.watch(name),
        stop: stop.clone(),
    };

    let drain = CancellationToken::new();
    let farewell = CancellationToken::new();
    let status = source.status();
    let (mut intake, mut publisher, mut rest) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    let sweeping = Sweeper::new(sweeper::Parts {
        store: store.clone(),
        submitter: submitter.clone(),
        metrics: metrics.clone(),
        pulse: liveness.watch("sweeper"),
        stop: stop.clone(),
    });
    spawn(&mut intake, "engine", Engine::new(source, engine_parts("engine", true)).run());
    spawn(&mut intake, "direct engine", Engine::new(submissions, engine_parts("direct engine", false)).run());
    spawn(&mut intake, "sweeper", sweeping.run());
    let reconciling = Reconciler::new(reconcile::Parts {
        store: comparing,
        submitter: submitter.clone(),
        metrics: metrics.clone(),
        pulse: liveness.watch("reconciler"),
        stop: stop.clone(),
        jobs: build::reconciliations(&settings.reconcile),
        ignore_cart_holds: settings.alerts.ignore_cart_holds,
    });
    spawn(&mut intake, "reconciler", reconciling.run());
    spawn(
        &mut publisher,
        "relay",
        Relay::new(
            sink,
            relay::Parts {
                store: publishing.clone(),
                committed,
                holder: Uuid::new_v4(),
                encoder,
                lease: Duration::from_secs(settings.relay.lease_s),
                metrics: metrics.clone(),
                pulse: liveness.watch("relay"),
                drain: drain.clone(),
            },
        )
        .run(),
    );
    spawn(&mut rest, "maintenance", maintenance::maintain(store, log, farewell.clone()));
    spawn(&mut rest, "status", watch_parts(publishing, metrics.clone(), status, readiness_writer, farewell.clone()));
    let limits = SidecarLimits {
        max_body_bytes: settings.http.max_body_bytes,
        request_timeout: Duration::from_millis(settings.http.request_timeout_ms),
    };
    // However many streams there are, as many connections stay for everything else.
    let streams = MAX_STREAMS.min(settings.http.max_connections / 2);
    let stream = Arc::new(EventStream::new(Showcase::new(&topics, OWN_SOURCE), streams));
    let polling = stream.clone().poll(questions.clone(), farewell.clone());
    let sidecar =
        Sidecar { queries: questions, stream, submissions: submitter, metrics, liveness, readiness, stop, limits };
    let server_limits = ServerLimits {
        max_connections: settings.http.max_connections,
        drain_timeout: limits.request_timeout,
        request_timeout: limits.request_timeout,
    };
    let serving = crate::http::serve(listener, crate::http::router(sidecar), server_limits, farewell.clone());
    spawn(&mut rest, "event stream", async {
        polling.await;
        Ok::<(), std::convert::Infallible>(())
    });
    let drain_deadline = Arc::new(OnceLock::new());
    spawn(&mut rest, "sidecar", answer_questions(serving, farewell.clone(), drain_deadline.clone()));
    tracing::info!(%address, source = OWN_SOURCE, group = settings.source.group, "the worker runs");
    let drain_timeout = settings.drain_timeout();
    Ok(Worker { intake, relay: publisher, rest, drain, farewell, drain_timeout, drain_deadline })
}

fn spawn<E: fmt::Display>(
    parts: &mut JoinSet<Ended>,
    part: &'static str,
    run: impl Future<Output = Result<(), E>> + Send + 'static,
) {
    parts.spawn(async move { Ended { part, result: run.await.map_err(|error| error.to_string()) } });
}

impl Worker {
    /// Waits for the stop or for a part that ends before it, then drains.
    async fn watch(mut self, stop: CancellationToken) -> Result<(), Failure> {
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            ended = self.intake.join_next() => ended,
            ended = self.relay.join_next() => ended,
            ended = self.rest.join_next() => ended,
        };
        // A part that heard of the stop first has ended as it should.
        let early = !stop.is_cancelled();
        stop.cancel();
        let deadline = *self.drain_deadline.get_or_init(|| Instant::now() + self.drain_timeout);
        let drained = tokio::time::timeout_at(deadline, self.drain_parts(deadline)).await;
        let mut failures: Vec<String> = ended.into_iter().filter_map(|ended| complaint(ended, early)).collect();
        match drained {
            Ok(later) => failures.extend(later),
            Err(_) => {
                for parts in [&mut self.intake, &mut self.relay, &mut self.rest] {
                    parts.abort_all();
                }
                failures.push(format!(
                    "the drain took longer than drain_timeout_ms ({} ms); what is not acknowledged comes again, and what \
                     is committed and not announced is announced by the next worker",
                    self.drain_timeout.as_millis()
                ));
            }
        }
        match failures.is_empty() {
            true => {
                tracing::info!("drained");
                Ok(())
            }
            false => Err(Failure::Failed(failures.join("; "))),
        }
    }

    /// First what takes work in, then what announces it, then what answers questions. A part that has ended before is
    /// not waited for. Nor is a bus that is away: what is committed stands in the outbox, and the end is in good order.
    async fn drain_parts(&mut self, deadline: Instant) -> Vec<String> {
        let mut failures = Vec::new();
        join_all(&mut self.intake, &mut failures).await;
        self.drain.cancel();
        let last_words = deadline.checked_sub(self.drain_timeout / 5).unwrap_or(deadline);
        if tokio::time::timeout_at(last_words, join_all(&mut self.relay, &mut failures)).await.is_err() {
            tracing::warn!("not everything could be announced before the end; the next worker announces the rest");
            self.relay.shutdown().await;
        }
        self.farewell.cancel();
        join_all(&mut self.rest, &mut failures).await;
        failures
    }
}

async fn join_all(parts: &mut JoinSet<Ended>, failures: &mut Vec<String>) {
    while let Some(ended) = parts.join_next().await {
        failures.extend(complaint(ended, false));
    }
}

/// Serves questions until the farewell, then lets running requests end within what is left of the drain: a slow
/// question does not make it fail.
async fn answer_questions(
    serving: impl Future<Output = ()>,
    farewell: CancellationToken,
    drain_deadline: Arc<OnceLock<Instant>>,
) -> Result<(), std::convert::Infallible> {
    let mut serving = std::pin::pin!(serving);
    if let Some(()) = farewell.run_until_cancelled(serving.as_mut()).await {
        return Ok(());
    }
    let deadline = *drain_deadline.get_or_init(Instant::now);
    if tokio::time::timeout_at(deadline.checked_sub(LAST_ANSWERS).unwrap_or(deadline), serving).await.is_err() {
        tracing::warn!("requests did not end before the drain and are cut off");
    }
    Ok(())
}

/// What there is to complain about in the end of a part.
fn complaint(ended: Result<Ended, tokio::task::JoinError>, early: bool) -> Option<String> {
    match ended {
        Ok(Ended { part, result: Err(error) }) => Some(format!("{part}: {error}")),
        Ok(Ended { part, result: Ok(()) }) if early => Some(format!("{part}: ended without being told to")),
        Ok(Ended { result: Ok(()), .. }) => None,
        Err(error) => Some(format!("a part of the worker broke: {error}")),
    }
}

/// Carries what the parts know of themselves to metrics and readiness.
async fn watch_parts(
    store: AnyStore,
    metrics: Metrics,
    mut source: watch::Receiver<SourceStatus>,
    readiness: watch::Sender<Readiness>,
    stop: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    let mut looked = tokio::time::interval(OUTBOX_INTERVAL);
    looked.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = looked.tick() => {}
        }
        let status = source.borrow_and_update().clone();
        metrics.source_status(&status);
        let bus = part_states::bus(&status);
        let outbox = store.outbox_status().await;
        let relay = part_states::relay(&outbox, LONGEST_TURN);
        match &outbox {
            Ok(status) => {
                metrics.outbox(status.last_number - status.published_number, relay::oldest_age(status));
            }
            Err(error) if readiness.borrow().relay != relay => tracing::warn!(%error, "the outbox cannot be looked at"),
            Err(_) => {}
        }
        readiness.send_if_modified(|known| {
            let next = Readiness { bus: bus.clone(), migrations: PartState::Up, relay: relay.clone() };
            let changed = *known != next;
            *known = next;
            changed
        });
        metrics.ready(readiness.borrow().is_ready());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_request_has_no_longer_than_what_is_left_of_the_drain() {
        let farewell = CancellationToken::new();
        farewell.cancel();
        let deadline = Arc::new(OnceLock::from(Instant::now() + 2 * LAST_ANSWERS));
        answer_questions(std::future::pending(), farewell, deadline.clone()).await.expect("it cannot fail");
        assert!(Instant::now() < deadline.get().copied().expect("it is set"), "the drain would have failed");
    }
}
