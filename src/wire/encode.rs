//! Committed batches to records for the bus.

use std::sync::Arc;

use serde::Serialize;

use super::avro;
use super::bodies::{Body, CauseBody, ReservationResult};
use super::burial;
use super::identity::announcement_id;
use super::instant;
use super::registry::{Registry, RegistryError};
use super::schemas::{KnownSchemas, SOURCES};
use super::topics::{OutputType, Topics};
use crate::domain::announce::{Announcement, AnnouncementBody, Answer};
use crate::domain::event::Cause;
use crate::domain::words::Timestamp;
use crate::ports::{Header, OutboxBatch, OutputRecord};

/// The source of what is published when the settings name none.
pub const DEFAULT_SOURCE: &str = "holdfast";
/// A body has some hundreds of bytes; room for most saves growing.
const USUAL_BODY_BYTES: usize = 512;

/// Turns batches into records. Built once at start.
#[derive(Clone, Debug)]
pub struct Encoder {
    topics: Arc<Topics>,
    source: String,
    content_type: &'static str,
    /// In the order of [`OutputType::ALL`].
    outputs: Vec<Output>,
}

/// What every record of one type shares.
#[derive(Clone, Debug)]
struct Output {
    event_type: OutputType,
    published_type: String,
    topic: Arc<str>,
    framing: Framing,
}

#[derive(Clone, Debug)]
enum Framing {
    /// JSON needs none.
    Json,
    /// What stands before the Avro datum: a registry's id or a fingerprint.
    Avro(Vec<u8>),
}

impl Encoder {
    /// Bodies in JSON. `source` is the CloudEvents source of what is published.
    pub fn json(topics: Arc<Topics>, source: &str) -> Self {
        let framings = OutputType::ALL.map(|_| Framing::Json);
        Self::build(topics, source, "application/json", framings)
    }

    /// Bodies in Avro, framed by the fingerprint of their schema.
    pub fn avro(topics: Arc<Topics>, source: &str, schemas: &KnownSchemas) -> Self {
        let framings = OutputType::ALL.map(|output| {
            let fingerprint = schemas.fingerprint(output.as_str()).expect("every output type has an embedded schema");
            Framing::Avro([&[0xc3, 0x01][..], &fingerprint[..]].concat())
        });
        Self::build(topics, source, "application/avro", framings)
    }

    /// Bodies in Avro, framed by the ids under which their schemas are registered, which this does: as
    /// `{topic}-value`, one after the other. Cancel-safe: registering twice gives the same id.
    pub async fn registered(topics: Arc<Topics>, source: &str, registry: &Registry) -> Result<Self, RegistryError> {
        let mut framings = Vec::with_capacity(OutputType::ALL.len());
        for output in OutputType::ALL {
            let subject = format!("{}-value", topic_of(&topics, output));
            let id = registry.register(&subject, schema_of(output)).await?;
            framings.push(Framing::Avro([&[0][..], &id.to_be_bytes()[..]].concat()));
        }
        Ok(Self::build(topics, source, "application/avro", framings))
    }

    /// Every record of a batch: announcements in order, numbered from its first number, then dead letters, cut where they
    /// are larger than the contract's topics take.
    pub fn encode(&self, batch: &OutboxBatch) -> Vec<OutputRecord> {
        self.encode_within(batch, self.topics.largest_record_bytes())
    }

    /// The same with dead letters of at most `letter_bytes` with key and headers.
    pub fn encode_within(&self, batch: &OutboxBatch, letter_bytes: usize) -> Vec<OutputRecord> {
        let time = instant::format(batch.recorded_at);
        let numbered = batch.announcements.iter().zip(batch.first_seq..);
        let announcements =
            numbered.map(|(announcement, seq)| self.announcement(announcement, seq, batch.recorded_at, &time));
        let dead_letters = batch
            .dead_letters
            .iter()
            .map(|letter| burial::record(letter, self.topics.dead_letters(), batch.recorded_at, &time, letter_bytes));
        announcements.chain(dead_letters).collect()
    }

