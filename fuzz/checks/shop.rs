//! A shop that has what an event names: any event can be judged there, and what comes of it can be kept and published.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdfast::domain::announce::{Announcement, AnnouncementBody};
use holdfast::domain::books::Books;
use holdfast::domain::claim::{ClaimKey, ClaimKind, ClaimLine};
use holdfast::domain::event::{
    CartUpdated, Cause, Envelope, Event, EventKey, Fingerprint, OrderCreated, OrderShipped, Policy, SkuRegistered,
    ToldAt, Trace,
};
use holdfast::domain::rules::{DeductOn, Rules};
use holdfast::domain::stock::{Counters, Snapshot};
use holdfast::domain::words::{DEFAULT_LOCATION, Line, Reference, StockKey, Timestamp};
use holdfast::engine::judge::Bench;
use holdfast::ports::{DeadLetter, Entry, Judged, Loaded, OutboxBatch, Outcome, Position, Record, Seen};
use holdfast::store::lines;
use holdfast::wire::decode::{Decoder, WriterSchemas};
use holdfast::wire::encode::Encoder;
use holdfast::wire::schemas::KnownSchemas;
use holdfast::wire::sequence::sequence_number;
use holdfast::wire::shown::Showcase;
use holdfast::wire::stored;
use holdfast::wire::topics::Topics;
use serde_json::Value;

use super::events::NOW;

/// Bit of the first byte: the shop knows the order and the cart that an event is about. Digits have it.
const KNOWN: u8 = 0x10;
/// When everything was put in and set aside that the shop has: a minute before the event.
const OPENED: Timestamp = Timestamp(NOW.0 - 60_000_000);
/// Units that each row begins with, and that the cart and the order of the opening ask for.
const INITIAL: i64 = 100;
const ASKED: i64 = 10;
/// The first number that is given: those that follow take a byte more in Avro.
const FIRST_SEQ: i64 = 8_190;

/// Everything that what comes of an event passes through.
pub(super) struct Shop {
    decoder: Decoder,
    json: Encoder,
    avro: Encoder,
    showcase: Showcase,
}

impl Shop {
    pub(super) fn new(topics: &Arc<Topics>, schemas: &Arc<KnownSchemas>) -> Self {
        Self {
            decoder: Decoder::new(topics.clone(), schemas.clone(), None, 1 << 20),
            json: Encoder::json(topics.clone(), "holdfast"),
            avro: Encoder::avro(topics.clone(), "holdfast", schemas),
            showcase: Showcase::new(topics, "holdfast"),
        }
    }

    /// Judges an event and its repetition behind the opening of a shop: the second is a duplicate or buried as the first
    /// was, judging again gives the same, and books, ledger and announcements agree. Returns what is buried.
    pub(super) fn judge(&self, shape: u8, first: Entry, second: Entry) -> Vec<DeadLetter> {
        let Entry::Event { envelope, .. } = &first else { return Vec::new() };
        let rules = rules(shape);
        let mut entries = opening(&envelope.event, shape & KNOWN != 0);
        let opened = entries.len();
        entries.extend([first, second]);
        let judged = judge(&entries, &rules);
        let again = judge(&entries, &rules);
        assert_eq!(judged.effects.movements, again.effects.movements);
        assert_eq!(judged.effects.announcements, again.effects.announcements);
        let (opening, told) = judged.outcomes.split_at(opened);
        let is_open =
            |outcome: &Outcome| *outcome == Outcome::Applied || (!rules.carts_hold && *outcome == Outcome::Ignored);
        assert!(opening.iter().all(is_open), "{opening:?}");
        match told {
            [Outcome::DeadLettered { reason, .. }, Outcome::DeadLettered { reason: again, .. }] => {
                assert_eq!(reason, again);
                assert_eq!(judged.dead_letters.len(), 2);
            }
            [Outcome::Applied | Outcome::Refused(_) | Outcome::Ignored, Outcome::Duplicate] => {
                assert_eq!(judged.dead_letters, []);
            }
            others => panic!("{others:?}"),
        }
        assert_books(&judged);
        assert_told(&judged);
        assert_kept(&judged);
        self.assert_published(&judged.effects.announcements);
        judged.dead_letters
    }

