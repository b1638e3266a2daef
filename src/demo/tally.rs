//! What the demo has seen so far: the numbers and lists that it shows.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::figures::Figures;

/// How many of the latest orders and alerts are kept.
const MOST_LATEST: usize = 100;
/// The rate shown is that of so long.
const RATE_OVER: Duration = Duration::from_secs(5);

/// One SKU as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub on_hand: i64,
    pub reserved: i64,
    pub available: i64,
    pub level: String,
    /// Raised with each change of any row: what changed last stands first.
    pub changed: u64,
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct Tally {
    began: Instant,
    pub figures: Figures,
    pub rows: BTreeMap<String, Row>,
    pub orders: VecDeque<String>,
    pub alerts: VecDeque<String>,
    sent: VecDeque<(Instant, u64)>,
    /// The ids of events whose answers are on their way.
    unanswered: HashSet<String>,
}

impl Tally {
    /// Nothing seen.
    pub fn new(began: Instant) -> Self {
        Self {
            began,
            figures: Figures::default(),
            rows: BTreeMap::new(),
            orders: VecDeque::new(),
            alerts: VecDeque::new(),
            sent: VecDeque::new(),
            unanswered: HashSet::new(),
        }
    }

    /// Notes events that were handed in at one moment, and how the worker said that each of them ended.
    pub fn handled(&mut self, now: Instant, events: &[Value], outcomes: &[String]) {
        for (event, outcome) in events.iter().zip(outcomes) {
            let event_type = event["type"].as_str().unwrap_or_default();
            *self.figures.handed_in.entry(event_type.to_owned()).or_default() += 1;
            *self.figures.outcomes.entry(outcome.clone()).or_default() += 1;
            // A cancellation that overtakes its order is answered when that comes, if ever; these are always.
            if matches!(event_type, "cart-updated" | "order-created") && matches!(&**outcome, "applied" | "refused") {
                self.unanswered.extend(event["id"].as_str().map(str::to_owned));
            }
        }
        self.figures.events += outcomes.len() as u64;
        self.sent.push_back((now, outcomes.len() as u64));
        while self.sent.front().is_some_and(|(at, _)| now.duration_since(*at) > RATE_OVER) {
            self.sent.pop_front();
        }
    }

    /// How many answers are on their way.
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// Notes something that was published. Returns the SKU when its stock is low.
    pub fn announced(&mut self, event_type: &str, data: &Value) -> Option<String> {
        self.count(data);
        match event_type {
            "stock-changed" => self.stock_changed(data),
            "low-stock" => return self.level_changed(data),
            "reservation-result" => self.answered(data),
            _ => {}
        }
        None
    }

    /// Events a second over the last seconds.
    pub fn rate(&self, now: Instant) -> f64 {
        let recent = self.sent.iter().filter(|(at, _)| now.duration_since(*at) <= RATE_OVER);
        let over = now.duration_since(self.began).min(RATE_OVER).as_secs_f64();
        recent.map(|(_, count)| *count).sum::<u64>() as f64 / over.max(0.1)
    }

    /// How long it has gone on.
    pub fn elapsed(&self, now: Instant) -> Duration {
        now.duration_since(self.began)
    }

    /// The figures as they stand now.
    pub fn figures(&self, now: Instant) -> Figures {
        Figures {
            seconds: rounded(self.elapsed(now).as_secs_f64()),
            events_per_s: rounded(self.rate(now)),
            unanswered: self.unanswered.len() as u64,
            skus: self.rows.len(),
            ..self.figures.clone()
        }
    }

    fn count(&mut self, data: &Value) {
        self.figures.announcements += 1;
        let seq = data["seq"].as_i64().unwrap_or_default();
        let expected = self.figures.last_seq + 1;
        if seq < expected {
            self.figures.repeats += 1;
        } else {
            self.figures.holes += seq.abs_diff(expected);
            self.figures.last_seq = seq;
        }
    }

    fn stock_changed(&mut self, data: &Value) {
        let Some(sku) = data["sku"].as_str() else { return };
        let after = &data["after"];
        let units = |name: &str| after[name].as_i64().unwrap_or_default();
        let row = Row {
            on_hand: units("on_hand"),
            reserved: units("reserved"),
            available: units("available"),
            level: after["level"].as_str().unwrap_or_default().to_owned(),
            changed: self.figures.announcements,
        };
        self.rows.insert(sku.to_owned(), row);
    }

    fn level_changed(&mut self, data: &Value) -> Option<String> {
        let (sku, level) = (data["sku"].as_str()?, data["level"].as_str()?);
        let previous = data["previous_level"].as_str().unwrap_or_default();
        let available = data["available"].as_i64().unwrap_or_default();
        if depth(level) > depth(previous) {
            self.figures.alerts += 1;
        } else {
            self.figures.recoveries += 1;
        }
        keep(&mut self.alerts, format!("{sku:<9} {previous} \u{2192} {level}, {available} left"));
        (depth(level) > 0).then(|| sku.to_owned())
    }

