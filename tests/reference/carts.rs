//! Section 3: carts.

use std::collections::BTreeSet;

use super::inputs::{Place, SECOND};
use super::model::{Claim, Line, Said, World};
use super::outputs::{Answer, AnswerLine, first_reason};

impl World {
    /// `cart-updated`, as (cart, version, ttl) and the whole cart.
    pub fn cart_updated(
        &mut self,
        (name, version, ttl): (&str, Option<i64>, Option<i64>),
        lines: &[(Place, i64)],
        (time, own_time): (Option<i64>, bool),
        now: i64,
    ) -> Said {
        if !self.settings.carts_hold {
            return Said::ignored();
        }
        let mut cart = self.carts.get(name).cloned().unwrap_or_else(|| Claim::new("released"));
        let time = time.unwrap_or(now);
        let stale = match version {
            Some(version) => cart.version.is_some_and(|known| version <= known),
            // Of two with the same time of their own the first stands; otherwise the later arrival.
            None => cart.time.is_some_and(|known| time < known || (own_time && time == known)),
        };
        if stale {
            return Said::ignored();
        }
        cart.version = version.or(cart.version);
        cart.time = cart.time.max(Some(time));
        let answer = |outcome, state, lines: Vec<AnswerLine>, deadline| Answer {
            kind: "cart",
            reference: name.to_owned(),
            request_version: version,
            outcome,
            state: Some(state),
            reason: first_reason(&lines),
            lines,
            expires_at: deadline,
        };
        if cart.state == "converted" {
            self.carts.insert(name.to_owned(), cart);
            let conflict = Answer { reason: Some("closed"), ..answer("conflict", "converted", Vec::new(), None) };
            return Said::answered(conflict);
        }
        let ttl = ttl.map_or(self.settings.cart_ttl, |ttl| ttl.min(self.settings.cart_ttl));
        let too_old = now - time > ttl * SECOND;
        self.decrease_cart(&mut cart, lines);
        let answered = self.increase_cart(&mut cart, lines, too_old);
        if cart.holds() {
            let first = *cart.first_held.get_or_insert(now);
            cart.state = "held";
            let deadline = (first + self.settings.cart_max_hold * SECOND).min(now + ttl * SECOND);
            // What only releases gives no more time either.
            let most = cart.deadline.filter(|_| too_old).unwrap_or(deadline);
            cart.deadline = Some(deadline.min(most));
        } else {
            cart.state = "released";
            cart.first_held = None;
            cart.deadline = None;
        }
        let outcome = if lines.is_empty() {
            "released"
        } else if answered.iter().all(|line| line.reason.is_none()) {
            "granted"
        } else if cart.holds() {
            "partial"
        } else {
            "refused"
        };
        let answer = answer(outcome, cart.state, answered, cart.deadline);
        self.carts.insert(name.to_owned(), cart);
        Said::answered(answer)
    }

    fn decrease_cart(&mut self, cart: &mut Claim, lines: &[(Place, i64)]) {
        let places: BTreeSet<Place> = cart.lines.keys().chain(lines.iter().map(|line| &line.0)).cloned().collect();
        for place in places {
            let wanted = lines.iter().find(|line| line.0 == place).map_or(0, |line| line.1);
            let line = cart.lines.entry(place.clone()).or_default();
            line.requested = wanted;
            if line.reserved > wanted {
                self.row(&place).numbers.cart_held -= line.reserved - wanted;
                line.reserved = wanted;
            }
        }
    }

    fn increase_cart(&mut self, cart: &mut Claim, lines: &[(Place, i64)], too_old: bool) -> Vec<AnswerLine> {
        let mut answered = Vec::new();
        for (place, wanted) in lines {
            let elsewhere = |other: &Place| other.0 == place.0 && other != place;
            let of_the_sku: i64 = cart.lines.iter().filter(|line| elsewhere(line.0)).map(|line| line.1.reserved).sum();
            let line = cart.lines.entry(place.clone()).or_default();
            let could_have = self.free_with(place, line.reserved);
            let more = wanted - line.reserved;
            let mut reason = None;
            if more > 0 {
                reason = if let Some(reason) = self.barred(place) {
                    Some(reason)
                } else if too_old {
                    Some("too_old")
                } else if self.settings.cart_cap.is_some_and(|cap| wanted + of_the_sku > cap) {
                    Some("over_cap")
                } else if could_have < *wanted {
                    Some("insufficient_stock")
                } else {
                    None
                };
                if reason.is_none() {
                    self.row(place).numbers.cart_held += more;
                    line.reserved += more;
                }
            }
            answered.push(AnswerLine {
                place: place.clone(),
                requested: *wanted,
                granted: line.reserved,
                available: could_have,
                waiting: 0,
                reason,
            });
        }
        answered
    }

    /// What a cart holds of a row.
    pub fn cart_hold(&self, cart: Option<&str>, place: &Place) -> i64 {
        cart.and_then(|cart| self.carts.get(cart)?.lines.get(place)).map_or(0, |line| line.reserved)
    }

    /// The cart became an order: it holds nothing, now and for good.
    pub fn convert_cart(&mut self, name: Option<&str>) {
        let Some(name) = name else { return };
        let mut cart = self.carts.get(name).cloned().unwrap_or_else(|| Claim::new("released"));
        self.empty_cart(&mut cart, "converted");
        self.carts.insert(name.to_owned(), cart);
    }

    /// Gives back everything that a cart holds.
    pub fn empty_cart(&mut self, cart: &mut Claim, state: &'static str) {
        let held: Vec<(Place, Line)> = cart.lines.iter().map(|(place, line)| (place.clone(), line.clone())).collect();
        for (place, line) in held {
            if line.reserved > 0 {
                self.row(&place).numbers.cart_held -= line.reserved;
            }
            cart.lines.get_mut(&place).expect("its own line").reserved = 0;
        }
        cart.state = state;
        cart.first_held = None;
        cart.deadline = None;
    }
}
