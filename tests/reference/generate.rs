//! Random histories: few SKUs, few units and few references, so that events meet each other; time that moves; versions
//! up and down; deadlines that are seen, missed and moved.

use std::sync::Arc;

use holdfast::domain::claim::{ClaimKey, ClaimKind};
use holdfast::domain::event::{
    AdjustmentMode, CartUpdated, Cause, ClaimExpired, Envelope, Event, EventKey, Fingerprint, OrderCancelled,
    OrderCreated, OrderShipped, Policy, ReturnReceived, SkuRegistered, StockAdjusted, StockCounted, StockReceived,
    StockSynced, ToldAt, Trace,
};
use holdfast::domain::rules::{DeductOn, Rules};
use holdfast::domain::stock::Status;
use holdfast::domain::words::{Line, Reference, StockKey, Timestamp};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};

use super::inputs::SECOND;
use super::model::World;

/// The instant at which a history begins.
pub const START: i64 = 1_800_000_000 * SECOND;

const ORDERS: [&str; 3] = ["O-1", "O-2", "O-3"];
const CARTS: [&str; 2] = ["C-1", "C-2"];

/// Stands for the deadline that a claim has before the batch: what the sweeper saw.
const SEEN: Timestamp = Timestamp(0);

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
    /// The event; the deadline of a `claim-expired` is [`SEEN`] for the one that stands.
    pub event: Event,
    /// Seconds between the event's time and its batch.
    pub age: i64,
    /// 0: the publisher told the time, 1: the broker, 2: nobody.
    pub clock: u8,
    /// Whether the event says what traced it.
    pub traced: bool,
    /// Whether it may be replaced by one that was told before.
    repeats: bool,
}

