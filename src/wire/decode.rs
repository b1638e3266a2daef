//! Deliveries to events: the envelope is opened, the body's encoding taken off, the fields read and judged.
//! What cannot be understood becomes a dead letter with its reason; nothing here panics on any bytes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::str::from_utf8;
use std::sync::Arc;

use super::avro;
use super::avro::layout::Layout;
use super::cloudevents::{self, Body, Opened};
use super::events::{EventReader, input_type, sum_lines};
use super::fields::{Fields, Malformed, check_text};
use super::identity::{day_of_id, event_key, fingerprint};
use super::instant;
use super::json;
use super::registry::{Registry, RegistryError, WriterSchema};
use super::registry_answer::{FoundSchema, SchemaAnswer, read_schema};
use super::schemas::{KnownSchemas, SchemaFingerprint};
use super::topics::Topics;
use super::tree::{Tree, shortened};
use crate::domain::event::{Cause, Envelope, EventType, ToldAt};
use crate::domain::words::{MAX_REFERENCE_CHARACTERS, Timestamp};
use crate::ports::{DeadLetter, DeadLetterReason, Delivery, Record};

/// Longest detail of a dead letter, in characters: it travels in a header.
const MAX_DETAIL_CHARACTERS: usize = 300;

/// A delivery after decoding.
#[derive(Clone, Debug)]
pub enum Decoded {
    /// An event, with the record that it came from: a conflict found later buries the original bytes.
    Event(Box<Envelope>, Option<Record>),
    /// A record that cannot be understood.
    DeadLetter(DeadLetter),
}

/// Reads deliveries. One serves the whole process.
#[derive(Debug)]
pub struct Decoder {
    topics: Arc<Topics>,
    schemas: Arc<KnownSchemas>,
    registry: Option<Arc<Registry>>,
    max_event_bytes: usize,
    events: EventReader,
}

/// What the registry said about the schema ids of one batch.
#[derive(Debug, Default)]
pub struct WriterSchemas(HashMap<u32, WriterSchema>);

impl WriterSchemas {
    /// Tells the schema of an id with those that it refers to, as the registry would; one that cannot be read makes dead
    /// letters of what names it.
    pub fn insert(&mut self, id: u32, schema: &str, references: &[String]) {
        self.0.insert(id, read_schema(id, schema, references).map(Arc::new));
    }

    /// Tells the schema of an id as a registry answers it; `ask` gives the answer to a subject and a version that it
    /// refers to, and `None` for what is not known.
    ///
    /// # Errors
    /// When an answer is no JSON object: it is none of a registry, and nothing is known by it.
    pub fn insert_answer(
        &mut self,
        id: u32,
        answer: &[u8],
        mut ask: impl FnMut(&str, i64) -> Option<Vec<u8>>,
    ) -> Result<(), serde_json::Error> {
        let schema = match FoundSchema::of(id, SchemaAnswer::read(answer)?) {
            Ok(mut found) => {
                while let Some(reference) = found.next_reference() {
                    if let Some(answer) = ask(&reference.subject, reference.version) {
                        found.refers_to(SchemaAnswer::read(&answer)?);
                    }
                }
                found.layout().map(Arc::new)
            }
            Err(malformed) => Err(malformed),
        };
        self.0.insert(id, schema);
        Ok(())
    }
}

impl Decoder {
    /// A decoder for the topics of an installation. Bodies above `max_event_bytes` are refused unread.
    pub fn new(
        topics: Arc<Topics>,
        schemas: Arc<KnownSchemas>,
        registry: Option<Arc<Registry>>,
        max_event_bytes: usize,
    ) -> Self {
        Self { topics, schemas, registry, max_event_bytes, events: EventReader::new() }
    }

    /// Asks the registry for the schemas that a batch was written with. Needs no request when they are known, nor
    /// without a registry. An error means: try again with the same batch. Cancel-safe.
    pub async fn writer_schemas(&self, deliveries: &[Delivery]) -> Result<WriterSchemas, RegistryError> {
        let mut schemas = WriterSchemas::default();
        let Some(registry) = &self.registry else { return Ok(schemas) };
        for delivery in deliveries {
            let Delivery::Record(record) = delivery else { continue };
            if let Some(id) = self.schema_id(record)
                && !schemas.0.contains_key(&id)
            {
                schemas.0.insert(id, registry.writer_schema(id).await?);
            }
        }
        Ok(schemas)
    }

