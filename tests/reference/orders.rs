//! Section 4: `order-created`, and the filling of what waits.

use std::collections::{BTreeMap, BTreeSet};

use super::inputs::{Created, Place, SECOND, asked};
use super::model::{Claim, Line, Said, World};
use super::outputs::{Answer, AnswerLine, first_reason};

/// One line of a creation before anything moves: of a change, what it asks for beyond what the order has.
struct Weighed {
    place: Place,
    requested: i64,
    /// What it could have.
    could_have: i64,
    /// Why it cannot have all.
    reason: Option<&'static str>,
    /// Whether what it lacks may wait.
    may_wait: bool,
}

impl Weighed {
    fn sellable(&self) -> bool {
        !matches!(self.reason, Some("unknown_sku" | "not_sellable"))
    }

    /// What it gets, when it may have a part.
    fn gets(&self) -> i64 {
        if self.sellable() { self.requested.min(self.could_have) } else { 0 }
    }

    /// What it lacks then and waits for.
    fn waits(&self) -> i64 {
        if self.sellable() && self.may_wait { self.requested - self.gets() } else { 0 }
    }

    fn answer(&self) -> AnswerLine {
        AnswerLine {
            place: self.place.clone(),
            requested: self.requested,
            granted: self.gets(),
            available: self.could_have,
            waiting: self.waits(),
            reason: self.reason,
        }
    }
}

impl World {
    /// `order-created`.
    pub fn created(&mut self, event: &Created, now: i64) -> Said {
        let version = event.version.unwrap_or(0);
        let wanted = asked(&event.lines);
        let mut order = self.orders.get(&event.order).cloned().unwrap_or_else(|| Claim::new("awaited"));
        let Some(known) = order.version.replace(version) else {
            order.asked = wanted;
            if order.state == "cancelled" {
                return self.created_too_late(event, order);
            }
            return self.attempt(event, order, now);
        };
        if version < known {
            return Said::ignored();
        }
        if version == known {
            // A repetition is told by what this version asked for, in vain or not.
            if order.asked_in_vain.as_ref().unwrap_or(&order.asked) == &wanted {
                return Said::ignored();
            }
            return Said::answered(contradiction(event, &order));
        }
        if matches!(order.state, "refused" | "expired") {
            (order.asked, order.asked_in_vain) = (wanted, None);
            return self.attempt(event, order, now);
        }
        // A higher version is compared with what the order stands for.
        if order.asked == wanted {
            order.asked_in_vain = None;
            self.orders.insert(event.order.clone(), order);
            return Said::ignored();
        }
        if matches!(order.state, "cancelled" | "shipped") {
            order.asked_in_vain = Some(wanted);
            let answer = contradiction(event, &order);
            self.orders.insert(event.order.clone(), order);
            return Said::answered(answer);
        }
        self.amend(event, order, now)
    }

    /// It was cancelled before it came: its cart is converted and released.
    fn created_too_late(&mut self, event: &Created, mut order: Claim) -> Said {
        self.convert_cart(event.cart.as_deref());
        let mut lines = Vec::new();
        for (place, quantity) in &event.lines {
            order.lines.entry(place.clone()).or_default().requested = *quantity;
            lines.push(AnswerLine { reason: Some("cancelled"), ..self.answer_line(place, *quantity, 0) });
        }
        let answer = order_answer(event, &order, "refused", Some("cancelled"), lines);
        self.orders.insert(event.order.clone(), order);
        Said::answered(answer)
    }

    /// A first attempt, or a new one of an order that holds nothing: its lines begin anew, and of what was called off
    /// only so much is known that the same part again counts no more.
    fn attempt(&mut self, event: &Created, mut order: Claim, now: i64) -> Said {
        for line in order.lines.values_mut() {
            *line = Line { called_off: line.called_off, ..Line::default() };
        }
        (order.confirmed, order.lost) = (false, false);
        for (place, quantity) in &event.lines {
            order.lines.entry(place.clone()).or_default().requested = *quantity;
        }
        let weigh = |(place, quantity): &(Place, i64)| self.weigh(event, place, *quantity);
        let weighed: Vec<Weighed> = event.lines.iter().map(weigh).collect();
        let all = weighed.iter().all(|line| line.reason.is_none());
        let some = weighed.iter().any(|line| line.gets() > 0);
        let waits = weighed.iter().any(|line| line.waits() > 0);
        if !(all || (event.policy != "all" && some) || waits) {
            order.state = "refused";
            order.deadline = None;
            let short = weighed.iter().filter(|line| line.reason.is_some());
            let short = short.map(|line| AnswerLine { granted: 0, ..line.answer() }).collect();
            return self.refuse(event, order, short);
        }
        order.state = if self.settings.deduct_on == "created" { "deducted" } else { "reserved" };
        let ttl = event.ttl.map_or(self.settings.order_ttl, |ttl| ttl.min(self.settings.order_ttl));
        order.deadline = (order.state == "reserved").then_some(now + ttl * SECOND);
        self.convert_cart(event.cart.as_deref());
        let mut answered = Vec::new();
        for line in &weighed {
            self.give(&mut order, &line.place, line.gets());
            self.wait(&mut order, &line.place, line.waits());
            answered.push(line.answer());
        }
        let outcome = if all { "granted" } else { "partial" };
        let answer = order_answer(event, &order, outcome, first_reason(&answered), answered);
        self.orders.insert(event.order.clone(), order);
        Said::answered(answer)
    }

