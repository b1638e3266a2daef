//! A shop on a database of its own for each test, and the engine on it, driven step by step. Which store keeps the
//! database is a parameter: tests that hold on every store are compiled for each.

mod behind;
mod cutting_proxy;
mod databases;
mod kinds;
mod on_model;
mod on_postgres;
mod on_sqlite;
mod sql;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub use behind::{Ended, Kept, Tampering, day, instant};
pub use databases::{Databases, PostgresAddress, new_database, settings, shared_postgres};
pub use kinds::{StoreKind, retention};
pub use on_model::OnModel;
pub use on_postgres::OnPostgres;
pub use on_sqlite::OnSqlite;

use holdfast::bus::direct::{DirectLimits, DirectSource, DirectSubmitter, direct};
use holdfast::domain::announce::{Announcement, AnnouncementBody, Answer};
use holdfast::domain::claim::{Claim, ClaimKey, ClaimKind};
use holdfast::domain::rules::Rules;
use holdfast::domain::stock::StockRow;
use holdfast::domain::words::{StockKey, Timestamp};
use holdfast::engine::judge::Bench;
use holdfast::engine::{self, Engine, Step};
use holdfast::health::Liveness;
use holdfast::metrics::Metrics;
use holdfast::ports::{BatchLimit, DeadLetter, Delivery, Entry, Outcome, Position, Queries, Record, Store};
use holdfast::store::{Retention, Upkeep};
use holdfast::sweeper::{self, Sweeper};
use holdfast::wire::decode::{Decoded, Decoder};
use holdfast::wire::schemas::KnownSchemas;
use holdfast::wire::topics::Topics;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A shop on PostgreSQL, for tests of what only PostgreSQL has.
pub type Shop = ShopOn<OnPostgres>;

/// One worker's engine on a database. Several shops on one database are several workers.
pub struct ShopOn<K: StoreKind> {
    /// What finds the database again.
    pub url: K::Address,
    pub store: K::Store,
    pub metrics: Metrics,
    rules: Rules,
    submitter: DirectSubmitter,
    engine: Engine<DirectSource, K::Store>,
    /// Keeps the database until the shop that made it is gone.
    _place: Option<K::Place>,
}

impl<K: StoreKind> ShopOn<K> {
    /// See [`StoreKind::LETS_OTHERS_BETWEEN`].
    pub const LETS_OTHERS_BETWEEN: bool = K::LETS_OTHERS_BETWEEN;

    /// A new database under the default rules.
    pub async fn open() -> Self {
        Self::with_rules(Rules::default()).await
    }

    /// A new database under other rules.
    pub async fn with_rules(rules: Rules) -> Self {
        let (url, place) = K::new_database().await;
        Self { _place: Some(place), ..Self::at(url, rules).await }
    }

    /// A new database that keeps the keys of so many days at most.
    pub async fn with_days(most: i64) -> Self {
        let (url, place) = K::new_database().await;
        let store = K::connect_with(&url, Retention { inbox_max_days: most, ..retention() }).await;
        Self { _place: Some(place), ..Self::on(url, store, Rules::default()) }
    }

    /// Another worker on a database.
    pub async fn at(url: K::Address, rules: Rules) -> Self {
        let store = K::connect(&url).await;
        Self::on(url, store, rules)
    }

    /// What judges the events of this shop.
    pub fn bench(&self) -> Bench {
        bench(self.rules.clone())
    }

    /// Everything that the database keeps, of one moment.
    pub async fn kept(&self) -> Kept {
        K::kept(&self.url).await
    }

    /// Changes the database behind the store's back.
    pub async fn tamper(&self, tampering: Tampering<'_>) {
        K::tamper(&self.url, &tampering).await;
    }

    /// Commits a batch by another writer, who is to die at one of its moments, counted from 0.
    pub async fn commit_and_die(&self, entries: &[Entry], moment: usize) -> Ended {
        K::commit_and_die(&self.url, entries, &self.bench(), moment).await
    }

    /// Has the database's clock go on by so many seconds at least.
    pub async fn pass(&self, seconds: i64) {
        K::pass(&self.url, &self.store, seconds).await;
    }