    /// Every announcement reads the same from JSON, from Avro and as streams show it, and bears its number.
    fn assert_published(&self, announcements: &[Announcement]) {
        let batch = OutboxBatch {
            number: 1,
            first_seq: FIRST_SEQ,
            recorded_at: NOW,
            announcements: announcements.to_vec(),
            dead_letters: Vec::new(),
        };
        let (json, avro, shown) = (self.json.encode(&batch), self.avro.encode(&batch), self.showcase.show(&batch));
        assert_eq!((json.len(), avro.len(), shown.len()), (announcements.len(), announcements.len(), shown.len()));
        for (((json, avro), shown), seq) in json.into_iter().zip(avro).zip(shown).zip(FIRST_SEQ..) {
            let expected: Value = serde_json::from_str(&shown.text).expect("what is shown is JSON");
            assert_eq!(shown.seq, seq);
            for published in [json, avro] {
                let record = Record {
                    position: Position { topic: published.topic, partition: 0, offset: 0 },
                    key: published.key,
                    headers: published.headers,
                    payload: published.payload,
                    timestamp: Some(published.timestamp),
                };
                assert_eq!(sequence_number(&record), Some(seq));
                let read = self.decoder.structured(&record, &WriterSchemas::default());
                assert_eq!(read.expect("what we publish can be read"), expected);
            }
        }
    }
}

/// The rules that the two highest bits of the first byte pick; of letters and digits they are those of the contract.
fn rules(shape: u8) -> Rules {
    let contract = Rules::default();
    match shape >> 6 {
        0 => contract,
        1 => Rules { deduct_on: DeductOn::Confirmed, ..contract },
        2 => Rules { deduct_on: DeductOn::Shipped, ignore_cart_holds: true, ..contract },
        _ => Rules { carts_hold: false, order_max_waiting: 0, ..contract },
    }
}

fn judge(entries: &[Entry], rules: &Rules) -> Judged {
    let bench =
        Bench { rules: rules.clone(), max_clock_skew_seconds: 300, count_max_age_seconds: 604_800, buries: true };
    let loaded = Loaded { now: NOW, seen: vec![Seen::New; entries.len()], books: Books::default() };
    bench.judge(entries, loaded).expect("no event can break a rule of the core")
}

/// What happened before an event: every row that it names was registered, a cart and an order have some of each, and
/// what comes back was shipped. Cart and order are the event's own where the shop knows them.
fn opening(event: &Event, known: bool) -> Vec<Entry> {
    let mut rows: BTreeSet<StockKey> = event.stock_keys().cloned().collect();
    match event {
        Event::OrderCancelled(it) => rows.extend(it.lines.iter().flatten().map(|line| line.key.clone())),
        Event::OrderShipped(it) => rows.extend(it.lines.iter().flatten().map(|line| line.key.clone())),
        Event::ReturnReceived(it) => rows.extend(it.lines.iter().map(|line| line.key.clone())),
        Event::OrderCreated(_)
        | Event::CartUpdated(_)
        | Event::OrderConfirmed { .. }
        | Event::SkuRegistered(_)
        | Event::StockReceived(_)
        | Event::StockAdjusted(_)
        | Event::StockSynced(_)
        | Event::StockCounted(_)
        | Event::ClaimExpired(_)
        | Event::Reconciliation(_) => {}
    }
    if rows.is_empty() {
        rows.insert(StockKey::new("A", DEFAULT_LOCATION));
    }
    let own = |kind: ClaimKind| {
        let mut claims = [event.claim_key(), event.other_claim_key()].into_iter().flatten();
        claims.find(|claim| known && claim.kind == kind).map_or(Reference::new("opening"), |claim| claim.reference)
    };
    let (cart, order) = (own(ClaimKind::Cart), own(ClaimKind::Order));
    let lines: Vec<Line> = rows.iter().map(|key| Line { key: key.clone(), quantity: ASKED }).collect();
    let mut events: Vec<Event> = rows.into_iter().map(registered).collect();
    events.push(Event::CartUpdated(CartUpdated { cart, version: None, ttl_seconds: None, lines: lines.clone() }));
    let placed =
        OrderCreated { order: order.clone(), version: None, cart: None, policy: Policy::All, ttl_seconds: None, lines };
    events.push(Event::OrderCreated(placed));
    if let Event::ReturnReceived(_) = event {
        events.push(Event::OrderShipped(OrderShipped { order, shipment: Reference::new("opening"), lines: None }));
    }
    events.into_iter().zip(0..).map(|(event, number)| told(event, number)).collect()
}

