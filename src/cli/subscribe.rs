//! `holdfast subscribe`.

use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::Ending;
use super::output::{self, Reader};
use crate::app::{self, Failure, TailWish};
use crate::bus::kafka::TailOrder;
use crate::bus::tail::TailStart;
use crate::config::Settings;
use crate::domain::words::Timestamp;
use crate::ports::{Delivery, Record};
use crate::wire::decode::Decoder;
use crate::wire::instant;
use crate::wire::schemas::KnownSchemas;
use crate::wire::topics::Topics;

/// Headers of a dead letter; as attributes of an event they lose their dashes.
const DEAD_LETTER_HEADERS: &str = "dead-letter-";

/// Show what is published
///
/// Prints a structured CloudEvent a line, in the order of `seq` over all topics that are written to, unless some are
/// named. Reads only what is committed. Follows until Ctrl-C unless told when to end.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  holdfast subscribe
  holdfast subscribe --from start --until-end > announcements.jsonl
  holdfast subscribe --topic low-stock --count 1
  holdfast subscribe --topic inventory-dead-letters --from start --until-end")]
pub(super) struct SubscribeArguments {
    /// Only this topic, by the contract's name or the broker's; may be repeated
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,
    /// Where to begin: `start`, `end`, or a time in RFC 3339
    #[arg(long, value_name = "start|end|TIME", default_value = "end")]
    from: From,
    /// End after this many events
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// End at what was there at the beginning
    #[arg(long)]
    until_end: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Start,
    End,
    Time(Timestamp),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "start" => Ok(Self::Start),
            "end" => Ok(Self::End),
            text => instant::parse(text)
                .map(Self::Time)
                .ok_or_else(|| "it must be start, end or a time like 2026-11-21T15:45:00Z".to_owned()),
        }
    }
}

pub(super) async fn run(
    arguments: SubscribeArguments,
    settings: &Settings,
    stop: CancellationToken,
) -> Result<Ending, Failure> {
    let topics = app::topics(settings)?;
    let address = settings.sink_bus().map_err(|error| Failure::Settings(error.to_string()))?;
    let (names, order) = selection(&arguments, &topics).map_err(Failure::Settings)?;
    let wish = TailWish {
        topics: names,
        from: match arguments.from {
            From::Start => TailStart::Start,
            From::End => TailStart::End,
            From::Time(time) => TailStart::Time(time),
        },
        until_end: arguments.until_end,
        order,
    };
    let mut tail = app::tail(address, wish).await?;
    let registry = app::registry(settings)?;
    let decoder = Decoder::new(topics.clone(), Arc::new(KnownSchemas::load()), registry, usize::MAX);
    let mut shown = 0;
    while arguments.count.is_none_or(|count| shown < count) {
        let Some(next) = stop.run_until_cancelled(tail.next()).await else {
            return match arguments.count {
                Some(count) => Err(Failure::Failed(format!("stopped after {shown} of {count} events"))),
                None => Ok(Ending::Done),
            };
        };
        let Some(record) = next.map_err(Failure::failed)? else { break };
        if output::print_json(&shown_as(&decoder, record).await?)? == Reader::Gone {
            break;
        }
        shown += 1;
    }
    Ok(Ending::Done)
}

/// The topics as the broker names them, and what their numbers are like taken together.
fn selection(arguments: &SubscribeArguments, topics: &Topics) -> Result<(Vec<String>, TailOrder), String> {
    if arguments.topic.is_empty() {
        let first = (arguments.from == From::Start).then_some(1);
        let names = topics.outputs().iter().map(ToString::to_string).collect();
        return Ok((names, TailOrder::Gapless { first }));
    }
    let mut names: Vec<String> = Vec::new();
    for wanted in &arguments.topic {
        let found = topics.all().find(|(definition, name)| definition.name == *wanted || ***name == **wanted);
        let (_, name) = found.ok_or_else(|| {
            let known: Vec<&str> = topics.all().map(|(definition, _)| definition.name.as_str()).collect();
            format!("--topic {wanted} is none of the topics; those are {}", known.join(", "))
        })?;
        if !names.iter().any(|known| *known == **name) {
            names.push(name.to_string());
        }
    }
    Ok((names, TailOrder::Growing))
}

async fn shown_as(decoder: &Decoder, record: Record) -> Result<Value, Failure> {
    let delivery = [Delivery::Record(record)];
    let schemas = decoder.writer_schemas(&delivery).await.map_err(Failure::failed)?;
    let [Delivery::Record(record)] = delivery else { return Ok(Value::Null) };
    let mut event = match decoder.structured(&record, &schemas) {
        Ok(Value::Object(event)) => completed(event, &record),
        Ok(_) | Err(_) => unreadable(&record),
    };
    for (name, value) in record.headers.iter().filter(|(name, _)| name.starts_with(DEAD_LETTER_HEADERS)) {
        let value = String::from_utf8_lossy(value.as_deref().unwrap_or_default());
        event.insert(name.replace('-', ""), json!(value));
    }
    Ok(Value::Object(event))
}

