//! A worker on the model store that is asked over HTTP, without a connection.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use holdfast::bus::direct::{DirectLimits, DirectSource, direct};
use holdfast::domain::reconciliation::{Difference, DifferenceKey, Figure, FigureSource};
use holdfast::domain::rules::Rules;
use holdfast::domain::words::{StockKey, Timestamp};
use holdfast::engine::judge::Bench;
use holdfast::engine::{Engine, Parts};
use holdfast::health::{Liveness, Readiness};
use holdfast::http::{EventStream, Sidecar, SidecarLimits, router};
use holdfast::metrics::Metrics;
use holdfast::ports::BatchLimit;
use holdfast::store::Retention;
use holdfast::wire::decode::Decoder;
use holdfast::wire::schemas::KnownSchemas;
use holdfast::wire::shown::Showcase;
use holdfast::wire::topics::Topics;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

use super::super::model::{ModelDatabase, ModelStore};

pub(super) const MAX_BODY_BYTES: usize = 1 << 20;

thread_local! {
    /// Parsed once a thread: it takes longer than all the rest of a request.
    static SCHEMAS: Arc<KnownSchemas> = Arc::new(KnownSchemas::load());
}

/// A worker on the model store; a new one for each request that may change it.
pub(super) struct Worker {
    pub(super) database: ModelDatabase,
    runtime: Runtime,
    router: Router,
    engine: Engine<DirectSource, ModelStore>,
}

impl Worker {
    /// One that has nothing yet.
    pub(super) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime starts");
        let database = ModelDatabase::new(now(), Uuid::nil());
        let retention = Retention {
            inbox_keep_days: 35,
            inbox_max_days: 1_100,
            dead_letter_keep_days: 400,
            keep_published_seconds: 86_400,
            alert_keep_days: 365,
        };
        let store = ModelStore::on(database.clone(), retention);
        let (submissions, source) = direct(DirectLimits::default());
        let topics = Topics::new("", &Default::default(), "").expect("the default names should do");
        let metrics = Metrics::new();
        let liveness = Liveness::new(Duration::from_secs(60));
        let (_, readiness) = watch::channel(Readiness::STARTING);
        let sidecar = Sidecar {
            queries: store.clone(),
            stream: Arc::new(EventStream::new(Showcase::new(&topics, "holdfast"), 4)),
            submissions,
            metrics: metrics.clone(),
            liveness: liveness.clone(),
            readiness,
            stop: CancellationToken::new(),
            limits: SidecarLimits { max_body_bytes: MAX_BODY_BYTES, request_timeout: Duration::from_secs(10) },
        };
        let (relay, _) = mpsc::channel(1);
        let parts = Parts {
            name: "fuzz",
            store,
            decoder: Arc::new(Decoder::new(Arc::new(topics), SCHEMAS.with(Arc::clone), None, MAX_BODY_BYTES)),
            bench: Bench {
                rules: Rules::default(),
                max_clock_skew_seconds: 300,
                count_max_age_seconds: 604_800,
                buries: false,
            },
            limit: BatchLimit { deliveries: 1_000, bytes: MAX_BODY_BYTES },
            relay,
            metrics,
            pulse: liveness.watch("fuzz"),
            stop: CancellationToken::new(),
        };
        Self { database, runtime, router: router(sidecar), engine: Engine::new(source, parts) }
    }

    /// One of a shop that has something to show in every list.
    pub(super) fn of_a_shop() -> Self {
        let mut worker = Self::new();
        let lines = |sku: &str, quantity: i64| json!([{"sku": sku, "quantity": quantity}]);
        let mut events = vec![
            ("sku-registered", json!({"sku": "A", "initial": 100, "warning_threshold": 90, "critical_threshold": 10})),
            ("sku-registered", json!({"sku": "A", "location": "north", "initial": 5, "warning_threshold": 10})),
            ("sku-registered", json!({"sku": "B \"red\"/1", "initial": 3, "warning_threshold": 10, "name": "säge"})),
            ("sku-registered", json!({"sku": "C", "initial": 1, "warning_threshold": 10})),
            ("order-created", json!({"order_id": "O-1", "lines": lines("A", 2)})),
            ("stock-received", json!({"receipt_id": "W-1", "lines": lines("C", 50)})),
        ];
        for cart in 1..6 {
            events.push(("cart-updated", json!({"cart_id": format!("C-{cart}"), "lines": lines("A", cart)})));
        }
        let told = |((name, data), id): ((&str, Value), usize)| json!({"specversion": "1.0", "id": id.to_string(), "source": "/shop", "type": name, "data": data});
        let events: Vec<Value> = events.into_iter().zip(0..).map(told).collect();
        let request = Request::post("/api/v1/events").header("content-type", "application/json");
        let request = request.body(Body::from(json!(events).to_string())).expect("it is a request");
        let (status, _, body) = worker.ask(request);
        assert_eq!(status, StatusCode::OK);
        let told: Vec<Value> = serde_json::from_slice(&body).expect("a list of outcomes");
        assert!(told.iter().all(|it| it["outcome"] == "applied"), "{told:?}");
        worker.database.change(|tables| {
            let figures =
                [("A", FigureSource::Ledger, Figure::OnHand), ("A", FigureSource::named("wms"), Figure::Available)];
            for (sku, source, field) in
                figures.into_iter().chain([("C", FigureSource::named("wms"), Figure::Available)])
            {
                let key = DifferenceKey { key: StockKey::new(sku, "default"), source, field };
                let difference = Difference {
                    ours: 5,
                    theirs: Some(7),
                    version: 1,
                    is_alert: false,
                    settled: None,
                    first_seen_at: tables.clock,
                    last_seen_at: tables.clock,
                };
                tables.differences.insert(key, difference);
            }
        });
        worker
    }

    /// The answer to a question, as JSON; `None` where it is refused.
    pub(super) fn json(&mut self, path: &str) -> Option<Value> {
        let (status, _, body) = self.ask(Request::get(path).body(Body::empty()).ok()?);
        if status == StatusCode::OK { serde_json::from_slice(&body).ok() } else { None }
    }

    /// The answer to a request, while the engine takes what comes of it.
    pub(super) fn ask(&mut self, request: Request<Body>) -> (StatusCode, String, Vec<u8>) {
        let Self { runtime, router, engine, .. } = self;
        runtime.block_on(async {
            let mut asked = std::pin::pin!(router.clone().oneshot(request));
            let response = loop {
                tokio::select! {
                    biased;
                    response = &mut asked => break response.unwrap_or_else(|never| match never {}),
                    step = engine.step() => { step.expect("the engine goes on"); }
                }
            };
            let kind = response.headers().get("content-type").and_then(|value| value.to_str().ok());
            let (status, kind) = (response.status(), kind.unwrap_or_default().to_owned());
            // A stream never ends by itself.
            if kind.starts_with("text/event-stream") {
                return (status, kind, Vec::new());
            }
            let body = to_bytes(response.into_body(), 64 << 20).await.expect("the body is whole");
            (status, kind, body.to_vec())
        })
    }
}

/// The time of arrival of what is sent, which the worker reads off this clock: the database's must not be far from it.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    Timestamp(i64::try_from(since.as_micros()).expect("it is earlier than the year 294246"))
}