impl Batch {
    /// The events with identities and times.
    pub fn envelopes(&self, world: &World, now: i64, number: usize) -> Vec<Envelope> {
        let envelope = |(place, happening): (usize, &Happening)| {
            let event = at_its_moment(&happening.event, world, now);
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

/// The sweeper names the deadline that it saw, and a count the instant at which it was made.
fn at_its_moment(event: &Event, world: &World, now: i64) -> Event {
    if let Event::StockCounted(event) = event {
        let counted_at = Timestamp(now - event.counted_at.0);
        return Event::StockCounted(StockCounted { counted_at, ..event.clone() });
    }
    let Event::ClaimExpired(ClaimExpired { claim, deadline: SEEN }) = event else { return event.clone() };
    let claims = if claim.kind == ClaimKind::Cart { &world.carts } else { &world.orders };
    let seen = claims.get(claim.reference.as_str()).and_then(|claim| claim.deadline).unwrap_or(now);
    Event::ClaimExpired(ClaimExpired { claim: claim.clone(), deadline: Timestamp(seen) })
}

/// Every combination of settings, with short times.
pub fn rules() -> impl Strategy<Value = Rules> {
    let deduct_on = select(vec![DeductOn::Created, DeductOn::Confirmed, DeductOn::Shipped]);
    let cart_times = select(vec![(4, 4), (4, 6), (4, 30), (20, 25)]);
    let holds = prop_oneof![9 => Just(true), 1 => Just(false)];
    let orders = (select(vec![5, 30]), select(vec![0, 1, 2, 1_000, 1_000]));
    (deduct_on, orders, holds, cart_times, of(1..4_i64), any::<bool>()).prop_map(
        |(
            deduct_on,
            (order_ttl_seconds, order_max_waiting),
            carts_hold,
            (ttl, max_hold),
            cart_max_per_sku,
            ignore_cart_holds,
        )| Rules {
            deduct_on,
            order_ttl_seconds,
            order_max_waiting,
            carts_hold,
            cart_ttl_seconds: ttl,
            cart_max_hold_seconds: max_hold,
            cart_max_per_sku,
            ignore_cart_holds,
        },
    )
}

/// Every row is registered first, as a rule with something to sell; then anything, a good part of it told before.
pub fn history(length: usize) -> impl Strategy<Value = Vec<Batch>> {
    let rest = vec(prop_oneof![5 => batch().boxed(), 1 => sweep().boxed()], 1..length);
    (opening(), rest, vec(of(any::<Index>()), length * 4)).prop_map(|(opening, rest, again)| {
        let mut again = again.into_iter();
        let mut told: Vec<Event> = Vec::new();
        let mut history = vec![opening];
        for mut batch in rest {
            for happening in &mut batch.events {
                match again.next().flatten().filter(|_| happening.repeats && !told.is_empty()) {
                    Some(index) => happening.event = told_again(index.get(&told), happening.age),
                    None => told.push(happening.event.clone()),
                }
            }
            history.push(batch);
        }
        history
    })
}

/// The same fact under a new id, sometimes as a newer version.
fn told_again(event: &Event, chance: i64) -> Event {
    match event {
        Event::OrderCreated(event) if chance % 2 == 1 => {
            Event::OrderCreated(OrderCreated { version: Some(event.version.unwrap_or(0) + 1), ..event.clone() })
        }
        event => event.clone(),
    }
}

fn opening() -> impl Strategy<Value = Batch> {
    let row = |sku, location| {
        let initial = prop_oneof![4 => 4..25_i64, 2 => 0..4_i64];
        let thresholds = (0..6_i64, 0..4_i64);
        let safety_stock = prop_oneof![3 => Just(0), 1 => 1..4_i64];
        (initial, thresholds, safety_stock).prop_map(move |(initial, (warning, critical), safety_stock)| {
            let plain = untouched(StockKey::new(sku, location));
            happens(Event::SkuRegistered(SkuRegistered {
                safety_stock: Some(safety_stock),
                warning_threshold: Some(warning),
                critical_threshold: Some(critical.min(warning)),
                initial: Some(initial),
                ..plain
            }))
        })
    };
    let all = (row("A", "default"), row("B", "default"), row("A", "north"));
    (all, 0..30_usize).prop_map(|((first, second, third), known)| {
        let mut events = vec![first, second, third];
        // Now and then a row comes later, or never.
        events.truncate(known.max(1));
        Batch { later: 0, events }
    })
}

fn batch() -> impl Strategy<Value = Batch> {
    let later = prop_oneof![6 => Just(0), 1 => select(vec![1, 3, 6])];
    (later, vec(happening(), 1..5)).prop_map(|(later, events)| Batch { later, events })
}

/// Time runs out, and the sweeper comes to everything that there is; perhaps somebody else comes first, and perhaps an
/// order takes all that is there before others are confirmed or shipped too late.
fn sweep() -> impl Strategy<Value = Batch> {
    let orders = ORDERS.map(|order| ClaimKey { kind: ClaimKind::Order, reference: order.into() });
    let carts = CARTS.map(|cart| ClaimKey { kind: ClaimKind::Cart, reference: cart.into() });
    let claims: Vec<ClaimKey> = orders.into_iter().chain(carts).collect();
    let swept =
        move |claim: &ClaimKey| happens(Event::ClaimExpired(ClaimExpired { claim: claim.clone(), deadline: SEEN }));
    let before = prop_oneof![3 => Just(None), 1 => happening().prop_map(Some)];
    let after = prop_oneof![
        happening(),
        Just(happens(rush())),
        order().prop_map(|order| happens(Event::OrderConfirmed { order })),
        shipped().prop_map(happens),
    ];
    (select(vec![4, 6, 12, 40]), before, vec(after, 0..4)).prop_map(move |(later, before, after)| {
        let swept = claims.iter().map(&swept);
        Batch { later, events: before.into_iter().chain(swept).chain(after).collect() }
    })
}

/// An order that takes all that is there.
fn rush() -> Event {
    let line = |sku: &str| Line { key: StockKey::new(sku, "default"), quantity: 40 };
    Event::OrderCreated(OrderCreated {
        order: ORDERS[2].into(),
        version: Some(9),
        cart: None,
        policy: Policy::Partial,
        ttl_seconds: None,
        lines: vec![line("A"), line("B")],
    })
}

fn happens(event: Event) -> Happening {
    Happening { event, age: 0, clock: 0, traced: false, repeats: false }
}

fn happening() -> impl Strategy<Value = Happening> {
    let age = prop_oneof![6 => Just(0), 3 => -2..8_i64];
    let clock = prop_oneof![8 => Just(0_u8), 1 => Just(1), 1 => Just(2)];
    let traced = prop_oneof![9 => Just(false), 1 => Just(true)];
    let repeats = prop_oneof![4 => Just(false), 1 => Just(true)];
    let event = prop_oneof![
        8 => created(),
        6 => cart(),
        4 => cancelled(),
        3 => order().prop_map(|order| Event::OrderConfirmed { order }).boxed(),
        4 => shipped(),
        1 => expired(),
        2 => registered().boxed(),
        2 => received(),
        2 => returned(),
        2 => corrected(),
    ];
    (event, age, clock, traced, repeats).prop_map(|(event, age, clock, traced, repeats)| Happening {
        event,
        age,
        clock,
        traced,
        repeats,
    })
}

fn order() -> impl Strategy<Value = Reference> {
    let order = prop_oneof![4 => Just(ORDERS[0]), 3 => Just(ORDERS[1]), 1 => Just(ORDERS[2])];
    order.prop_map(Reference::from)
}

fn cart_name() -> impl Strategy<Value = Reference> {
    select(CARTS.to_vec()).prop_map(Reference::from)
}

/// Three rows that are registered now and then, and one that never is.
fn key() -> impl Strategy<Value = StockKey> {
    prop_oneof![
        16 => Just(StockKey::new("A", "default")),
        10 => Just(StockKey::new("B", "default")),
        6 => Just(StockKey::new("A", "north")),
        1 => Just(StockKey::new("X", "default")),
    ]
}

/// One line a row, as the decoder gives them.
fn lines(least: usize) -> impl Strategy<Value = Vec<Line>> {
    vec((key(), 1..5_i64), least..4).prop_map(|lines| {
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
    let policy = prop_oneof![2 => Just(Policy::All), 1 => Just(Policy::Partial), 2 => Just(Policy::Backorder)];
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
    (order(), of(0..4_i64), reason, prop_oneof![4 => lines(1).prop_map(Some), 1 => Just(None)])
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
    let deadline = prop_oneof![6 => Just(SEEN), 1 => Just(Timestamp(START + SECOND))];
    (prop_oneof![3 => orders.boxed(), 2 => carts.boxed()], deadline)
        .prop_map(|(claim, deadline)| Event::ClaimExpired(ClaimExpired { claim, deadline }))
        .boxed()
}

fn received() -> BoxedStrategy<Event> {
    (select(vec!["R-1", "R-2", "R-3", "R-4"]), lines(1))
        .prop_map(|(receipt, lines)| Event::StockReceived(StockReceived { receipt: receipt.into(), lines }))
        .boxed()
}

fn returned() -> BoxedStrategy<Event> {
    (select(vec!["B-1", "B-2", "B-3"]), order(), lines(1), any::<bool>())
        .prop_map(|(id, order, lines, resellable)| {
            Event::ReturnReceived(ReturnReceived { id: id.into(), order, lines, resellable })
        })
        .boxed()
}

/// A correction, a sync or a count. A count was made so many seconds before it is told as `counted_at` says.
fn corrected() -> BoxedStrategy<Event> {
    let modes = select(AdjustmentMode::ALL.to_vec());
    let names = || select(vec!["K-1", "K-2", "K-3", "K-4", "K-5", "K-6"]).prop_map(Reference::from);
    let adjusted = (names(), key(), modes, 1..9_i64, of(1..8_i64), any::<bool>()).prop_map(
        |(adjustment, key, mode, quantity, expected_version, named)| {
            let operator = named.then(|| "Ada".into());
            let reason = "broken".into();
            Event::StockAdjusted(StockAdjusted { adjustment, key, mode, quantity, expected_version, reason, operator })
        },
    );
    let synced = (names(), key(), prop_oneof![-9..0_i64, 1..5_i64]).prop_map(|(trace, key, delta)| {
        Event::StockSynced(StockSynced { trace, key, delta, order: None, reason: None })
    });
    let counted =
        (names(), key(), 0..9_i64, select(vec![-3, 0, 0, 1, 4, 9, 30])).prop_map(|(count, key, quantity, ago)| {
            Event::StockCounted(StockCounted { count, key, quantity, counted_at: Timestamp(ago * SECOND) })
        });
    prop_oneof![adjusted, synced, counted].boxed()
}

fn untouched(key: StockKey) -> SkuRegistered {
    SkuRegistered {
        key,
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

fn registered() -> impl Strategy<Value = Event> {
    let key = prop_oneof![
        3 => Just(StockKey::new("A", "default")),
        3 => Just(StockKey::new("B", "default")),
        1 => Just(StockKey::new("A", "north")),
    ];
    let numbers = (of(0..8_i64), of(0..8_i64), of(0..4_i64), of(5..20_i64), of(0..12_i64));
    let status = prop_oneof![
        4 => Just(None),
        4 => Just(Some(Status::Active)),
        1 => Just(Some(Status::Inactive)),
        1 => Just(Some(Status::Locked)),
    ];
    let name = prop_oneof![4 => Just(None), 1 => select(vec!["Mug", "Jug"]).prop_map(|name| Some(name.into()))];
    (key, name, numbers, status, of(0..5_i64)).prop_map(|(key, name, numbers, status, version)| {
        let (safety_stock, warning_threshold, critical_threshold, max_stock, initial) = numbers;
        let plain = untouched(key);
        Event::SkuRegistered(SkuRegistered {
            name,
            safety_stock,
            warning_threshold,
            critical_threshold,
            max_stock,
            status,
            initial,
            version,
            ..plain
        })
    })
}
