//! One life of a worker: the real engines, sweeper and relay, as the worker puts them together.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use holdfast::bus::direct::{DirectLimits, DirectSubmitter, direct};
use holdfast::engine::judge::Bench;
use holdfast::engine::{self, Engine};
use holdfast::health::Liveness;
use holdfast::ports::BatchLimit;
use holdfast::relay::{self, Relay};
use holdfast::sweeper::{self, Sweeper};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::invariants::Invariant;
use super::schedule::{OUTSIDE, Owner};
use super::sink::ModelSink;
use super::source::ModelSource;
use super::store::FaultyStore;
use super::world::World;

/// Bytes never end a batch here.
const BATCH_BYTES: usize = 1_000_000;
/// How far ahead of the database's clock an event's time may be, as in the contract.
pub const MAX_CLOCK_SKEW_SECONDS: i64 = 300;
/// How long ago a count may have been taken, as in the contract.
pub const COUNT_MAX_AGE_SECONDS: i64 = 604_800;
/// How often a member says that it still works on what it holds.
const KEEPING: Duration = Duration::from_secs(1);
/// How long a member that says nothing is one of its group.
pub const SESSION: Duration = Duration::from_secs(3);
/// How long a worker may drain.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(25);
/// How often somebody who waits looks whether it is over.
const LOOK: Duration = Duration::from_millis(20);

/// A worker from its start to its end.
#[derive(Clone)]
pub struct Life {
    /// Whose tasks they are.
    pub owner: Owner,
    /// Where events are submitted.
    pub submitter: DirectSubmitter,
    /// Whether it stands still or ends.
    pub is_away: bool,
    stop: CancellationToken,
    drain: CancellationToken,
    running: Arc<Running>,
}

/// How many parts have not ended.
#[derive(Default)]
struct Running {
    intake: AtomicUsize,
    relay: AtomicUsize,
}

/// Begins a life in the place of a worker.
pub fn start(world: &Arc<World>, worker: usize) {
    let owner = world.new_owner();
    world.note(format_args!("worker {worker} begins as {owner:?}"));
    let (hand_over, committed) = mpsc::channel(world.settings.hand_over);
    let limits = DirectLimits { submissions: world.settings.submissions, ..DirectLimits::default() };
    let (submitter, submissions) = direct(limits);
    let (stop, drain) = (CancellationToken::new(), CancellationToken::new());
    let liveness = Liveness::new(Duration::from_secs(3_600));
    let store = || FaultyStore::new(world.clone(), hand_over.downgrade());
    let parts = |name, buries| engine::Parts {
        name,
        store: store(),
        decoder: world.equipment.decoder.clone(),
        bench: Bench {
            rules: world.settings.rules.clone(),
            max_clock_skew_seconds: MAX_CLOCK_SKEW_SECONDS,
            count_max_age_seconds: COUNT_MAX_AGE_SECONDS,
            buries,
        },
        limit: BatchLimit { deliveries: world.settings.batch_events, bytes: BATCH_BYTES },
        relay: hand_over.clone(),
        metrics: world.equipment.metrics.clone(),
        pulse: liveness.watch(name),
        stop: stop.clone(),
    };
    let running = Arc::new(Running::default());
    let life =
        Life { owner, submitter: submitter.clone(), is_away: false, stop: stop.clone(), drain: drain.clone(), running };
    let engine = Engine::new(ModelSource::new(world.clone(), owner), parts("engine", true));
    life.run(world, |running| &running.intake, "engine", engine.run());
    let engine = Engine::new(submissions, parts("direct engine", false));
    life.run(world, |running| &running.intake, "direct engine", engine.run());
    let sweeper = Sweeper::new(sweeper::Parts {
        store: store(),
        submitter,
        metrics: world.equipment.metrics.clone(),
        pulse: liveness.watch("sweeper"),
        stop,
    });
    life.run(world, |running| &running.intake, "sweeper", sweeper.run());
    let relay = Relay::new(
        ModelSink::new(world.clone()),
        relay::Parts {
            store: store(),
            committed,
            holder: world.random_id(),
            encoder: world.equipment.encoder.clone(),
            lease: Duration::from_secs(world.settings.lease_seconds),
            metrics: world.equipment.metrics.clone(),
            pulse: liveness.watch("relay"),
            drain,
        },
    );
    life.run(world, |running| &running.relay, "relay", relay.run());
    let keeping = world.clone();
    world.orders.spawn(owner, async move {
        loop {
            keeping.broker().keep(owner);
            tokio::time::sleep(KEEPING).await;
        }
    });
    world.replace_life(worker, Some(life));
}

