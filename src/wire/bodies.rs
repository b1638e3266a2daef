//! What announcements look like on the wire: one type a record of `schemas/`, with its fields in the same order.
//!
//! JSON leaves out what is absent; the Avro writer makes null of it. A test holds these types and the schemas together.

use serde::{Serialize, Serializer};

use super::instant;
use crate::domain::announce::{Announcement, AnnouncementBody, Answer, AnswerLine};
use crate::domain::event::Cause;
use crate::domain::stock::{Counters, Snapshot};
use crate::domain::words::{StockKey, Timestamp};

/// The body of an announcement with its number and the moment of recording.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Body<'a> {
    StockChanged(StockChanged<'a>),
    LowStock(LowStock<'a>),
    ReservationResult(ReservationResult<'a>),
}

impl<'a> Body<'a> {
    pub(crate) fn of(announcement: &'a Announcement, seq: i64, recorded_at: Timestamp) -> Self {
        let cause = CauseBody::of(&announcement.cause);
        match &announcement.body {
            AnnouncementBody::StockChanged { key, version, before, after } => Self::StockChanged(StockChanged {
                seq,
                sku: key.sku.as_str(),
                location: key.location.as_str(),
                version: *version,
                cause,
                change: ChangeBody::of(&after.counters.since(&before.counters)),
                before: SnapshotBody::of(before),
                after: SnapshotBody::of(after),
                recorded_at: Instant(recorded_at),
            }),
            AnnouncementBody::LowStock {
                key,
                version,
                level,
                previous_level,
                available,
                warning_threshold,
                critical_threshold,
            } => Self::LowStock(LowStock {
                seq,
                sku: key.sku.as_str(),
                location: key.location.as_str(),
                version: *version,
                level: level.as_str(),
                previous_level: previous_level.as_str(),
                available: *available,
                warning_threshold: *warning_threshold,
                critical_threshold: *critical_threshold,
                cause,
                recorded_at: Instant(recorded_at),
            }),
            AnnouncementBody::ReservationResult(answer) => {
                Self::ReservationResult(ReservationResult::of(answer, cause, seq, recorded_at))
            }
        }
    }
}

#[derive(Serialize)]
pub(crate) struct StockChanged<'a> {
    seq: i64,
    sku: &'a str,
    location: &'a str,
    version: i64,
    cause: CauseBody<'a>,
    change: ChangeBody,
    before: SnapshotBody,
    after: SnapshotBody,
    recorded_at: Instant,
}

#[derive(Serialize)]
pub(crate) struct LowStock<'a> {
    seq: i64,
    sku: &'a str,
    location: &'a str,
    version: i64,
    level: &'static str,
    previous_level: &'static str,
    available: i64,
    warning_threshold: i64,
    critical_threshold: i64,
    cause: CauseBody<'a>,
    recorded_at: Instant,
}

#[derive(Serialize)]
pub(crate) struct ReservationResult<'a> {
    seq: i64,
    kind: &'static str,
    reference: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_version: Option<i64>,
    outcome: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    lines: Vec<LineBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Instant>,
    cause: CauseBody<'a>,
    recorded_at: Instant,
}

impl<'a> ReservationResult<'a> {
    pub(crate) fn of(answer: &'a Answer, cause: CauseBody<'a>, seq: i64, recorded_at: Timestamp) -> Self {
        Self {
            seq,
            kind: answer.kind.as_str(),
            reference: answer.reference.as_str(),
            request_version: answer.request_version,
            outcome: answer.outcome.as_str(),
            // A stock event has no state of its own: how it ended is where it stands.
            state: answer.state.map_or(answer.outcome.as_str(), |state| state.as_str()),
            reason: answer.reason.map(|reason| reason.as_str()),
            lines: answer.lines.iter().map(LineBody::of).collect(),
            expires_at: answer.expires_at.map(Instant),
            cause,
            recorded_at: Instant(recorded_at),
        }
    }
}

#[derive(Serialize)]
struct LineBody<'a> {
    sku: &'a str,
    location: &'a str,
    requested: i64,
    granted: i64,
    available: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<i64>,
}

impl<'a> LineBody<'a> {
    fn of(line: &'a AnswerLine) -> Self {
        let StockKey { sku, location } = &line.key;
        Self {
            sku: sku.as_str(),
            location: location.as_str(),
            requested: line.requested,
            granted: line.granted,
            available: line.available,
            reason: line.reason.map(|reason| reason.as_str()),
            waiting: Some(line.waiting).filter(|units| *units > 0),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct CauseBody<'a> {
    r#type: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
}

impl<'a> CauseBody<'a> {
    pub(crate) fn of(cause: &'a Cause) -> Self {
        Self {
            r#type: cause.event_type.as_str(),
            id: &cause.id,
            source: &cause.source,
            reference: cause.reference.as_ref().map(|reference| reference.as_str()),
        }
    }
}

#[derive(Serialize)]
struct ChangeBody {
    on_hand: i64,
    cart_held: i64,
    order_reserved: i64,
    safety_stock: i64,
}

impl ChangeBody {
    fn of(change: &Counters) -> Self {
        let Counters { on_hand, cart_held, order_reserved, safety_stock } = *change;
        Self { on_hand, cart_held, order_reserved, safety_stock }
    }
}

#[derive(Serialize)]
struct SnapshotBody {
    on_hand: i64,
    cart_held: i64,
    order_reserved: i64,
    reserved: i64,
    safety_stock: i64,
    available: i64,
    status: &'static str,
    level: &'static str,
}

impl SnapshotBody {
    fn of(snapshot: &Snapshot) -> Self {
        let counters = &snapshot.counters;
        Self {
            on_hand: counters.on_hand,
            cart_held: counters.cart_held,
            order_reserved: counters.order_reserved,
            reserved: counters.reserved(),
            safety_stock: counters.safety_stock,
            available: counters.available(),
            status: snapshot.status.as_str(),
            level: snapshot.level.as_str(),
        }
    }
}

/// RFC 3339 where people read it, microseconds in Avro.
struct Instant(Timestamp);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(instant::Written::of(self.0).as_str())
        } else {
            serializer.serialize_i64(self.0.0)
        }
    }
}
