//! The same histories on every store and on the model, which is the reference: the same outcomes, answers, numbers and
//! announcements, byte for byte.

use std::sync::Arc;

use holdfast::domain::claim::{Claim, ClaimKey, ClaimKind};
use holdfast::domain::event::{Cause, ClaimExpired, Envelope, Event, EventType, ToldAt, Trace};
use holdfast::domain::rules::{DeductOn, Rules};
use holdfast::domain::stock::{Level, StockRow};
use holdfast::domain::words::Timestamp;
use holdfast::engine::judge::Bench;
use holdfast::ports::{Delivery, DueClaim, Entry, MovementView, OutboxBatch, Outcome, Queries, StockFilter, Store};
use holdfast::store::{Upkeep, Verification};
use holdfast::wire::identity::{event_key, fingerprint};
use serde_json::{Value, json};

use crate::shop::{Kept, OnModel, OnPostgres, OnSqlite, ShopOn, StoreKind, Tampering, decoded, event, record};

/// A clock that every store is judged by: 2026-01-01, so that every deadline is over by its own.
const NOW: i64 = 1_767_225_600_000_000;
const BATCHES: usize = 25;

/// Numbers that are the same on every machine: xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one_of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len() as u64) as usize]
    }
}

/// Everything that can be seen of a store after a history. Instants that a store's own clock gave are left out.
#[derive(Debug, PartialEq)]
struct Seen {
    stock: Vec<StockRow>,
    movements: Vec<MovementView>,
    claims: Vec<(Claim, Option<Value>)>,
    outbox: Vec<OutboxBatch>,
    kept: Kept,
}

async fn look<K: StoreKind>(shop: &ShopOn<K>) -> Seen {
    let stock = shop.store.stock_page(&StockFilter::default(), None, 1_000).await.unwrap();
    let mut movements = Vec::new();
    for row in &stock {
        let history = shop.store.movements(&row.key, None, 10_000).await.unwrap();
        movements.extend(history.into_iter().map(|it| MovementView { recorded_at: Timestamp(0), ..it }));
    }
    let mut claims = Vec::new();
    for kind in ClaimKind::ALL {
        for reference in references() {
            let view = shop.store.claim(&ClaimKey { kind, reference: reference.as_str().into() }).await.unwrap();
            claims.extend(view.map(|view| (view.claim, view.answer.map(without_instants))));
        }
    }
    let mut outbox = shop.store.unpublished(0, 10_000).await.unwrap();
    outbox.iter_mut().for_each(|batch| batch.recorded_at = Timestamp(0));
    let mut kept = shop.kept().await;
    // Midnight may come between two stores.
    kept.days.iter_mut().for_each(|day| day.last_written_on = day.day);
    Seen { stock, movements, claims, outbox, kept }
}

fn without_instants(mut answer: Value) -> Value {
    let fields = answer.as_object_mut().expect("an answer is an object");
    fields.shift_remove("recorded_at").expect("an answer says when it was recorded");
    answer
}

fn references() -> Vec<String> {
    let named = |letter: char| (0..6).map(move |number| format!("{letter}-{number}"));
    named('O').chain(named('C')).chain(named('R')).collect()
}

/// A batch of whatever may meet: few SKUs, few references, repetitions, poison.
fn batch(dice: &mut Dice, number: usize, told: &mut Vec<Value>) -> Vec<Value> {
    let mut events = Vec::new();
    for place in 0..1 + dice.below(12) {
        if !told.is_empty() && dice.below(6) == 0 {
            events.push(told[dice.below(told.len() as u64) as usize].clone());
            continue;
        }
        let body = body(dice);
        let mut told_now = match dice.below(3) {
            0 => event(body.0, &format!("{number}/{place}"), body.1),
            _ => event(body.0, &id(dice), body.1),
        };
        told_now["time"] = json!(format!("2025-12-{:02}T{:02}:00:00Z", 1 + dice.below(28), dice.below(24)));
        told_now["source"] = json!(dice.one_of(&["/shop", "/warehouse", "/Laden"]));
        if dice.below(4) == 0 {
            told_now["traceparent"] = json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        }
        told.push(told_now.clone());
        events.push(told_now);
    }
    events
}

