//! Random histories: few SKUs, few units and few references, so that events meet each other; time that moves; versions
//! up and down; deadlines that are seen, missed and moved.

use std::sync::Arc;

use holdfast::domain::claim::{ClaimKey, ClaimKind};
use holdfast::domain::event::{
    CartUpdated, Cause, ClaimExpired, Envelope, Event, EventKey, Fingerprint, OrderCancelled, OrderCreated,
    OrderShipped, Policy, SkuRegistered, StockReceived, ToldAt, Trace,
};
use holdfast::domain::rules::{DeductOn, Rules};
use holdfast::domain::stock::Status;
use holdfast::domain::words::{Line, Reference, StockKey, Timestamp};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::select;

use super::inputs::SECOND;
use super::model::World;

/// The instant at which a history begins.
pub const START: i64 = 1_800_000_000 * SECOND;

/// Events of one transaction.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Seconds since the batch before.
    pub later: i64,
    /// Its events.
    pub events: Vec<Happening>,
}

/// One event before it knows the moment.
#[derive(Clone, Debug)]
pub struct Happening {
    /// The event; the deadline of a `claim-expired` is 0 for the one that stands, else itself.
    pub event: Event,
    /// Seconds between the event's time and its batch.
    pub age: i64,
    /// 0: the publisher told the time, 1: the broker, 2: nobody.
    pub clock: u8,
    /// Whether the event says what traced it.
    pub traced: bool,
}

impl Batch {
    /// The events with identities and times.
    pub fn envelopes(&self, world: &World, now: i64, number: usize) -> Vec<Envelope> {
        let envelope = |(place, happening): (usize, &Happening)| {
            let event = with_deadline(&happening.event, world, now);
            let time = Timestamp(now - happening.age * SECOND);
            let parent = happening.traced.then(|| format!("trace of {number}/{place}").into());
            Envelope {
                cause: Arc::new(Cause {
                    event_type: event.event_type(),
                    id: format!("{number}/{place}").into(),
                    source: "/shop".into(),
                    reference: event.claim_key().map(|claim| claim.reference),
                }),
                key: EventKey([0; 16]),
                told_at: match happening.clock {
                    0 => ToldAt::Publisher(time),
                    1 => ToldAt::Broker(time),
                    _ => ToldAt::Unknown,
                },
                day: time.day(),
                fingerprint: Fingerprint(0),
                trace: Trace { parent, state: None },
                event,
            }
        };
        self.events.iter().enumerate().map(envelope).collect()
    }
}

/// The sweeper names the deadline that it saw.
fn with_deadline(event: &Event, world: &World, now: i64) -> Event {
    let Event::ClaimExpired(ClaimExpired { claim, deadline: Timestamp(0) }) = event else { return event.clone() };
    let claims = if claim.kind == ClaimKind::Cart { &world.carts } else { &world.orders };
    let seen = claims.get(claim.reference.as_str()).and_then(|claim| claim.deadline).unwrap_or(now);
    Event::ClaimExpired(ClaimExpired { claim: claim.clone(), deadline: Timestamp(seen) })
}

/// Every combination of settings, with short times.
pub fn rules() -> impl Strategy<Value = Rules> {
    let deduct_on = select(vec![DeductOn::Created, DeductOn::Confirmed, DeductOn::Shipped]);
    let cart_times = select(vec![(4, 4), (4, 6), (4, 30), (20, 25)]);
    let holds = prop_oneof![9 => Just(true), 1 => Just(false)];
    (deduct_on, select(vec![5, 30]), holds, cart_times, of(1..4_i64), any::<bool>()).prop_map(
        |(deduct_on, order_ttl_seconds, carts_hold, (ttl, max_hold), cart_max_per_sku, ignore_cart_holds)| Rules {
            deduct_on,
            order_ttl_seconds,
            carts_hold,
            cart_ttl_seconds: ttl,
            cart_max_hold_seconds: max_hold,
            cart_max_per_sku,
            ignore_cart_holds,
        },
    )
}

/// Registrations first, so that orders find something, then anything.
pub fn history(length: usize) -> impl Strategy<Value = Vec<Batch>> {
    let later = prop_oneof![6 => Just(0), 1 => select(vec![1, 3, 6, 12, 40])];
    let batch = (later, vec(happening(), 1..5)).prop_map(|(later, events)| Batch { later, events });
    (vec(registered(), 2..6), vec(batch, 1..length)).prop_map(|(registrations, rest)| {
        let events = registrations.into_iter().map(now).collect();
        std::iter::once(Batch { later: 0, events }).chain(rest).collect()
    })
}

fn now(event: Event) -> Happening {
    Happening { event, age: 0, clock: 0, traced: false }
}

