//! The rows that a batch has loaded, and what applying its events makes of them.

mod closing;
mod holders;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

pub use holders::OpenHold;

use super::announce::{Announcement, AnnouncementBody, Answer, Movement};
use super::claim::{Claim, ClaimKey};
use super::event::{Cause, Event, Trace};
use super::reconciliation::{Audit, Difference, DifferenceKey};
use super::rules::Rules;
use super::stock::{Counters, StockRow};
use super::waiting::WaitingList;
use super::words::{StockKey, Timestamp};

/// The rows that the events of a batch touch, as they were loaded under their locks.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Stock rows by key; a key that is absent has no row.
    pub stock: HashMap<StockKey, StockRow>,
    /// Claims by key; a key that is absent has no row.
    pub claims: HashMap<ClaimKey, Claim>,
    /// Who waits for the stock rows, for each row that anybody waits for. The claims of all of them are loaded; rows that
    /// only those claims name are not.
    pub waiting: HashMap<StockKey, WaitingList>,
    /// Units on hand of a counted row at the instant of the count, by the ledger as it was loaded; absent where the row
    /// did not exist then.
    pub on_hand_at: HashMap<(StockKey, Timestamp), i64>,
    /// Who has units of a row set aside, of the rows that an event of the batch may leave short. As it was loaded: what
    /// the events of the batch changed stands in `claims`.
    pub holders: HashMap<StockKey, Vec<OpenHold>>,
    /// What reconciliation compares, for the rows of its events alone.
    pub audits: HashMap<StockKey, Audit>,
}

/// A rule was broken that no event can break: a bug, or rows that were changed behind our back. Nothing of the batch
/// may be written.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken {
    /// The row.
    pub key: StockKey,
    /// Which rule.
    pub rule: &'static str,
    /// The counters that would have come out.
    pub counters: Counters,
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {} would be broken: {:?}", self.rule, self.key, self.counters)
    }
}

impl std::error::Error for Broken {}

/// What a batch leaves behind, besides the changed rows in its [`Books`].
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Ledger entries in order.
    pub movements: Vec<Movement>,
    /// What to publish, in order.
    pub announcements: Vec<Announcement>,
    /// Stock rows that did not exist before and must be inserted.
    pub created: BTreeSet<StockKey>,
    /// Stock rows whose settings changed, or what is waited for, and that must be written as a whole; rows that are
    /// among the created may stand here as well.
    pub settings: BTreeSet<StockKey>,
    /// Stock rows of which only counters, level and version changed; they may stand in the other two as well.
    pub counted: BTreeSet<StockKey>,
    /// Claims that must be written.
    pub claims: BTreeSet<ClaimKey>,
    /// Open differences that must be written; `None` for one that is settled.
    pub differences: BTreeMap<DifferenceKey, Option<Difference>>,
    /// Rows of which a claim gave back all that it had set aside, at some event. What it has of them again is held anew.
    pub let_go: BTreeMap<ClaimKey, BTreeSet<StockKey>>,
    /// For each claim that was answered, where its last answer stands among the announcements.
    pub answers: BTreeMap<ClaimKey, usize>,
}

/// The state of a fold: loaded rows, the moment, and what has come of the events so far.
#[derive(Debug)]
pub struct Fold<'a> {
    /// The shop's choices.
    pub rules: &'a Rules,
    /// The database's clock.
    pub now: Timestamp,
    /// The rows.
    pub books: Books,
    /// The rest.
    pub effects: Effects,
}

impl<'a> Fold<'a> {
    /// Starts on loaded rows.
    pub fn new(rules: &'a Rules, now: Timestamp, books: Books) -> Self {
        Self { rules, now, books, effects: Effects::default() }
    }

    /// Starts one event. Nothing of it counts before [`Work::finish`].
    pub(super) fn begin(&mut self, cause: &Arc<Cause>, trace: &Trace, event: &Event) -> Work<'_, 'a> {
        let origin = Origin {
            cause: cause.clone(),
            trace: trace.clone(),
            reason: event.reason().cloned(),
            operator: event.operator().cloned(),
        };
        Work {
            fold: self,
            origin,
            before: BTreeMap::new(),
            filled: BTreeSet::new(),
            held: BTreeSet::new(),
            told: Vec::new(),
        }
    }
}