fn id(dice: &mut Dice) -> String {
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        *byte = dice.below(256) as u8;
    }
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

fn body(dice: &mut Dice) -> (&'static str, Value) {
    let sku = |dice: &mut Dice| dice.one_of(&["A", "B", "C", "Ä\"\\", "unknown"]).to_owned();
    let number = |dice: &mut Dice| dice.below(6);
    let mut lines = Vec::new();
    for _ in 0..1 + dice.below(3) {
        let location = dice.one_of(&["default", "default", "north"]);
        lines.push(json!({"sku": sku(dice), "location": location, "quantity": dice.below(6)}));
    }
    let (order, cart, version) = (format!("O-{}", number(dice)), format!("C-{}", number(dice)), dice.below(4));
    match dice.below(10) {
        0 => {
            let settings = json!({"sku": sku(dice), "location": "north", "initial": dice.below(30), "name": "ein \"Name\"",
                "safety_stock": dice.below(3), "max_stock": 1_000, "sku_version": version});
            ("sku-registered", settings)
        }
        1 => (
            "sku-registered",
            json!({"sku": sku(dice), "initial": 40, "warning_threshold": 9, "critical_threshold": 3}),
        ),
        2 => ("stock-received", json!({"receipt_id": format!("R-{}", number(dice)), "lines": lines})),
        3 | 4 => {
            let policy = dice.one_of(&["all", "partial", "backorder", "backorder"]);
            let mut order = json!({"order_id": order, "order_version": version, "lines": lines, "policy": policy});
            if dice.below(2) == 0 {
                order["cart_id"] = json!(cart);
            }
            ("order-created", order)
        }
        5 | 6 => ("cart-updated", json!({"cart_id": cart, "cart_version": version, "lines": lines})),
        7 => ("order-confirmed", json!({"order_id": order})),
        8 => (
            "order-shipped",
            json!({"order_id": order, "shipment_id": format!("S \"{version}\" \\ {{}}"), "lines": lines}),
        ),
        _ => ("order-cancelled", json!({"order_id": order, "lines": lines, "reason": "zu spät"})),
    }
}

/// The event of the sweeper.
fn expiry(claim: DueClaim) -> Delivery {
    let DueClaim { key, deadline, seen_at } = claim;
    let id: Arc<str> = format!("{}:{}:{}", key.kind.as_str(), key.reference, deadline.0).into();
    let reference = Some(key.reference.clone());
    let event = Event::ClaimExpired(ClaimExpired { claim: key, deadline });
    let cause = Cause { event_type: EventType::ClaimExpired, id: id.clone(), source: "holdfast".into(), reference };
    Delivery::Command(Box::new(Envelope {
        cause: Arc::new(cause),
        key: event_key(&id),
        told_at: ToldAt::Publisher(deadline),
        day: seen_at.day(),
        fingerprint: fingerprint(&event),
        trace: Trace::default(),
        event,
    }))
}

/// Commits a batch as the engine does, judged at a moment of ours.
async fn commit<K: StoreKind>(shop: &ShopOn<K>, bench: &Bench, entries: &[Entry], now: i64) -> (Vec<Outcome>, Value) {
    let judge = |loaded| bench.judge(entries, holdfast::ports::Loaded { now: Timestamp(now), ..loaded });
    let committed = shop.store.commit(entries, &judge).await.expect("it should commit");
    let outbox =
        committed.outbox.map(|it| (it.number, it.first_seq, format!("{:?}", (it.announcements, it.dead_letters))));
    (committed.outcomes, json!(outbox))
}

/// Due claims as if each had been looked for at its deadline: no two stores look at the same moment.
async fn due<K: StoreKind>(shop: &ShopOn<K>) -> Vec<DueClaim> {
    let mut due = shop.store.due_claims(1_000).await.expect("the store should answer");
    assert!(due.is_sorted_by_key(|claim| claim.deadline), "the oldest first: {due:?}");
    for claim in &mut due {
        assert!(claim.seen_at > claim.deadline, "{claim:?}");
        claim.seen_at = claim.deadline;
    }
    due.sort_by(|left, right| left.key.cmp(&right.key));
    due
}

