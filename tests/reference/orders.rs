//! Section 4: `order-created`, and the filling of what waits.

use std::collections::{BTreeMap, BTreeSet};

use super::inputs::{Created, Place, SECOND, asked};
use super::model::{Claim, Line, Row, Said, World};
use super::outputs::{Answer, AnswerLine, first_reason};

/// One line of a creation before anything moves.
struct Weighed {
    place: Place,
    requested: i64,
    /// What the order will have of the row if it is granted in full.
    target: i64,
    /// What it has.
    held: i64,
    /// What it could have.
    could_have: i64,
    reason: Option<&'static str>,
}

impl World {
    /// `order-created`.
    pub fn created(&mut self, event: &Created, now: i64) -> Said {
        let version = event.version.unwrap_or(0);
        let wanted = asked(&event.lines);
        let mut order = self.orders.get(&event.order).cloned().unwrap_or_else(|| Claim::new("awaited"));
        let Some(known) = order.version else {
            order.version = Some(version);
            order.asked = wanted;
            if order.state == "cancelled" {
                return self.created_too_late(event, order);
            }
            return self.attempt(event, order, now);
        };
        if version < known {
            return Said::ignored();
        }
        let same = order.asked == wanted;
        let again = version > known
            && (matches!(order.state, "refused" | "expired") || (order.amendment_refused && order.state != "shipped"));
        let closed = matches!(order.state, "cancelled" | "shipped");
        if order.state != "cancelled" && again {
            order.version = Some(version);
            order.asked = wanted;
            if matches!(order.state, "refused" | "expired") {
                return self.attempt(event, order, now);
            }
            return self.amend(event, order, now);
        }
        if same {
            order.version = Some(version);
            self.orders.insert(event.order.clone(), order);
            return Said::ignored();
        }
        if closed || version == known {
            let reason = (order.state == "cancelled").then_some("closed");
            return Said::answered(order_answer(event, &order, "conflict", reason, Vec::new()));
        }
        order.version = Some(version);
        order.asked = wanted;
        self.amend(event, order, now)
    }

    /// It was cancelled before it came: its cart is converted and released.
    fn created_too_late(&mut self, event: &Created, mut order: Claim) -> Said {
        self.convert_cart(event.cart.as_deref());
        for (place, quantity) in &event.lines {
            order.lines.entry(place.clone()).or_default().requested = *quantity;
        }
        let answer = order_answer(event, &order, "refused", Some("cancelled"), Vec::new());
        self.orders.insert(event.order.clone(), order);
        Said::answered(answer)
    }

    /// A first attempt, or a new one of an order that holds nothing.
    fn attempt(&mut self, event: &Created, mut order: Claim, now: i64) -> Said {
        for line in order.lines.values_mut() {
            (line.requested, line.lapsed) = (0, 0);
        }
        (order.confirmed, order.lost) = (false, false);
        for (place, quantity) in &event.lines {
            order.lines.entry(place.clone()).or_default().requested = *quantity;
        }
        let weighed = self.weigh(event, &order);
        let sellable = |line: &Weighed| !matches!(line.reason, Some("unknown_sku" | "not_sellable"));
        let gets = |line: &Weighed| if sellable(line) { line.target.min(line.could_have.max(0)) } else { 0 };
        let all = weighed.iter().all(|line| line.reason.is_none());
        let some = weighed.iter().any(|line| gets(line) > 0);
        let waits = event.policy == "backorder" && weighed.iter().any(|line| sellable(line) && line.reason.is_some());
        if !(all || (event.policy != "all" && some) || waits) {
            order.state = "refused";
            order.deadline = None;
            return self.refuse(event, order, &weighed);
        }
        order.state = if self.settings.deduct_on == "created" { "deducted" } else { "reserved" };
        self.renew(&mut order, event, now);
        self.convert_cart(event.cart.as_deref());
        let mut answered = Vec::new();
        for line in &weighed {
            let got = gets(line);
            self.give(&mut order, &line.place, got);
            let waiting = if event.policy == "backorder" && sellable(line) { line.target - got } else { 0 };
            order.lines.get_mut(&line.place).expect("asked for").waiting = waiting;
            answered.push(AnswerLine { granted: got, waiting, ..line.answer() });
        }
        if waits {
            self.waited += 1;
            order.waits_since = Some(self.waited);
        }
        let outcome = if all { "granted" } else { "partial" };
        let answer = order_answer(event, &order, outcome, first_reason(&answered), answered);
        self.orders.insert(event.order.clone(), order);
        Said::answered(answer)
    }