    fn answered(&mut self, data: &Value) {
        if let Some(id) = data["cause"]["id"].as_str() {
            self.unanswered.remove(id);
        }
        let (Some(kind), Some(outcome)) = (data["kind"].as_str(), data["outcome"].as_str()) else { return };
        *self.figures.answers.entry(kind.to_owned()).or_default().entry(outcome.to_owned()).or_default() += 1;
        if kind == "order" {
            keep(&mut self.orders, order_line(outcome, data));
        }
    }
}

fn order_line(outcome: &str, data: &Value) -> String {
    let lines = data["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
    let units: i64 = lines.iter().filter_map(|line| line["granted"].as_i64()).sum();
    let short: Vec<String> = lines
        .iter()
        .filter(|line| line["reason"].is_string())
        .map(|line| format!("{} of {} {}", line["available"], line["requested"], line["sku"].as_str().unwrap_or("?")))
        .collect();
    let reference = data["reference"].as_str().unwrap_or("?");
    let detail = if short.is_empty() { format!("{units} units") } else { format!("there are {}", short.join(", ")) };
    format!("{reference:<12} {outcome:<10} {detail}")
}

/// How low a level is.
fn depth(level: &str) -> u8 {
    match level {
        "low" => 1,
        "critical" => 2,
        "out" => 3,
        _ => 0,
    }
}

fn rounded(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}

fn keep(list: &mut VecDeque<String>, line: String) {
    list.push_front(line);
    list.truncate(MOST_LATEST);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn announcements_become_rows_orders_and_alerts() {
        let mut tally = Tally::new(Instant::now());
        let after = json!({"on_hand": 9, "reserved": 2, "available": 7, "level": "low"});
        assert_eq!(tally.announced("stock-changed", &json!({"seq": 1, "sku": "A", "after": after})), None);
        let low = json!({"seq": 2, "sku": "A", "level": "low", "previous_level": "normal", "available": 7});
        assert_eq!(tally.announced("low-stock", &low), Some("A".to_owned()));
        let up = json!({"seq": 3, "sku": "A", "level": "normal", "previous_level": "low", "available": 70});
        assert_eq!(tally.announced("low-stock", &up), None);
        let lines = json!([{"sku": "A", "requested": 9, "granted": 0, "available": 7, "reason": "insufficient_stock"}]);
        let refused = json!({"seq": 4, "kind": "order", "reference": "O-1", "outcome": "refused", "lines": lines});
        tally.announced("reservation-result", &refused);
        let figures = tally.figures(Instant::now());
        assert_eq!((tally.rows["A"].available, figures.last_seq), (7, 4));
        assert_eq!((figures.alerts, figures.recoveries, figures.answered("order", "refused")), (1, 1, 1));
        assert!(tally.orders[0].contains("there are 7 of 9 A"), "{:?}", tally.orders);
    }

    #[test]
    fn numbers_that_come_again_or_never_are_counted() {
        let mut tally = Tally::new(Instant::now());
        for seq in [1, 2, 2, 5, 4, 6] {
            tally.announced("stock-changed", &json!({"seq": seq, "sku": "A"}));
        }
        let figures = tally.figures(Instant::now());
        assert_eq!((figures.repeats, figures.holes, figures.last_seq), (2, 2, 6));
    }

    #[test]
    fn an_order_waits_for_its_answer_and_a_cancellation_does_not() {
        let mut tally = Tally::new(Instant::now());
        let event = |event_type: &str, id: &str| json!({"type": event_type, "id": id});
        let events = [event("order-created", "1"), event("cart-updated", "2"), event("order-cancelled", "3")];
        tally.handled(Instant::now(), &events, &["refused".to_owned(), "ignored".to_owned(), "applied".to_owned()]);
        assert_eq!((tally.unanswered(), tally.figures.of_type("order-cancelled")), (1, 1));
        tally.announced("reservation-result", &json!({"seq": 1, "cause": {"id": "1"}}));
        assert_eq!(tally.unanswered(), 0);
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let began = Instant::now();
        let mut tally = Tally::new(began);
        let (events, outcomes) = (vec![json!({"type": "order-cancelled"}); 500], vec!["applied".to_owned(); 500]);
        tally.handled(began + Duration::from_secs(1), &events, &outcomes);
        tally.handled(began + Duration::from_secs(20), &events[..100], &outcomes[..100]);
        assert!((tally.rate(began + Duration::from_secs(20)) - 20.0).abs() < 0.001);
        assert_eq!(tally.figures.outcomes["applied"], 600);
    }
}
