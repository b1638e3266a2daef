//! The sidecar: any request gets an answer of its contract, and none is the worker's fault.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use holdfast::bus::direct::{DirectLimits, DirectSource, direct};
use holdfast::domain::rules::Rules;
use holdfast::domain::words::Timestamp;
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
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

use super::super::model::{ModelDatabase, ModelStore};

/// 2026-11-21T00:00:00Z.
const NOW: Timestamp = Timestamp(1_795_219_200_000_000);
const MAX_BODY_BYTES: usize = 1 << 20;

/// A worker on the model store; a new one for each request that may change it.
struct Worker {
    runtime: Runtime,
    router: Router,
    engine: Engine<DirectSource, ModelStore>,
}

impl Worker {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime starts");
        let database = ModelDatabase::new(NOW, Uuid::nil());
        let retention = Retention {
            inbox_keep_days: 35,
            inbox_max_days: 1_100,
            dead_letter_keep_days: 400,
            keep_published_seconds: 86_400,
            alert_keep_days: 365,
        };
        let store = ModelStore::on(database, retention);
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
        Self { runtime, router: router(sidecar), engine: Engine::new(source, parts) }
    }

    /// The answer to a request, while the engine takes what comes of it.
    fn ask(&mut self, request: Request<Body>) -> (StatusCode, String, Vec<u8>) {
        let Self { runtime, router, engine } = self;
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

thread_local! {
    /// Parsed once a thread: it takes longer than all the rest of a request.
    static SCHEMAS: Arc<KnownSchemas> = Arc::new(KnownSchemas::load());
    static READ_ONLY: RefCell<Worker> = RefCell::new(Worker::new());
}

/// A path with its query string, asked with GET of a worker that nobody writes to.
pub fn question(input: &[u8]) -> bool {
    let Ok(target) = std::str::from_utf8(input) else { return false };
    let Ok(request) = Request::get(format!("/{target}")).body(Body::empty()) else { return false };
    let (status, kind, body) = READ_ONLY.with_borrow_mut(|worker| worker.ask(request));
    // Nothing has said that it is ready, and nobody wrote.
    let is_a_probe = ["livez", "readyz", "health"].iter().any(|probe| target.starts_with(probe));
    assert!(status.as_u16() < 500 || is_a_probe, "{status} for {target:?}");
    expect_problem(status, &kind, &body);
    status.is_success()
}

/// A body of `POST /api/v1/events`.
pub fn events(input: &[u8]) -> bool {
    let request = Request::post("/api/v1/events").header("content-type", "application/json");
    let request = request.body(Body::from(input.to_vec())).expect("it is a request");
    let (status, kind, body) = Worker::new().ask(request);
    if status == StatusCode::OK {
        let sent = serde_json::from_slice::<Value>(input).ok();
        let told: Vec<Value> = serde_json::from_slice(&body).expect("a list of outcomes");
        if let Some(Value::Array(sent)) = sent {
            assert_eq!(told.len(), sent.len());
        }
        let known = ["applied", "refused", "ignored", "duplicate", "dead_lettered"];
        assert!(told.iter().all(|it| it["outcome"].as_str().is_some_and(|word| known.contains(&word))), "{told:?}");
    }
    assert!(!status.is_server_error(), "{status} for {input:?}");
    expect_problem(status, &kind, &body);
    status.is_success()
}

fn expect_problem(status: StatusCode, kind: &str, body: &[u8]) {
    if status.is_client_error() {
        assert_eq!(kind, "application/problem+json");
        let problem: Value = serde_json::from_slice(body).expect("a problem is JSON");
        assert_eq!(problem["status"], status.as_u16());
        assert!(problem["code"].as_str().is_some_and(|code| code.starts_with("INV_")), "{problem}");
    }
}
