//! Section 5: settings, receipts, corrections, counts and returns.

use super::inputs::{Adjusted, Place, Registered, SECOND};
use super::model::{Row, Said, World};
use super::outputs::{Answer, AnswerLine, Body, Ended, first_reason};

impl World {
    /// `sku-registered`.
    pub fn registered(&mut self, event: &Registered) -> Said {
        let known = self.rows.get(&event.place);
        let last = known.and_then(|row| row.sku_version);
        if matches!((event.version, last), (Some(told), Some(last)) if told <= last) {
            return Said::ignored();
        }
        let old = known.cloned().unwrap_or_else(Row::nothing);
        let mut row = old.clone();
        row.name = event.name.clone().or(row.name);
        row.numbers.safety_stock = event.safety_stock.unwrap_or(row.numbers.safety_stock);
        row.warning = event.warning.unwrap_or(row.warning);
        row.critical = event.critical.unwrap_or(row.critical);
        row.max_stock = event.max_stock.or(row.max_stock);
        row.status = event.status.unwrap_or(row.status);
        row.sku_version = event.version.or(row.sku_version);
        if row.critical > row.warning {
            let answer = stock_answer(&event.place.0, "refused", Some("invalid_thresholds"), Vec::new());
            return Said::answered(Answer { request_version: event.version, ..answer });
        }
        if known.is_none() {
            row.numbers.on_hand = event.initial.unwrap_or(0);
        } else if row == old {
            return Said::ignored();
        }
        self.rows.insert(event.place.clone(), row);
        Said::silently()
    }

    /// `stock-received`.
    pub fn received(&mut self, receipt: &str, lines: &[(Place, i64)]) -> Said {
        let done = self.receipts.get(receipt).cloned().unwrap_or_default();
        let fresh: Vec<&(Place, i64)> = lines.iter().filter(|line| !done.contains_key(&line.0)).collect();
        if fresh.is_empty() {
            return Said::ignored();
        }
        let mut answered = Vec::new();
        for (place, quantity) in fresh {
            if self.rows.contains_key(place) {
                self.row(place).numbers.on_hand += quantity;
                self.receipts.entry(receipt.to_owned()).or_default().insert(place.clone(), *quantity);
                answered.push(self.answer_line(place, *quantity, *quantity));
            } else {
                answered.push(AnswerLine { reason: Some("unknown_sku"), ..self.answer_line(place, *quantity, 0) });
            }
        }
        let reason = first_reason(&answered);
        if reason.is_none() {
            return Said::silently();
        }
        let outcome = if answered.iter().all(|line| line.granted == 0) { "refused" } else { "partial" };
        Said::answered(stock_answer(receipt, outcome, reason, answered))
    }

    /// `stock-adjusted`.
    pub fn adjusted(&mut self, event: &Adjusted) -> Said {
        if self.corrections.contains(&("stock-adjusted", event.adjustment.clone())) {
            return Said::ignored();
        }
        let units = event.quantity;
        let refuse = |reason, could_have| refuse_row(&event.adjustment, &event.place, units, could_have, reason);
        let Some(row) = self.rows.get(&event.place) else { return refuse("unknown_sku", 0) };
        let numbers = row.numbers;
        // With a result, and how many units would have gone through where the mode names a difference.
        let (result, could_have) = match event.mode {
            "increase" => (numbers.on_hand + units, row.max_stock.map(|most| most - numbers.on_hand)),
            "decrease" => (numbers.on_hand - units, Some(numbers.on_hand - numbers.reserved())),
            _ => (units, None),
        };
        let could_have = could_have.unwrap_or(numbers.available()).max(0);
        let mismatch = match event.expected_version {
            Some(expected) => expected != row.version,
            None => event.mode == "set",
        };
        if mismatch {
            return refuse("version_mismatch", could_have);
        }
        if result < numbers.reserved() {
            return refuse("insufficient_stock", could_have);
        }
        if event.mode != "decrease" && row.max_stock.is_some_and(|most| result > most) {
            return refuse("over_max", could_have);
        }
        self.correct(("stock-adjusted", &event.adjustment), &event.place, result - numbers.on_hand)
    }

    /// `stock-synced`.
    pub fn synced(&mut self, trace: &str, place: &Place, delta: i64) -> Said {
        if self.corrections.contains(&("stock-synced", trace.to_owned())) {
            return Said::ignored();
        }
        let refuse = |reason, could_have| refuse_row(trace, place, delta.abs(), could_have, reason);
        let Some(row) = self.rows.get(place) else { return refuse("unknown_sku", 0) };
        if row.numbers.on_hand + delta < 0 {
            return refuse("insufficient_stock", row.numbers.on_hand);
        }
        Said { short: Some(place.clone()), ..self.correct(("stock-synced", trace), place, delta) }
    }

