//! Section 4 after the creation: confirmations, shipments, cancels, deadlines.

use super::inputs::{Lines, Place, Told};
use super::model::{Claim, Line, Said, World};
use super::outputs::{Answer, AnswerLine, first_reason};

/// Events that may wait for one order, and refused shipments that it remembers.
const MOST_KEPT: usize = 1_000;

impl World {
    /// `order-confirmed`.
    pub fn confirmed(&mut self, told: &Told, name: &str) -> Said {
        let mut order = match self.order_that_came(told, name) {
            Ok(order) => order,
            Err(said) => return *said,
        };
        match order.state {
            "refused" => return conflict(name, &order, None),
            "cancelled" => return conflict(name, &order, Some("closed")),
            _ if order.confirmed => return Said::ignored(),
            "expired" => {
                if let Err(short) = self.reserve_again(&mut order) {
                    order.confirmed = true;
                    return self.lose(name, order, short);
                }
            }
            _ => {}
        }
        order.confirmed = true;
        let deducts = self.settings.deduct_on != "shipped";
        if deducts {
            // Also what a shipment left reserved.
            let places: Vec<Place> = order.lines.keys().cloned().collect();
            for place in places {
                let there = order.lines[&place].reserved.min(self.on_hand(&place));
                self.deduct(&mut order, &place, there);
            }
        }
        if order.state == "reserved" {
            let left = order.lines.values().any(|line| line.reserved > 0);
            order.state = if deducts && !left { "deducted" } else { "confirmed" };
        }
        order.deadline = None;
        let asked_for = |line: &Line| (line.requested > 0).then(|| (line.requested, line.held().min(line.requested)));
        let lines = self.answer_lines(&order, asked_for);
        self.keep(name, order, None, "confirmed", lines)
    }

    /// `order-shipped`.
    pub fn shipped(&mut self, told: &Told, name: &str, shipment: &str, lines: Option<&[(Place, i64)]>) -> Said {
        let mut order = match self.order_that_came(told, name) {
            Ok(order) => order,
            Err(said) => return *said,
        };
        if order.shipments.contains(shipment) {
            return Said::ignored();
        }
        // Whatever the answer is, the same shipment gets no other.
        if order.shipments.len() < MOST_KEPT {
            order.shipments.insert(shipment.to_owned());
        }
        let lapsed = |line: &(Place, i64)| order.lines.get(&line.0).is_some_and(|line| line.lapsed > 0);
        let names_lapsed = lines.is_none_or(|lines| lines.iter().any(lapsed));
        match order.state {
            "refused" | "shipped" => return self.keep_conflict(name, order, None, Vec::new()),
            "cancelled" => return self.keep_conflict(name, order, Some("closed"), Vec::new()),
            "expired" if order.lost || names_lapsed || nothing_lapsed(&order) => {
                if let Err(short) = self.reserve_again(&mut order) {
                    return self.lose(name, order, short);
                }
            }
            _ => {}
        }
        let everything: Lines = order
            .lines
            .iter()
            .filter(|(_, line)| line.unshipped() > 0)
            .map(|(place, line)| (place.clone(), line.unshipped()))
            .collect();
        let lines = lines.unwrap_or(&everything);
        let mut got = Vec::new();
        for (place, quantity) in lines {
            // A row that is short sends what is on hand.
            let there = |line: &Line| line.deducted - line.shipped + line.reserved.min(self.on_hand(place));
            let units = order.lines.get(place).map_or(0, |line| (*quantity).min(there(line)));
            if units > 0 {
                let from_reserved = (units - (order.lines[place].deducted - order.lines[place].shipped)).max(0);
                self.deduct(&mut order, place, from_reserved);
                order.lines.get_mut(place).expect("it ships").shipped += units;
            }
            got.push((place, *quantity, units));
        }
        let answered: Vec<AnswerLine> =
            got.into_iter().map(|(place, quantity, units)| self.done_line(&order, place, quantity, units)).collect();
        if answered.iter().all(|line| line.granted == 0) {
            return self.keep_conflict(name, order, None, answered);
        }
        order.shipments.insert(shipment.to_owned());
        order.deadline = None;
        order.state = "deducted";
        self.settle(&mut order);
        self.keep(name, order, None, "shipped", answered)
    }

