//! A shop on a real PostgreSQL: a database of its own for each test, and the engine on it, driven step by step.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use holdfast::bus::direct::{DirectLimits, DirectSource, DirectSubmitter, direct};
use holdfast::domain::announce::{Announcement, AnnouncementBody, Answer};
use holdfast::domain::claim::{Claim, ClaimKey, ClaimKind};
use holdfast::domain::rules::Rules;
use holdfast::domain::stock::StockRow;
use holdfast::domain::words::StockKey;
use holdfast::engine::judge::Bench;
use holdfast::engine::{self, Engine, Step};
use holdfast::health::Liveness;
use holdfast::metrics::Metrics;
use holdfast::ports::{BatchLimit, DeadLetter, Delivery, Outcome, Position, Queries, Record, Store};
use holdfast::store::postgres::{PostgresSettings, PostgresStore};
use holdfast::sweeper::{self, Sweeper};
use holdfast::wire::decode::Decoder;
use holdfast::wire::schemas::KnownSchemas;
use holdfast::wire::topics::Topics;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::servers::Servers;

/// An ordinary user, who owns the databases of the tests and nothing else.
const USER: &str = "shopkeeper";
/// Made once a run, migrated, and copied for each test.
const TEMPLATE: &str = "shop_template";

#[derive(Clone, Deserialize)]
pub struct PostgresAddress {
    /// As the superuser.
    pub url: String,
    pub port: u16,
}

impl PostgresAddress {
    /// A database as the ordinary user.
    pub fn database(&self, name: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{name}", self.port)
    }
}

/// The PostgreSQL that all tests of this process share. Nobody may stop it.
pub fn shared_postgres() -> PostgresAddress {
    // Never dropped: the end of the process closes the pipe, and with it ends the server.
    static SHARED: OnceLock<Servers> = OnceLock::new();
    SHARED.get_or_init(|| Servers::start(&["postgres"])).address("postgres")
}

async fn execute(url: &str, statement: String) {
    let mut connection = PgConnection::connect(url).await.expect("the server should take connections");
    sqlx::query(AssertSqlSafe(statement.clone()))
        .execute(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    connection.close().await.expect("a connection should close");
}

/// A new database on the shared server. Returns its URL.
pub async fn new_database() -> String {
    static SHARED: tokio::sync::OnceCell<Databases> = tokio::sync::OnceCell::const_new();
    let server = tokio::task::spawn_blocking(shared_postgres).await.expect("the server should start");
    SHARED.get_or_init(|| Databases::on(server)).await.create().await
}

/// The databases of one server: each a copy of one that was migrated once, owned by the ordinary user.
pub struct Databases {
    server: PostgresAddress,
    created: AtomicU32,
}

impl Databases {
    /// Makes ready on a new server.
    pub async fn on(server: PostgresAddress) -> Self {
        execute(&server.url, format!("create role {USER} login nosuperuser nocreatedb nocreaterole")).await;
        execute(&server.url, format!("create database {TEMPLATE} owner {USER}")).await;
        let store = PostgresStore::connect(settings(server.database(TEMPLATE))).await.expect("it should connect");
        store.migrate().await.expect("an ordinary user should be able to migrate");
        store.close().await;
        Self { server, created: AtomicU32::new(0) }
    }

    /// A new database with the current schema. Returns its URL.
    pub async fn create(&self) -> String {
        let name = format!("shop_{}", self.created.fetch_add(1, Ordering::Relaxed));
        execute(&self.server.url, format!("create database {name} template {TEMPLATE} owner {USER}")).await;
        self.server.database(&name)
    }
}

/// The usual settings of a store.
pub fn settings(url: String) -> PostgresSettings {
    PostgresSettings {
        url: url.into(),
        connections: 4,
        acquire_timeout_ms: 10_000,
        inbox_keep_days: 35,
        inbox_max_days: 1_100,
        dead_letter_keep_days: 400,
        keep_published_seconds: 7 * 86_400,
    }
}

/// One worker's engine on a database. Several shops on one database are several workers.
pub struct Shop {
    pub url: String,
    pub store: PostgresStore,
    pub metrics: Metrics,
    submitter: DirectSubmitter,
    engine: Engine<DirectSource, PostgresStore>,
}

impl Shop {
    /// A new database under the default rules.
    pub async fn open() -> Self {
        Self::with_rules(Rules::default()).await
    }

    /// A new database under other rules.
    pub async fn with_rules(rules: Rules) -> Self {
        Self::at(new_database().await, rules).await
    }

    /// Another worker on a database.
    pub async fn at(url: String, rules: Rules) -> Self {
        let store = PostgresStore::connect(settings(url.clone())).await.expect("it should connect");
        Self::on(url, store, rules)
    }

    /// A worker on a store.
    pub fn on(url: String, store: PostgresStore, rules: Rules) -> Self {
        let (submitter, source) = direct(DirectLimits { submissions: 4_096, bytes: 256 * 1024 * 1024 });
        // Nobody publishes: the outbox in the table is what tests read.
        let (relay, _) = mpsc::channel(1);
        let metrics = Metrics::new();
        let topics = Arc::new(Topics::new("", &Default::default(), "").expect("the default names should do"));
        let decoder = Decoder::new(topics, Arc::new(KnownSchemas::load()), None, 8 * 1024 * 1024);
        let parts = engine::Parts {
            name: "test",
            store: store.clone(),
            decoder: Arc::new(decoder),
            bench: Bench { rules, max_clock_skew_seconds: 300, buries: true },
            limit: BatchLimit { deliveries: 10_000, bytes: 64 * 1024 * 1024 },
            relay,
            metrics: metrics.clone(),
            pulse: Liveness::new(std::time::Duration::from_secs(60)).watch("test"),
            stop: CancellationToken::new(),
        };
        Self { url, store, metrics, submitter, engine: Engine::new(source, parts) }
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
