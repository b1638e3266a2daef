//! The rows of a shop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdfast::domain::announce::Answer;
use holdfast::domain::claim::{Claim, ClaimKey};
use holdfast::domain::event::{Cause, EventKey, Fingerprint};
use holdfast::domain::stock::StockRow;
use holdfast::domain::verdict::Verdict;
use holdfast::domain::words::{Day, Reference, StockKey, Timestamp};
use holdfast::ports::{DeadLetter, Lease, MovementView, OutboxBatch, Position, PublishedMark};
use uuid::Uuid;

/// The identity of an event: its day, its source and its key.
pub type Identity = (Day, Arc<str>, EventKey);

/// A day whose keys are or were kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenDay {
    /// When a batch named it last.
    pub last_written_on: Day,
    /// Whether its keys are gone.
    pub is_dropped: bool,
}

/// The last answer to a claim.
#[derive(Clone, Debug)]
pub struct Given {
    /// What was answered.
    pub answer: Answer,
    /// To what.
    pub cause: Arc<Cause>,
    /// When.
    pub recorded_at: Timestamp,
    /// In which batch of the outbox.
    pub number: i64,
    /// Under which `seq`.
    pub seq: i64,
}

/// A claim with its last answer.
#[derive(Clone, Debug)]
pub struct KeptClaim {
    /// The claim.
    pub claim: Claim,
    /// Its last answer.
    pub answer: Option<Given>,
}

/// A record that went to the dead-letter topic.
#[derive(Clone, Debug)]
pub struct KeptLetter {
    /// The record and why.
    pub letter: DeadLetter,
    /// When.
    pub recorded_at: Timestamp,
}

/// Everything that is kept.
#[derive(Clone, Debug)]
pub struct Tables {
    /// The database's clock.
    pub clock: Timestamp,
    /// Which database it is.
    pub installation: Uuid,
    /// Raised with each write that a commit may have to know of.
    pub writes: u64,
    /// Days that are or were open.
    pub days: BTreeMap<Day, OpenDay>,
    /// Publishers.
    pub sources: BTreeSet<Arc<str>>,
    /// Identities with their content and what became of them.
    pub inbox: BTreeMap<Identity, (Fingerprint, Verdict)>,
    /// Stock rows.
    pub stock: BTreeMap<StockKey, StockRow>,
    /// The ledger, by row and version.
    pub movements: BTreeMap<(StockKey, i64), MovementView>,
    /// Carts, orders and receipts.
    pub claims: BTreeMap<ClaimKey, KeptClaim>,
    /// What claims have set aside now, in units; never 0.
    pub set_aside: BTreeMap<(StockKey, ClaimKey), i64>,
    /// The orders that wait, by row and ticket.
    pub waiting_lines: BTreeMap<(StockKey, i64), Reference>,
    /// Records that were buried, by position and bytes.
    pub dead_letters: BTreeMap<(Arc<str>, i32, i64, Vec<u8>), KeptLetter>,
    /// Batches by number.
    pub outbox: BTreeMap<i64, OutboxBatch>,
    /// The last number given.
    pub last_number: i64,
    /// The last `seq` given.
    pub last_seq: i64,
    /// Who may publish, until when.
    pub lease: Option<(Lease, Timestamp)>,
    /// How often the lease was taken over.
    pub epoch: i64,
    /// How far publishing has come.
    pub mark: PublishedMark,
}

impl Tables {
    /// Nothing yet.
    pub fn new(clock: Timestamp, installation: Uuid) -> Self {
        Self {
            clock,
            installation,
            writes: 0,
            days: BTreeMap::new(),
            sources: BTreeSet::new(),
            inbox: BTreeMap::new(),
            stock: BTreeMap::new(),
            movements: BTreeMap::new(),
            claims: BTreeMap::new(),
            set_aside: BTreeMap::new(),
            waiting_lines: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            outbox: BTreeMap::new(),
            last_number: 0,
            last_seq: 0,
            lease: None,
            epoch: 0,
            mark: PublishedMark::default(),
        }
    }

    /// Writes a claim, and what it has set aside.
    pub fn put_claim(&mut self, claim: Claim, answer: Option<Given>) {
        for (row, line) in &claim.lines {
            let place = (row.clone(), claim.key.clone());
            match line.reserved {
                0 => self.set_aside.remove(&place),
                units => self.set_aside.insert(place, units),
            };
        }
        let before = self.claims.get(&claim.key).and_then(|kept| kept.answer.clone());
        self.claims.insert(claim.key.clone(), KeptClaim { claim, answer: answer.or(before) });
    }

    /// Notes a record that is buried; `false` when the same record was before.
    pub fn bury(&mut self, letter: &DeadLetter, recorded_at: Timestamp) -> bool {
        let Position { topic, partition, offset } = letter.record.position.clone();
        let place = (topic, partition, offset, letter.record.payload.clone().unwrap_or_default());
        if self.dead_letters.contains_key(&place) {
            return false;
        }
        self.dead_letters.insert(place, KeptLetter { letter: letter.clone(), recorded_at });
        true
    }
}
