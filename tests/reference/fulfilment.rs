//! Section 4 after the creation: confirmations, shipments, cancels, deadlines.

use super::inputs::{Lines, Place, Told};
use super::model::{Claim, Line, Said, World};
use super::outputs::{Answer, AnswerLine, first_reason};

impl World {
    /// `order-confirmed`.
    pub fn confirmed(&mut self, told: &Told, name: &str) -> Said {
        let Some(mut order) = self.order_that_came(told, name) else { return Said::silently() };
        match order.state {
            "refused" => return conflict(name, &order, None),
            "cancelled" => return conflict(name, &order, Some("closed")),
            "expired" => {
                if let Err(lost) = self.reserve_again(name, &mut order) {
                    return lost;
                }
            }
            _ if order.confirmed => return Said::ignored(),
            _ => {}
        }
        order.confirmed = true;
        if order.state == "reserved" && self.settings.deduct_on == "confirmed" {
            let places: Vec<Place> = order.lines.keys().cloned().collect();
            for place in places {
                let all = order.lines[&place].reserved;
                self.deduct(&mut order, &place, all);
            }
            order.state = "deducted";
        } else if order.state == "reserved" {
            order.state = "confirmed";
        }
        order.deadline = None;
        let lines = self.answer_lines(&order, |line| (line.requested, line.held()));
        self.keep(name, order, None, "confirmed", lines)
    }