    /// `stock-counted`.
    pub fn counted(&mut self, count: &str, place: &Place, quantity: i64, counted_at: i64, now: i64) -> Said {
        if self.corrections.contains(&("stock-counted", count.to_owned())) {
            return Said::ignored();
        }
        let ahead = counted_at > now + self.settings.max_clock_skew * SECOND;
        if ahead || now - counted_at > self.settings.count_max_age * SECOND {
            return Said { ended: Ended::DeadLettered("impossible_time"), ..Said::ignored() };
        }
        let refuse = |reason, could_have| refuse_row(count, place, quantity, could_have, reason);
        let Some(row) = self.rows.get(place) else { return refuse("unknown_sku", 0) };
        let of_row: Vec<&(Place, i64, i64)> = self.ledger.iter().filter(|entry| entry.0 == *place).collect();
        // Where the clock was set back, what came later may be recorded earlier: the newest entry by then says what was.
        let newest = of_row.iter().rposition(|entry| entry.1 <= counted_at);
        let was = match newest {
            Some(newest) if counted_at < now => of_row[..=newest].iter().map(|entry| entry.2).sum(),
            // A row that is younger than its count is counted as it stands, and so is one that is counted just now.
            Some(_) | None => row.numbers.on_hand,
        };
        if row.numbers.on_hand + quantity - was < 0 {
            return refuse("insufficient_stock", self.free(place));
        }
        Said { short: Some(place.clone()), ..self.correct(("stock-counted", count), place, quantity - was) }
    }

    /// Counts once under its key, also where it changes nothing.
    fn correct(&mut self, (kind, key): (&'static str, &str), place: &Place, change: i64) -> Said {
        self.corrections.insert((kind, key.to_owned()));
        self.row(place).numbers.on_hand += change;
        if change == 0 { Said::ignored() } else { Said::silently() }
    }

    /// `return-received`.
    pub fn returned(&mut self, returned: &str, name: &str, lines: &[(Place, i64)], resellable: bool) -> Said {
        let answer = |outcome, state, lines| Answer {
            kind: "return",
            reference: returned.to_owned(),
            request_version: None,
            outcome,
            state,
            reason: None,
            lines,
            expires_at: None,
        };
        let Some(mut order) = self.orders.get(name).filter(|order| order.version.is_some()).cloned() else {
            return Said::answered(answer("conflict", None, Vec::new()));
        };
        let done = self.returns.get(returned).cloned().unwrap_or_default();
        let fresh: Vec<&(Place, i64)> = lines.iter().filter(|line| !done.contains_key(&line.0)).collect();
        if fresh.is_empty() {
            return Said::ignored();
        }
        let mut answered = Vec::new();
        for (place, quantity) in fresh {
            let granted = match order.lines.get_mut(place) {
                Some(line) => {
                    let granted = (*quantity).min(line.shipped - line.returned);
                    line.returned += granted;
                    granted
                }
                None => 0,
            };
            if granted > 0 {
                self.returns.entry(returned.to_owned()).or_default().insert(place.clone(), granted);
                if resellable {
                    self.row(place).numbers.on_hand += granted;
                }
            }
            // It tells of the return alone, not of what the order waits for.
            answered.push(AnswerLine { waiting: 0, ..self.done_line(&order, place, *quantity, granted) });
        }
        self.orders.insert(name.to_owned(), order);
        let nothing = answered.iter().all(|line| line.granted == 0);
        let said = Said::answered(answer("returned", None, answered));
        if nothing { Said { ended: Ended::Refused(None), ..said } } else { said }
    }

    /// `stock-shortage`, where more is reserved than is on hand.
    pub fn shortage(&self, place: &Place) -> Option<Body> {
        let numbers = self.rows[place].numbers;
        let short = numbers.reserved() - numbers.on_hand;
        if short <= 0 {
            return None;
        }
        let of = |kind: &'static str| {
            let claims = if kind == "cart" { &self.carts } else { &self.orders };
            claims.iter().filter_map(move |(name, claim)| {
                let line = claim.lines.get(place)?;
                // The newest hold first.
                line.held_since.map(|since| (-since, kind, name.clone(), line.reserved))
            })
        };
        let mut claims: Vec<_> = of("cart").chain(of("order")).collect();
        claims.sort();
        claims.truncate(1_000);
        let claims = claims.into_iter().map(|(_, kind, name, reserved)| (kind, name, reserved)).collect();
        let (on_hand, reserved) = (numbers.on_hand, numbers.reserved());
        Some(Body::Shortage { place: place.clone(), on_hand, reserved, short, claims })
    }
}

fn refuse_row(key: &str, place: &Place, requested: i64, could_have: i64, reason: &'static str) -> Said {
    let line = AnswerLine {
        place: place.clone(),
        requested,
        granted: 0,
        available: could_have,
        waiting: 0,
        reason: Some(reason),
    };
    Said::answered(stock_answer(key, "refused", Some(reason), vec![line]))
}

fn stock_answer(
    reference: &str,
    outcome: &'static str,
    reason: Option<&'static str>,
    lines: Vec<AnswerLine>,
) -> Answer {
    Answer {
        kind: "stock",
        reference: reference.to_owned(),
        request_version: None,
        outcome,
        state: None,
        reason,
        lines,
        expires_at: None,
    }
}
