//! Announcements as structured CloudEvents in JSON, straight from a batch: what streams show.

use serde::Serialize;

use super::bodies::Body;
use super::identity::announcement_id;
use super::instant;
use super::topics::{OutputType, Topics};
use crate::domain::announce::Announcement;
use crate::ports::OutboxBatch;

/// Shows announcements as [`Decoder::structured`](super::decode::Decoder::structured) shows their records, whatever
/// encoding those have. Built once at start.
#[derive(Debug)]
pub struct Showcase {
    source: String,
    outputs: Vec<ShownOutput>,
}

/// What every event of one type shares.
#[derive(Debug)]
struct ShownOutput {
    event_type: OutputType,
    published_type: String,
    topic: String,
}

/// One announcement, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownEvent {
    /// Its number among all that is published.
    pub seq: i64,
    /// What it is.
    pub event_type: OutputType,
    /// The structured CloudEvent, on one line.
    pub text: String,
}

#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    r#type: &'a str,
    time: &'a str,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
    data: Body<'a>,
}

impl Showcase {
    /// `source` is the CloudEvents source of what is published.
    pub fn new(topics: &Topics, source: &str) -> Self {
        let outputs = OutputType::ALL.into_iter().map(|event_type| ShownOutput {
            event_type,
            published_type: topics.published_type(event_type),
            topic: topics.name_of(event_type.as_str()).map(ToString::to_string).unwrap_or_default(),
        });
        Self { source: source.to_owned(), outputs: outputs.collect() }
    }

    /// What is published on a topic, which is named as in the contract or as on the broker; nothing when there is no
    /// such topic.
    pub fn types_on(&self, topic: &str) -> Vec<OutputType> {
        let on_it = self.outputs.iter().filter(|output| output.event_type.as_str() == topic || output.topic == topic);
        on_it.map(|output| output.event_type).collect()
    }

    /// Every announcement of a batch, in order.
    pub fn show(&self, batch: &OutboxBatch) -> Vec<ShownEvent> {
        let time = instant::format(batch.recorded_at);
        let numbered = batch.announcements.iter().zip(batch.first_seq..);
        numbered.map(|(announcement, seq)| self.event(announcement, seq, batch, &time)).collect()
    }

    fn event(&self, announcement: &Announcement, seq: i64, batch: &OutboxBatch, time: &str) -> ShownEvent {
        let event_type = OutputType::of(&announcement.body);
        let output = self.outputs.iter().find(|output| output.event_type == event_type);
        let envelope = Envelope {
            specversion: "1.0",
            id: announcement_id(&announcement.cause, &announcement.body).to_string(),
            source: &self.source,
            r#type: output.map_or(event_type.as_str(), |output| &output.published_type),
            time,
            datacontenttype: "application/json",
            traceparent: announcement.trace.parent.as_deref(),
            tracestate: announcement.trace.state.as_deref(),
            data: Body::of(announcement, seq, batch.recorded_at),
        };
        // JSON escapes line breaks inside of texts and none is written outside of them.
        let text = serde_json::to_string(&envelope).expect("bodies have text keys and memory takes them");
        ShownEvent { seq, event_type, text }
    }
}
