//! What makes an event the same event: its key, its day, the digest of its content, and the ids of what we publish.

use sha2::{Digest, Sha256};
use uuid::{Uuid, Variant};

use super::topics::OutputType;
use crate::domain::alert::AlertId;
use crate::domain::announce::AnnouncementBody;
use crate::domain::event::{Cause, Event, EventKey, Fingerprint, Policy, Reconciliation, ReconciliationTask};
use crate::domain::reconciliation::Decision;
use crate::domain::words::{Day, Line, StockKey, Timestamp};

/// The source of events of our own, and of what we publish.
pub const OWN_SOURCE: &str = "holdfast";

/// The key of an id: the bytes of a UUID, so that time-ordered ids stay ordered; of any other id a digest. Only the
/// canonical form counts as a UUID: ids are opaque, and two spellings of one UUID are two ids.
pub fn event_key(id: &str) -> EventKey {
    match uuid(id) {
        Some(uuid) if !id.bytes().any(|byte| byte.is_ascii_uppercase()) => EventKey(uuid.into_bytes()),
        _ => EventKey(digest(id.as_bytes())),
    }
}

/// The day inside an id, when it is a UUIDv7.
pub fn day_of_id(id: &str) -> Option<Day> {
    let uuid = uuid(id).filter(|uuid| uuid.get_version_num() == 7 && uuid.get_variant() == Variant::RFC4122)?;
    // The first 48 bits are milliseconds since 1970; as microseconds they fit an i64 with room to spare.
    let milliseconds = (uuid.as_u128() >> 80) as i64;
    Some(Timestamp(milliseconds * 1_000).day())
}

/// A digest of the type and the fields: the same for the same content in any encoding. Compute it from lines as
/// they were written, before they are summed: the same content means the same lines.
pub fn fingerprint(event: &Event) -> Fingerprint {
    let mut feed = Feed(Vec::with_capacity(256));
    feed.text(event.event_type().as_str());
    match event {
        Event::OrderCreated(event) => {
            feed.text(event.order.as_str());
            // Absent is 0: both say the same.
            feed.number(event.version.unwrap_or(0));
            feed.optional_text(event.cart.as_ref().map(|cart| cart.as_str()));
            feed.number(match event.policy {
                Policy::All => 0,
                Policy::Partial => 1,
                Policy::Backorder => 2,
            });
            feed.optional_number(event.ttl_seconds);
            feed.lines(&event.lines);
        }
        Event::CartUpdated(event) => {
            feed.text(event.cart.as_str());
            feed.optional_number(event.version);
            feed.optional_number(event.ttl_seconds);
            feed.lines(&event.lines);
        }
        Event::OrderCancelled(event) => {
            feed.text(event.order.as_str());
            feed.optional_number(event.version);
            feed.optional_text(event.reason.as_deref());
            feed.optional_lines(event.lines.as_deref());
        }
        Event::OrderConfirmed { order } => feed.text(order.as_str()),
        Event::OrderShipped(event) => {
            feed.text(event.order.as_str());
            feed.text(event.shipment.as_str());
            feed.optional_lines(event.lines.as_deref());
        }
        Event::SkuRegistered(event) => {
            feed.stock_key(&event.key);
            feed.optional_text(event.name.as_deref());
            for number in [event.safety_stock, event.warning_threshold, event.critical_threshold, event.max_stock] {
                feed.optional_number(number);
            }
            feed.optional_text(event.status.map(|status| status.as_str()));
            feed.optional_number(event.initial);
            feed.optional_number(event.version);
        }
        Event::StockReceived(event) => {
            feed.text(event.receipt.as_str());
            feed.lines(&event.lines);
        }
        Event::ReturnReceived(event) => {
            feed.text(event.id.as_str());
            feed.text(event.order.as_str());
            feed.lines(&event.lines);
            // Absent is true: both say the same.
            feed.number(event.resellable.into());
        }
        Event::StockAdjusted(event) => {
            feed.text(event.adjustment.as_str());
            feed.stock_key(&event.key);
            feed.text(event.mode.as_str());
            feed.number(event.quantity);
            feed.optional_number(event.expected_version);
            feed.text(&event.reason);
            feed.optional_text(event.operator.as_deref());
        }
        Event::StockSynced(event) => {
            feed.text(event.trace.as_str());
            feed.stock_key(&event.key);
            feed.number(event.delta);
            feed.optional_text(event.order.as_ref().map(|order| order.as_str()));
            feed.optional_text(event.reason.as_deref());
        }
        Event::StockCounted(event) => {
            feed.text(event.count.as_str());
            feed.stock_key(&event.key);
            feed.number(event.quantity);
            feed.number(event.counted_at.0);
        }
        Event::ClaimExpired(event) => {
            feed.text(event.claim.kind.as_str());
            feed.text(event.claim.reference.as_str());
            feed.number(event.deadline.0);
        }
        Event::Reconciliation(event) => feed.reconciliation(event),
    }
    let [first, second, third, fourth, fifth, sixth, seventh, eighth, ..] = digest(&feed.0);
    Fingerprint(i64::from_be_bytes([first, second, third, fourth, fifth, sixth, seventh, eighth]))
}

