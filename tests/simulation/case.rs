//! What is to happen in one run, as a value: it can be printed, and made smaller.

use std::fmt;

use holdfast::domain::rules::Rules;

use super::faults::Planned;
use super::workload::Input;

/// One run.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it was made from.
    pub seed: u64,
    /// What decides who goes on next, and how long things take.
    pub schedule_seed: u64,
    /// The installation.
    pub settings: Settings,
    /// What happens, in order of time.
    pub items: Vec<Item>,
}

/// How records reach the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carriage {
    /// Topics of partitions, each read by one member of the group in order, offsets committed: Kafka.
    Partitions,
    /// Record by record to whoever asks, acknowledged one by one, given again after a while: JetStream.
    Queue,
}

/// What keeps a publication from standing there twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// A transaction with its progress, and every opening fences the ones before: Kafka.
    Transactions,
    /// Each record names the one it must stand behind, and the last one says how far publishing is: JetStream.
    Sequences,
    /// Nothing: progress is written once the records are confirmed.
    AtLeastOnce,
}

/// What an operator sets, and how the machines are.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The shop's choices.
    pub rules: Rules,
    /// How many workers there are.
    pub workers: usize,
    /// How many partitions each topic has.
    pub partitions: usize,
    /// How records come.
    pub carriage: Carriage,
    /// How announcements go.
    pub guarantee: Guarantee,
    /// Deliveries of a batch at most.
    pub batch_events: usize,
    /// How long the lease of a relay lasts, in seconds.
    pub lease_seconds: u64,
    /// How many committed batches wait for the relay in memory.
    pub hand_over: usize,
    /// How many submissions wait for an engine.
    pub submissions: usize,
    /// How long inbox keys are kept, in days.
    pub inbox_keep_days: i32,
    /// How many days with inbox keys there may be.
    pub inbox_max_days: i64,
    /// How long published batches are kept, in seconds.
    pub keep_published_seconds: i64,
    /// How many times of a hundred a task goes on that has just gone on.
    pub stickiness: u8,
    /// How many times of a hundred an operation takes some milliseconds.
    pub slowness: u8,
    /// Whether everything is left alone for a year at the end, to see what is kept for ever.
    pub ages: bool,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub struct Item {
    /// When, in milliseconds since the start.
    pub at_ms: u64,
    /// After how many steps of others at that moment.
    pub after_steps: u8,
    /// What.
    pub what: What,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum What {
    /// An event is told, under a number by which a repetition names it.
    Told(u32, Input),
    /// Something breaks.
    Befalls(Planned),
}

impl Case {
    /// How many workers there must be for what befalls them.
    pub fn workers_named(&self) -> usize {
        let named = self.items.iter().filter_map(|item| match &item.what {
            What::Befalls(planned) => Some(planned.worker + 1),
            What::Told(..) => None,
        });
        named.max().unwrap_or(1)
    }
}

impl fmt::Display for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:>6} ms +{:<2} ", self.at_ms, self.after_steps)?;
        match &self.what {
            What::Told(number, input) => write!(formatter, "event {number}: {input}"),
            What::Befalls(planned) => write!(formatter, "fault: {planned}"),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "seed {}, schedule {}", self.seed, self.schedule_seed)?;
        writeln!(formatter, "{:?}", self.settings)?;
        for item in &self.items {
            writeln!(formatter, "{item}")?;
        }
        Ok(())
    }
}
