//! One run: everything happens, everything heals, and what is left is looked at.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use holdfast::ports::{DeadLetterReason, Outcome};

use super::case::{Case, Guarantee};
use super::director;
use super::equipment::Equipment;
use super::faults::{Fault, Hits};
use super::invariants::{self, Evidence, Invariant, Left, Violation};
use super::reference::Reference;
use super::schedule::{Ending, OUTSIDE, Schedule};
use super::worker;
use super::world::World;
use crate::model::{Journaled, Tables};

/// A run that takes more steps does not come to rest: the longest ones take a tenth of them.
const MOST_STEPS: u64 = 1_000_000;
/// How long everything may take to come to rest once nothing breaks any more, in its own time: a lease that was given
/// before the clock was set back holds for ten minutes.
const HEALING: Duration = Duration::from_secs(900);
/// How often somebody looks whether it has.
const LOOK: Duration = Duration::from_millis(100);
/// How long a sweeper may take to have done what another one was quicker to do.
const SWEEPING: Duration = Duration::from_secs(30);
/// How long everything is left alone to see what is kept for ever: longer than anything is kept.
const AGING_SECONDS: i64 = 500 * 86_400;

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Report {
    /// What does not hold, in the order of the invariants.
    pub violations: Vec<Violation>,
    /// How often each fault did happen.
    pub hits: Hits,
    /// How many steps it took.
    pub steps: u64,
    /// The same for the same run only.
    pub digest: u64,
    /// What happened, where it was kept.
    pub lines: Vec<String>,
}

/// Runs cases, one after the other. Holds what all of them share.
pub struct Simulator {
    equipment: Equipment,
    reference: Reference,
}

impl Simulator {
    /// A simulator that compares every end with that of a reference.
    pub fn new(reference: Reference) -> Self {
        Self { equipment: Equipment::new(), reference }
    }

    /// Runs a case.
    pub fn run(&self, case: &Case) -> Report {
        self.run_with(case, false)
    }