    /// The difference of a higher version, all or nothing.
    fn amend(&mut self, event: &Created, mut order: Claim, now: i64) -> Said {
        let weighed = self.weigh(event, &order);
        if weighed.iter().any(|line| line.reason.is_some()) {
            order.amendment_refused = true;
            return self.refuse(event, order, &weighed);
        }
        order.amendment_refused = false;
        self.convert_cart(event.cart.as_deref());
        let places: BTreeSet<Place> = order.lines.keys().cloned().chain(order.asked.keys().cloned()).collect();
        for place in places {
            let requested = order.asked.get(&place).copied().unwrap_or(0);
            let line = order.lines.entry(place.clone()).or_default();
            line.requested = requested;
            let target = target(line, requested);
            line.waiting = 0;
            let more = target - line.held();
            if more > 0 {
                self.give(&mut order, &place, more);
            } else {
                self.give_back(&mut order, &place, -more);
            }
        }
        let answered: Vec<AnswerLine> = weighed.iter().map(Weighed::answer).collect();
        let outcome = self.settle(&mut order).unwrap_or("granted");
        if order.state == "reserved" {
            self.renew(&mut order, event, now);
        }
        let answer = order_answer(event, &order, outcome, None, answered);
        self.orders.insert(event.order.clone(), order);
        Said::answered(answer)
    }

