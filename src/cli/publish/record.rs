//! A line as a record: its topic, key and headers.

use std::sync::Arc;

use serde_json::Value;

use crate::domain::words::Timestamp;
use crate::ports::OutputRecord;
use crate::wire::cloudevents::STRUCTURED;
use crate::wire::topics::{Direction, TopicDefinition, Topics};

/// Why a line gives no record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LineError {
    /// There is nothing in it.
    Blank,
    /// It is no event that could be sent.
    Refused(String),
    /// The input gives no more lines.
    Unreadable(String),
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// Each to the topic of its own type.
    ByType,
    /// All to one topic of the broker.
    Topic(Arc<str>),
}

impl Destination {
    /// One topic, by the contract's name or the broker's.
    pub(super) fn named(name: &str, topics: &Topics) -> Result<Self, String> {
        let read = topics.inputs();
        let inputs = || topics.all().filter(|(_, topic)| read.contains(topic));
        match inputs().find(|(definition, topic)| definition.name == name || topic.as_ref() == name) {
            Some((_, topic)) => Ok(Self::Topic(topic.clone())),
            None => {
                let known: Vec<&str> = inputs().map(|(definition, _)| definition.name.as_str()).collect();
                Err(format!("--topic {name} is no topic that events are read from; those are {}", known.join(", ")))
            }
        }
    }

    /// The topics that records may go to, which have to exist.
    pub(super) fn topics(&self, topics: &Topics) -> Vec<Arc<str>> {
        match self {
            Self::ByType => topics.inputs(),
            Self::Topic(topic) => vec![topic.clone()],
        }
    }
}

/// Makes a record of a line. What the event says is left for the worker to judge: only what keeps it from being sent,
/// or from being known again when it is sent twice, is refused here.
pub(super) fn record(
    line: &[u8],
    topics: &Topics,
    destination: &Destination,
    now: Timestamp,
) -> Result<OutputRecord, LineError> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Err(LineError::Blank);
    }
    let event: Value = serde_json::from_slice(line).map_err(|error| {
        // The parser counts lines within this one.
        refused(format!("it is not JSON: {}", error.to_string().replace(" at line 1 column ", " at column ")))
    })?;
    if !event.is_object() {
        return Err(refused("it must be a JSON object".to_owned()));
    }
    let is_structured = event.get("specversion").is_some();
    let id = if is_structured { event.get("id").or(event.pointer("/data/event_id")) } else { event.get("event_id") };
    if !id.is_some_and(Value::is_string) {
        let missing = if is_structured { "id" } else { "event_id (and it is no CloudEvent: there is no specversion)" };
        return Err(refused(format!("it has no {missing}")));
    }
    let own_type = event.get("type").filter(|_| is_structured).and_then(Value::as_str);
    let (definition, topic) = place(own_type, topics, destination)?;
    let body = if is_structured { event.get("data") } else { Some(&event) };
    let content_type = if is_structured { STRUCTURED } else { "application/json" };
    Ok(OutputRecord {
        topic,
        key: definition.and_then(|definition| definition.record_key(body?)).map(String::into_bytes),
        headers: vec![("content-type".to_owned(), Some(content_type.as_bytes().to_vec()))],
        payload: Some(line.to_vec()),
        timestamp: now,
    })
}

/// The topic of an event, and the definition that says what its key is. On a topic that was named, an event of an
/// unknown type has no key of its own.
fn place<'t>(
    own_type: Option<&str>,
    topics: &'t Topics,
    destination: &Destination,
) -> Result<(Option<&'t TopicDefinition>, Arc<str>), LineError> {
    let of_type = |name: &str| {
        topics.all().find(|(definition, _)| definition.name == name && definition.direction == Direction::In)
    };
    // What stands before the last dot of a type belongs to the publisher.
    let own_type = own_type.map(|full| full.rsplit('.').next().unwrap_or(full));
    match destination {
        Destination::ByType => {
            let name = own_type.ok_or_else(|| refused("it has no type; name the topic with --topic".to_owned()))?;
            let (definition, topic) = of_type(name)
                .ok_or_else(|| refused(format!("no topic takes events of type {name:?}; name one with --topic")))?;
            Ok((Some(definition), topic.clone()))
        }
        Destination::Topic(topic) => {
            let name = own_type.or_else(|| topics.event_type_of(topic)).ok_or_else(|| {
                refused(format!("topic {topic} holds several types and it says none; make it a CloudEvent"))
            })?;
            Ok((of_type(name).map(|(definition, _)| definition), topic.clone()))
        }
    }
}