    fn weigh(&self, event: &Created, place: &Place, units: i64) -> Weighed {
        let could_have = self.free_with(place, self.cart_hold(event.cart.as_deref(), place));
        let little = (could_have < units).then_some("insufficient_stock");
        let reason = self.barred(place).or(little);
        let others = |(name, order): &(&String, &Claim)| {
            **name != event.order && order.lines.get(place).is_some_and(|line| line.waiting > 0)
        };
        let others = self.orders.iter().filter(others).count();
        let own = self.orders.get(&event.order).and_then(|order| order.lines.get(place));
        let has_place = own.is_some_and(|line| line.waiting > 0);
        let may_wait = event.policy == "backorder"
            && self.settings.max_waiting > 0
            && (has_place || (others as i64) < self.settings.max_waiting);
        Weighed { place: place.clone(), requested: units, could_have, reason, may_wait }
    }

    /// The difference of a higher version: all or nothing, unless the newer version waits for what it lacks.
    fn amend(&mut self, event: &Created, mut order: Claim, now: i64) -> Said {
        let wanted = asked(&event.lines);
        let places: BTreeSet<Place> = order.lines.keys().chain(wanted.keys()).cloned().collect();
        let mut targets = BTreeMap::new();
        let mut growing = Vec::new();
        for place in places {
            let line = order.lines.get(&place).cloned().unwrap_or_default();
            let target = target(&line, wanted.get(&place).copied().unwrap_or(0));
            if target > line.standing() {
                growing.push(self.weigh(event, &place, target - line.standing()));
            } else {
                targets.insert(place, target);
            }
        }
        let backorder = event.policy == "backorder" && self.settings.max_waiting > 0;
        let short = growing.iter().any(|line| line.reason.is_some());
        let nothing = growing.iter().all(|line| line.gets() == 0 && line.waits() == 0);
        if short && (!backorder || nothing) {
            let told = |line: &Weighed| {
                let known = order.lines.get(&line.place).cloned().unwrap_or_default();
                AnswerLine {
                    requested: wanted[&line.place],
                    granted: 0,
                    available: line.could_have + known.held(),
                    waiting: 0,
                    ..line.answer()
                }
            };
            let short = growing.iter().filter(|line| line.reason.is_some()).map(told).collect();
            order.asked_in_vain = Some(wanted);
            return self.refuse(event, order, short);
        }
        let of_the_cart = self.left_of_the_cart(event, &order, &growing);
        self.convert_cart(event.cart.as_deref());
        let places: BTreeSet<Place> = order.lines.keys().chain(wanted.keys()).cloned().collect();
        for place in places {
            order.lines.entry(place.clone()).or_default().requested = wanted.get(&place).copied().unwrap_or(0);
        }
        for (place, target) in targets {
            let line = order.lines.get_mut(&place).expect("it stands");
            let less = line.standing() - target;
            // What waits goes first.
            let from_waiting = less.min(line.waiting);
            line.waiting -= from_waiting;
            self.give_back(&mut order, &place, less - from_waiting);
        }
        for line in &growing {
            self.give(&mut order, &line.place, line.gets());
            self.wait(&mut order, &line.place, line.waits());
        }
        for (place, units) in of_the_cart {
            let line = order.lines.get_mut(&place).expect("it waits");
            let units = units.min(line.waiting);
            line.waiting -= units;
            self.give(&mut order, &place, units);
        }
        (order.asked, order.asked_in_vain) = (wanted, None);
        if let (Some(deadline), Some(ttl)) = (order.deadline, event.ttl) {
            order.deadline = Some(deadline.min(now + ttl * SECOND));
        }
        let cancelled = self.settle(&mut order);
        let barred = |place: &Place| growing.iter().find(|line| line.place == *place && !line.sellable());
        let line = |(place, quantity): &(Place, i64)| {
            let line = &order.lines[place];
            let little = (line.held() + line.released < *quantity).then_some("insufficient_stock");
            AnswerLine {
                available: self.free(place) + line.held(),
                reason: barred(place).and_then(|line| line.reason).or(little),
                waiting: line.waiting,
                ..self.answer_line(place, *quantity, line.held().min(*quantity))
            }
        };
        let answered: Vec<AnswerLine> = event.lines.iter().map(line).collect();
        let reason = first_reason(&answered);
        let outcome = cancelled.unwrap_or(if reason.is_some() { "partial" } else { "granted" });
        let answer = order_answer(event, &order, outcome, reason, answered);
        self.orders.insert(event.order.clone(), order);
        Said::answered(answer)
    }

    /// What the order's own cart holds of rows that the order waits for, beyond what the change takes: it becomes the
    /// order's before anybody else's.
    fn left_of_the_cart(&self, event: &Created, order: &Claim, growing: &[Weighed]) -> Vec<(Place, i64)> {
        let mut left = Vec::new();
        for (place, line) in &order.lines {
            let hold = self.cart_hold(event.cart.as_deref(), place);
            if line.waiting > 0 && hold > 0 && self.barred(place).is_none() {
                let taken = growing.iter().find(|line| line.place == *place).map_or(0, Weighed::gets);
                left.push((place.clone(), self.free_with(place, hold) - taken));
            }
        }
        left
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

    fn refuse(&mut self, event: &Created, order: Claim, short: Vec<AnswerLine>) -> Said {
        let answer = order_answer(event, &order, "refused", first_reason(&short), short);
        self.orders.insert(event.order.clone(), order);
        Said::answered(answer)
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
}

/// What a standing order has of a line that asks for so much from now on: without what was called off and given back, and
/// never less than was shipped. A line that does not grow asks for nothing more, also when it was granted in part.
fn target(line: &Line, requested: i64) -> i64 {
    let all = requested - line.released;
    let most = if requested <= line.requested { all.min(line.standing()) } else { all };
    most.max(line.shipped)
}

/// Another creation of an order that cannot follow it.
fn contradiction(event: &Created, order: &Claim) -> Answer {
    let reason = (order.state == "cancelled").then_some("closed");
    order_answer(event, order, "conflict", reason, Vec::new())
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