/// An event with every attribute that CloudEvents ask for: a dead letter may lack them, or have some that are none.
fn completed(event: Map<String, Value>, record: &Record) -> Map<String, Value> {
    let mut complete = stand_ins(record);
    let is_right = |name: &str, value: &Value| match (name, value.as_str()) {
        ("id" | "source" | "type", text) => text.is_some_and(|text| !text.is_empty()),
        ("time", text) => text.and_then(instant::parse).is_some(),
        _ => true,
    };
    complete.extend(event.into_iter().filter(|(name, value)| is_right(name, value)));
    complete
}

/// A record that is no event, as most dead letters are: its bytes as they are.
fn unreadable(record: &Record) -> Map<String, Value> {
    let data = STANDARD.encode(record.payload.as_deref().unwrap_or_default());
    let mut event = stand_ins(record);
    event.insert("data_base64".to_owned(), json!(data));
    event
}

/// The attributes of what has none: its position for an id, its topic for a source.
fn stand_ins(record: &Record) -> Map<String, Value> {
    let event = [
        ("specversion", json!("1.0")),
        ("id", json!(record.position.to_string())),
        ("source", json!(record.position.topic)),
        ("type", json!("unreadable")),
    ];
    event.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ports::Position;

    fn topics() -> Arc<Topics> {
        Arc::new(Topics::new("eu.", &BTreeMap::new(), "").unwrap())
    }

    fn arguments(topic: &[&str], from: From) -> SubscribeArguments {
        let topic = topic.iter().map(|topic| (*topic).to_owned()).collect();
        SubscribeArguments { topic, from, count: None, until_end: false }
    }

    #[test]
    fn all_topics_together_have_no_hole_and_some_do() {
        let (names, order) = selection(&arguments(&[], From::Start), &topics()).unwrap();
        assert_eq!(names, ["eu.stock-changed", "eu.low-stock", "eu.reservation-result", "eu.stock-shortage"]);
        assert_eq!(order, TailOrder::Gapless { first: Some(1) });
        let (_, order) = selection(&arguments(&[], From::End), &topics()).unwrap();
        assert_eq!(order, TailOrder::Gapless { first: None });
        let some = arguments(&["low-stock", "eu.low-stock", "eu.inventory-dead-letters"], From::Start);
        let (names, order) = selection(&some, &topics()).unwrap();
        assert_eq!(names, ["eu.low-stock", "eu.inventory-dead-letters"]);
        assert_eq!(order, TailOrder::Growing);
        assert!(selection(&arguments(&["nowhere"], From::End), &topics()).unwrap_err().contains("stock-changed"));
    }

    #[test]
    fn a_begin_is_the_start_the_end_or_a_time() {
        assert_eq!("start".parse(), Ok(From::Start));
        assert_eq!("end".parse(), Ok(From::End));
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(From::Time(Timestamp(1_000_000))));
        assert!("yesterday".parse::<From>().is_err());
    }

    #[tokio::test]
    async fn a_dead_letter_is_shown_with_its_reason_whatever_its_bytes() {
        let decoder = Decoder::new(topics(), Arc::new(KnownSchemas::load()), None, usize::MAX);
        let record = Record {
            position: Position { topic: "eu.inventory-dead-letters".into(), partition: 0, offset: 7 },
            key: None,
            headers: vec![("dead-letter-reason".to_owned(), Some(b"undecodable".to_vec()))],
            payload: Some(vec![0xff, 0x00]),
            timestamp: None,
        };
        let expected = json!({
            "specversion": "1.0", "id": "eu.inventory-dead-letters/0@7", "source": "eu.inventory-dead-letters",
            "type": "unreadable", "data_base64": "/wA=", "deadletterreason": "undecodable",
        });
        assert_eq!(shown_as(&decoder, record).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn a_dead_letter_that_lacks_attributes_is_a_whole_cloudevent_all_the_same() {
        let decoder = Decoder::new(topics(), Arc::new(KnownSchemas::load()), None, usize::MAX);
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        let record = |headers: Vec<(String, Option<Vec<u8>>)>| Record {
            position: Position { topic: "eu.inventory-dead-letters".into(), partition: 0, offset: 7 },
            key: None,
            headers,
            payload: Some(br#"{"order_id":"O-1"}"#.to_vec()),
            timestamp: None,
        };
        let bare = shown_as(&decoder, record(vec![header("dead-letter-reason", "missing_id")])).await.unwrap();
        let expected = json!({
            "specversion": "1.0", "id": "eu.inventory-dead-letters/0@7", "source": "eu.inventory-dead-letters",
            "type": "unreadable", "datacontenttype": "application/json", "data": {"order_id": "O-1"},
            "deadletterreason": "missing_id",
        });
        assert_eq!(bare, expected);
        let wrong = vec![header("ce_id", ""), header("ce_type", "order-created"), header("ce_time", "yesterday")];
        let wrong = shown_as(&decoder, record(wrong)).await.unwrap();
        assert_eq!((&wrong["id"], &wrong["type"]), (&expected["id"], &json!("order-created")));
        assert!(wrong.get("time").is_none(), "{wrong}");
    }
}