fn refused(cause: String) -> LineError {
    LineError::Refused(cause)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn topics() -> Topics {
        let name = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let names = [name("order-created", "orders"), name("order-cancelled", "orders")];
        Topics::new("eu.", &BTreeMap::from(names), "").unwrap()
    }

    fn made(line: &str, topic: Option<&str>) -> Result<(String, Option<String>, String), LineError> {
        let topics = topics();
        let destination =
            topic.map_or(Destination::ByType, |topic| Destination::named(topic, &topics).expect("a known topic"));
        let record = record(line.as_bytes(), &topics, &destination, Timestamp(5))?;
        assert_eq!((record.payload.as_deref(), record.timestamp), (Some(line.as_bytes()), Timestamp(5)));
        let [(name, Some(content_type))] = &record.headers[..] else { panic!("{:?}", record.headers) };
        assert_eq!(name, "content-type");
        let key = record.key.map(|key| String::from_utf8(key).unwrap());
        Ok((record.topic.to_string(), key, String::from_utf8(content_type.clone()).unwrap()))
    }

    #[test]
    fn an_event_goes_to_the_topic_of_its_type_under_its_key() {
        let structured = "application/cloudevents+json";
        let cases = [
            (
                r#"{"specversion":"1.0","id":"e","type":"com.shop.order-created","data":{"order_id":"O-1"}}"#,
                "eu.orders",
                Some("O-1"),
            ),
            (
                r#"{"specversion":"1.0","id":"e","type":"cart-updated","data":{"cart_id":7}}"#,
                "eu.cart-updated",
                Some("7"),
            ),
            (
                r#"{"specversion":"1.0","id":"e","type":"stock-received","data":{"lines":[{"sku":"A"},{"sku":"B"}]}}"#,
                "eu.stock-received",
                Some("A"),
            ),
            (
                r#"{"specversion":"1.0","id":"e","type":"stock-received","data":{"lines":[]}}"#,
                "eu.stock-received",
                None,
            ),
            (
                r#"{"specversion":"1.0","id":"e","type":"stock-adjusted","data":{"adjustment_id":"A-1","sku":"A"}}"#,
                "eu.stock-adjusted",
                Some("A"),
            ),
            (
                r#"{"specversion":"1.0","id":"e","type":"stock-counted","data":{"count_id":"N-1","sku":7}}"#,
                "eu.stock-counted",
                Some("7"),
            ),
            (
                r#"{"specversion":"1.0","id":"e","type":"stock-synced","data":{"trace_id":"T-1","product_id":12}}"#,
                "eu.stock-synced",
                Some("12"),
            ),
            (
                r#"{"specversion":"1.0","id":"e","type":"return-received","data":{"return_id":"R-1","order_id":"O-1"}}"#,
                "eu.return-received",
                Some("O-1"),
            ),
            (
                r#"{"specversion":"1.0","type":"sku-registered","data":{"event_id":"e","sku":"A"}}"#,
                "eu.sku-registered",
                Some("A"),
            ),
        ];
        for (line, topic, key) in cases {
            let expected = (topic.to_owned(), key.map(str::to_owned), structured.to_owned());
            assert_eq!(made(line, None), Ok(expected), "{line}");
        }
    }

    #[test]
    fn a_body_goes_to_the_topic_that_is_named() {
        let plain =
            |topic: &str, key: &str| Ok((topic.to_owned(), Some(key.to_owned()), "application/json".to_owned()));
        let body = r#"{"event_id":"e","cart_id":"C-1"}"#;
        assert_eq!(made(body, Some("cart-updated")), plain("eu.cart-updated", "C-1"));
        assert_eq!(made(body, Some("eu.cart-updated")), plain("eu.cart-updated", "C-1"));
        let structured = r#"{"specversion":"1.0","id":"e","type":"order-created","data":{"order_id":"O-1"}}"#;
        assert_eq!(made(structured, Some("cart-updated")).unwrap().1.as_deref(), Some("O-1"));
        assert!(Destination::named("stock-changed", &topics()).is_err());
        assert!(Destination::named("nowhere", &topics()).unwrap_err().contains("order-created, cart-updated"));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_the_cause() {
        let cases = [
            ("{", None, "it is not JSON: "),
            ("[]", None, "it must be a JSON object"),
            (r#"{"order_id":"O-1"}"#, Some("order-shipped"), "it has no event_id (and it is no CloudEvent"),
            (r#"{"specversion":"1.0","type":"order-created","data":{}}"#, None, "it has no id"),
            (r#"{"event_id":"e","order_id":"O-1"}"#, None, "it has no type; name the topic with --topic"),
            (
                r#"{"specversion":"1.0","id":"e","type":"order-made","data":{}}"#,
                None,
                "no topic takes events of type \"order-made\"",
            ),
            (
                r#"{"specversion":"1.0","id":"e","type":"stock-changed","data":{}}"#,
                None,
                "no topic takes events of type",
            ),
            (r#"{"event_id":"e","order_id":"O-1"}"#, Some("order-created"), "topic eu.orders holds several types"),
        ];
        for (line, topic, cause) in cases {
            match made(line, topic) {
                Err(LineError::Refused(said)) => assert!(said.starts_with(cause), "{line}: {said}"),
                other => panic!("{line}: {other:?}"),
            }
        }
        assert_eq!(made(" \t", None), Err(LineError::Blank));
    }
}
