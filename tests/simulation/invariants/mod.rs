//! What must hold, each by the name that it has in docs and reports. Every check looks at what a run has left behind:
//! the database, the whole stream, what the group has acknowledged, and what callers were told.

mod ends;
mod identities;
mod kept;
mod ledger;
mod naive;
mod stream;

use std::collections::BTreeMap;
use std::fmt;

use holdfast::domain::event::{Envelope, EventType};
use holdfast::domain::rules::Rules;
use holdfast::ports::{Entry, Outcome, OutputRecord, Position};
use holdfast::store::Retention;
use serde_json::Value;

use super::case::Guarantee;
use super::reference::{Applied, Reference};
use super::sink::Published;
use super::store;
use super::workload::Readable;
use super::world::World;
use crate::model::{Journaled, Tables};

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// No counter is negative, and what is reserved is on hand.
    I1,
    /// The movements of a row add up to its counters, in versions without a hole.
    I2,
    /// What claims have set aside is what rows say.
    I3,
    /// Every event ends once and as one thing.
    I4,
    /// What is published is the outbox.
    I5,
    /// Changes of a row follow on each other.
    I6,
    /// The stream alone tells the stock.
    I7,
    /// The end is that of the reference.
    I8,
    /// A crossing is announced once.
    I9,
    /// Nothing is acknowledged that the database does not hold.
    I10,
    /// Everything comes to rest.
    I11,
    /// Nothing is kept for ever.
    I12,
}

impl Invariant {
    /// Every invariant.
    pub const ALL: [Self; 12] = [
        Self::I1,
        Self::I2,
        Self::I3,
        Self::I4,
        Self::I5,
        Self::I6,
        Self::I7,
        Self::I8,
        Self::I9,
        Self::I10,
        Self::I11,
        Self::I12,
    ];

    /// What it says, for people.
    pub fn says(self) -> &'static str {
        match self {
            Self::I1 => "on_hand, cart_held and order_reserved are never negative, reserved never above on_hand",
            Self::I2 => "the movements of a row add up to its counters, in versions 1, 2, 3 ... without a hole",
            Self::I3 => "claim lines add up to cart_held and order_reserved of their rows",
            Self::I4 => "each event ends as one of applied, refused, ignored, dead-lettered; none twice, none lost",
            Self::I5 => "the published stream is the outbox: same set, same order, no duplicate, no hole",
            Self::I6 => "after of one stock-changed is before of the next of its row, at the next version",
            Self::I7 => "stock rebuilt from the stream alone is the table",
            Self::I8 => "the end is that of the reference over the same events",
            Self::I9 => "a level is announced once when it changes",
            Self::I10 => "no input is acknowledged before the database holds how it ended",
            Self::I11 => "after healing everything comes to rest and lag is 0",
            Self::I12 => "nothing grows without bound",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?} ({})", self.says())
    }
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What.
    pub invariant: Invariant,
    /// Where and how, for people.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.invariant, self.detail)
    }
}

/// What is left after everything was left alone for longer than anything is kept.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    /// Inbox keys.
    pub keys: usize,
    /// Batches of the outbox.
    pub batches: usize,
    /// Positions of dead letters.
    pub letters: usize,
    /// Claims that have a deadline.
    pub deadlines: usize,
}

/// One announcement as it stands in the stream.
#[derive(Clone, Debug)]
pub struct Announced {
    /// Its type.
    pub event_type: String,
    /// Its number.
    pub seq: i64,
    /// Its body.
    pub body: Value,
}