    /// `order-cancelled`.
    pub fn cancelled(&mut self, told: &Told, name: &str, version: Option<i64>, lines: Option<&[(Place, i64)]>) -> Said {
        let known = self.orders.get(name);
        if known.is_none_or(|order| order.state == "awaited") && lines.is_none() {
            // What waits for the order goes on waiting, for its answer.
            self.orders.entry(name.to_owned()).or_insert_with(|| Claim::new("awaited")).state = "cancelled";
            return Said::silently();
        }
        if known.is_some_and(|order| order.state == "cancelled") {
            return Said::ignored();
        }
        let order = match self.order_that_came(told, name) {
            Ok(order) => order,
            Err(said) => return *said,
        };
        let stale = matches!((version, order.version), (Some(told), Some(known)) if told < known);
        if stale || lines.is_some_and(|lines| said_before(&order, lines)) {
            return Said::ignored();
        }
        if order.state == "shipped" {
            return Said::answered(Answer {
                request_version: version,
                ..plain_answer(name, &order, "conflict", Vec::new())
            });
        }
        match lines {
            None => self.cancel_all(name, order, version),
            Some(lines) => self.cancel_part(name, order, version, lines),
        }
    }

    fn cancel_all(&mut self, name: &str, mut order: Claim, version: Option<i64>) -> Said {
        let mut answered = Vec::new();
        let places: Vec<Place> = order.lines.keys().cloned().collect();
        for place in places {
            let line = order.lines.get_mut(&place).expect("its own line");
            let waiting = std::mem::take(&mut line.waiting);
            let units = line.unshipped();
            let back = self.give_back(&mut order, &place, units) + waiting;
            order.lines.get_mut(&place).expect("its own line").released += back;
            if back > 0 {
                answered.push(self.done_line(&order, &place, back, back));
            }
        }
        order.state = "cancelled";
        order.deadline = None;
        self.keep(name, order, version, "cancelled", answered)
    }

    /// Brings each line up to the cumulative quantity that the part names, where that is more than parts before it named.
    fn cancel_part(&mut self, name: &str, mut order: Claim, version: Option<i64>, lines: &[(Place, i64)]) -> Said {
        let holds_nothing = matches!(order.state, "refused" | "expired");
        let had_lapsed = order.lines.values().any(|line| line.lapsed > 0);
        let mut got = Vec::new();
        for (place, cumulative) in lines {
            let mut back = 0;
            if let Some(line) = order.lines.get_mut(place) {
                let further = if *cumulative > line.called_off { cumulative - line.released } else { 0 };
                if holds_nothing {
                    // Nothing to give back, and nothing of it that a late confirmation could ask for again.
                    let lapsed = further.min(line.lapsed);
                    line.lapsed -= lapsed;
                    line.released += lapsed;
                } else {
                    let from_waiting = further.min(line.waiting);
                    line.waiting -= from_waiting;
                    back = from_waiting + self.give_back(&mut order, place, further - from_waiting);
                    order.lines.get_mut(place).expect("it has the line").released += back;
                }
            }
            if let Some(line) = order.lines.get_mut(place).filter(|line| of_the_order(line)) {
                line.called_off = line.called_off.max(*cumulative);
            }
            got.push((place, *cumulative, back));
        }
        let outcome = if holds_nothing {
            let cancelled = had_lapsed && order.lines.values().all(|line| line.lapsed == 0);
            if cancelled {
                order.state = "cancelled";
            }
            cancelled.then_some("cancelled")
        } else {
            self.settle(&mut order)
        };
        let answered =
            got.into_iter().map(|(place, quantity, units)| self.done_line(&order, place, quantity, units)).collect();
        self.keep(name, order, version, outcome.unwrap_or("released"), answered)
    }