/// The id under which an announcement is published: derived from its cause and what it is about, so that the same
/// fact has the same id however often it is published. One event changes a row at most once, tells of a difference at most
/// once, and answers an order at most once, however many orders it gives units to.
pub fn announcement_id(cause: &Cause, body: &AnnouncementBody) -> Uuid {
    let mut feed = Feed(Vec::with_capacity(256));
    feed.text(&cause.source);
    feed.text(&cause.id);
    feed.text(cause.event_type.as_str());
    feed.text(OutputType::of(body).as_str());
    match body {
        AnnouncementBody::StockChanged { key, .. }
        | AnnouncementBody::LowStock { key, .. }
        | AnnouncementBody::StockShortage { key, .. } => feed.stock_key(key),
        AnnouncementBody::StockDrift { key, source, field, .. } => {
            feed.stock_key(key);
            feed.text(source.as_str());
            feed.text(field.as_str());
        }
        AnnouncementBody::ReservationResult(answer) => {
            feed.text(answer.kind.as_str());
            feed.text(answer.reference.as_str());
        }
    }
    Uuid::new_v8(digest(&feed.0))
}

/// The id of a comparison or correction of a row: the same within one round of a job, another one in the next.
pub fn reconciliation_id(job: &str, round: Timestamp, key: &StockKey) -> Uuid {
    let mut feed = Feed(Vec::with_capacity(256));
    feed.text(job);
    feed.number(round.0);
    feed.stock_key(key);
    Uuid::new_v8(digest(&feed.0))
}

/// The id of an alert: derived from the event that opened it and the row at its version, which comes only once.
pub fn alert_id(cause: &Cause, key: &StockKey, version: i64) -> AlertId {
    let mut feed = Feed(Vec::with_capacity(256));
    feed.text(&cause.source);
    feed.text(&cause.id);
    feed.stock_key(key);
    feed.number(version);
    AlertId(Uuid::new_v8(digest(&feed.0)).into_bytes())
}

fn uuid(id: &str) -> Option<Uuid> {
    // Only the hyphenated form has this length; the parser alone would take others as well.
    (id.len() == 36).then(|| Uuid::try_parse(id).ok()).flatten()
}

fn digest(bytes: &[u8]) -> [u8; 16] {
    let mut truncated = [0; 16];
    truncated.copy_from_slice(&Sha256::digest(bytes)[..16]);
    truncated
}

/// Values one after the other such that no two sequences of values give the same bytes: texts and lists carry
/// their length, optional values their presence.
struct Feed(Vec<u8>);

impl Feed {
    fn number(&mut self, number: i64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as i64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn optional_number(&mut self, number: Option<i64>) {
        self.0.push(number.is_some().into());
        if let Some(number) = number {
            self.number(number);
        }
    }

    fn optional_text(&mut self, text: Option<&str>) {
        self.0.push(text.is_some().into());
        if let Some(text) = text {
            self.text(text);
        }
    }

    fn stock_key(&mut self, key: &StockKey) {
        self.text(key.sku.as_str());
        self.text(key.location.as_str());
    }

    fn reconciliation(&mut self, event: &Reconciliation) {
        self.stock_key(&event.key);
        match &event.task {
            ReconciliationTask::CompareBooks => self.number(0),
            ReconciliationTask::CompareFigure(comparison) => {
                self.number(1);
                self.text(&comparison.source);
                self.optional_number(comparison.theirs);
                self.number(comparison.tolerance);
                self.optional_number(comparison.alert_threshold);
                self.decision(comparison.use_ours.as_ref());
            }
            ReconciliationTask::Rebuild { version, decision } => {
                self.number(2);
                self.number(*version);
                self.decision(Some(decision));
            }
            ReconciliationTask::TakeTheirs(taking) => {
                self.number(3);
                self.text(&taking.source);
                for number in [taking.ours, taking.theirs, taking.version, taking.max_amount] {
                    self.number(number);
                }
                self.number(taking.may_raise.into());
                self.decision(Some(&taking.decision));
            }
        }
    }

    fn decision(&mut self, decision: Option<&Decision>) {
        self.0.push(decision.is_some().into());
        if let Some(decision) = decision {
            self.optional_text(decision.operator.as_deref());
            self.text(&decision.reason);
        }
    }

    fn lines(&mut self, lines: &[Line]) {
        self.number(lines.len() as i64);
        for line in lines {
            self.stock_key(&line.key);
            self.number(line.quantity);
        }
    }

    fn optional_lines(&mut self, lines: Option<&[Line]>) {
        self.0.push(lines.is_some().into());
        if let Some(lines) = lines {
            self.lines(lines);
        }
    }
}
