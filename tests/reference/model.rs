//! The whole state as plain maps, and what is common to every event: one event at a time, a copy of every row before it,
//! and whatever differs afterwards is told.

use std::collections::{BTreeMap, BTreeSet};

use super::inputs::{Input, Place, Settings, Told};
use super::levels;
use super::outputs::{Announcement, Answer, Body, Ended, Movement, Numbers, Outcome, Seen};

/// A stock row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// For people.
    pub name: Option<String>,
    /// Its numbers.
    pub numbers: Numbers,
    /// Of `low`.
    pub warning: i64,
    /// Of `critical`.
    pub critical: i64,
    /// The most that corrections may reach.
    pub max_stock: Option<i64>,
    /// `active`, `inactive`, `locked`.
    pub status: &'static str,
    /// The level that stands.
    pub level: &'static str,
    /// Raised with every change.
    pub version: i64,
    /// Of the last registration that had one.
    pub sku_version: Option<i64>,
}

impl Row {
    /// What "a row starts with every before value 0" means.
    pub fn nothing() -> Self {
        Self {
            name: None,
            numbers: Numbers::default(),
            warning: 0,
            critical: 0,
            max_stock: None,
            status: "active",
            level: "unstocked",
            version: 0,
            sku_version: None,
        }
    }

    fn seen(&self) -> Seen {
        Seen { numbers: self.numbers, status: self.status, level: self.level }
    }

    /// Whether nothing that is told of a row differs.
    fn same(&self, other: &Self) -> bool {
        let told = |row: &Self| Self { level: "", version: 0, sku_version: None, ..row.clone() };
        told(self) == told(other)
    }
}

/// A line of a cart or an order, in units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Asked for.
    pub requested: i64,
    /// Set aside.
    pub reserved: i64,
    /// Since when any is, without a break.
    pub held_since: Option<i64>,
    /// Taken out of on_hand and not given back.
    pub deducted: i64,
    /// Called off and given back.
    pub released: i64,
    /// Shipped, part of `deducted`.
    pub shipped: i64,
    /// Come back.
    pub returned: i64,
    /// Wait to be granted.
    pub waiting: i64,
    /// Since when, as a number that grows with every line that begins to wait.
    pub waits_since: u64,
    /// The highest cumulative quantity that a partial cancel named.
    pub called_off: i64,
    /// Given back because time ran out.
    pub lapsed: i64,
}

impl Line {
    /// What the claim has of the row.
    pub fn held(&self) -> i64 {
        self.reserved + self.deducted
    }

    /// What the claim has or waits for.
    pub fn standing(&self) -> i64 {
        self.held() + self.waiting
    }

    /// What could still be shipped.
    pub fn unshipped(&self) -> i64 {
        self.held() - self.shipped
    }
}

/// A cart or an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The word of the contract, and `awaited` for an order of which only later events came.
    pub state: &'static str,
    /// The newest version; `None` before an order came, and for a cart without versions.
    pub version: Option<i64>,
    /// The time of a cart's last update.
    pub time: Option<i64>,
    /// Confirmed at some time.
    pub confirmed: bool,
    /// A confirmation or a shipment after the deadline found the units gone.
    pub lost: bool,
    /// Since when a cart holds something.
    pub first_held: Option<i64>,
    /// When what is held is given back.
    pub deadline: Option<i64>,
    /// By row.
    pub lines: BTreeMap<Place, Line>,
    /// The lines that the order stands for.
    pub asked: BTreeMap<Place, i64>,
    /// The lines of the newest version, where it was answered and the order stayed as it was.
    pub asked_in_vain: Option<BTreeMap<Place, i64>>,
    /// Shipments that count.
    pub shipments: BTreeSet<String>,
    /// Events that wait for their order.
    pub remembered: Vec<Told>,
}

impl Claim {
    /// One that holds nothing.
    pub fn new(state: &'static str) -> Self {
        Self {
            state,
            version: None,
            time: None,
            confirmed: false,
            lost: false,
            first_held: None,
            deadline: None,
            lines: BTreeMap::new(),
            asked: BTreeMap::new(),
            asked_in_vain: None,
            shipments: BTreeSet::new(),
            remembered: Vec::new(),
        }
    }

    /// Whether it holds anything.
    pub fn holds(&self) -> bool {
        self.lines.values().any(|line| line.held() > 0)
    }
}

