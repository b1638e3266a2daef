//! The worker as a whole: parts built from settings, started, watched, drained.

mod build;
mod buses;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use build::{connect_store, migrated_store, registry, topics};
pub use buses::{Bus, read_streams, sink_bus, source_bus, topic_specs, written_streams};

use self::buses::{SinkOf, SourceOf};
use crate::bus::direct::{DirectLimits, direct};
use crate::bus::kafka::{KafkaSink, KafkaSource};
use crate::bus::nats::{NatsSink, NatsSource};
use crate::config::Settings;
use crate::engine::{self, Engine};
use crate::health::{Liveness, PartState, Readiness};
use crate::http::{ServerLimits, Sidecar, SidecarLimits};
use crate::metrics::Metrics;
use crate::ports::{Source, SourceStatus, Store, StoreError};
use crate::relay::{self, Relay};
use crate::store::postgres::PostgresStore;
use crate::sweeper::{self, OWN_SOURCE, Sweeper};
use crate::wire::decode::Decoder;
use crate::wire::schemas::KnownSchemas;

/// How long a turn of any loop may take before the process counts as stuck. Longer than every timeout of database and
/// broker: what takes longer is stuck, not slow.
const LONGEST_TURN: Duration = Duration::from_secs(120);
/// How many committed batches wait in memory for the relay, each of some megabytes at most; the table has the rest.
const HANDED_OVER: usize = 8;
/// How often partitions are made ahead and old rows dropped.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(300);
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
    let started = start(settings, stop.clone()).await?;
    started.watch(stop).await
}

/// A worker whose parts run.
struct Worker {
    intake: JoinSet<Ended>,
    rest: JoinSet<Ended>,
    /// Tells the relay that nothing more is committed here.
    drain: CancellationToken,
    /// Ends what answers questions.
    farewell: CancellationToken,
    drain_timeout: Duration,
}

/// How a part ended.
struct Ended {
    part: &'static str,
    result: Result<(), String>,
}

async fn start(settings: Settings, stop: CancellationToken) -> Result<Worker, Failure> {
    let topics = build::topics(&settings)?;
    let from = buses::source(&settings, &topics)?;
    let to = buses::sink(&settings, &topics)?;
    let listen = settings.listen().map_err(|error| Failure::Settings(error.to_string()))?;
    let listener = crate::http::bind(listen).await.map_err(Failure::failed)?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    let store = build::migrated_store(&settings, settings.store.engine_connections).await?;
    let questions = build::connect_store(&settings, settings.store.http_connections).await?;
    let schemas = Arc::new(KnownSchemas::load());
    let registry = build::registry(&settings)?;
    let encoder = build::encoder(&settings, &topics, registry.as_deref(), &schemas).await?;
    let decoder = Arc::new(Decoder::new(topics.clone(), schemas, registry, settings.max_event_bytes));
    let metrics = Metrics::new();
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
    let mut intake = JoinSet::new();
    let mut rest = JoinSet::new();
    let status = match from {
        SourceOf::Kafka(settings) => {
            let source = KafkaSource::open(settings).await.map_err(Failure::failed)?;
            take_in(&mut intake, source.status(), source, engine_parts("engine", true))
        }
        SourceOf::Nats(settings) => {
            let source = NatsSource::open(settings).await.map_err(Failure::failed)?;
            take_in(&mut intake, source.status(), source, engine_parts("engine", true))
        }
    };
    let sweeping = Sweeper::new(sweeper::Parts {
        store: store.clone(),
        submitter: submitter.clone(),
        metrics: metrics.clone(),
        pulse: liveness.watch("sweeper"),
        stop: stop.clone(),
    });
    spawn(&mut intake, "direct engine", Engine::new(submissions, engine_parts("direct engine", false)).run());
    spawn(&mut intake, "sweeper", sweeping.run());
    let relay_parts = relay::Parts {
        store: store.clone(),
        committed,
        encoder,
        lease: Duration::from_secs(settings.relay.lease_s),
        metrics: metrics.clone(),
        pulse: liveness.watch("relay"),
        drain: drain.clone(),
    };
    match to {
        SinkOf::Kafka(settings) => spawn(&mut rest, "relay", Relay::new(KafkaSink::new(settings), relay_parts).run()),
        SinkOf::Nats(settings) => spawn(&mut rest, "relay", Relay::new(NatsSink::new(settings), relay_parts).run()),
    }
    spawn(&mut rest, "maintenance", maintain(store.clone(), farewell.clone()));
    spawn(&mut rest, "status", watch_parts(store, metrics.clone(), status, readiness_writer, farewell.clone()));
    let limits = SidecarLimits {
        max_body_bytes: settings.http.max_body_bytes,
        request_timeout: Duration::from_millis(settings.http.request_timeout_ms),
    };
    let sidecar = Sidecar { queries: questions, submissions: submitter, metrics, liveness, readiness, stop, limits };
    let server_limits = ServerLimits {
        max_connections: settings.http.max_connections,
        drain_timeout: limits.request_timeout,
        request_timeout: limits.request_timeout,
    };
    let serving = crate::http::serve(listener, crate::http::router(sidecar), server_limits, farewell.clone());
    spawn(&mut rest, "sidecar", async {
        serving.await;
        Ok::<(), std::convert::Infallible>(())
    });
    tracing::info!(%address, source = OWN_SOURCE, group = settings.source.group, "the worker runs");
    Ok(Worker { intake, rest, drain, farewell, drain_timeout: settings.drain_timeout() })
}