/// What a run has left behind.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The shop's choices.
    pub rules: Rules,
    /// How long things are kept.
    pub retention: Retention,
    /// How announcements went.
    pub guarantee: Guarantee,
    /// The database.
    pub tables: Tables,
    /// Every transaction, in the order of their commits.
    pub journal: Vec<Journaled>,
    /// What the outbox was, encoded: announcements, and dead letters.
    pub expected: (Vec<OutputRecord>, Vec<OutputRecord>),
    /// What was published: announcements, and dead letters.
    pub published: (Vec<Published>, Vec<Published>),
    /// The announcements as a subscriber reads them, repetitions left out.
    pub announced: Vec<Announced>,
    /// Where every record of the bus stands.
    pub told: Vec<Position>,
    /// What each of these is to whoever reads it, submissions included, by topic, partition and offset.
    pub readable: BTreeMap<(String, i32, i64), Readable>,
    /// What callers were told, by the number of what they submitted.
    pub answers: BTreeMap<u32, Outcome>,
    /// What the group has acknowledged.
    pub acknowledged: Vec<Position>,
    /// What is not acknowledged.
    pub lag: usize,
    /// Whether it came to rest: what is not there yet may still come otherwise.
    pub is_complete: bool,
    /// What is left after everything was left alone, where that was tried.
    pub left: Option<Left>,
}

impl Evidence {
    /// Looks at a world.
    pub fn gather(world: &World) -> Self {
        let is_complete = world.violations().iter().all(|violation| violation.invariant != Invariant::I11);
        let mut tables = world.database.look(Tables::clone);
        let journal = tables.journal.take().unwrap_or_default();
        let dead_letters = world.equipment.topics.dead_letters();
        let outbox = journal.iter().filter_map(|transaction| transaction.outbox.as_ref());
        let records = outbox.flat_map(|batch| world.equipment.encoder.encode(batch));
        let (letters, announcements) = records.partition(|record| record.topic == *dead_letters);
        let (published, broker) = (world.stream(), world.broker());
        Self {
            rules: world.settings.rules.clone(),
            guarantee: world.settings.guarantee,
            expected: (announcements, letters),
            announced: stream::read(&published.announcements),
            published: (published.announcements.clone(), published.letters.clone()),
            told: broker.positions().cloned().collect(),
            readable: world.readable(),
            retention: store::retention(world),
            answers: world.answers(),
            acknowledged: broker.acknowledged(),
            lag: broker.lag(),
            left: world.left(),
            tables,
            journal,
            is_complete,
        }
    }

    /// Every event that was new when it was committed, in order.
    pub fn applied(&self) -> Vec<Applied> {
        let mut applied = Vec::new();
        for transaction in &self.journal {
            for (index, verdict) in &transaction.fresh {
                if let Entry::Event { envelope, .. } = &transaction.entries[*index] {
                    let envelope = Envelope::clone(envelope);
                    applied.push(Applied { envelope, now: transaction.now, verdict: *verdict });
                }
            }
        }
        applied
    }
}

/// Whether an entry is work of the worker's own.
pub fn is_expiry(entry: &Entry) -> bool {
    match entry {
        Entry::Event { envelope, .. } => envelope.cause.event_type == EventType::ClaimExpired,
        Entry::DeadLetter(_) => false,
    }
}

/// What is wrong, if anything is.
type Checked = Result<(), String>;

/// Looks at everything. One violation of each invariant is told.
pub fn check_all(evidence: &mut Evidence, reference: Reference) -> Vec<Violation> {
    Invariant::ALL
        .into_iter()
        .filter_map(|invariant| {
            let detail = check(invariant, evidence, reference).err()?;
            Some(Violation { invariant, detail })
        })
        .collect()
}

/// Looks whether one of them holds.
///
/// # Errors
/// Where and how it does not.
pub fn check(invariant: Invariant, evidence: &Evidence, reference: Reference) -> Checked {
    match invariant {
        Invariant::I1 => ledger::counters_are_possible(evidence),
        Invariant::I2 => ledger::movements_add_up(evidence),
        Invariant::I3 => ledger::claims_add_up(evidence),
        Invariant::I4 => ends::each_ends_once(evidence),
        Invariant::I5 => stream::is_the_outbox(evidence),
        Invariant::I6 => stream::changes_follow(evidence),
        Invariant::I7 => stream::tells_the_stock(evidence),
        Invariant::I8 => ends::is_the_reference(evidence, reference),
        Invariant::I9 => stream::levels_are_told_once(evidence),
        Invariant::I10 => ends::acknowledged_is_committed(evidence),
        Invariant::I11 => ends::has_come_to_rest(evidence),
        Invariant::I12 => ends::nothing_is_kept(evidence),
    }
}