    /// A worker on a store.
    pub fn on(url: K::Address, store: K::Store, rules: Rules) -> Self {
        let (submitter, source) = direct(DirectLimits { submissions: 4_096, bytes: 256 * 1024 * 1024 });
        // Nobody publishes: the outbox in the table is what tests read.
        let (relay, _) = mpsc::channel(1);
        let metrics = Metrics::new();
        let parts = engine::Parts {
            name: "test",
            store: store.clone(),
            decoder: Arc::new(decoder()),
            bench: bench(rules.clone()),
            limit: BatchLimit { deliveries: 10_000, bytes: 64 * 1024 * 1024 },
            relay,
            metrics: metrics.clone(),
            pulse: Liveness::new(std::time::Duration::from_secs(60)).watch("test"),
            stop: CancellationToken::new(),
        };
        Self { url, store, metrics, rules, submitter, engine: Engine::new(source, parts), _place: None }
    }

    /// Sends events as one batch; outcomes stand in their order.
    pub async fn send(&mut self, events: Vec<Value>) -> Vec<Outcome> {
        self.deliver(events.iter().map(|event| record(event.to_string().into_bytes())).collect()).await
    }

    /// Sends one event.
    pub async fn send_one(&mut self, event: Value) -> Outcome {
        self.send(vec![event]).await.remove(0)
    }

    /// Sends deliveries as one batch.
    pub async fn deliver(&mut self, deliveries: Vec<Delivery>) -> Vec<Outcome> {
        let submitter = self.submitter.clone();
        let submitted = submitter.submit(deliveries);
        let stepped = async {
            loop {
                match self.engine.step().await.expect("the engine should go on") {
                    Step::Idle => {}
                    step => return step,
                }
            }
        };
        let (outcomes, step) = tokio::join!(submitted, stepped);
        assert!(matches!(step, Step::Committed(_)), "{step:?}");
        outcomes.expect("the engine should answer")
    }

    /// One round of the sweeper, while the engine steps. Returns how many claims were handed in.
    pub async fn sweep(&mut self) -> usize {
        let parts = sweeper::Parts {
            store: self.store.clone(),
            submitter: self.submitter.clone(),
            metrics: self.metrics.clone(),
            pulse: Liveness::new(std::time::Duration::from_secs(60)).watch("test"),
            stop: CancellationToken::new(),
        };
        let mut sweeper = Sweeper::new(parts);
        let mut round = std::pin::pin!(sweeper.step());
        loop {
            tokio::select! {
                biased;
                swept = &mut round => return swept.expect("due claims should be readable"),
                step = self.engine.step() => assert!(matches!(step, Ok(Step::Idle | Step::Committed(_))), "{step:?}"),
            }
        }
    }

    /// A stock row at the default location.
    pub async fn stock(&self, sku: &str) -> StockRow {
        let row = self.store.stock(&StockKey::new(sku, "default")).await.expect("the store should answer");
        row.unwrap_or_else(|| panic!("{sku} should be registered"))
    }

    /// `(on_hand, cart_held, order_reserved, available)` of a SKU at the default location.
    pub async fn units(&self, sku: &str) -> (i64, i64, i64, i64) {
        let counters = self.stock(sku).await.counters;
        (counters.on_hand, counters.cart_held, counters.order_reserved, counters.available())
    }

    /// An order or cart, if it is known.
    pub async fn claim(&self, kind: ClaimKind, reference: &str) -> Option<Claim> {
        let key = ClaimKey { kind, reference: reference.into() };
        self.store.claim(&key).await.expect("the store should answer").map(|view| view.claim)
    }

    /// The state of an order, if it is known.
    pub async fn claim_state(&self, order: &str) -> Option<String> {
        self.claim(ClaimKind::Order, order).await.map(|claim| claim.state.as_str().to_owned())
    }

    /// An order that is known.
    pub async fn order(&self, reference: &str) -> Claim {
        self.claim(ClaimKind::Order, reference).await.unwrap_or_else(|| panic!("order {reference} should be known"))
    }