    /// Decodes one delivery; `schemas` are those of its batch, and `received_at` gives an event its day when
    /// neither its id nor its time nor the broker does.
    pub fn decode(&self, delivery: Delivery, schemas: &WriterSchemas, received_at: Timestamp) -> Decoded {
        let record = match delivery {
            Delivery::Command(envelope) => return Decoded::Event(envelope, None),
            Delivery::Record(record) => record,
        };
        match self.envelope(&record, schemas, received_at) {
            Ok(envelope) => Decoded::Event(Box::new(envelope), Some(record)),
            Err(Malformed { reason, detail }) => {
                // A registry's words may hold a NUL, which PostgreSQL takes in no text.
                let kept = detail.chars().take(MAX_DETAIL_CHARACTERS);
                let detail: String = kept.map(|letter| if letter == '\0' { '\u{fffd}' } else { letter }).collect();
                Decoded::DeadLetter(DeadLetter { record, reason, detail: detail.into() })
            }
        }
    }

    fn envelope(
        &self,
        record: &Record,
        schemas: &WriterSchemas,
        received_at: Timestamp,
    ) -> Result<Envelope, Malformed> {
        self.check_size(record)?;
        let opened = cloudevents::open(record)?;
        let event_type = self.event_type(record, &opened)?;
        let tree = self.body(&opened.body, schemas)?;
        let body = Fields::of(&tree)?;
        let attributes = &opened.attributes;
        let id = attribute("id", attributes.id.as_deref(), &body, "event_id")?.ok_or_else(|| {
            let detail = "there is neither a CloudEvents id nor an event_id in the body";
            Malformed::new(DeadLetterReason::MissingId, detail)
        })?;
        let source = attribute("source", attributes.source.as_deref(), &body, "event_source")?
            .map_or_else(|| record.position.topic.clone(), Arc::from);
        let own_time = match &attributes.time {
            Some(time) => Some(instant::parse(time).ok_or_else(|| {
                let found = shortened(time);
                Malformed::invalid_field(format!(
                    "time is {found:?}, but must be RFC 3339 such as 2026-11-21T15:45:00Z"
                ))
            })?),
            None => body.instant("event_time")?,
        };
        let mut event = self.events.read(event_type, &body)?;
        let fingerprint = fingerprint(&event);
        sum_lines(&mut event)?;
        let told_at = match (own_time, record.timestamp) {
            (Some(time), _) => ToldAt::Publisher(time),
            (None, Some(time)) => ToldAt::Broker(time),
            (None, None) => ToldAt::Unknown,
        };
        let day = day_of_id(id).unwrap_or_else(|| told_at.time().unwrap_or(received_at).day());
        let reference = event.claim_key().map(|claim| claim.reference);
        let key = event_key(id);
        let cause = Arc::new(Cause { event_type, id: id.into(), source, reference });
        Ok(Envelope { cause, key, told_at, day, fingerprint, trace: opened.trace, event })
    }

    fn check_size(&self, record: &Record) -> Result<(), Malformed> {
        match record.payload.as_ref().map_or(0, Vec::len) {
            size if size > self.max_event_bytes => Err(Malformed::new(
                DeadLetterReason::TooLarge,
                format!("the body has {size} bytes, more than {}", self.max_event_bytes),
            )),
            _ => Ok(()),
        }
    }

    /// The event's own type decides; its topic's only where it has none.
    fn event_type(&self, record: &Record, opened: &Opened<'_>) -> Result<EventType, Malformed> {
        let unknown = |detail: String| Malformed::new(DeadLetterReason::UnknownType, detail);
        let topic = &record.position.topic;
        let name = match &opened.attributes.event_type {
            Some(full) => full.rsplit('.').next().unwrap_or(full),
            None => self
                .topics
                .event_type_of(topic)
                .ok_or_else(|| unknown(format!("the event has no type, and topic {topic} holds no single one")))?,
        };
        input_type(name).ok_or_else(|| unknown(format!("there is no rule for events of type {:?}", shortened(name))))
    }