/// What a store tells of damage.
async fn told<K: StoreKind>(shop: &ShopOn<K>) -> Vec<Verification> {
    for tampering in [
        Tampering::CartHeld { sku: "A", units: 77 },
        Tampering::Level { sku: "B", level: Level::Out },
        Tampering::SetAside { reference: "C-1", more: 5 },
        Tampering::Waiting { sku: "A", units: 77 },
        Tampering::PlacesLost { reference: "O-1" },
        Tampering::MovementLost { sku: "A", version: 2 },
        Tampering::OutboxLost { numbers: 3..=4 },
        Tampering::NumbersGiven { batches: 2 },
        Tampering::Published { number: 1_000, seq: 1_000 },
    ] {
        shop.tamper(tampering).await;
    }
    let mut checks = shop.store.verify(false).await.unwrap();
    for check in &mut checks {
        check.differences.sort_by(|one, other| one.place.cmp(&other.place));
    }
    checks
}

/// The same history on all of them. Returns how many claims and movements it left.
async fn compare(seed: u64, deduct_on: DeductOn) -> (usize, usize) {
    let rules = Rules { deduct_on, order_ttl_seconds: 60, ..Rules::default() };
    let model = ShopOn::<OnModel>::with_rules(rules.clone()).await;
    let postgres = ShopOn::<OnPostgres>::with_rules(rules.clone()).await;
    let sqlite = ShopOn::<OnSqlite>::with_rules(rules).await;
    let bench = model.bench();
    let mut dice = Dice(seed | 1 << 40);
    let mut told_before = Vec::new();
    for number in 0..BATCHES {
        let now = NOW + number as i64 * 1_000_000;
        let events = batch(&mut dice, number, &mut told_before);
        let mut deliveries: Vec<Delivery> = events.iter().map(|event| record(event.to_string().into_bytes())).collect();
        if number % 5 == 4 {
            deliveries.push(record(b"poison \xff".to_vec()));
            let expected = due(&model).await;
            assert_eq!(due(&postgres).await, expected, "seed {seed}, batch {number}");
            assert_eq!(due(&sqlite).await, expected, "seed {seed}, batch {number}");
            deliveries.extend(expected.into_iter().take(2).map(expiry));
        }
        let entries = decoded(deliveries);
        let expected = commit(&model, &bench, &entries, now).await;
        assert_eq!(commit(&postgres, &bench, &entries, now).await, expected, "seed {seed}, batch {number}");
        assert_eq!(commit(&sqlite, &bench, &entries, now).await, expected, "seed {seed}, batch {number}");
    }
    let expected = look(&model).await;
    assert_eq!(look(&postgres).await, expected, "seed {seed}");
    assert_eq!(look(&sqlite).await, expected, "seed {seed}");
    let left = (expected.claims.len(), expected.movements.len());
    model.assert_sound().await;
    postgres.assert_sound().await;
    sqlite.assert_sound().await;
    // And what one tells of damage, the others tell in the same words.
    let expected = told(&model).await;
    assert_eq!(told(&postgres).await, expected, "seed {seed}");
    assert_eq!(told(&sqlite).await, expected, "seed {seed}");
    left
}

#[tokio::test]
async fn the_same_history_leaves_the_same_on_postgresql_on_sqlite_and_on_the_model() {
    for (seed, deduct_on) in [(11, DeductOn::Created), (4_711, DeductOn::Confirmed), (90_210, DeductOn::Shipped)] {
        println!("seed {seed}, {deduct_on:?}");
        let (claims, movements) = compare(seed, deduct_on).await;
        assert!(claims > 5 && movements > 10, "seed {seed} makes no history: {claims} claims, {movements} movements");
    }
    // Another one each time. How much comes of it is chance.
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    compare(seed, DeductOn::Confirmed).await;
}