    /// A cart that is known.
    pub async fn cart(&self, reference: &str) -> Claim {
        self.claim(ClaimKind::Cart, reference).await.unwrap_or_else(|| panic!("cart {reference} should be known"))
    }

    /// Everything announced so far, in order, read from the outbox.
    pub async fn announcements(&self) -> Vec<Announcement> {
        let batches = self.store.unpublished(0, 1_000_000).await.expect("the outbox should be readable");
        batches.into_iter().flat_map(|batch| batch.announcements).collect()
    }

    /// Everything buried so far, in order, read from the outbox.
    pub async fn dead_letters(&self) -> Vec<DeadLetter> {
        let batches = self.store.unpublished(0, 1_000_000).await.expect("the outbox should be readable");
        batches.into_iter().flat_map(|batch| batch.dead_letters).collect()
    }

    /// The answers to one order, cart or stock event so far, in order.
    pub async fn answers(&self, reference: &str) -> Vec<Answer> {
        let of_reference = |announcement: Announcement| match announcement.body {
            AnnouncementBody::ReservationResult(answer) if answer.reference.as_str() == reference => Some(answer),
            _ => None,
        };
        self.announcements().await.into_iter().filter_map(of_reference).collect()
    }

    /// Every invariant that the database can prove must hold.
    pub async fn assert_sound(&self) {
        for check in self.store.verify(false).await.expect("the checks should run") {
            assert_eq!(check.differing, 0, "{}: {:#?}", check.check, check.differences);
        }
    }
}

fn bench(rules: Rules) -> Bench {
    Bench { rules, max_clock_skew_seconds: 300, count_max_age_seconds: 604_800, buries: true }
}

fn decoder() -> Decoder {
    let topics = Arc::new(Topics::new("", &Default::default(), "").expect("the default names should do"));
    Decoder::new(topics, Arc::new(KnownSchemas::load()), None, 8 * 1024 * 1024)
}

/// Deliveries as the engine hands them to a store.
pub fn decoded(deliveries: Vec<Delivery>) -> Vec<Entry> {
    let decoder = decoder();
    let entry = |delivery| match decoder.decode(delivery, &Default::default(), Timestamp(1_767_225_600_000_000)) {
        Decoded::Event(envelope, record) => Entry::Event { envelope, record: record.map(Box::new) },
        Decoded::DeadLetter(letter) => Entry::DeadLetter(Box::new(letter)),
    };
    deliveries.into_iter().map(entry).collect()
}

/// A record as the sidecar makes it: a structured CloudEvent. Each has a position of its own.
pub fn record(payload: Vec<u8>) -> Delivery {
    static OFFSET: AtomicU32 = AtomicU32::new(0);
    Delivery::Record(Record {
        position: Position {
            topic: "test".into(),
            partition: 0,
            offset: i64::from(OFFSET.fetch_add(1, Ordering::Relaxed)),
        },
        key: None,
        headers: vec![("content-type".to_owned(), Some(b"application/cloudevents+json".to_vec()))],
        payload: Some(payload),
        timestamp: None,
    })
}

/// A CloudEvent of a type with an id and a body.
pub fn event(event_type: &str, id: &str, data: Value) -> Value {
    json!({"specversion": "1.0", "type": event_type, "id": id, "source": "/shop", "data": data})
}

/// A CloudEvent with an id that nothing else has.
pub fn fresh(event_type: &str, data: Value) -> Value {
    event(event_type, &uuid::Uuid::now_v7().to_string(), data)
}

/// `sku-registered` with units on hand.
pub fn registered(sku: &str, initial: i64) -> Value {
    fresh("sku-registered", json!({"sku": sku, "initial": initial}))
}

/// Lines of an event.
pub fn lines(lines: &[(&str, i64)]) -> Value {
    lines.iter().map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity})).collect()
}

/// `order-created` under the default policy.
pub fn ordered(order: &str, wanted: &[(&str, i64)]) -> Value {
    fresh("order-created", json!({"order_id": order, "lines": lines(wanted)}))
}