    /// Takes the encoding off, which the first bytes tell.
    pub(super) fn body<'b>(
        &'b self,
        body: &'b Body<'b>,
        schemas: &'b WriterSchemas,
    ) -> Result<Cow<'b, Tree<'b>>, Malformed> {
        let bytes = match body {
            Body::Tree(tree) => return Ok(Cow::Borrowed(tree)),
            Body::Bytes(bytes) => bytes.as_ref(),
        };
        let (layout, datum) = match bytes {
            [0, rest @ ..] => {
                let (id, datum) = rest.split_first_chunk().ok_or_else(cut_off)?;
                (self.registered(u32::from_be_bytes(*id), schemas)?, datum)
            }
            [0xc3, 0x01, rest @ ..] => {
                let (fingerprint, datum) = rest.split_first_chunk().ok_or_else(cut_off)?;
                (self.known(*fingerprint)?, datum)
            }
            [b'{' | b' ' | b'\t' | b'\r' | b'\n', ..] => {
                let text = from_utf8(bytes).map_err(|_| Malformed::undecodable("the JSON body is not UTF-8"))?;
                let tree = json::read(text).map_err(|error| Malformed::undecodable(format!("the body {error}")))?;
                return Ok(Cow::Owned(tree));
            }
            [] => return Err(Malformed::undecodable("the body is empty")),
            [first, ..] => {
                let detail =
                    format!("the body begins with {first:#04x}, which neither Avro framing nor a JSON object does");
                return Err(Malformed::undecodable(detail));
            }
        };
        avro::read::read(layout, datum).map(Cow::Owned).map_err(Malformed::undecodable)
    }

    fn registered<'s>(&self, id: u32, schemas: &'s WriterSchemas) -> Result<&'s Layout, Malformed> {
        let unknown = |detail: String| Malformed::new(DeadLetterReason::UnknownSchema, detail);
        match schemas.0.get(&id) {
            Some(Ok(layout)) => Ok(layout),
            Some(Err(malformed)) => Err(malformed.clone()),
            None if self.registry.is_none() => {
                Err(unknown(format!("the body names schema {id} of a registry, but registry.url is not set")))
            }
            None => Err(unknown(format!("the schema registry was not asked for schema {id}"))),
        }
    }

    fn known(&self, fingerprint: SchemaFingerprint) -> Result<&Layout, Malformed> {
        self.schemas.layout(fingerprint).map(Arc::as_ref).ok_or_else(|| {
            let number = u64::from_le_bytes(fingerprint);
            let detail = format!("no schema of schemas/ has the fingerprint {number:016x}");
            Malformed::new(DeadLetterReason::UnknownSchema, detail)
        })
    }

    /// The id of the registry's schema that a record was written with, if its framing names one.
    fn schema_id(&self, record: &Record) -> Option<u32> {
        let payload = record.payload.as_deref()?;
        if payload.len() > self.max_event_bytes {
            return None;
        }
        if let [0, rest @ ..] = payload {
            return rest.first_chunk().map(|id| u32::from_be_bytes(*id));
        }
        if cloudevents::content_type(&record.headers).as_deref() != Some(cloudevents::STRUCTURED) {
            return None;
        }
        match cloudevents::open(record).ok()?.body {
            Body::Bytes(bytes) => match bytes.as_ref() {
                [0, rest @ ..] => rest.first_chunk().map(|id| u32::from_be_bytes(*id)),
                _ => None,
            },
            Body::Tree(_) => None,
        }
    }
}

fn cut_off() -> Malformed {
    Malformed::undecodable("the Avro framing is cut off")
}

/// An attribute that the body may hold when the envelope does not.
fn attribute<'v>(
    name: &str,
    given: Option<&'v str>,
    body: &Fields<'v, '_>,
    fallback: &str,
) -> Result<Option<&'v str>, Malformed> {
    let Some(text) = given else { return body.text(fallback, 1..=MAX_REFERENCE_CHARACTERS) };
    check_text(text, &(1..=MAX_REFERENCE_CHARACTERS))
        .map_err(|rule| Malformed::invalid_field(format!("{name} is {:?}, but must be {rule}", shortened(text))))?;
    Ok(Some(text))
}