    /// Runs a case and keeps what happened, to be read.
    pub fn run_with(&self, case: &Case, keeps_lines: bool) -> Report {
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let (world, steps) = self.happen(case, keeps_lines);
            self.judge(&world, steps)
        }));
        ran.unwrap_or_else(|panic| Report {
            violations: vec![Violation { invariant: Invariant::I11, detail: format!("panic: {}", message(&*panic)) }],
            hits: Hits::default(),
            steps: 0,
            digest: 0,
            lines: Vec::new(),
        })
    }

    /// Runs a case and shows what it leaves behind.
    pub fn leave_behind(&self, case: &Case) -> Evidence {
        let (world, _) = self.happen(case, false);
        Evidence::gather(&world)
    }

    /// Has a case happen in a world of its own. Returns the world as it is then, and how many steps that took.
    fn happen(&self, case: &Case, keeps_lines: bool) -> (Arc<World>, u64) {
        // What the core draws by itself, such as the jitter of its retries, comes from this thread's generator.
        fastrand::seed(case.schedule_seed);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without threads and descriptors can be built");
        // The budget of a task would have its parts yield to the runtime, which has nothing else to do.
        runtime.block_on(tokio::task::unconstrained(self.drive(case, keeps_lines)))
    }

    async fn drive(&self, case: &Case, keeps_lines: bool) -> (Arc<World>, u64) {
        let world = World::new(case, self.equipment.clone(), keeps_lines);
        for worker in 0..case.settings.workers {
            worker::start(&world, worker);
        }
        let (directed, items) = (world.clone(), case.items.clone());
        world.orders.spawn(OUTSIDE, async move {
            director::direct(&directed, items).await;
            directed.heal();
            directed.note(format_args!("everything heals"));
            director::tell_last(&directed);
            let left = come_to_rest(&directed).await;
            if left.is_some() && directed.settings.ages {
                age(&directed).await;
            }
            directed.orders.end();
        });
        let schedule = Schedule::new(world.orders.clone(), case.schedule_seed, case.settings.stickiness, MOST_STEPS);
        let (ending, steps) = schedule.run(&world.trace).await;
        if ending == Ending::TooLong {
            world.violated(
                Invariant::I11,
                format!("no rest after {steps} steps: {}", unrest(&world).unwrap_or_default()),
            );
        }
        (world, steps)
    }

    fn judge(&self, world: &World, steps: u64) -> Report {
        let mut evidence = Evidence::gather(world);
        let mut hits = world.hits();
        count(&evidence.journal, &mut hits);
        let mut violations = world.violations();
        violations.extend(invariants::check_all(&mut evidence, self.reference));
        violations.sort_by_key(|violation| violation.invariant);
        let mut trace = world.trace.lock().unwrap_or_else(PoisonError::into_inner);
        Report { violations, hits, steps, digest: trace.digest(), lines: trace.take_lines() }
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

/// What is only seen in what was committed.
fn count(journal: &[Journaled], hits: &mut Hits) {
    for outcome in journal.iter().flat_map(|transaction| &transaction.outcomes) {
        if matches!(outcome, Outcome::DeadLettered { reason: DeadLetterReason::DayClosed, .. }) {
            hits.hit(Fault::DayClosed);
        }
    }
    let fresh = journal.iter().flat_map(|it| it.fresh.iter().map(|(index, verdict)| (&it.entries[*index], verdict)));
    for (entry, verdict) in fresh {
        if invariants::is_expiry(entry) && *verdict == holdfast::domain::verdict::Verdict::Applied {
            hits.hit(Fault::Expired);
        }
    }
}

/// Waits until nothing is left to do. `None` when that does not come.
async fn come_to_rest(world: &Arc<World>) -> Option<()> {
    let deadline = tokio::time::Instant::now() + HEALING;
    loop {
        if world.is_over() {
            return None;
        }
        world.set_clock();
        let Some(what) = unrest(world) else { return Some(()) };
        if tokio::time::Instant::now() > deadline {
            world.violated(Invariant::I11, format!("no rest {} s after everything healed: {what}", HEALING.as_secs()));
            return None;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What is left to do, for people.
fn unrest(world: &World) -> Option<String> {
    let lives = world.lives();
    if let Some(worker) = lives.iter().position(|life| life.as_ref().is_none_or(|life| life.is_away)) {
        return Some(format!("worker {worker} is away"));
    }
    let callers = world.callers(|_| {});
    if callers > 0 {
        return Some(format!("{callers} callers wait"));
    }
    let lag = world.broker().lag();
    if lag > 0 {
        return Some(format!("{lag} records are not acknowledged"));
    }
    // At least once, a relay that stood still may have written an older progress over the newest.
    let published = match world.settings.guarantee {
        Guarantee::AtLeastOnce => i64::MAX,
        Guarantee::Transactions | Guarantee::Sequences => {
            world.stream().progress().map_or(0, |progress| progress.batch)
        }
    };
    let (last, marked, due) = world.database.look(|tables| (tables.last_number, tables.mark.number, due(tables)));
    if published.min(marked) < last {
        return Some(format!("{last} batches are committed, {published} published and {marked} marked"));
    }
    due.map(|claim| format!("{claim} is due"))
}

fn due(tables: &Tables) -> Option<String> {
    let mut claims = tables.claims.values().map(|kept| &kept.claim);
    let due = claims.find(|claim| claim.expires_at.is_some_and(|deadline| deadline <= tables.clock))?;
    Some(format!("{} {}", due.key.kind.as_str(), due.key.reference))
}

/// Leaves everything alone for longer than anything is kept, three times: an event whose time was ahead may come into its
/// own first, then what it reserved is swept, and each is news of its day.
async fn age(world: &Arc<World>) {
    for _ in 0..3 {
        world.move_clock(AGING_SECONDS);
        if come_to_rest(world).await.is_none() {
            return;
        }
        // It files what it was late for under the day of its look.
        tokio::time::sleep(SWEEPING).await;
    }
    if director::maintain(world).await.is_some() {
        let left = world.database.look(|tables| Left {
            keys: tables.inbox.len(),
            batches: tables.outbox.len(),
            letters: tables.dead_letters.len(),
            deadlines: tables.claims.values().filter(|kept| kept.claim.expires_at.is_some()).count(),
        });
        world.leave(left);
    }
}
