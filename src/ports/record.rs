//! What comes in, and how it ended.

use std::fmt;
use std::sync::Arc;

use crate::domain::announce::Reason;
use crate::domain::event::Envelope;
use crate::domain::words::Timestamp;

/// Where a record stood: what a dead letter is known by and what an operator looks up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The topic as the broker names it.
    pub topic: Arc<str>,
    /// The partition; 0 where there are none.
    pub partition: i32,
    /// The offset of the record itself.
    pub offset: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// A header as it came; brokers allow a header without a value.
pub type Header = (String, Option<Vec<u8>>);

/// A record from a bus, with its bytes owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stood.
    pub position: Position,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its headers in order.
    pub headers: Vec<Header>,
    /// Its body; `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
    /// The broker's timestamp.
    pub timestamp: Option<Timestamp>,
}

/// One thing to be judged by the engine.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Bytes from a bus or from an HTTP body.
    Record(Record),
    /// Work of our own, already an event.
    Command(Box<Envelope>),
}

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Applied,
    /// It was answered with a refusal; `None` where the contract names no reason.
    Refused(Option<Reason>),
    /// It was recorded and changed nothing: stale, remembered already, or the same fact again.
    Ignored,
    /// Its identity was seen before with the same content.
    Duplicate,
    /// It cannot be understood or contradicts an earlier event of the same identity.
    DeadLettered {
        /// The code of the reason.
        reason: DeadLetterReason,
        /// What is wrong, for people.
        detail: Arc<str>,
    },
}

impl Outcome {
    /// The word in answers and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused(_) => "refused",
            Self::Ignored => "ignored",
            Self::Duplicate => "duplicate",
            Self::DeadLettered { .. } => "dead_lettered",
        }
    }
}

/// Why a delivery went to the dead-letter topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadLetterReason {
    /// The bytes are not what their framing or content type says.
    Undecodable,
    /// The schema registry does not know the schema, or no known schema has the fingerprint.
    UnknownSchema,
    /// No rule for this type.
    UnknownType,
    /// No id anywhere.
    MissingId,
    /// A field that names what the event is about is absent.
    MissingKeyField,
    /// A quantity outside its limits.
    InvalidQuantity,
    /// Any other field that is absent or outside its limits.
    InvalidField,
    /// Larger than the limit.
    TooLarge,
    /// The keys of its day were dropped, or it would open more days than may be kept.
    DayClosed,
    /// The same identity came before with other content.
    PayloadConflict,
    /// Its time is too far ahead.
    ImpossibleTime,
}

impl DeadLetterReason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Undecodable,
        Self::UnknownSchema,
        Self::UnknownType,
        Self::MissingId,
        Self::MissingKeyField,
        Self::InvalidQuantity,
        Self::InvalidField,
        Self::TooLarge,
        Self::DayClosed,
        Self::PayloadConflict,
        Self::ImpossibleTime,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::UnknownSchema => "unknown_schema",
            Self::UnknownType => "unknown_type",
            Self::MissingId => "missing_id",
            Self::MissingKeyField => "missing_key_field",
            Self::InvalidQuantity => "invalid_quantity",
            Self::InvalidField => "invalid_field",
            Self::TooLarge => "too_large",
            Self::DayClosed => "day_closed",
            Self::PayloadConflict => "payload_conflict",
            Self::ImpossibleTime => "impossible_time",
        }
    }

    /// The reason that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// A record that could not be understood, or contradicts an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record as it came.
    pub record: Record,
    /// Why.
    pub reason: DeadLetterReason,
    /// What is wrong, for people.
    pub detail: Arc<str>,
}

/// One delivery after decoding.
#[derive(Clone, Debug)]
pub enum Entry {
    /// An event, and the record that it came in where there is one.
    Event {
        /// The event.
        envelope: Box<Envelope>,
        /// Its record, for the dead-letter topic should the event contradict what is known.
        record: Option<Box<Record>>,
    },
    /// A record that could not be understood.
    DeadLetter(Box<DeadLetter>),
}
