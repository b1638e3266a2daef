//! Events as a publisher sends them, and answers as people read them.

use holdfast::domain::words::Timestamp;
use holdfast::ports::OutputRecord;
use serde_json::Value;

use crate::worker::installation::Installation;

/// A record on a topic of the contract.
#[derive(Clone, Debug)]
pub struct EventRecord {
    topic: String,
    key: String,
    body: Vec<u8>,
}

/// An event on the topic of its type, under the key that the contract gives it.
pub fn of(event: &Value) -> EventRecord {
    let data = &event["data"];
    let key = ["order_id", "cart_id", "sku", "receipt_id"].iter().find_map(|name| data[*name].as_str());
    EventRecord::at(event["type"].as_str().expect("a type"), key.unwrap_or("none"), event)
}

impl EventRecord {
    /// An event on some topic: its type is in its envelope.
    pub fn at(topic: &str, key: &str, event: &Value) -> Self {
        Self::bytes(topic, key, event.to_string().into_bytes())
    }

    /// Whatever somebody publishes.
    pub fn bytes(topic: &str, key: &str, body: Vec<u8>) -> Self {
        Self { topic: topic.to_owned(), key: key.to_owned(), body }
    }

    /// Within which order is kept.
    pub fn lane(&self) -> (&str, &str) {
        (&self.topic, &self.key)
    }

    /// As the bus takes it.
    pub fn output(&self, installation: &Installation) -> OutputRecord {
        let content_type = ("content-type".to_owned(), Some(b"application/cloudevents+json".to_vec()));
        OutputRecord {
            topic: installation.topic(&self.topic).into(),
            key: Some(self.key.clone().into_bytes()),
            headers: vec![content_type],
            payload: Some(self.body.clone()),
            timestamp: now(),
        }
    }
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    Timestamp(i64::try_from(since.as_micros()).expect("a clock before the year 294247"))
}

/// An answer as a sentence.
pub fn sentence(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let reason = |value: &Value| value.as_str().map_or_else(String::new, |reason| format!(" ({reason})"));
    let line = |line: &Value| {
        let (requested, granted, available) = (&line["requested"], &line["granted"], &line["available"]);
        let waiting = line["waiting"].as_i64().map_or_else(String::new, |units| format!(", {units} wait"));
        format!("{} {requested} -> {granted} of {available}{}{waiting}", text(&line["sku"]), reason(&line["reason"]))
    };
    let lines: Vec<String> = answer["lines"].as_array().expect("lines").iter().map(line).collect();
    format!(
        "{}, {}{}: {}",
        text(&answer["outcome"]),
        text(&answer["state"]),
        reason(&answer["reason"]),
        lines.join("; ")
    )
}