/// Starts the engine on the bus that events come from.
fn take_in<Src: Source + Sync + 'static>(
    intake: &mut JoinSet<Ended>,
    status: watch::Receiver<SourceStatus>,
    source: Src,
    parts: engine::Parts<PostgresStore>,
) -> watch::Receiver<SourceStatus> {
    spawn(intake, parts.name, Engine::new(source, parts).run());
    status
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
            ended = self.rest.join_next() => ended,
        };
        // A part that heard of the stop first has ended as it should.
        let early = !stop.is_cancelled();
        stop.cancel();
        let drained = tokio::time::timeout(self.drain_timeout, self.drain_parts()).await;
        let mut failures: Vec<String> = ended.into_iter().filter_map(|ended| complaint(ended, early)).collect();
        match drained {
            Ok(later) => failures.extend(later),
            Err(_) => {
                self.intake.abort_all();
                self.rest.abort_all();
                failures.push(format!(
                    "the drain took longer than drain_timeout_ms ({} ms); what is committed and not announced is \
                     announced by the next worker",
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

    /// First what takes work in, then what announces it, then what answers questions.
    async fn drain_parts(&mut self) -> Vec<String> {
        let mut failures = Vec::new();
        while let Some(ended) = self.intake.join_next().await {
            failures.extend(complaint(ended, false));
        }
        self.drain.cancel();
        // The relay may still need the database and the sidecar's answers; it ends by itself.
        let mut told = false;
        while let Some(ended) = self.rest.join_next().await {
            let relay = ended.as_ref().is_ok_and(|ended| ended.part == "relay");
            failures.extend(complaint(ended, false));
            if relay || !told {
                told = true;
                self.farewell.cancel();
            }
        }
        failures
    }
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

/// Makes partitions ahead and drops old rows, now and then.
async fn maintain(store: PostgresStore, stop: CancellationToken) -> Result<(), StoreError> {
    loop {
        match store.maintain().await {
            Ok(report) => tracing::debug!(?report, "maintenance"),
            Err(StoreError::Transient(error)) => tracing::warn!(%error, "maintenance could not be done, it waits"),
            Err(error @ StoreError::Fatal(_)) => return Err(error),
        }
        if stop.run_until_cancelled(tokio::time::sleep(MAINTENANCE_INTERVAL)).await.is_none() {
            return Ok(());
        }
    }
}

/// Carries what the parts know of themselves to metrics and readiness.
async fn watch_parts(
    store: PostgresStore,
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
        let bus = match (status.connected, &status.trouble) {
            (true, _) => PartState::Up,
            (false, Some(trouble)) => PartState::Down(trouble.clone()),
            (false, None) => PartState::Starting,
        };
        let relay = match store.outbox_status().await {
            Ok(status) => {
                let age = relay::oldest_age(&status);
                metrics.outbox(status.last_number - status.published_number, age);
                if age < LONGEST_TURN {
                    PartState::Up
                } else {
                    PartState::Down("announcements wait for two minutes".into())
                }
            }
            Err(error) => PartState::Down(error.to_string().into()),
        };
        readiness.send_if_modified(|known| {
            let next = Readiness { bus: bus.clone(), migrations: PartState::Up, relay: relay.clone() };
            let changed = *known != next;
            *known = next;
            changed
        });
        metrics.ready(readiness.borrow().is_ready());
    }
}