    /// The sweeper's own event.
    pub fn expired(&mut self, kind: &str, name: &str, deadline: i64, now: i64) -> Said {
        let claims = if kind == "cart" { &self.carts } else { &self.orders };
        let due = claims.get(name).filter(|claim| claim.deadline == Some(deadline) && deadline <= now);
        let Some(mut claim) = due.cloned() else { return Said::ignored() };
        if kind == "cart" {
            let held: Vec<(Place, i64, i64)> = claim
                .lines
                .iter()
                .filter(|(_, line)| line.reserved > 0)
                .map(|(place, line)| (place.clone(), line.requested, line.reserved))
                .collect();
            self.empty_cart(&mut claim, "expired");
            let lines = held.iter().map(|(place, requested, units)| self.answer_line(place, *requested, *units));
            let answer = Answer { kind: "cart", ..plain_answer(name, &claim, "expired", lines.collect()) };
            self.carts.insert(name.to_owned(), claim);
            return Said::answered(answer);
        }
        let stands = |line: &(&Place, &Line)| line.1.reserved > 0 || line.1.waiting > 0;
        let places: Vec<Place> = claim.lines.iter().filter(stands).map(|(place, _)| place.clone()).collect();
        for place in &places {
            let units = claim.lines[place].reserved;
            self.give_back(&mut claim, place, units);
            let line = claim.lines.get_mut(place).expect("its own line");
            (line.lapsed, line.waiting) = (units, 0);
        }
        claim.state = "expired";
        claim.deadline = None;
        let told = |place: &Place| {
            let line = &claim.lines[place];
            self.done_line(&claim, place, line.requested, line.lapsed)
        };
        let lines = places.iter().map(told).collect();
        self.keep(name, claim, None, "expired", lines)
    }

    /// An order that came; otherwise the event is remembered until it does, the same fact once.
    fn order_that_came(&mut self, told: &Told, name: &str) -> Result<Claim, Box<Said>> {
        let order = self.orders.entry(name.to_owned()).or_insert_with(|| Claim::new("awaited"));
        if order.state != "awaited" {
            return Ok(order.clone());
        }
        if order.remembered.iter().any(|kept| kept.input == told.input) {
            return Err(Box::new(Said::ignored()));
        }
        if order.remembered.len() >= MOST_KEPT {
            return Err(Box::new(conflict(name, order, None)));
        }
        order.remembered.push(told.clone());
        Err(Box::new(Said::silently()))
    }

    /// Reserves what lapsed again, all or nothing; otherwise says what cannot be had. Of an order that was told to be
    /// lost before nothing can.
    fn reserve_again(&mut self, order: &mut Claim) -> Result<(), Vec<AnswerLine>> {
        if order.lost || nothing_lapsed(order) {
            // One that only waited names what it asked for.
            let units = |line: &Line| if nothing_lapsed(order) { line.requested } else { line.lapsed };
            return Err(self.answer_lines(order, |line| (units(line) > 0).then_some((units(line), 0))));
        }
        let mut short = Vec::new();
        for (place, line) in order.lines.iter().filter(|(_, line)| line.lapsed > 0) {
            let available = self.free_with(place, 0);
            let little = (available < line.lapsed).then_some("insufficient_stock");
            if let Some(reason) = self.barred(place).or(little) {
                let told = self.answer_line(place, line.lapsed, 0);
                short.push(AnswerLine { available, reason: Some(reason), ..told });
            }
        }
        if !short.is_empty() {
            return Err(short);
        }
        order.state = "reserved";
        let places: Vec<Place> = order.lines.keys().cloned().collect();
        for place in places {
            let line = order.lines.get_mut(&place).expect("its own line");
            let units = std::mem::take(&mut line.lapsed);
            self.give(order, &place, units);
        }
        Ok(())
    }

    fn lose(&mut self, name: &str, mut order: Claim, short: Vec<AnswerLine>) -> Said {
        order.lost = true;
        let answer = Answer { reason: first_reason(&short), ..plain_answer(name, &order, "lost", short) };
        self.orders.insert(name.to_owned(), order);
        Said::answered(answer)
    }

