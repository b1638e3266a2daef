//! What the demo counted, and how it is told.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

/// The demo in numbers, all of them seen from outside of the worker: what was handed in, and what was published.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// The sidecar.
    pub address: String,
    /// Of the customers' choices.
    pub seed: u64,
    /// Since the shop opened, in seconds.
    pub seconds: f64,
    /// Events handed in a second: over the last seconds while it runs, over all of it at the end.
    pub events_per_s: f64,
    /// From the command's start to the first event that was handled, in milliseconds.
    pub first_event_ms: u64,
    /// Events handed in and handled.
    pub events: u64,
    /// The same by type.
    pub handed_in: BTreeMap<String, u64>,
    /// The same by how they ended.
    pub outcomes: BTreeMap<String, u64>,
    /// Flash sales begun.
    pub sales: u64,
    /// Orders of what was on sale.
    pub sale_orders: u64,
    /// What was published.
    pub announcements: u64,
    /// The number of the last of it.
    pub last_seq: i64,
    /// Numbers that came again.
    pub repeats: u64,
    /// Numbers that never came.
    pub holes: u64,
    /// Orders and baskets that were handled and not answered, so far.
    pub unanswered: u64,
    /// Answers by what was asked for, then by how it ended.
    pub answers: BTreeMap<String, BTreeMap<String, u64>>,
    /// Levels that fell.
    pub alerts: u64,
    /// Levels that rose.
    pub recoveries: u64,
    /// SKUs that the shop keeps.
    pub skus: usize,
}

impl Figures {
    /// Whether everything that was handed in was understood and answered, and everything published came once and in
    /// order. Of the end only: an answer may be on its way before.
    pub fn is_sound(&self) -> bool {
        let dead = self.outcomes.get("dead_lettered").copied().unwrap_or_default();
        self.repeats == 0 && self.holes == 0 && self.unanswered == 0 && dead == 0
    }

    /// How many answers of one kind there were.
    pub fn answered(&self, kind: &str, outcome: &str) -> u64 {
        self.answers.get(kind).and_then(|outcomes| outcomes.get(outcome)).copied().unwrap_or_default()
    }

    /// How many events of a type were handed in.
    pub fn of_type(&self, event_type: &str) -> u64 {
        self.handed_in.get(event_type).copied().unwrap_or_default()
    }

    /// How it stands, on one line.
    pub fn line(&self) -> String {
        format!(
            "{:>5.0} s  {:>5.0} events/s  orders: {} granted, {} refused, {} cancelled  restocks: {}  alerts: {}",
            self.seconds,
            self.events_per_s,
            self.answered("order", "granted"),
            self.answered("order", "refused"),
            self.answered("order", "cancelled"),
            self.of_type("stock-received"),
            self.alerts,
        )
    }

    /// How it ended, on lines for people.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, figures: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {name:<11} {figures}");
        };
        line("events", format!("{} in {:.1} s, {:.0} a second", self.events, self.seconds, self.events_per_s));
        let baskets = self.of_type("cart-updated");
        line("baskets", format!("{baskets} updates, of which {}", self.outcomes_of("cart")));
        let orders = self.of_type("order-created");
        line(
            "orders",
            format!("{orders}, cancellations {}: {}", self.of_type("order-cancelled"), self.outcomes_of("order")),
        );
        line("flash sales", format!("{} with {} orders", self.sales, self.sale_orders));
        let restocks = self.of_type("stock-received");
        line(
            "stock",
            format!("{} SKUs, {restocks} restocks, {} alerts, {} recoveries", self.skus, self.alerts, self.recoveries),
        );
        line(
            "published",
            format!(
                "{} announcements, the last with number {}: {} repeats, {} holes, {} without an answer",
                self.announcements, self.last_seq, self.repeats, self.holes, self.unanswered
            ),
        );
        text
    }

    fn outcomes_of(&self, kind: &str) -> String {
        let outcomes = self.answers.get(kind).into_iter().flatten();
        let words: Vec<String> = outcomes.map(|(outcome, count)| format!("{count} {outcome}")).collect();
        if words.is_empty() { "none answered".to_owned() } else { words.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let orders = BTreeMap::from([("granted".to_owned(), 5), ("refused".to_owned(), 2)]);
        Figures {
            events: 9,
            handed_in: BTreeMap::from([("order-created".to_owned(), 7), ("stock-received".to_owned(), 2)]),
            answers: BTreeMap::from([("order".to_owned(), orders)]),
            announcements: 20,
            last_seq: 20,
            ..Figures::default()
        }
    }

    #[test]
    fn what_is_told_names_every_figure() {
        let figures = figures();
        let summary = figures.summary();
        for part in ["7, cancellations 0: 5 granted, 2 refused", "2 restocks", "number 20: 0 repeats, 0 holes"] {
            assert!(summary.contains(part), "{part} in\n{summary}");
        }
        assert!(figures.line().contains("orders: 5 granted, 2 refused"), "{}", figures.line());
    }

    #[test]
    fn a_hole_a_repetition_a_missing_answer_and_a_dead_letter_are_not_sound() {
        assert!(figures().is_sound());
        assert!(!Figures { holes: 1, ..figures() }.is_sound());
        assert!(!Figures { repeats: 1, ..figures() }.is_sound());
        assert!(!Figures { unanswered: 1, ..figures() }.is_sound());
        let outcomes = BTreeMap::from([("dead_lettered".to_owned(), 1)]);
        assert!(!Figures { outcomes, ..figures() }.is_sound());
    }
}
