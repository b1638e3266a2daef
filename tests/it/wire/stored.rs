//! The stored form of announcements, answers and remembered events.

use std::sync::Arc;

use holdfast::domain::announce::{
    Announcement, AnnouncementBody, Answer, AnswerKind, AnswerLine, AnswerOutcome, Reason,
};
use holdfast::domain::claim::{ClaimKey, ClaimKind, ClaimState, Remembered};
use holdfast::domain::event::{
    CartUpdated, Cause, ClaimExpired, Event, EventType, OrderCancelled, OrderCreated, OrderShipped, Policy,
    SkuRegistered, StockReceived, Trace,
};
use holdfast::domain::stock::{Counters, Level, Snapshot, Status};
use holdfast::domain::words::{Line, Reference, StockKey, Timestamp};
use holdfast::ports::{DeadLetter, DeadLetterReason, Position, Record};
use holdfast::wire::stored::{
    decode_answer, decode_batch, decode_remembered, encode_answer, encode_batch, encode_remembered,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;

use super::encode::{answer, cause};

fn text() -> BoxedStrategy<Arc<str>> {
    prop_oneof![
        "[A-Z]-[0-9]{1,4}",
        any::<String>(),
        any::<u128>().prop_map(|bits| uuid::Uuid::from_u128(bits).to_string()),
        any::<u128>().prop_map(|bits| uuid::Uuid::from_u128(bits).to_string().to_uppercase()),
    ]
    .prop_map(Arc::from)
    .boxed()
}

fn reference() -> BoxedStrategy<Reference> {
    text().prop_map(Reference::new).boxed()
}

fn number() -> BoxedStrategy<i64> {
    prop_oneof![-3..100_i64, any::<i64>()].boxed()
}

fn key() -> BoxedStrategy<StockKey> {
    let location = prop_oneof![Just(Arc::from("default")), text()];
    (text(), location).prop_map(|(sku, location)| StockKey::new(sku, location)).boxed()
}

fn lines() -> BoxedStrategy<Vec<Line>> {
    vec((key(), number()).prop_map(|(key, quantity)| Line { key, quantity }), 0..4).boxed()
}

fn event_types() -> BoxedStrategy<EventType> {
    prop_oneof![select(&EventType::INPUT[..]), Just(EventType::ClaimExpired)].boxed()
}

fn causes() -> BoxedStrategy<Arc<Cause>> {
    let parts = (event_types(), text(), text(), option::of(reference()));
    let cause = |(event_type, id, source, reference)| Arc::new(Cause { event_type, id, source, reference });
    parts.prop_map(cause).boxed()
}

fn traces() -> BoxedStrategy<Trace> {
    (option::of(text()), option::of(text())).prop_map(|(parent, state)| Trace { parent, state }).boxed()
}

fn snapshots() -> BoxedStrategy<Snapshot> {
    let words = (select(&Status::ALL[..]), select(&Level::ALL[..]));
    let snapshot = |(on_hand, cart_held, order_reserved, safety_stock, (status, level))| Snapshot {
        counters: Counters { on_hand, cart_held, order_reserved, safety_stock },
        status,
        level,
    };
    (number(), number(), number(), number(), words).prop_map(snapshot).boxed()
}

fn answers() -> BoxedStrategy<Answer> {
    let reason = || option::of(select(&Reason::ALL[..]));
    let line = (key(), number(), number(), number(), reason(), number()).prop_map(
        |(key, requested, granted, available, reason, waiting)| AnswerLine {
            key,
            requested,
            granted,
            available,
            reason,
            waiting,
        },
    );
    let words = (
        select(&AnswerKind::ALL[..]),
        select(&AnswerOutcome::ALL[..]),
        option::of(select(&ClaimState::ALL[..])),
        reason(),
    );
    let answer =
        |(reference, request_version, (kind, outcome, state, reason), lines, expires_at): (_, _, _, _, Option<i64>)| {
            Answer {
                kind,
                reference,
                request_version,
                outcome,
                state,
                reason,
                lines,
                expires_at: expires_at.map(Timestamp),
            }
        };
    (reference(), option::of(number()), words, vec(line, 0..4), option::of(number())).prop_map(answer).boxed()
}

fn bodies() -> BoxedStrategy<AnnouncementBody> {
    let levels = || select(&Level::ALL[..]);
    prop_oneof![
        (key(), number(), snapshots(), snapshots()).prop_map(|(key, version, before, after)| {
            AnnouncementBody::StockChanged { key, version, before, after }
        }),
        (key(), number(), levels(), levels(), number(), number(), number()).prop_map(
            |(key, version, level, previous_level, available, warning_threshold, critical_threshold)| {
                AnnouncementBody::LowStock {
                    key,
                    version,
                    level,
                    previous_level,
                    available,
                    warning_threshold,
                    critical_threshold,
                }
            }
        ),
        answers().prop_map(AnnouncementBody::ReservationResult),
    ]
    .boxed()
}

/// Announcements of which several share a cause, as those of one event do.
fn announcements() -> BoxedStrategy<Vec<Announcement>> {
    let of_one_event = (causes(), traces(), vec(bodies(), 0..4)).prop_map(|(cause, trace, bodies)| {
        let announce = |body| Announcement { cause: cause.clone(), trace: trace.clone(), body };
        bodies.into_iter().map(announce).collect::<Vec<Announcement>>()
    });
    vec(of_one_event, 0..4).prop_map(|events| events.concat()).boxed()
}

fn dead_letters() -> BoxedStrategy<DeadLetter> {
    let bytes = || option::of(vec(any::<u8>(), 0..300));
    let position = (text(), any::<i32>(), any::<i64>()).prop_map(|(topic, partition, offset)| Position {
        topic,
        partition,
        offset,
    });
    let headers = vec((any::<String>(), bytes()), 0..3);
    let record = (position, bytes(), headers, bytes(), option::of(number().prop_map(Timestamp)))
        .prop_map(|(position, key, headers, payload, timestamp)| Record { position, key, headers, payload, timestamp });
    (record, select(&DeadLetterReason::ALL[..]), text())
        .prop_map(|(record, reason, detail)| DeadLetter { record, reason, detail })
        .boxed()
}

fn events() -> BoxedStrategy<Event> {
    let count = || option::of(number());
    let policy = select(vec![Policy::All, Policy::Partial, Policy::Backorder]);
    let created = (reference(), count(), option::of(reference()), policy, count(), lines()).prop_map(
        |(order, version, cart, policy, ttl_seconds, lines)| {
            Event::OrderCreated(OrderCreated { order, version, cart, policy, ttl_seconds, lines })
        },
    );
    let updated = (reference(), count(), count(), lines()).prop_map(|(cart, version, ttl_seconds, lines)| {
        Event::CartUpdated(CartUpdated { cart, version, ttl_seconds, lines })
    });
    let cancelled =
        (reference(), count(), option::of(text()), option::of(lines())).prop_map(|(order, version, reason, lines)| {
            Event::OrderCancelled(OrderCancelled { order, version, reason, lines })
        });
    let shipped = (reference(), reference(), option::of(lines()))
        .prop_map(|(order, shipment, lines)| Event::OrderShipped(OrderShipped { order, shipment, lines }));
    let thresholds = (count(), count(), count(), count());
    let registered = (key(), option::of(text()), thresholds, option::of(select(&Status::ALL[..])), count(), count())
        .prop_map(
            |(
                key,
                name,
                (safety_stock, warning_threshold, critical_threshold, max_stock),
                status,
                initial,
                version,
            )| {
                Event::SkuRegistered(SkuRegistered {
                    key,
                    name,
                    safety_stock,
                    warning_threshold,
                    critical_threshold,
                    max_stock,
                    status,
                    initial,
                    version,
                })
            },
        );
    let received =
        (reference(), lines()).prop_map(|(receipt, lines)| Event::StockReceived(StockReceived { receipt, lines }));
    let expired = (select(&ClaimKind::ALL[..]), reference(), number()).prop_map(|(kind, reference, deadline)| {
        Event::ClaimExpired(ClaimExpired { claim: ClaimKey { kind, reference }, deadline: Timestamp(deadline) })
    });
    let confirmed = reference().prop_map(|order| Event::OrderConfirmed { order });
    prop_oneof![created, updated, cancelled, confirmed, shipped, registered, received, expired].boxed()
}

proptest! {
    #[test]
    fn batches_come_back_as_they_were(announcements in announcements(), dead_letters in vec(dead_letters(), 0..3)) {
        let stored = encode_batch(&announcements, &dead_letters);
        assert_eq!(decode_batch(&stored).unwrap(), (announcements, dead_letters));
    }

    #[test]
    fn answers_come_back_as_they_were(answer in answers(), cause in causes(), recorded_at in number()) {
        let stored = encode_answer(&answer, &cause, Timestamp(recorded_at));
        assert_eq!(decode_answer(&stored).unwrap(), (answer, cause, Timestamp(recorded_at)));
    }

    #[test]
    fn remembered_events_come_back_as_they_were(parts in vec((causes(), traces(), events()), 0..4)) {
        let remember = |(cause, trace, event)| Remembered { cause, trace, event };
        let remembered: Vec<Remembered> = parts.into_iter().map(remember).collect();
        assert_eq!(decode_remembered(&encode_remembered(&remembered)).unwrap(), remembered);
    }

    #[test]
    fn damaged_documents_are_errors_or_something_else_but_never_a_panic(
        announcements in announcements(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        garbage in vec(any::<u8>(), 0..200),
    ) {
        let mut stored = encode_batch(&announcements, &[]);
        let at = at.index(stored.len());
        assert!(decode_batch(&stored[..at]).is_err(), "cut off at {at}");
        stored[at] = byte;
        let _ = decode_batch(&stored);
        for kind in 1..4 {
            for method in 0..2 {
                let document = [&[1, kind, method][..], &garbage].concat();
                let _ = (decode_batch(&document), decode_answer(&document), decode_remembered(&document));
            }
        }
    }
}

#[test]
fn what_is_not_a_document_is_told() {
    let answer = answer(Some(ClaimState::Reserved), None);
    let stored = encode_answer(&answer, &cause("e-1", Some("O-1")), Timestamp(0));
    assert!(decode_batch(&stored).unwrap_err().to_string().contains("kind"));
    let mut newer = stored.clone();
    newer[0] = 2;
    assert!(decode_answer(&newer).unwrap_err().to_string().contains("version is 2"));
    assert!(decode_answer(&[&stored[..], &[0]].concat()).is_err(), "bytes follow");
    assert!(decode_answer(&[]).is_err());
    // A document that claims to be far larger than its bytes can be is refused before room is made for it.
    let lie = [1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0];
    assert!(decode_batch(&lie).unwrap_err().to_string().contains("cannot hold"));
}

/// What the first release wrote of an answer's line, behind the numbers: whether a reason follows.
#[test]
fn answers_that_were_stored_before_anybody_could_wait_stay_readable() {
    let cause = cause("e-1", Some("O-1"));
    for reason in [None, Some(Reason::InsufficientStock)] {
        let mut answer = answer(Some(ClaimState::Reserved), reason);
        answer.lines.iter_mut().for_each(|line| line.waiting = 0);
        let stored = encode_answer(&answer, &cause, Timestamp(7));
        let ends: &[u8] = if reason.is_some() { &[10, 8, 8, 1, 4] } else { &[10, 8, 8, 0] };
        assert!(stored.windows(ends.len()).any(|bytes| bytes == ends), "{stored:?}");
        assert_eq!(decode_answer(&stored).unwrap(), (answer, cause.clone(), Timestamp(7)));
    }
}

#[test]
fn a_batch_is_small() {
    let announcement = |number: i64| {
        let id = uuid::Uuid::from_u128(
            0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(number.unsigned_abs() * 7_919),
        );
        let cause = Arc::new(Cause {
            event_type: EventType::OrderCreated,
            id: id.to_string().into(),
            source: "shop".into(),
            reference: Some(format!("O-{number}").as_str().into()),
        });
        let counters = |on_hand| Counters { on_hand, cart_held: 0, order_reserved: 5, safety_stock: 0 };
        let snapshot = |on_hand| Snapshot { counters: counters(on_hand), status: Status::Active, level: Level::Normal };
        let key = StockKey::new(format!("SKU-{}", number % 500), "default");
        let body =
            AnnouncementBody::StockChanged { key, version: number, before: snapshot(1_000), after: snapshot(998) };
        Announcement { cause, trace: Trace::default(), body }
    };
    let announcements: Vec<Announcement> = (0..2_000).map(announcement).collect();
    let each = encode_batch(&announcements, &[]).len() / announcements.len();
    assert!(each <= 45, "{each} bytes an announcement");
}
