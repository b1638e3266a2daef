//! A record as one structured CloudEvent in JSON, for people and scripts.

use serde_json::{Map, Number, Value, json};

use super::cloudevents::{self, Attributes};
use super::decode::{Decoder, WriterSchemas};
use super::fields::Malformed;
use super::instant;
use super::tree::Tree;
use crate::domain::words::Timestamp;
use crate::ports::Record;

impl Decoder {
    /// The record as a structured CloudEvent: its attributes in order, and its body, in whatever encoding it came,
    /// as JSON under `data`, times as RFC 3339. `schemas` are those of the batch that the record came in.
    pub fn structured(&self, record: &Record, schemas: &WriterSchemas) -> Result<Value, Malformed> {
        let opened = cloudevents::open(record)?;
        let data = json_of(&*self.body(&opened.body, schemas)?);
        let Attributes { id, source, event_type, time, .. } = opened.attributes;
        let trace = opened.trace;
        let mut event = Map::new();
        event.insert("specversion".to_owned(), json!("1.0"));
        for (name, value) in [
            ("id", id.as_deref()),
            ("source", source.as_deref()),
            ("type", event_type.as_deref()),
            ("time", time.as_deref()),
            ("datacontenttype", Some("application/json")),
            ("traceparent", trace.parent.as_deref()),
            ("tracestate", trace.state.as_deref()),
        ] {
            event.extend(value.map(|value| (name.to_owned(), json!(value))));
        }
        event.insert("data".to_owned(), data);
        Ok(Value::Object(event))
    }
}

fn json_of(tree: &Tree<'_>) -> Value {
    match tree {
        Tree::Null => Value::Null,
        Tree::Boolean(truth) => json!(truth),
        Tree::Integer(number) => json!(number),
        Tree::Number(text) => text.parse::<Number>().map_or_else(|_| json!(text), Value::Number),
        Tree::Float(number) => json!(number),
        Tree::Instant(microseconds) => json!(instant::format(Timestamp(*microseconds))),
        Tree::Text(text) => json!(text),
        Tree::BrokenText => json!("\u{fffd}"),
        // Nothing of ours has bytes; of others' bodies their size says enough.
        Tree::Bytes(_) => json!(tree.describe()),
        Tree::List(items) => items.iter().map(json_of).collect(),
        // Absent optional fields are left out, as they are when a body is written as JSON.
        Tree::Record(entries) => entries
            .iter()
            .filter(|(_, value)| *value != Tree::Null)
            .map(|(name, value)| (name.to_string(), json_of(value)))
            .collect(),
    }
}