/// Everything.
#[derive(Clone, Debug)]
pub struct World {
    /// The shop's choices.
    pub settings: Settings,
    /// Stock.
    pub rows: BTreeMap<Place, Row>,
    /// Carts.
    pub carts: BTreeMap<String, Claim>,
    /// Orders.
    pub orders: BTreeMap<String, Claim>,
    /// Receipts: what each put where.
    pub receipts: BTreeMap<String, BTreeMap<Place, i64>>,
    /// Returns: what each brought where.
    pub returns: BTreeMap<String, BTreeMap<Place, i64>>,
    /// Keys of corrections that took effect, as (type, key).
    pub corrections: BTreeSet<(&'static str, String)>,
    /// What every movement did to on_hand: (row, instant, change).
    pub ledger: Vec<(Place, i64, i64)>,
    /// Counts lines that began to wait.
    pub waited: u64,
}

/// What a rule says of its event.
pub struct Said {
    /// How it ended.
    pub ended: Ended,
    /// The answer.
    pub answer: Option<Answer>,
    /// The row whose shortage is told.
    pub short: Option<Place>,
}

impl Said {
    /// Nothing happened.
    pub fn ignored() -> Self {
        Self { ended: Ended::Ignored, answer: None, short: None }
    }

    /// It took effect without an answer.
    pub fn silently() -> Self {
        Self { ended: Ended::Applied, answer: None, short: None }
    }