fn happening() -> impl Strategy<Value = Happening> {
    let age = prop_oneof![8 => Just(0), 2 => -2..8_i64];
    let clock = prop_oneof![8 => Just(0_u8), 1 => Just(1), 1 => Just(2)];
    let traced = prop_oneof![9 => Just(false), 1 => Just(true)];
    let event = prop_oneof![
        7 => created(),
        5 => cart(),
        4 => cancelled(),
        3 => order().prop_map(|order| Event::OrderConfirmed { order }).boxed(),
        4 => shipped(),
        2 => expired(),
        1 => registered().boxed(),
        3 => received(),
    ];
    (event, age, clock, traced).prop_map(|(event, age, clock, traced)| Happening { event, age, clock, traced })
}

fn order() -> impl Strategy<Value = Reference> {
    select(vec!["O-1", "O-2", "O-3"]).prop_map(Reference::from)
}

fn cart_name() -> impl Strategy<Value = Reference> {
    select(vec!["C-1", "C-2"]).prop_map(Reference::from)
}

/// Three rows that are registered now and then, and one that never is.
fn key() -> impl Strategy<Value = StockKey> {
    prop_oneof![
        5 => Just(StockKey::new("A", "default")),
        4 => Just(StockKey::new("B", "default")),
        2 => Just(StockKey::new("A", "north")),
        1 => Just(StockKey::new("X", "default")),
    ]
}

/// One line a row, as the decoder gives them.
fn lines(least: usize) -> impl Strategy<Value = Vec<Line>> {
    vec((key(), 1..6_i64), least..4).prop_map(|lines| {
        let mut summed: Vec<Line> = Vec::new();
        for (key, quantity) in lines {
            match summed.iter_mut().find(|line| line.key == key) {
                Some(line) => line.quantity += quantity,
                None => summed.push(Line { key, quantity }),
            }
        }
        summed
    })
}

fn ttl() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![4 => Just(None), 1 => select(vec![1, 3, 100]).prop_map(Some)]
}

fn created() -> BoxedStrategy<Event> {
    let policy = prop_oneof![2 => Just(Policy::All), 1 => Just(Policy::Partial)];
    (order(), of(0..4_i64), of(cart_name()), policy, ttl(), lines(1))
        .prop_map(|(order, version, cart, policy, ttl_seconds, lines)| {
            Event::OrderCreated(OrderCreated { order, version, cart, policy, ttl_seconds, lines })
        })
        .boxed()
}

fn cart() -> BoxedStrategy<Event> {
    (cart_name(), of(1..9_i64), ttl(), lines(0))
        .prop_map(|(cart, version, ttl_seconds, lines)| {
            Event::CartUpdated(CartUpdated { cart, version, ttl_seconds, lines })
        })
        .boxed()
}

fn cancelled() -> BoxedStrategy<Event> {
    let reason = prop_oneof![3 => Just(None), 1 => Just(Some("too late".into()))];
    (order(), of(0..4_i64), reason, prop_oneof![2 => lines(1).prop_map(Some), 1 => Just(None)])
        .prop_map(|(order, version, reason, lines)| {
            Event::OrderCancelled(OrderCancelled { order, version, reason, lines })
        })
        .boxed()
}

fn shipped() -> BoxedStrategy<Event> {
    (order(), select(vec!["S-1", "S-2", "S-3", "S-4"]), of(lines(1)))
        .prop_map(|(order, shipment, lines)| {
            Event::OrderShipped(OrderShipped { order, shipment: shipment.into(), lines })
        })
        .boxed()
}

fn expired() -> BoxedStrategy<Event> {
    let orders = order().prop_map(|reference| ClaimKey { kind: ClaimKind::Order, reference });
    let carts = cart_name().prop_map(|reference| ClaimKey { kind: ClaimKind::Cart, reference });
    let deadline = prop_oneof![6 => Just(Timestamp(0)), 1 => Just(Timestamp(START + SECOND))];
    (prop_oneof![3 => orders.boxed(), 2 => carts.boxed()], deadline)
        .prop_map(|(claim, deadline)| Event::ClaimExpired(ClaimExpired { claim, deadline }))
        .boxed()
}

fn received() -> BoxedStrategy<Event> {
    (select(vec!["R-1", "R-2", "R-3", "R-4"]), lines(1))
        .prop_map(|(receipt, lines)| Event::StockReceived(StockReceived { receipt: receipt.into(), lines }))
        .boxed()
}

fn registered() -> impl Strategy<Value = Event> {
    let key = prop_oneof![
        3 => Just(StockKey::new("A", "default")),
        3 => Just(StockKey::new("B", "default")),
        1 => Just(StockKey::new("A", "north")),
    ];
    let numbers = (of(0..3_i64), of(0..6_i64), of(0..4_i64), of(5..20_i64), of(0..12_i64));
    let status = prop_oneof![
        6 => Just(None),
        3 => Just(Some(Status::Active)),
        1 => Just(Some(Status::Inactive)),
        1 => Just(Some(Status::Locked)),
    ];
    let name = prop_oneof![4 => Just(None), 1 => select(vec!["Mug", "Jug"]).prop_map(|name| Some(name.into()))];
    (key, name, numbers, status, of(0..5_i64)).prop_map(|(key, name, numbers, status, version)| {
        let (safety_stock, warning_threshold, critical_threshold, max_stock, initial) = numbers;
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
    })
}