impl Life {
    fn run<E: fmt::Display>(
        &self,
        world: &Arc<World>,
        of: impl Fn(&Running) -> &AtomicUsize + Send + 'static,
        part: &'static str,
        runs: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        of(&self.running).fetch_add(1, Ordering::Relaxed);
        let (world, running, owner) = (world.clone(), self.running.clone(), self.owner);
        world.clone().orders.spawn(owner, async move {
            if let Err(error) = runs.await {
                world.violated(Invariant::I11, format!("the {part} of {owner:?} has ended for good: {error}"));
                world.give_up();
            }
            of(&running).fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Kills a worker wherever it is; its next life begins a little later.
pub fn crash(world: &Arc<World>, worker: usize, back_after: Duration) -> bool {
    let Some(life) = world.replace_life(worker, None) else { return false };
    world.note(format_args!("worker {worker}, {:?}, is killed", life.owner));
    end(world, life.owner);
    let later = world.clone();
    world.orders.spawn(OUTSIDE, async move {
        tokio::time::sleep(back_after).await;
        start(&later, worker);
    });
    true
}

/// Ends every task at once. The group notices once the session is over.
fn end(world: &Arc<World>, owner: Owner) {
    world.orders.kill(owner);
    world.orders.thaw(owner);
    leave_later(world, owner, |_| true);
}

fn leave_later(world: &Arc<World>, owner: Owner, is_gone: impl Fn(&World) -> bool + Send + 'static) {
    let later = world.clone();
    world.orders.spawn(OUTSIDE, async move {
        tokio::time::sleep(SESSION).await;
        if is_gone(&later) {
            let mut broker = later.broker();
            later.dice(|dice| broker.leave(owner, dice));
        }
    });
}

/// Has a worker stand still for a while.
pub fn freeze(world: &Arc<World>, worker: usize, absence: Duration) -> bool {
    let Some(life) = world.life(worker).filter(|life| !life.is_away) else { return false };
    let owner = life.owner;
    world.note(format_args!("worker {worker}, {owner:?}, stands still"));
    world.replace_life(worker, Some(Life { is_away: true, ..life.clone() }));
    world.orders.freeze(owner);
    let still = move |world: &World| world.life(worker).is_some_and(|life| life.owner == owner && life.is_away);
    leave_later(world, owner, still);
    let later = world.clone();
    world.orders.spawn(OUTSIDE, async move {
        tokio::time::sleep(absence).await;
        if still(&later) {
            later.replace_life(worker, Some(life));
            later.note(format_args!("worker {worker}, {owner:?}, goes on"));
            later.orders.thaw(owner);
        }
    });
    true
}

/// Tells a worker to stop; it drains as the worker does, and another life begins.
pub fn stop(world: &Arc<World>, worker: usize) -> bool {
    let Some(life) = world.life(worker).filter(|life| !life.is_away) else { return false };
    world.note(format_args!("worker {worker}, {:?}, is told to stop", life.owner));
    world.replace_life(worker, Some(Life { is_away: true, ..life.clone() }));
    let later = world.clone();
    world.orders.spawn(OUTSIDE, async move {
        life.stop.cancel();
        let deadline = tokio::time::Instant::now() + DRAIN_TIMEOUT;
        for part in [&life.running.intake, &life.running.relay] {
            while part.load(Ordering::Relaxed) > 0 && tokio::time::Instant::now() < deadline {
                tokio::time::sleep(LOOK).await;
            }
            life.drain.cancel();
        }
        if later.life(worker).is_some_and(|now| now.owner == life.owner) {
            later.replace_life(worker, None);
            end(&later, life.owner);
            start(&later, worker);
        }
    });
    true
}