    /// It is answered; the outcome says how it ended.
    pub fn answered(answer: Answer) -> Self {
        let ended = match answer.outcome {
            "refused" | "conflict" | "lost" => Ended::Refused(answer.reason),
            _ => Ended::Applied,
        };
        Self { ended, answer: Some(answer), short: None }
    }
}

impl World {
    /// An empty shop.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            rows: BTreeMap::new(),
            carts: BTreeMap::new(),
            orders: BTreeMap::new(),
            receipts: BTreeMap::new(),
            returns: BTreeMap::new(),
            corrections: BTreeSet::new(),
            ledger: Vec::new(),
            waited: 0,
        }
    }

    /// Takes one event, which is no duplicate, at an instant of the database's clock.
    pub fn apply(&mut self, told: &Told, now: i64) -> Outcome {
        let mut outcome = Outcome { ended: Ended::Ignored, movements: Vec::new(), announcements: Vec::new() };
        outcome.ended = self.take(told, now, &mut outcome);
        let Input::Created(created) = &told.input else { return outcome };
        let remembered = self.orders.get_mut(&created.order).map(|order| std::mem::take(&mut order.remembered));
        for overtook in remembered.unwrap_or_default() {
            self.take(&overtook, now, &mut outcome);
        }
        outcome
    }

    fn take(&mut self, told: &Told, now: i64, outcome: &mut Outcome) -> Ended {
        let before = self.rows.clone();
        let said = match &told.input {
            Input::Created(event) => self.created(event, now),
            Input::CartUpdated { cart, version, ttl, lines } => {
                self.cart_updated((cart, *version, *ttl), lines, (told.time, told.own_time), now)
            }
            Input::Cancelled { order, version, lines, .. } => self.cancelled(told, order, *version, lines.as_deref()),
            Input::Confirmed { order } => self.confirmed(told, order),
            Input::Shipped { order, shipment, lines } => self.shipped(told, order, shipment, lines.as_deref()),
            Input::Returned { returned, order, lines, resellable } => {
                self.returned(returned, order, lines, *resellable)
            }
            Input::Registered(event) => self.registered(event),
            Input::Received { receipt, lines } => self.received(receipt, lines),
            Input::Adjusted(event) => self.adjusted(event),
            Input::Synced { trace, place, delta, .. } => self.synced(trace, place, *delta),
            Input::Counted { count, place, quantity, counted_at } => {
                self.counted(count, place, *quantity, *counted_at, now)
            }
            Input::Expired { kind, reference, deadline } => self.expired(kind, reference, *deadline, now),
        };
        let filled = self.fill_waiting();
        self.note_holds(now);
        let rows: BTreeSet<Place> =
            filled.iter().flat_map(|answer| answer.lines.iter().map(|line| line.place.clone())).collect();
        self.tell_rows(&before, &rows, told, now, outcome);
        let tell = |body| Announcement { cause: told.cause.clone(), body };
        // Only a change of the row is told.
        let changed = said.short.filter(|place| before.get(place) != self.rows.get(place));
        outcome.announcements.extend(changed.and_then(|place| self.shortage(&place)).map(tell));
        outcome.announcements.extend(said.answer.into_iter().chain(filled).map(Body::Answer).map(tell));
        said.ended
    }

    /// What was not held before this event is held since now, and what is not held any more since never.
    fn note_holds(&mut self, now: i64) {
        for line in self.carts.values_mut().chain(self.orders.values_mut()).flat_map(|claim| claim.lines.values_mut()) {
            line.held_since = (line.reserved > 0).then(|| line.held_since.unwrap_or(now));
        }
    }

    /// One movement, one `stock-changed` and at most one `low-stock` for each row that differs, or of which somebody who
    /// waited got units.
    fn tell_rows(
        &mut self,
        before: &BTreeMap<Place, Row>,
        filled: &BTreeSet<Place>,
        told: &Told,
        now: i64,
        outcome: &mut Outcome,
    ) {
        for (place, row) in &mut self.rows {
            let nothing = Row::nothing();
            let old = before.get(place).unwrap_or(&nothing);
            if before.contains_key(place) && old.same(row) && !filled.contains(place) {
                continue;
            }
            let thresholds_changed = (old.warning, old.critical) != (row.warning, row.critical);
            let available = levels::judged(row, self.settings.ignore_cart_holds);
            let has_units = row.numbers.on_hand > 0 || filled.contains(place);
            row.level = levels::after(row, available, thresholds_changed, has_units);
            row.version = old.version + 1;
            let change = row.numbers.since(&old.numbers);
            self.ledger.push((place.clone(), now, change.on_hand));
            outcome.movements.push(Movement {
                place: place.clone(),
                version: row.version,
                kind: movement_kind(&told.input, &change, filled.contains(place)),
                change,
                after: row.numbers,
                cause: told.cause.clone(),
                reason: reason_for_people(&told.input),
                operator: match &told.input {
                    Input::Adjusted(event) => event.operator.clone(),
                    _ => None,
                },
            });
            let changed =
                Body::Changed { place: place.clone(), version: row.version, before: old.seen(), after: row.seen() };
            outcome.announcements.push(Announcement { cause: told.cause.clone(), body: changed });
            if old.level != row.level && !(old.level == "unstocked" && row.level == "normal") {
                let low = Body::Low {
                    place: place.clone(),
                    version: row.version,
                    from: old.level,
                    to: row.level,
                    available,
                    warning: row.warning,
                    critical: row.critical,
                };
                outcome.announcements.push(Announcement { cause: told.cause.clone(), body: low });
            }
        }
    }

    /// A row that must be there.
    pub fn row(&mut self, place: &Place) -> &mut Row {
        self.rows.get_mut(place).expect("what a claim holds has a row")
    }

    /// Units that can be promised now: never below 0, and 0 for an unknown SKU.
    pub fn free(&self, place: &Place) -> i64 {
        self.rows.get(place).map_or(0, |row| row.numbers.available().max(0))
    }

    /// What a request could have that holds `own` units of the row already: they count in full, though others were kept
    /// back since, as far as they are there.
    pub fn free_with(&self, place: &Place, own: i64) -> i64 {
        let Some(row) = self.rows.get(place) else { return 0 };
        let there = row.numbers.on_hand - (row.numbers.reserved() - own);
        (self.free(place) + own).min(there).max(0)
    }

    /// Why nothing new of a row may be promised at all.
    pub fn barred(&self, place: &Place) -> Option<&'static str> {
        match self.rows.get(place) {
            None => Some("unknown_sku"),
            Some(row) if row.status != "active" => Some("not_sellable"),
            Some(_) => None,
        }
    }
}

/// What an event did to a row. Of orders and carts on_hand decides before what is set aside, for both together.
/// What somebody who waited got of what was given back is still given back.
fn movement_kind(input: &Input, change: &Numbers, filled: bool) -> &'static str {
    match input {
        Input::Registered(_) => "register",
        Input::Received { .. } => "restock",
        Input::Adjusted(_) | Input::Synced { .. } => "adjust",
        Input::Counted { .. } => "count",
        Input::Returned { .. } => "return",
        Input::Created(_)
        | Input::CartUpdated { .. }
        | Input::Cancelled { .. }
        | Input::Confirmed { .. }
        | Input::Shipped { .. }
        | Input::Expired { .. } => {
            if change.on_hand < 0 {
                "deduct"
            } else if change.on_hand > 0 || change.reserved() < 0 || (filled && change.reserved() == 0) {
                "release"
            } else {
                "reserve"
            }
        }
    }
}

fn reason_for_people(input: &Input) -> Option<String> {
    match input {
        Input::Cancelled { reason, .. } | Input::Synced { reason, .. } => reason.clone(),
        Input::Adjusted(event) => event.reason.clone(),
        _ => None,
    }
}