    /// `order-shipped`.
    pub fn shipped(&mut self, told: &Told, name: &str, shipment: &str, lines: Option<&[(Place, i64)]>) -> Said {
        let Some(mut order) = self.order_that_came(told, name) else { return Said::silently() };
        if order.shipments.contains(shipment) {
            return Said::ignored();
        }
        match order.state {
            "refused" | "shipped" => return conflict(name, &order, None),
            "cancelled" => return conflict(name, &order, Some("closed")),
            "expired" => {
                if let Err(lost) = self.reserve_again(name, &mut order) {
                    return lost;
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
        let mut answered = Vec::new();
        for (place, quantity) in lines {
            let units = order.lines.get(place).map_or(0, |line| quantity.min(&line.unshipped()).to_owned());
            if units > 0 {
                let from_reserved = (units - (order.lines[place].deducted - order.lines[place].shipped)).max(0);
                self.deduct(&mut order, place, from_reserved);
                order.lines.get_mut(place).expect("it ships").shipped += units;
            }
            answered.push(self.answer_line(place, *quantity, units));
        }
        if answered.iter().all(|line| line.granted == 0) {
            return conflict(name, &order, None);
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
            self.orders.insert(name.to_owned(), Claim::new("cancelled"));
            return Said::silently();
        }
        if known.is_some_and(|order| order.state == "cancelled") {
            return Said::ignored();
        }
        let Some(mut order) = self.order_that_came(told, name) else { return Said::silently() };
        if matches!((version, order.version), (Some(told), Some(known)) if told < known) {
            return Said::ignored();
        }
        if order.state == "shipped" {
            return conflict(name, &order, None);
        }
        match lines {
            None => self.cancel_all(name, order, version),
            Some(lines) => self.cancel_part(name, &mut order, version, lines),
        }
    }

    fn cancel_all(&mut self, name: &str, mut order: Claim, version: Option<i64>) -> Said {
        let mut answered = Vec::new();
        let places: Vec<Place> = order.lines.keys().cloned().collect();
        for place in places {
            let units = order.lines[&place].unshipped();
            let back = self.give_back(&mut order, &place, units);
            let line = order.lines.get_mut(&place).expect("its own line");
            let requested = line.requested;
            line.released += back + line.waiting;
            let back = back + line.waiting;
            (line.waiting, line.lapsed) = (0, 0);
            answered.push(self.answer_line(&place, requested, back));
        }
        order.state = "cancelled";
        order.deadline = None;
        self.keep(name, order, version, "cancelled", answered)
    }

    fn cancel_part(&mut self, name: &str, order: &mut Claim, version: Option<i64>, lines: &[(Place, i64)]) -> Said {
        let mut answered = Vec::new();
        let mut fresh_units = 0;
        for (place, cumulative) in lines {
            let line = order.lines.entry(place.clone()).or_default();
            let fresh = (cumulative - line.called_off).max(0);
            fresh_units += fresh;
            line.called_off += fresh;
            let from_waiting = fresh.min(line.waiting);
            line.waiting -= from_waiting;
            let mut back = self.give_back(order, place, fresh - from_waiting);
            back += from_waiting;
            order.lines.get_mut(place).expect("it was entered").released += back;
            answered.push(self.answer_line(place, *cumulative, back));
        }
        if fresh_units == 0 {
            return Said::ignored();
        }
        let outcome = match order.state {
            "refused" | "expired" => "released",
            _ => self.settle(order).unwrap_or("released"),
        };
        self.keep(name, order.clone(), version, outcome, answered)
    }

    /// The sweeper's own event.
    pub fn expired(&mut self, kind: &str, name: &str, deadline: i64, now: i64) -> Said {
        let claims = if kind == "cart" { &self.carts } else { &self.orders };
        let due = claims.get(name).filter(|claim| claim.deadline == Some(deadline) && deadline <= now);
        let Some(mut claim) = due.cloned() else { return Said::ignored() };
        if kind == "cart" {
            let lines = self.answer_lines(&claim, |line| (line.reserved, 0));
            self.empty_cart(&mut claim, "expired");
            let mut answer = plain_answer(name, &claim, "expired", lines);
            answer.kind = "cart";
            self.carts.insert(name.to_owned(), claim);
            return Said::answered(answer);
        }
        let lines = self.answer_lines(&claim, |line| (line.reserved + line.waiting, 0));
        let places: Vec<Place> = claim.lines.keys().cloned().collect();
        for place in places {
            let units = claim.lines[&place].reserved;
            self.give_back(&mut claim, &place, units);
            let line = claim.lines.get_mut(&place).expect("its own line");
            (line.lapsed, line.waiting) = (units, 0);
        }
        claim.state = "expired";
        claim.deadline = None;
        claim.waits_since = None;
        self.keep(name, claim, None, "expired", lines)
    }

    /// An order that came; otherwise the event is remembered until it does.
    fn order_that_came(&mut self, told: &Told, name: &str) -> Option<Claim> {
        let order = self.orders.entry(name.to_owned()).or_insert_with(|| Claim::new("awaited"));
        if order.state == "awaited" {
            order.remembered.push(told.clone());
            return None;
        }
        Some(order.clone())
    }

    /// Reserves what lapsed again, all or nothing; otherwise the order is lost.
    fn reserve_again(&mut self, name: &str, order: &mut Claim) -> Result<(), Said> {
        let short: Vec<AnswerLine> = order
            .lines
            .iter()
            .filter(|(_, line)| line.lapsed > 0)
            .filter_map(|(place, line)| {
                let little = (self.free(place) < line.lapsed).then_some("insufficient_stock");
                let reason = self.barred(place).or(little)?;
                Some(AnswerLine { reason: Some(reason), ..self.answer_line(place, line.lapsed, 0) })
            })
            .collect();
        if order.lost || !short.is_empty() {
            order.lost = true;
            let answer = Answer { reason: first_reason(&short), ..plain_answer(name, order, "lost", short) };
            self.orders.insert(name.to_owned(), order.clone());
            return Err(Said::answered(answer));
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
        let available = self.free(place).max(0);
        AnswerLine { place: place.clone(), requested, granted, available, waiting: 0, reason: None }
    }

    fn answer_lines(&self, claim: &Claim, of: impl Fn(&Line) -> (i64, i64)) -> Vec<AnswerLine> {
        let line = |(place, line): (&Place, &Line)| {
            let (requested, granted) = of(line);
            self.answer_line(place, requested, granted)
        };
        claim.lines.iter().filter(|(_, line)| of(line) != (0, 0)).map(line).collect()
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
