//! What everything in a run shares: the clock, the dice, what is armed, and what was noticed.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use holdfast::domain::words::Timestamp;
use holdfast::ports::{Entry, Outcome, Position, Record, StoreError};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::broker::Broker;
use super::case::{Case, Settings};
use super::equipment::Equipment;
use super::faults::{Fault, Hits, Planned};
use super::invariants::{Invariant, Left, Violation};
use super::schedule::{Orders, Owner};
use super::sink::Stream;
use super::trace::Trace;
use super::worker::Life;
use super::workload::Readable;
use crate::model::ModelDatabase;

/// When every run begins: noon of 2026-01-05, so that a day's end is hours away.
const BEGINNING: Timestamp = Timestamp(1_767_614_400_000_000);

/// One run's world.
pub struct World {
    /// The installation.
    pub settings: Settings,
    /// What every worker is built with.
    pub equipment: Equipment,
    /// The database that all share.
    pub database: ModelDatabase,
    /// Where events come from.
    pub broker: Mutex<Broker>,
    /// Tells that records came.
    pub arrivals: Notify,
    /// Where announcements go.
    pub stream: Mutex<Stream>,
    /// The executor.
    pub orders: Orders,
    /// What happened.
    pub trace: Mutex<Trace>,
    state: Mutex<State>,
    started: Instant,
}

struct State {
    dice: Rng,
    hits: Hits,
    /// Faults that befall whoever comes next.
    armed: Vec<Planned>,
    /// How far the database's clock is from the time that has passed, in seconds.
    clock_offset: i64,
    database_away_until: Option<Instant>,
    broker_away_until: Option<Instant>,
    violations: Vec<Violation>,
    owners: u64,
    lives: Vec<Option<Life>>,
    callers: usize,
    answers: BTreeMap<u32, Outcome>,
    first_told: BTreeMap<u32, (Record, Readable)>,
    readable: BTreeMap<(String, i32, i64), Readable>,
    is_over: bool,
    left: Option<Left>,
    /// What the journal of the database has been read for, up to which transaction. Never walked.
    committed: HashSet<Position>,
    journal_read: usize,
}

