//! Random histories: few SKUs, orders and carts, so that events meet each other.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;

use super::shelf::NOW;
use crate::domain::claim::{ClaimKey, ClaimKind};
use crate::domain::event::{
    CartUpdated, Cause, ClaimExpired, Envelope, Event, EventKey, Fingerprint, OrderCancelled, OrderCreated,
    OrderShipped, Policy, SkuRegistered, StockReceived, ToldAt, Trace,
};
use crate::domain::rules::{DeductOn, Rules};
use crate::domain::stock::Status;
use crate::domain::words::{Line, Reference, StockKey, Timestamp};

/// A SKU that is never registered.
const UNKNOWN: &str = "X";
const SKUS: [&str; 3] = ["A", "B", "C"];
const ORDERS: [&str; 3] = ["O-1", "O-2", "O-3"];
const CARTS: [&str; 2] = ["C-1", "C-2"];

/// An event and its own time, as seconds before the moment of the batch.
pub(super) type Told = (Event, i64);

/// Settings. Every time to live is 0, so that every deadline is the moment of the batch and any claim may be swept.
pub(super) fn rules() -> impl Strategy<Value = Rules> {
    let deduct_on = select(vec![DeductOn::Created, DeductOn::Confirmed, DeductOn::Shipped]);
    let order_max_waiting = select(vec![0, 1, 2, 1_000]);
    (deduct_on, order_max_waiting, of(1..4_i64), any::<bool>()).prop_map(
        |(deduct_on, order_max_waiting, cart_max_per_sku, ignore_cart_holds)| Rules {
            deduct_on,
            order_ttl_seconds: 0,
            order_max_waiting,
            carts_hold: true,
            cart_ttl_seconds: 0,
            cart_max_hold_seconds: 0,
            cart_max_per_sku,
            ignore_cart_holds,
        },
    )
}

/// Registrations first, so that orders find something, then anything.
pub(super) fn history(length: usize) -> impl Strategy<Value = Vec<Told>> {
    (vec(registered(), 3..6), vec(told(), 1..length))
        .prop_map(|(registrations, rest)| registrations.into_iter().map(|event| (event, 0)).chain(rest).collect())
}

/// The same, where every SKU is known from the start.
pub(super) fn history_of_known_skus(length: usize) -> impl Strategy<Value = Vec<Told>> {
    vec(told(), 1..length).prop_map(|rest| {
        let plain = |sku| Event::SkuRegistered(plain_registration(sku));
        SKUS.into_iter().map(|sku| (plain(sku), 0)).chain(rest).collect()
    })
}

fn plain_registration(sku: &'static str) -> SkuRegistered {
    SkuRegistered {
        key: StockKey::new(sku, "default"),
        name: None,
        safety_stock: None,
        warning_threshold: None,
        critical_threshold: None,
        max_stock: None,
        status: None,
        initial: None,
        version: None,
    }
}

/// Events with identities of their own.
pub(super) fn envelopes(history: &[Told], prefix: &str) -> Vec<Envelope> {
    let envelope = |(number, (event, age)): (usize, &Told)| Envelope {
        cause: Arc::new(Cause {
            event_type: event.event_type(),
            id: format!("{prefix}{number}").into(),
            source: "/shop".into(),
            reference: event.claim_key().map(|claim| claim.reference),
        }),
        key: EventKey([0; 16]),
        told_at: ToldAt::Publisher(Timestamp(NOW.0 - age * 1_000_000)),
        day: NOW.day(),
        fingerprint: Fingerprint(0),
        trace: Trace::default(),
        event: event.clone(),
    };
    history.iter().enumerate().map(envelope).collect()
}

fn told() -> impl Strategy<Value = Told> {
    let order = prop_oneof![
        6 => created(),
        3 => cancelled(),
        2 => reference(&ORDERS).prop_map(|order| Event::OrderConfirmed { order }),
        3 => shipped(),
        2 => reference(&ORDERS).prop_map(|order| expired(ClaimKind::Order, order)),
    ];
    prop_oneof![
        16 => order.prop_map(|event| (event, 0)),
        // Mostly young enough; an old one only releases.
        4 => (cart(), prop_oneof![4 => Just(0), 1 => Just(5)]),
        1 => reference(&CARTS).prop_map(|cart| (expired(ClaimKind::Cart, cart), 0)),
        1 => registered().prop_map(|event| (event, 0)),
        3 => received().prop_map(|event| (event, 0)),
    ]
}

fn reference(names: &'static [&'static str]) -> impl Strategy<Value = Reference> {
    select(names).prop_map(Reference::from)
}

/// One line a SKU, as the decoder gives them.
fn lines(least: usize) -> impl Strategy<Value = Vec<Line>> {
    let line = (prop_oneof![12 => select(&SKUS[..]), 1 => Just(UNKNOWN)], 1..6_i64);
    vec(line, least..4).prop_map(|lines| {
        let mut seen = Vec::new();
        for (sku, quantity) in lines {
            let line = Line { key: StockKey::new(sku, "default"), quantity };
            if !seen.iter().any(|known: &Line| known.key == line.key) {
                seen.push(line);
            }
        }
        seen
    })
}

fn created() -> impl Strategy<Value = Event> {
    let policy = prop_oneof![3 => Just(Policy::All), 1 => Just(Policy::Partial), 3 => Just(Policy::Backorder)];
    (reference(&ORDERS), of(0..4_i64), of(reference(&CARTS)), policy, lines(1)).prop_map(
        |(order, version, cart, policy, lines)| {
            Event::OrderCreated(OrderCreated { order, version, cart, policy, ttl_seconds: None, lines })
        },
    )
}

fn cart() -> impl Strategy<Value = Event> {
    (reference(&CARTS), of(1..8_i64), lines(0))
        .prop_map(|(cart, version, lines)| Event::CartUpdated(CartUpdated { cart, version, ttl_seconds: None, lines }))
}

fn cancelled() -> impl Strategy<Value = Event> {
    (reference(&ORDERS), of(0..4_i64), of(lines(1))).prop_map(|(order, version, lines)| {
        Event::OrderCancelled(OrderCancelled { order, version, reason: None, lines })
    })
}

fn shipped() -> impl Strategy<Value = Event> {
    (reference(&ORDERS), select(&["S-1", "S-2", "S-3"][..]), of(lines(1))).prop_map(|(order, shipment, lines)| {
        Event::OrderShipped(OrderShipped { order, shipment: shipment.into(), lines })
    })
}

fn registered() -> impl Strategy<Value = Event> {
    let numbers = (of(0..3_i64), of(0..6_i64), of(0..4_i64), of(0..12_i64));
    let status = prop_oneof![6 => Just(None), 2 => Just(Some(Status::Active)), 1 => Just(Some(Status::Locked))];
    (select(&SKUS[..]), numbers, status, of(0..5_i64)).prop_map(|(sku, numbers, status, version)| {
        let (safety_stock, warning_threshold, critical_threshold, initial) = numbers;
        let plain = plain_registration(sku);
        Event::SkuRegistered(SkuRegistered {
            safety_stock,
            warning_threshold,
            critical_threshold,
            status,
            initial,
            version,
            ..plain
        })
    })
}

fn received() -> impl Strategy<Value = Event> {
    (select(&["R-1", "R-2", "R-3"][..]), lines(1))
        .prop_map(|(receipt, lines)| Event::StockReceived(StockReceived { receipt: receipt.into(), lines }))
}

fn expired(kind: ClaimKind, reference: Reference) -> Event {
    Event::ClaimExpired(ClaimExpired { claim: ClaimKey { kind, reference }, deadline: NOW })
}
