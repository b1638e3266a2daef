//! What a test sees and changes behind the back of a store: the same questions and the same damage on every kind.

use std::ops::RangeInclusive;

use holdfast::domain::stock::{Counters, Level};
use holdfast::domain::words::{Day, StockKey, Timestamp};
use holdfast::ports::StoreError;
use uuid::Uuid;

/// Everything that a store keeps, of one moment, each list in an order of its own values. Words and keys stand as every
/// store writes them.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub inbox: Vec<KeptKey>,
    pub days: Vec<KeptDay>,
    pub sources: Vec<String>,
    pub stock: Vec<KeptStock>,
    pub movements: Vec<KeptMovement>,
    pub claims: Vec<KeptClaim>,
    pub claim_lines: Vec<KeptLine>,
    pub alerts: Vec<KeptAlert>,
    pub waiting_lines: Vec<KeptPlace>,
    pub dead_letters: Vec<KeptLetter>,
    pub outbox: Vec<KeptBatch>,
    pub last_number: i64,
    pub last_seq: i64,
}

/// An identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptKey {
    pub day: Day,
    pub source: String,
    pub key: Uuid,
    pub fingerprint: i64,
    /// 1 applied, 2 refused, 3 ignored.
    pub outcome: i64,
}

/// A day of the inbox.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptDay {
    pub day: Day,
    pub last_written_on: Day,
    pub is_dropped: bool,
}

/// A stock row.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptStock {
    pub key: StockKey,
    pub counters: Counters,
    pub level: String,
    pub version: i64,
    pub waiting: i64,
}

/// A ledger entry.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptMovement {
    pub key: StockKey,
    pub version: i64,
    pub cause_type: String,
    pub reference: Option<String>,
    pub change: Counters,
}

/// A claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptClaim {
    pub kind: String,
    pub reference: String,
    pub state: String,
    pub revision: i64,
    pub expires_at: Option<Timestamp>,
    pub remembered: Option<Vec<u8>>,
    pub is_answered: bool,
}

/// What a claim has set aside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptLine {
    pub kind: String,
    pub reference: String,
    pub key: StockKey,
    pub units: i64,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptAlert {
    pub id: Uuid,
    pub key: StockKey,
    pub level: String,
    pub available: i64,
    pub version: i64,
    pub state: String,
    pub acknowledged_by: Option<String>,
}

/// A place in the line for a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptPlace {
    pub key: StockKey,
    pub ticket: i64,
    pub reference: String,
}

/// The position of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptLetter {
    pub topic: String,
    pub partition: i64,
    pub offset: i64,
    pub reason: String,
    pub detail: String,
}

/// A batch of the outbox.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptBatch {
    pub number: i64,
    pub first_seq: i64,
    pub announcements: i64,
    /// In the stored form of the wire module.
    pub content: Vec<u8>,
}

impl Kept {
    /// Brings each list into its order.
    pub fn sorted(mut self) -> Self {
        self.inbox.sort();
        self.days.sort();
        self.sources.sort();
        self.stock.sort_by(|one, other| one.key.cmp(&other.key));
        self.movements.sort_by(|one, other| (&one.key, one.version).cmp(&(&other.key, other.version)));
        self.claims.sort();
        self.claim_lines.sort();
        self.alerts.sort();
        self.waiting_lines.sort();
        self.dead_letters.sort();
        self.outbox.sort();
        self
    }

    /// Who waits for a SKU, in order.
    pub fn line_for(&self, sku: &str) -> Vec<&str> {
        let of_sku = self.waiting_lines.iter().filter(|place| place.key.sku.as_str() == sku);
        of_sku.map(|place| place.reference.as_str()).collect()
    }

    /// How many movements a reference has caused.
    pub fn movements_of(&self, reference: &str) -> usize {
        self.movements.iter().filter(|movement| movement.reference.as_deref() == Some(reference)).count()
    }

    /// How many keys are kept of a day.
    pub fn keys_of(&self, day: Day) -> usize {
        self.inbox.iter().filter(|key| key.day == day).count()
    }

    /// How many days are open.
    pub fn open_days(&self) -> usize {
        self.days.iter().filter(|day| !day.is_dropped).count()
    }
}

/// A day, from `YYYY-MM-DD`.
pub fn day(date: &str) -> Day {
    instant(&format!("{date}T00:00:00Z")).day()
}

/// An instant, from RFC 3339.
pub fn instant(text: &str) -> Timestamp {
    holdfast::wire::instant::parse(text).unwrap_or_else(|| panic!("{text} is no instant"))
}

/// What is changed behind the back of every worker. Names must not hold quotes.
#[derive(Clone, Debug)]
pub enum Tampering<'a> {
    /// Puts the deadlines of open claims so many seconds ahead of now, of one reference or of all.
    Deadline { of: Option<&'a str>, seconds: i64 },
    /// Puts the deadlines of all claims to an instant.
    DeadlineAt(Timestamp),
    /// Takes the deadline of a reference away.
    NoDeadline { of: &'a str },
    /// Has every cart hold for so many seconds longer.
    HeldLonger { seconds: i64 },
    /// Says when the keys of a day were written to last.
    DayWritten { day: Day, on: Day },
    /// Files all keys of a day under another one that was never open.
    DayMoved { from: Day, to: Day },
    /// Drops a day that was never open.
    DayDropped { day: Day },
    /// Makes all batches from a number on so many seconds old.
    OutboxAged { from: i64, seconds: i64 },
    /// Loses batches.
    OutboxLost { numbers: RangeInclusive<i64> },
    /// Makes all positions of dead letters so many seconds old.
    LettersAged { seconds: i64 },
    /// Lets the lease end so many seconds from now.
    LeaseEnds { in_seconds: i64 },
    /// Says how many units of a SKU are there.
    OnHand { sku: &'a str, units: i64 },
    /// Says how often a SKU changed.
    Version { sku: &'a str, version: i64 },
    /// Says what carts hold of a SKU.
    CartHeld { sku: &'a str, units: i64 },
    /// Says how low a SKU is.
    Level { sku: &'a str, level: Level },
    /// Adds to what a claim has set aside, not to what it says.
    SetAside { reference: &'a str, more: i64 },
    /// Says since when a claim holds, in seconds from now; since nobody knows when.
    HeldSince { of: &'a str, seconds: Option<i64> },
    /// Makes the alerts of a SKU so many seconds old, and as long ago resolved where they are.
    AlertsAged { sku: &'a str, seconds: i64 },
    /// Dates a ledger entry as another one.
    MovementDated { sku: &'a str, version: i64, as_version: i64 },
    /// Says how many units of a SKU are waited for.
    Waiting { sku: &'a str, units: i64 },
    /// Loses the places of an order that waits.
    PlacesLost { reference: &'a str },
    /// Loses a ledger entry.
    MovementLost { sku: &'a str, version: i64 },
    /// Gives numbers that belong to nothing.
    NumbersGiven { batches: i64 },
    /// Says that more is published than there is.
    Published { number: i64, seq: i64 },
}

/// How a commit ended whose writer was to die.
#[derive(Debug)]
pub enum Ended {
    /// It came to its end before it was to die.
    Committed,
    /// It died, with what its caller was told where a caller was left.
    Died(Option<StoreError>),
}
