//! The rows that a batch has loaded, and what applying its events makes of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use super::announce::{
    Announcement, AnnouncementBody, Answer, AnswerKind, Holder, MAX_SHORT_CLAIMS, Movement, MovementKind,
};
use super::claim::{Claim, ClaimKey, ClaimKind};
use super::event::{Cause, Event, EventType, Trace};
use super::rules::Rules;
use super::stock::{Counters, Level, Snapshot, StockRow};
use super::words::{StockKey, Timestamp};

/// The rows that the events of a batch touch, as they were loaded under their locks.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Stock rows by key; a key that is absent has no row.
    pub stock: HashMap<StockKey, StockRow>,
    /// Claims by key; a key that is absent has no row.
    pub claims: HashMap<ClaimKey, Claim>,
    /// Units on hand of a counted row at the instant of the count, by the ledger as it was loaded; absent where the row
    /// did not exist then.
    pub on_hand_at: HashMap<(StockKey, Timestamp), i64>,
    /// Who has units of a row set aside, of the rows that an event of the batch may leave short. As it was loaded: what
    /// the events of the batch changed stands in `claims`.
    pub holders: HashMap<StockKey, Vec<OpenHold>>,
}

/// A claim that has units of a row set aside, with what orders those of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenHold {
    /// The claim and its units.
    pub holder: Holder,
    /// When they are given back, if ever.
    pub expires_at: Option<Timestamp>,
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
    /// Stock rows whose settings changed and must be written as a whole; none of them is among the created.
    pub settings: BTreeSet<StockKey>,
    /// Stock rows of which only counters, level and version changed; they may stand in the other two as well.
    pub counted: BTreeSet<StockKey>,
    /// Claims that must be written.
    pub claims: BTreeSet<ClaimKey>,
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
        Work { fold: self, origin, before: BTreeMap::new(), shortage: None }
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
    /// What to tell of a row that this event leaves short.
    shortage: Option<AnnouncementBody>,
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
            let claims = self.fold.books.holders_of(key);
            let body = AnnouncementBody::StockShortage {
                key: key.clone(),
                on_hand,
                reserved,
                short: reserved - on_hand,
                claims,
            };
            self.shortage = Some(body);
        }
    }

    /// A claim as it stands.
    pub fn claim(&self, key: &ClaimKey) -> Option<&Claim> {
        self.fold.books.claims.get(key)
    }

    /// Takes a claim out to change it; [`Work::put_claim`] brings it back.
    pub fn take_claim(&mut self, key: &ClaimKey) -> Option<Claim> {
        self.fold.books.claims.remove(key)
    }

    /// Brings a changed claim back and has it written.
    pub fn put_claim(&mut self, claim: Claim) {
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
        if new.on_hand < 0 || new.cart_held < 0 || new.order_reserved < 0 || new.safety_stock < 0 {
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
    /// level changed, then what it leaves short, and at last the answer.
    pub fn finish(self, answer: Option<Answer>) {
        let Self { fold, origin, before, shortage } = self;
        for (key, previous) in before {
            fold.close_row(&origin, &key, previous);
        }
        if let Some(body) = shortage {
            let (cause, trace) = (origin.cause.clone(), origin.trace.clone());
            fold.effects.announcements.push(Announcement { cause, trace, body });
        }
        let Some(answer) = answer else { return };
        let claim_kind = match answer.kind {
            AnswerKind::Order => Some(ClaimKind::Order),
            AnswerKind::Cart => Some(ClaimKind::Cart),
            AnswerKind::Return | AnswerKind::Stock => None,
        };
        if let Some(kind) = claim_kind {
            let key = ClaimKey { kind, reference: answer.reference.clone() };
            fold.effects.answers.insert(key.clone(), fold.effects.announcements.len());
            fold.effects.claims.insert(key);
        }
        let body = AnnouncementBody::ReservationResult(answer);
        fold.effects.announcements.push(Announcement { cause: origin.cause, trace: origin.trace, body });
    }
}

impl Books {
    /// Who has units of a row set aside now: as it was loaded, and after what events of this batch did since. In the
    /// order in which holders are asked for: the latest deadline first, none at last.
    fn holders_of(&self, key: &StockKey) -> Vec<Holder> {
        let loaded = self.holders.get(key).into_iter().flatten();
        let untouched = loaded.filter(|hold| !self.claims.contains_key(&hold.holder.claim)).cloned();
        let touched = self.claims.values().filter_map(|claim| {
            let reserved = claim.lines.get(key).map(|line| line.reserved).filter(|reserved| *reserved > 0)?;
            Some(OpenHold { holder: Holder { claim: claim.key.clone(), reserved }, expires_at: claim.expires_at })
        });
        let mut holds: Vec<OpenHold> = untouched.chain(touched).collect();
        holds.sort_by(|one, other| {
            let place = |hold: &OpenHold| Reverse(hold.expires_at);
            place(one).cmp(&place(other)).then_with(|| one.holder.claim.cmp(&other.holder.claim))
        });
        holds.truncate(MAX_SHORT_CLAIMS);
        holds.into_iter().map(|hold| hold.holder).collect()
    }
}

impl Fold<'_> {
    fn close_row(&mut self, origin: &Origin, key: &StockKey, previous: Option<StockRow>) {
        let Some(row) = self.books.stock.get_mut(key) else { return };
        let created = previous.is_none();
        let before = previous.as_ref().map_or(Snapshot::NOTHING, StockRow::snapshot);
        let change = row.counters.since(&before.counters);
        let counted = change != Counters::default();
        // Besides the settings that `settings_differ` sees, a registration changes the safety stock and the version.
        let cause_registers = origin.cause.event_type == EventType::SkuRegistered;
        let settings_changed = previous.as_ref().is_none_or(|old| settings_differ(old, row));
        if !counted && !settings_changed {
            if previous.is_some_and(|old| old.sku_version != row.sku_version) {
                self.effects.settings.insert(key.clone());
            }
            return;
        }
        row.version += 1;
        row.updated_at = self.now;
        let for_level =
            row.counters.available() + if self.rules.ignore_cart_holds { row.counters.cart_held } else { 0 };
        let thresholds_changed = previous.as_ref().is_some_and(|old| {
            (old.warning_threshold, old.critical_threshold) != (row.warning_threshold, row.critical_threshold)
        });
        row.level = if thresholds_changed && row.level != Level::Unstocked {
            row.plain_level(for_level)
        } else {
            row.next_level(for_level)
        };
        let after = row.snapshot();
        self.effects.movements.push(Movement {
            key: key.clone(),
            version: row.version,
            kind: movement_kind(origin.cause.event_type, &change, created || !counted),
            change,
            after: after.counters,
            cause: origin.cause.clone(),
            trace: origin.trace.clone(),
            reason: origin.reason.clone(),
            operator: origin.operator.clone(),
        });
        self.effects.announcements.push(Announcement {
            cause: origin.cause.clone(),
            trace: origin.trace.clone(),
            body: AnnouncementBody::StockChanged { key: key.clone(), version: row.version, before, after },
        });
        let first_units = before.level == Level::Unstocked && after.level == Level::Normal;
        if after.level != before.level && !first_units {
            self.effects.announcements.push(Announcement {
                cause: origin.cause.clone(),
                trace: origin.trace.clone(),
                body: AnnouncementBody::LowStock {
                    key: key.clone(),
                    version: row.version,
                    level: after.level,
                    previous_level: before.level,
                    available: for_level,
                    warning_threshold: row.warning_threshold,
                    critical_threshold: row.critical_threshold,
                },
            });
        }
        let rows = if created {
            &mut self.effects.created
        } else if settings_changed || cause_registers {
            &mut self.effects.settings
        } else {
            &mut self.effects.counted
        };
        rows.insert(key.clone());
    }
}

fn settings_differ(old: &StockRow, new: &StockRow) -> bool {
    old.name != new.name
        || old.warning_threshold != new.warning_threshold
        || old.critical_threshold != new.critical_threshold
        || old.max_stock != new.max_stock
        || old.status != new.status
}

fn movement_kind(cause: EventType, change: &Counters, settings_only: bool) -> MovementKind {
    match cause {
        EventType::SkuRegistered => MovementKind::Register,
        EventType::StockReceived => MovementKind::Restock,
        EventType::StockAdjusted | EventType::StockSynced => MovementKind::Adjust,
        EventType::StockCounted => MovementKind::Count,
        EventType::ReturnReceived => MovementKind::Return,
        _ if settings_only => MovementKind::Register,
        _ if change.on_hand < 0 => MovementKind::Deduct,
        _ if change.on_hand > 0 || change.reserved() < 0 => MovementKind::Release,
        _ => MovementKind::Reserve,
    }
}