    /// An order without any unshipped unit is cancelled or shipped; says `cancelled` when it is that.
    pub fn settle(&mut self, order: &mut Claim) -> Option<&'static str> {
        let unshipped = order.lines.values().any(|line| line.unshipped() > 0 || line.waiting > 0);
        if unshipped {
            return None;
        }
        order.deadline = None;
        if order.lines.values().any(|line| line.shipped > 0) {
            order.state = "shipped";
            return None;
        }
        order.state = "cancelled";
        Some("cancelled")
    }

    fn refuse(&mut self, event: &Created, order: Claim, weighed: &[Weighed]) -> Said {
        let short: Vec<AnswerLine> = weighed
            .iter()
            .filter(|line| line.reason.is_some())
            .map(|line| AnswerLine { granted: 0, ..line.answer() })
            .collect();
        let answer = order_answer(event, &order, "refused", first_reason(&short), short);
        self.orders.insert(event.order.clone(), order);
        Said::answered(answer)
    }

    fn weigh(&self, event: &Created, order: &Claim) -> Vec<Weighed> {
        let weigh = |(place, requested): &(Place, i64)| {
            let line = order.lines.get(place).cloned().unwrap_or_default();
            let target = target(&line, *requested);
            let could_have = self.free(place) + self.cart_hold(event.cart.as_deref(), place) + line.held();
            let reason = if target <= line.held() {
                None
            } else if let Some(reason) = self.barred(place) {
                Some(reason)
            } else {
                (could_have < target).then_some("insufficient_stock")
            };
            Weighed { place: place.clone(), requested: *requested, target, held: line.held(), could_have, reason }
        };
        event.lines.iter().map(weigh).collect()
    }

    fn renew(&self, order: &mut Claim, event: &Created, now: i64) {
        let ttl = event.ttl.map_or(self.settings.order_ttl, |ttl| ttl.min(self.settings.order_ttl));
        order.deadline = (order.state == "reserved").then_some(now + ttl * SECOND);
    }

    /// Whether units that the order gets now leave on_hand at once.
    fn deducts(&self, order: &Claim) -> bool {
        match self.settings.deduct_on {
            "created" => true,
            "confirmed" => order.confirmed,
            _ => false,
        }
    }

    /// Gives units of a row to an order.
    pub fn give(&mut self, order: &mut Claim, place: &Place, units: i64) {
        if units == 0 {
            return;
        }
        let deducts = self.deducts(order);
        let line = order.lines.entry(place.clone()).or_default();
        if deducts {
            self.row(place).numbers.on_hand -= units;
            line.deducted += units;
        } else {
            self.row(place).numbers.order_reserved += units;
            line.reserved += units;
        }
    }

    /// Takes at most so many unshipped units from an order, reserved ones first, and says how many.
    pub fn give_back(&mut self, order: &mut Claim, place: &Place, units: i64) -> i64 {
        let Some(line) = order.lines.get_mut(place) else { return 0 };
        let from_reserved = units.min(line.reserved);
        let from_deducted = (units - from_reserved).min(line.deducted - line.shipped);
        if from_reserved + from_deducted == 0 {
            return 0;
        }
        line.reserved -= from_reserved;
        line.deducted -= from_deducted;
        let numbers = &mut self.row(place).numbers;
        numbers.order_reserved -= from_reserved;
        numbers.on_hand += from_deducted;
        from_reserved + from_deducted
    }

    /// Whatever became available goes to who waits for it, in the order of coming.
    pub fn fill_waiting(&mut self, before: &BTreeMap<Place, Row>) -> Vec<Answer> {
        let mut queue: Vec<(u64, String)> =
            self.orders.iter().filter_map(|(name, order)| Some((order.waits_since?, name.clone()))).collect();
        queue.sort();
        let mut filled: Vec<(String, BTreeMap<Place, i64>)> = Vec::new();
        let places: Vec<Place> = self.rows.keys().cloned().collect();
        for place in places {
            let rose = self.free(&place) > before.get(&place).map_or(0, |row| row.numbers.available());
            if !rose || self.barred(&place).is_some() {
                continue;
            }
            for (_, name) in &queue {
                let mut order = self.orders.get(name).expect("it waits").clone();
                let waiting = order.lines.get(&place).map_or(0, |line| line.waiting);
                let got = waiting.min(self.free(&place).max(0));
                if got == 0 {
                    continue;
                }
                self.give(&mut order, &place, got);
                order.lines.get_mut(&place).expect("it waits").waiting -= got;
                self.orders.insert(name.clone(), order);
                match filled.iter_mut().find(|known| known.0 == *name) {
                    Some(known) => drop(known.1.insert(place.clone(), got)),
                    None => filled.push((name.clone(), BTreeMap::from([(place.clone(), got)]))),
                }
            }
        }
        filled.into_iter().map(|(name, got)| self.answer_filled(name, &got)).collect()
    }

    fn answer_filled(&mut self, name: String, got: &BTreeMap<Place, i64>) -> Answer {
        let order = self.orders.get_mut(&name).expect("it was filled");
        let waits = order.lines.values().any(|line| line.waiting > 0);
        if !waits {
            order.waits_since = None;
        }
        let order = self.orders.get(&name).expect("it was filled");
        let line = |(place, units): (&Place, &i64)| AnswerLine {
            place: place.clone(),
            requested: order.lines[place].requested,
            granted: *units,
            available: self.free(place).max(0),
            waiting: order.lines[place].waiting,
            reason: (order.lines[place].waiting > 0).then_some("insufficient_stock"),
        };
        let lines: Vec<AnswerLine> = got.iter().map(line).collect();
        Answer {
            kind: "order",
            reference: name.clone(),
            request_version: order.version,
            outcome: if waits { "partial" } else { "granted" },
            state: Some(order.state),
            reason: first_reason(&lines),
            lines,
            expires_at: order.deadline,
        }
    }
}

impl Weighed {
    fn answer(&self) -> AnswerLine {
        AnswerLine {
            place: self.place.clone(),
            requested: self.requested,
            granted: self.target.max(self.held.min(self.target)),
            available: self.could_have.max(0),
            waiting: 0,
            reason: self.reason,
        }
    }
}

/// What an order that asks for so much has when everything is granted: without what was called off and given back, and
/// never less than was shipped.
fn target(line: &Line, requested: i64) -> i64 {
    (requested - line.released).max(line.shipped)
}

fn order_answer(
    event: &Created,
    order: &Claim,
    outcome: &'static str,
    reason: Option<&'static str>,
    lines: Vec<AnswerLine>,
) -> Answer {
    Answer {
        kind: "order",
        reference: event.order.clone(),
        request_version: event.version,
        outcome,
        state: Some(order.state),
        reason,
        lines,
        expires_at: order.deadline,
    }
}
