//! What the demo has seen so far: the numbers and lists that it shows.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

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
    pub events: u64,
    pub outcomes: BTreeMap<String, u64>,
    pub announcements: u64,
    pub last_seq: i64,
    pub answers: BTreeMap<String, u64>,
    pub rows: BTreeMap<String, Row>,
    pub orders: VecDeque<String>,
    pub alerts: VecDeque<String>,
    pub low_stock: u64,
    sent: VecDeque<(Instant, u64)>,
}

impl Tally {
    /// Nothing seen.
    pub fn new(began: Instant) -> Self {
        Self {
            began,
            events: 0,
            outcomes: BTreeMap::new(),
            announcements: 0,
            last_seq: 0,
            answers: BTreeMap::new(),
            rows: BTreeMap::new(),
            orders: VecDeque::new(),
            alerts: VecDeque::new(),
            low_stock: 0,
            sent: VecDeque::new(),
        }
    }

    /// Notes what the worker answered to events that were handed to it at one moment.
    pub fn handled(&mut self, now: Instant, outcomes: &[String]) {
        self.events += outcomes.len() as u64;
        for outcome in outcomes {
            *self.outcomes.entry(outcome.clone()).or_default() += 1;
        }
        self.sent.push_back((now, outcomes.len() as u64));
        while self.sent.front().is_some_and(|(at, _)| now.duration_since(*at) > RATE_OVER) {
            self.sent.pop_front();
        }
    }

    /// Notes something that was published. Returns the SKU when its stock fell low.
    pub fn announced(&mut self, event_type: &str, data: &Value) -> Option<String> {
        self.announcements += 1;
        self.last_seq = data["seq"].as_i64().unwrap_or(self.last_seq);
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

    /// The figures as one JSON object.
    pub fn summary(&self, now: Instant) -> Value {
        let seconds = self.elapsed(now).as_secs_f64();
        json!({
            "seconds": (seconds * 10.0).round() / 10.0,
            "events": self.events,
            "events_per_s": (self.events as f64 / seconds.max(0.1)).round(),
            "outcomes": self.outcomes,
            "announcements": self.announcements,
            "last_seq": self.last_seq,
            "answers": self.answers,
            "low_stock": self.low_stock,
            "skus": self.rows.len(),
        })
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
            changed: self.announcements,
        };
        self.rows.insert(sku.to_owned(), row);
    }

    fn level_changed(&mut self, data: &Value) -> Option<String> {
        let (sku, level) = (data["sku"].as_str()?, data["level"].as_str()?);
        let previous = data["previous_level"].as_str().unwrap_or_default();
        let available = data["available"].as_i64().unwrap_or_default();
        self.low_stock += 1;
        keep(&mut self.alerts, format!("{sku:<9} {previous} \u{2192} {level}, {available} left"));
        matches!(level, "low" | "critical" | "out").then(|| sku.to_owned())
    }

    fn answered(&mut self, data: &Value) {
        let (Some(kind), Some(outcome)) = (data["kind"].as_str(), data["outcome"].as_str()) else { return };
        *self.answers.entry(format!("{kind} {outcome}")).or_default() += 1;
        if kind != "order" {
            return;
        }
        let lines = data["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
        let units: i64 = lines.iter().filter_map(|line| line["granted"].as_i64()).sum();
        let short: Vec<String> = lines
            .iter()
            .filter(|line| line["reason"].is_string())
            .map(|line| format!("{} of {} {}", line["available"], line["requested"], line["sku"].as_str().unwrap_or("?")))
            .collect();
        let reference = data["reference"].as_str().unwrap_or("?");
        let detail = if short.is_empty() { format!("{units} units") } else { format!("there are {}", short.join(", ")) };
        keep(&mut self.orders, format!("{reference:<12} {outcome:<10} {detail}"));
    }
}

fn keep(list: &mut VecDeque<String>, line: String) {
    list.push_front(line);
    list.truncate(MOST_LATEST);
}

#[cfg(test)]
mod tests {
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
        assert_eq!((tally.rows["A"].available, tally.low_stock, tally.last_seq), (7, 2, 4));
        assert_eq!(tally.answers["order refused"], 1);
        assert!(tally.orders[0].contains("there are 7 of 9 A"), "{:?}", tally.orders);
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let began = Instant::now();
        let mut tally = Tally::new(began);
        tally.handled(began + Duration::from_secs(1), &vec!["applied".to_owned(); 500]);
        tally.handled(began + Duration::from_secs(20), &vec!["applied".to_owned(); 100]);
        assert!((tally.rate(began + Duration::from_secs(20)) - 20.0).abs() < 0.001);
        assert_eq!(tally.summary(began + Duration::from_secs(20))["outcomes"]["applied"], 600);
    }
}