impl World {
    /// An empty world.
    pub fn new(case: &Case, equipment: Equipment, keeps_lines: bool) -> Arc<Self> {
        let mut dice = Rng::with_seed(case.schedule_seed ^ 0x5bd1_e995);
        let installation = uuid::Builder::from_random_bytes(dice.u128(..).to_be_bytes()).into_uuid();
        let settings = case.settings.clone();
        let database = ModelDatabase::new(BEGINNING, installation);
        database.change(|tables| tables.journal = Some(Vec::new()));
        Arc::new(Self {
            broker: Mutex::new(Broker::new(settings.carriage, settings.partitions)),
            stream: Mutex::new(Stream::new(settings.guarantee)),
            arrivals: Notify::new(),
            orders: Orders::default(),
            trace: Mutex::new(Trace::new(keeps_lines)),
            state: Mutex::new(State {
                dice,
                hits: Hits::default(),
                armed: Vec::new(),
                clock_offset: 0,
                database_away_until: None,
                broker_away_until: None,
                violations: Vec::new(),
                owners: 0,
                lives: (0..settings.workers).map(|_| None).collect(),
                callers: 0,
                answers: BTreeMap::new(),
                first_told: BTreeMap::new(),
                readable: BTreeMap::new(),
                is_over: false,
                left: None,
                committed: HashSet::new(),
                journal_read: 0,
            }),
            started: Instant::now(),
            settings,
            equipment,
            database,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The broker.
    pub fn broker(&self) -> MutexGuard<'_, Broker> {
        self.broker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was published.
    pub fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Throws the dice.
    pub fn dice<T>(&self, throw: impl FnOnce(&mut Rng) -> T) -> T {
        throw(&mut self.state().dice)
    }

    /// A random id.
    pub fn random_id(&self) -> Uuid {
        self.dice(|dice| uuid::Builder::from_random_bytes(dice.u128(..).to_be_bytes()).into_uuid())
    }

    /// An owner that was none before.
    pub fn new_owner(&self) -> Owner {
        let mut state = self.state();
        state.owners += 1;
        Owner(state.owners)
    }

    /// Notes that something happened.
    pub fn note(&self, what: fmt::Arguments<'_>) {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner).note(what);
    }

    /// Counts a fault that did happen.
    pub fn hit(&self, fault: Fault) {
        self.state().hits.hit(fault);
    }

    /// How often each fault did happen.
    pub fn hits(&self) -> Hits {
        self.state().hits.clone()
    }

    /// Notes that something that must hold does not.
    pub fn violated(&self, invariant: Invariant, detail: String) {
        self.note(format_args!("violated: {invariant:?}: {detail}"));
        self.state().violations.push(Violation { invariant, detail });
    }

    /// What was noticed on the way.
    pub fn violations(&self) -> Vec<Violation> {
        self.state().violations.clone()
    }

    /// Ends the run before its time.
    pub fn give_up(&self) {
        self.state().is_over = true;
    }

    /// Whether the run ended before its time.
    pub fn is_over(&self) -> bool {
        self.state().is_over
    }

    /// Keeps what is left after everything was left alone.
    pub fn leave(&self, left: Left) {
        self.state().left = Some(left);
    }

    /// What is left after everything was left alone.
    pub fn left(&self) -> Option<Left> {
        self.state().left
    }

    /// The database's clock.
    pub fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        Timestamp(BEGINNING.0 + passed).plus_seconds(self.state().clock_offset)
    }

    /// When the run began, by the clock that does not jump.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Moves the database's clock.
    pub fn move_clock(&self, seconds: i64) {
        self.state().clock_offset += seconds;
        self.set_clock();
    }

    /// Has the database's clock show the time.
    pub fn set_clock(&self) {
        let now = self.now();
        self.database.change(|tables| tables.clock = now);
    }

    /// Has a fault befall whoever comes next.
    pub fn arm(&self, planned: Planned) {
        self.state().armed.push(planned);
    }

    /// The fault of a kind that is to happen now, if one is. Whoever it befalls counts it once it has made a difference:
    /// what fails by itself is no fault's work.
    pub fn armed(&self, fault: Fault) -> Option<Planned> {
        let mut state = self.state();
        let index = state.armed.iter().position(|planned| planned.fault == fault)?;
        Some(state.armed.remove(index))
    }

    /// Whether a fault of a kind befalls what would have gone well. It is counted.
    pub fn befalls(&self, fault: Fault) -> bool {
        let does = self.armed(fault).is_some();
        if does {
            self.hit(fault);
        }
        does
    }

    /// Takes the database away for a while.
    pub fn take_database(&self, absence: Duration) {
        self.state().database_away_until = Some(Instant::now() + absence);
    }

    /// Takes the broker away for a while.
    pub fn take_broker(&self, absence: Duration) {
        self.state().broker_away_until = Some(Instant::now() + absence);
    }

    /// Whether the database is away.
    pub fn reach_database(&self) -> Result<(), StoreError> {
        match self.state().database_away_until {
            Some(until) if Instant::now() < until => Err(StoreError::Transient("nobody answers".to_owned())),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the broker is there.
    pub fn broker_answers(&self) -> bool {
        self.state().broker_away_until.is_none_or(|until| Instant::now() >= until)
    }

    /// Nothing breaks from now on, and what was broken is whole.
    pub fn heal(&self) {
        let mut state = self.state();
        state.armed.clear();
        state.database_away_until = None;
        state.broker_away_until = None;
    }

    /// Lets others come between, now and then for some milliseconds.
    pub async fn pause(&self) {
        let (steps, wait_ms) = self.dice(|dice| {
            let waits = dice.u8(0..100) < self.settings.slowness;
            (dice.u8(0..3), if waits { dice.u64(1..30) } else { 0 })
        });
        for _ in 0..steps {
            step().await;
        }
        if wait_ms > 0 {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
    }

    /// Puts a life in the place of a worker, or takes it away. Returns what was there.
    pub fn replace_life(&self, worker: usize, life: Option<Life>) -> Option<Life> {
        std::mem::replace(&mut self.state().lives[worker], life)
    }

    /// The life of a worker, while it has one.
    pub fn life(&self, worker: usize) -> Option<Life> {
        self.state().lives[worker].clone()
    }

    /// Every life there is.
    pub fn lives(&self) -> Vec<Option<Life>> {
        self.state().lives.clone()
    }

    /// One more waits for an answer to what it submitted, or one less.
    pub fn callers(&self, change: impl FnOnce(&mut usize)) -> usize {
        let mut state = self.state();
        change(&mut state.callers);
        state.callers
    }

    /// Keeps what a caller was told of what it submitted, of which it must be told what the database holds, one by one.
    pub fn answered(&self, records: &[Record], outcomes: Vec<Outcome>) {
        if let Some(position) = self.lacks(records.iter().map(|record| &record.position)) {
            self.violated(Invariant::I10, format!("answered and not in the database: {position}"));
        }
        if records.len() != outcomes.len() {
            self.violated(Invariant::I4, format!("{} submissions got {} answers", records.len(), outcomes.len()));
        }
        for (Record { position, .. }, outcome) in records.iter().zip(outcomes) {
            self.note(format_args!("the caller of {position} is told {outcome:?}"));
            let number = u32::try_from(position.offset).unwrap_or(u32::MAX);
            self.state().answers.insert(number, outcome);
        }
    }

    /// What callers were told.
    pub fn answers(&self) -> BTreeMap<u32, Outcome> {
        self.state().answers.clone()
    }

    /// Whether the database holds how each of these records ended; the first that it does not is told.
    pub fn lacks<'a>(&self, positions: impl Iterator<Item = &'a Position>) -> Option<&'a Position> {
        let mut state = self.state();
        self.database.look(|tables| {
            let journal = tables.journal.as_deref().unwrap_or_default();
            for entry in journal[state.journal_read..].iter().flat_map(|transaction| &transaction.entries) {
                state.committed.extend(position(entry).cloned());
            }
            state.journal_read = journal.len();
        });
        let mut positions = positions;
        positions.find(|position| !state.committed.contains(*position))
    }

    /// Keeps what somebody told, by where it stands, as what it is to whoever reads it.
    pub fn stands(&self, position: &Position, readable: Readable) {
        let place = (position.topic.to_string(), position.partition, position.offset);
        self.state().readable.insert(place, readable);
    }

    /// What everything that was told is to whoever reads it.
    pub fn readable(&self) -> BTreeMap<(String, i32, i64), Readable> {
        self.state().readable.clone()
    }

    /// Keeps an event as it was told first, so that it can be told again.
    pub fn remember(&self, number: u32, record: Record, readable: Readable) {
        self.state().first_told.insert(number, (record, readable));
    }

    /// An event as it was told first.
    pub fn remembered(&self, number: u32) -> Option<(Record, Readable)> {
        self.state().first_told.get(&number).cloned()
    }
}

/// Where an entry stood, if it was a record.
pub fn position(entry: &Entry) -> Option<&Position> {
    match entry {
        Entry::Event { record, .. } => record.as_ref().map(|record| &record.position),
        Entry::DeadLetter(letter) => Some(&letter.record.position),
    }
}

/// Lets one other step come between.
pub async fn step() {
    let mut has_stepped = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_stepped, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