    fn build(
        topics: Arc<Topics>,
        source: &str,
        content_type: &'static str,
        framings: impl IntoIterator<Item = Framing>,
    ) -> Self {
        let outputs = OutputType::ALL.into_iter().zip(framings).map(|(event_type, framing)| Output {
            event_type,
            published_type: topics.published_type(event_type),
            topic: topic_of(&topics, event_type).clone(),
            framing,
        });
        Self { source: source.to_owned(), content_type, outputs: outputs.collect(), topics }
    }

    fn announcement(&self, announcement: &Announcement, seq: i64, recorded_at: Timestamp, time: &str) -> OutputRecord {
        let output = self.output(OutputType::of(&announcement.body));
        let key = match &announcement.body {
            AnnouncementBody::StockChanged { key, .. }
            | AnnouncementBody::LowStock { key, .. }
            | AnnouncementBody::StockShortage { key, .. } => key.sku.as_str(),
            AnnouncementBody::ReservationResult(answer) => answer.reference.as_str(),
        };
        let body = Body::of(announcement, seq, recorded_at);
        OutputRecord {
            topic: output.topic.clone(),
            key: Some(key.as_bytes().to_vec()),
            headers: self.headers(announcement, output, time),
            payload: Some(output.framing.encode(&body)),
            timestamp: recorded_at,
        }
    }

    fn headers(&self, announcement: &Announcement, output: &Output, time: &str) -> Vec<Header> {
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        let id = announcement_id(&announcement.cause, &announcement.body).hyphenated().encode_lower(&mut id);
        let mut headers = Vec::with_capacity(8);
        headers.push(header("ce_specversion", "1.0"));
        headers.push(header("ce_id", id));
        headers.push(header("ce_source", &self.source));
        headers.push(header("ce_type", &output.published_type));
        headers.push(header("ce_time", time));
        headers.push(header("content-type", self.content_type));
        headers.extend(announcement.trace.parent.as_deref().map(|parent| header("traceparent", parent)));
        headers.extend(announcement.trace.state.as_deref().map(|state| header("tracestate", state)));
        headers
    }

    fn output(&self, event_type: OutputType) -> &Output {
        self.outputs
            .iter()
            .find(|output| output.event_type == event_type)
            .expect("an encoder is built with every output type")
    }
}

impl Framing {
    fn encode(&self, body: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(USUAL_BODY_BYTES);
        match self {
            Self::Json => serde_json::to_writer(&mut bytes, body).expect("bodies have text keys and memory takes them"),
            Self::Avro(frame) => {
                bytes.extend_from_slice(frame);
                avro::write::write(&mut bytes, body).expect("a test writes every body as Avro");
            }
        }
        bytes
    }
}

/// The body of the `reservation-result` that an answer was published as; without its number where that is not known.
pub fn answer_json(answer: &Answer, cause: &Cause, recorded_at: Timestamp, seq: Option<i64>) -> serde_json::Value {
    let body = ReservationResult::of(answer, CauseBody::of(cause), seq.unwrap_or_default(), recorded_at);
    let mut value = serde_json::to_value(body).expect("bodies have text keys and memory takes them");
    if let (None, Some(fields)) = (seq, value.as_object_mut()) {
        fields.shift_remove("seq");
    }
    value
}

fn header(name: &str, value: &str) -> Header {
    (name.to_owned(), Some(value.as_bytes().to_vec()))
}

fn topic_of(topics: &Topics, output: OutputType) -> &Arc<str> {
    topics.name_of(output.as_str()).expect("the contract defines a topic for every output type")
}

fn schema_of(output: OutputType) -> &'static str {
    let source = SOURCES.iter().find(|source| source.name == output.as_str());
    source.expect("every output type has an embedded schema").current
}
