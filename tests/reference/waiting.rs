//! Section 4: orders that wait for what is missing.

use super::inputs::Place;
use super::model::{Claim, World};
use super::outputs::{Answer, AnswerLine};

impl World {
    /// Whatever is available goes to who waits for it, row by row, in the order in which their lines began to.
    pub fn fill_waiting(&mut self) -> Vec<Answer> {
        let mut filled: Vec<(String, Vec<AnswerLine>)> = Vec::new();
        let places: Vec<Place> = self.rows.keys().filter(|place| self.barred(place).is_none()).cloned().collect();
        for place in places {
            let waits = |(name, order): (&String, &Claim)| {
                let line = order.lines.get(&place).filter(|line| line.waiting > 0)?;
                Some((line.waits_since, name.clone()))
            };
            let mut queue: Vec<(u64, String)> = self.orders.iter().filter_map(waits).collect();
            queue.sort();
            for (_, name) in queue {
                let available = self.free(&place);
                let mut order = self.orders[&name].clone();
                let held = order.lines[&place].held();
                let got = order.lines[&place].waiting.min(available);
                if got == 0 {
                    break;
                }
                self.give(&mut order, &place, got);
                let line = order.lines.get_mut(&place).expect("it waits");
                line.waiting -= got;
                let told = AnswerLine {
                    place: place.clone(),
                    requested: line.requested,
                    granted: line.held().min(line.requested),
                    available: held + available,
                    waiting: line.waiting,
                    reason: (line.waiting > 0).then_some("insufficient_stock"),
                };
                self.orders.insert(name.clone(), order);
                match filled.iter_mut().find(|known| known.0 == name) {
                    Some(known) => known.1.push(told),
                    None => filled.push((name, vec![told])),
                }
            }
        }
        filled.into_iter().map(|(name, lines)| self.answer_filled(name, lines)).collect()
    }

    fn answer_filled(&self, name: String, lines: Vec<AnswerLine>) -> Answer {
        let order = &self.orders[&name];
        let waits = order.lines.values().any(|line| line.waiting > 0);
        Answer {
            kind: "order",
            reference: name.clone(),
            request_version: None,
            outcome: if waits { "partial" } else { "granted" },
            state: Some(order.state),
            reason: waits.then_some("insufficient_stock"),
            lines,
            expires_at: order.deadline,
        }
    }

    /// Has units of a line wait: at the place that it has, or behind everybody.
    pub fn wait(&mut self, order: &mut Claim, place: &Place, units: i64) {
        if units == 0 {
            return;
        }
        let line = order.lines.entry(place.clone()).or_default();
        if line.waiting == 0 {
            self.waited += 1;
            line.waits_since = self.waited;
        }
        line.waiting += units;
    }
}