fn registered(key: StockKey) -> Event {
    Event::SkuRegistered(SkuRegistered {
        key,
        name: None,
        safety_stock: Some(1),
        warning_threshold: Some(INITIAL - ASKED),
        critical_threshold: Some(ASKED),
        max_stock: None,
        status: None,
        initial: Some(INITIAL),
        version: None,
    })
}

/// An event of a source that no publisher can have: it has no name.
fn told(event: Event, number: u128) -> Entry {
    let cause = Cause {
        event_type: event.event_type(),
        id: number.to_string().into(),
        source: "".into(),
        reference: event.claim_key().map(|claim| claim.reference),
    };
    let envelope = Envelope {
        cause: Arc::new(cause),
        key: EventKey(number.to_be_bytes()),
        told_at: ToldAt::Publisher(OPENED),
        day: OPENED.day(),
        fingerprint: Fingerprint(0),
        trace: Trace::default(),
        event,
    };
    Entry::Event { envelope: Box::new(envelope), record: None }
}

/// The ledger of each row has no hole and ends at the row, and a row has set aside what claims say they hold.
fn assert_books(judged: &Judged) {
    let mut last: BTreeMap<&StockKey, (i64, Counters)> = BTreeMap::new();
    for movement in &judged.effects.movements {
        let (version, counters) = last.entry(&movement.key).or_default();
        assert_eq!((movement.version, movement.change), (*version + 1, movement.after.since(counters)));
        (*version, *counters) = (movement.version, movement.after);
    }
    let claimed = |kind: ClaimKind, key: &StockKey| -> i64 {
        let claims = judged.books.claims.values().filter(|claim| claim.key.kind == kind);
        claims.filter_map(|claim| claim.lines.get(key)).map(|line| line.reserved).sum()
    };
    for (key, row) in &judged.books.stock {
        assert_eq!(last.remove(key), Some((row.version, row.counters)), "the ledger of {key} ends at its row");
        let Counters { on_hand, cart_held, order_reserved, safety_stock } = row.counters;
        assert!(on_hand >= 0 && safety_stock >= 0, "{row:?}");
        assert_eq!((cart_held, order_reserved), (claimed(ClaimKind::Cart, key), claimed(ClaimKind::Order, key)));
    }
    assert!(last.is_empty(), "{last:?}");
}

/// Whoever has only what was announced knows every row.
fn assert_told(judged: &Judged) {
    let mut rows: BTreeMap<&StockKey, (i64, Snapshot)> = BTreeMap::new();
    for announcement in &judged.effects.announcements {
        let AnnouncementBody::StockChanged { key, version, before, after } = &announcement.body else { continue };
        let (last_version, last) = rows.get(key).copied().unwrap_or((0, Snapshot::NOTHING));
        assert_eq!((last_version + 1, last), (*version, *before), "{key} goes on where it was");
        rows.insert(key, (*version, *after));
    }
    for (key, row) in &judged.books.stock {
        assert_eq!(rows.remove(key), Some((row.version, row.snapshot())), "{key} as it was announced");
    }
    assert!(rows.is_empty(), "{rows:?}");
}

/// What a store keeps of it is read as it was written.
fn assert_kept(judged: &Judged) {
    let announcements = &judged.effects.announcements;
    let kept = stored::encode_batch(announcements, &judged.dead_letters);
    let (kept, letters) = stored::decode_batch(&kept).expect("it was just written");
    assert_eq!((&kept, &letters), (announcements, &judged.dead_letters));
    for (claim, place) in &judged.effects.answers {
        let Announcement { cause, body, .. } = &announcements[*place];
        let AnnouncementBody::ReservationResult(answer) = body else { panic!("{claim:?} was answered with {body:?}") };
        let kept = stored::decode_answer(&stored::encode_answer(answer, cause, NOW)).expect("it was just written");
        assert_eq!((&kept.0, &kept.1, kept.2), (answer, cause, NOW));
        assert_eq!(ClaimKey { kind: claim.kind, reference: answer.reference.clone() }, *claim);
    }
    for claim in judged.books.claims.values() {
        let kept = stored::decode_remembered(&stored::encode_remembered(&claim.remembered));
        assert_eq!(kept.expect("it was just written"), claim.remembered);
        let mut left = claim.lines.clone();
        left.retain(|_, line| *line != ClaimLine::default());
        assert_eq!(lines::read(&lines::write(&claim.lines)).expect("it was just written"), left);
    }
}