    fn keep_conflict(
        &mut self,
        name: &str,
        order: Claim,
        reason: Option<&'static str>,
        lines: Vec<AnswerLine>,
    ) -> Said {
        let answer = Answer { reason, ..plain_answer(name, &order, "conflict", lines) };
        self.orders.insert(name.to_owned(), order);
        Said::answered(answer)
    }

    fn on_hand(&self, place: &Place) -> i64 {
        self.rows.get(place).map_or(0, |row| row.numbers.on_hand)
    }

    /// Takes reserved units out of on_hand.
    fn deduct(&mut self, order: &mut Claim, place: &Place, units: i64) {
        if units == 0 {
            return;
        }
        let line = order.lines.get_mut(place).expect("it holds units");
        line.reserved -= units;
        line.deducted += units;
        let numbers = &mut self.row(place).numbers;
        numbers.order_reserved -= units;
        numbers.on_hand -= units;
    }

    /// A line as an answer shows it, by its row as it stands.
    pub fn answer_line(&self, place: &Place, requested: i64, granted: i64) -> AnswerLine {
        AnswerLine { place: place.clone(), requested, granted, available: self.free(place), waiting: 0, reason: None }
    }

    /// A line that tells what was done; of a line that the order does not have nothing is looked up.
    pub fn done_line(&self, order: &Claim, place: &Place, requested: i64, granted: i64) -> AnswerLine {
        let line = self.answer_line(place, requested, granted);
        let known = order.lines.get(place).filter(|line| of_the_order(line));
        let available = if known.is_some() { line.available } else { 0 };
        AnswerLine { available, waiting: known.map_or(0, |line| line.waiting), ..line }
    }

    fn answer_lines(&self, order: &Claim, of: impl Fn(&Line) -> Option<(i64, i64)>) -> Vec<AnswerLine> {
        let told = |(place, line): (&Place, &Line)| {
            let (requested, granted) = of(line)?;
            Some(self.done_line(order, place, requested, granted))
        };
        order.lines.iter().filter_map(told).collect()
    }

    fn keep(
        &mut self,
        name: &str,
        order: Claim,
        version: Option<i64>,
        outcome: &'static str,
        lines: Vec<AnswerLine>,
    ) -> Said {
        let answer = Answer { request_version: version, ..plain_answer(name, &order, outcome, lines) };
        self.orders.insert(name.to_owned(), order);
        Said::answered(answer)
    }
}

fn plain_answer(name: &str, order: &Claim, outcome: &'static str, lines: Vec<AnswerLine>) -> Answer {
    Answer {
        kind: "order",
        reference: name.to_owned(),
        request_version: None,
        outcome,
        state: Some(order.state),
        reason: None,
        lines,
        expires_at: order.deadline,
    }
}

fn conflict(name: &str, order: &Claim, reason: Option<&'static str>) -> Said {
    Said::answered(Answer { reason, ..plain_answer(name, order, "conflict", Vec::new()) })
}

/// Whether a line is of its order: asked for, or touched while it was.
fn of_the_order(line: &Line) -> bool {
    line.requested > 0 || line.standing() > 0 || line.released > 0 || line.returned > 0
}

/// Whether a part says what was said last of each of its lines that the order knows, and it knows one.
fn said_before(order: &Claim, lines: &[(Place, i64)]) -> bool {
    let known = |line: &Line| of_the_order(line) || line.called_off > 0;
    let mut said = lines
        .iter()
        .filter_map(|(place, quantity)| order.lines.get(place).filter(|line| known(line)).map(|line| (line, quantity)))
        .peekable();
    said.peek().is_some() && said.all(|(line, quantity)| line.called_off == *quantity)
}

/// Whether nothing of an expired order is left that could be reserved again: it only waited.
fn nothing_lapsed(order: &Claim) -> bool {
    order.lines.values().all(|line| line.lapsed == 0)
}