/// Where an event's changes come from, repeated on everything that it causes.
struct Origin {
    cause: Arc<Cause>,
    trace: Trace,
    reason: Option<Arc<str>>,
    operator: Option<Arc<str>>,
}

/// The work of one event: rows are changed through it, so that each ends as one net movement.
pub(super) struct Work<'f, 'a> {
    fold: &'f mut Fold<'a>,
    origin: Origin,
    /// The rows that this event has touched, as they were; `None` for one that it created.
    before: BTreeMap<StockKey, Option<StockRow>>,
    /// The rows of which somebody who waited got units.
    filled: BTreeSet<StockKey>,
    /// What claims that this event has touched had set aside before, as (claim, row).
    held: BTreeSet<(ClaimKey, StockKey)>,
    /// What is told besides changes of rows and answers.
    told: Vec<AnnouncementBody>,
}

impl<'a> Work<'_, 'a> {
    /// The shop's choices.
    pub fn rules(&self) -> &'a Rules {
        self.fold.rules
    }

    /// The database's clock.
    pub fn now(&self) -> Timestamp {
        self.fold.now
    }

    /// Where this event comes from, for what is kept until later.
    pub fn origin(&self) -> (Arc<Cause>, Trace) {
        (self.origin.cause.clone(), self.origin.trace.clone())
    }

    /// A stock row.
    pub fn row(&self, key: &StockKey) -> Option<&StockRow> {
        self.fold.books.stock.get(key)
    }

    /// Units of a row that can be promised now, never below 0; 0 for an unknown SKU.
    pub fn available(&self, key: &StockKey) -> i64 {
        self.row(key).map_or(0, |row| row.counters.available().max(0))
    }

    /// Units on hand of a row at an instant, by the ledger. What this batch did before is recorded at the moment of the
    /// batch, after every earlier one. From that moment on they are what they are now; so they are before the row
    /// existed: its first units were put in as what there is, and are none that came since.
    pub fn on_hand_at(&self, row: &StockRow, instant: Timestamp) -> i64 {
        let on_record = self.fold.books.on_hand_at.get(&(row.key.clone(), instant)).copied();
        on_record.filter(|_| instant < self.now()).unwrap_or(row.counters.on_hand)
    }

    /// Has a `stock-shortage` told of a row where more is reserved than is on hand.
    pub fn tell_shortage(&mut self, key: &StockKey) {
        let Some(row) = self.row(key) else { return };
        let (on_hand, reserved) = (row.counters.on_hand, row.counters.reserved());
        if reserved > on_hand {
            let Fold { now, books, effects, .. } = &*self.fold;
            let claims = books.holders_of(key, *now, &effects.let_go);
            let body = AnnouncementBody::StockShortage {
                key: key.clone(),
                on_hand,
                reserved,
                short: reserved - on_hand,
                claims,
            };
            self.tell(body);
        }
    }

    /// A claim as it stands.
    pub fn claim(&self, key: &ClaimKey) -> Option<&Claim> {
        self.fold.books.claims.get(key)
    }

    /// Takes a claim out to change it; [`Work::put_claim`] brings it back.
    pub fn take_claim(&mut self, key: &ClaimKey) -> Option<Claim> {
        let claim = self.fold.books.claims.remove(key)?;
        let held = claim.lines.iter().filter(|(_, line)| line.reserved > 0);
        self.held.extend(held.map(|(row, _)| (key.clone(), row.clone())));
        Some(claim)
    }

    /// Brings a changed claim back and has it written.
    pub fn put_claim(&mut self, claim: Claim) {
        self.note_waiting(&claim);
        self.fold.effects.claims.insert(claim.key.clone());
        self.fold.books.claims.insert(claim.key.clone(), claim);
    }

    /// Brings a claim back that was only looked at.
    pub fn restore_claim(&mut self, claim: Claim) {
        self.fold.books.claims.insert(claim.key.clone(), claim);
    }

    /// Creates a row or replaces its settings.
    pub fn put_row(&mut self, row: StockRow) {
        let key = row.key.clone();
        let previous = self.fold.books.stock.insert(key.clone(), row);
        self.before.entry(key).or_insert(previous);
    }

    /// What reconciliation compares a row with.
    pub fn audit(&self, key: &StockKey) -> Option<&Audit> {
        self.fold.books.audits.get(key)
    }

    /// Has an open difference written, or removed where there is none any more.
    pub fn put_difference(&mut self, key: DifferenceKey, difference: Option<Difference>) {
        let audit = self.fold.books.audits.entry(key.key.clone()).or_default();
        let place = (key.source.clone(), key.field);
        match &difference {
            Some(open) => audit.open.insert(place, open.clone()),
            None => audit.open.remove(&place),
        };
        self.fold.effects.differences.insert(key, difference);
    }

    /// Tells something besides changes of rows and the answer.
    pub fn tell(&mut self, body: AnnouncementBody) {
        self.told.push(body);
    }

    /// Corrects a row of which others saw `known` last: counters and version as they were announced.
    pub fn correct_row(&mut self, known: StockRow, counters: Counters) {
        let key = known.key.clone();
        let change = counters.since(&known.counters);
        if let Some(said) = self.fold.books.audits.get_mut(&key).and_then(|audit| audit.said.as_mut()) {
            // No claim changes by it: what claims say is less by what the movement will add.
            said.cart_held -= change.cart_held;
            said.order_reserved -= change.order_reserved;
        }
        self.fold.books.stock.insert(key.clone(), StockRow { counters, ..known.clone() });
        self.before.insert(key, Some(known));
    }

    /// Adds signed units to the counters of a row.
    ///
    /// # Errors
    /// [`Broken`] when the row does not exist, a counter would be negative or leave its range: never clamped, since
    /// a clamp hides a bug.
    pub fn add(&mut self, key: &StockKey, change: Counters) -> Result<(), Broken> {
        let broken = |rule, counters| Broken { key: key.clone(), rule, counters };
        let Some(row) = self.fold.books.stock.get_mut(key) else {
            return Err(broken("existence", change));
        };
        let old = row.counters;
        let sum = |a: i64, b: i64| a.checked_add(b).ok_or(broken("range", old));
        let new = Counters {
            on_hand: sum(old.on_hand, change.on_hand)?,
            cart_held: sum(old.cart_held, change.cart_held)?,
            order_reserved: sum(old.order_reserved, change.order_reserved)?,
            safety_stock: sum(old.safety_stock, change.safety_stock)?,
        };
        if [new.on_hand, new.cart_held, new.order_reserved, new.safety_stock].iter().any(|units| *units < 0) {
            return Err(broken("non-negativity", new));
        }
        if !self.before.contains_key(key) {
            self.before.insert(key.clone(), Some(row.clone()));
        }
        row.counters = new;
        Ok(())
    }

    /// Takes back what this event changed of stock rows. Its claims are the caller's.
    pub fn undo(&mut self) {
        for (key, previous) in std::mem::take(&mut self.before) {
            match previous {
                Some(row) => self.fold.books.stock.insert(key, row),
                None => self.fold.books.stock.remove(&key),
            };
        }
    }

    /// Closes the event: one movement and one `stock-changed` for each row that it changed, a `low-stock` where the
    /// level changed, then what else is told, then the answer, and at last the answers to orders that waited and got
    /// units.
    pub fn finish(self, answer: Option<Answer>, filled: Vec<Answer>) {
        let Self { fold, origin, before, filled: filled_rows, held, told } = self;
        for (claim, key) in held {
            let line = fold.books.claims.get(&claim).and_then(|claim| claim.lines.get(&key));
            if line.is_none_or(|line| line.reserved == 0) {
                fold.effects.let_go.entry(claim).or_default().insert(key);
            }
        }
        for (key, previous) in before {
            fold.close_row(&origin, &key, previous, filled_rows.contains(&key));
        }
        for body in told {
            let (cause, trace) = (origin.cause.clone(), origin.trace.clone());
            fold.effects.announcements.push(Announcement { cause, trace, body });
        }
        for answer in answer.into_iter().chain(filled) {
            fold.tell(&origin, answer);
        }
    }
}
