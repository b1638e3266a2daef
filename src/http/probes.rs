//! Probes and metrics. None of them changes anything; the database is asked for a sign of life and nothing else.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::parameters::Segment;
use super::problem::Problem;
use super::router::Sidecar;
use crate::health::PartState;
use crate::metrics;
use crate::ports::Queries;

/// How long the database may take for a sign of life: less than probes usually wait.
const PING_TIMEOUT: Duration = Duration::from_millis(800);

/// `GET /livez`: whether the loops turn. A process that fails it should be started again.
pub(super) async fn livez<Q: Queries>(State(sidecar): State<Arc<Sidecar<Q>>>) -> Result<Json<Value>, Problem> {
    match loops(&sidecar) {
        PartState::Down(why) => Err(Problem::unavailable(why.to_string())),
        PartState::Up | PartState::Degraded(_) | PartState::Starting => Ok(Json(json!({ "status": "alive" }))),
    }
}

/// `GET /readyz`: whether the worker can do its work. It goes on trying by itself while this fails.
pub(super) async fn readyz<Q: Queries>(State(sidecar): State<Arc<Sidecar<Q>>>) -> Result<Json<Value>, Problem> {
    if sidecar.stop.is_cancelled() {
        return Err(Problem::unavailable("the worker stops"));
    }
    let parts = parts(&sidecar).await;
    answer(&parts, "ready", "not ready")
}

/// `GET /health`: every part.
pub(super) async fn health<Q: Queries>(State(sidecar): State<Arc<Sidecar<Q>>>) -> Result<Json<Value>, Problem> {
    let mut parts = parts(&sidecar).await;
    parts.push(("loops", loops(&sidecar)));
    answer(&parts, "up", "not healthy")
}

/// `GET /health/{part}`: one part.
pub(super) async fn part<Q: Queries>(
    State(sidecar): State<Arc<Sidecar<Q>>>,
    Segment(name): Segment,
) -> Result<Json<Value>, Problem> {
    let mut parts = parts(&sidecar).await;
    parts.push(("loops", loops(&sidecar)));
    parts.retain(|(part, _)| *part == name);
    if parts.is_empty() {
        return Err(Problem::not_found("the parts are bus, database, loops, migrations and relay"));
    }
    answer(&parts, "up", "not healthy")
}

/// `GET /metrics`.
pub(super) async fn metrics<Q: Queries>(State(sidecar): State<Arc<Sidecar<Q>>>) -> Response {
    let ready = sidecar.readiness.borrow().is_ready() && !sidecar.stop.is_cancelled();
    sidecar.metrics.ready(ready);
    (StatusCode::OK, [(CONTENT_TYPE, metrics::CONTENT_TYPE)], sidecar.metrics.encode()).into_response()
}

type Part = (&'static str, PartState);

async fn parts<Q: Queries>(sidecar: &Sidecar<Q>) -> Vec<Part> {
    let mut parts = vec![("database", database(sidecar.queries.ping()).await)];
    let readiness = sidecar.readiness.borrow().clone();
    parts.extend(readiness.parts().map(|(name, state)| (name, state.clone())));
    parts
}

async fn database<E>(ping: impl Future<Output = Result<(), E>>) -> PartState {
    match tokio::time::timeout(PING_TIMEOUT, ping).await {
        Ok(Ok(())) => PartState::Up,
        Ok(Err(_)) => PartState::Down("it does not answer".into()),
        Err(_) => PartState::Down("it did not answer in time".into()),
    }
}

fn loops<Q>(sidecar: &Sidecar<Q>) -> PartState {
    let stalled = sidecar.liveness.stalled(Instant::now());
    if stalled.is_empty() {
        return PartState::Up;
    }
    let said: Vec<String> =
        stalled.iter().map(|(name, ago)| format!("{name} turned last {} s ago", ago.as_secs())).collect();
    PartState::Down(said.join(", ").into())
}

fn answer(parts: &[Part], good: &str, bad: &str) -> Result<Json<Value>, Problem> {
    let shown: Map<String, Value> = parts
        .iter()
        .map(|(name, state)| {
            let mut shown = json!({ "status": state.as_str() });
            if let Some(detail) = state.detail() {
                shown["detail"] = detail.into();
            }
            ((*name).to_owned(), shown)
        })
        .collect();
    let failing: Vec<&str> = parts.iter().filter(|(_, state)| !state.works()).map(|(name, _)| *name).collect();
    if failing.is_empty() {
        return Ok(Json(json!({ "status": good, "parts": shown })));
    }
    Err(Problem::unavailable(format!("{bad}: {}", failing.join(", "))).with_parts(Value::Object(shown)))
}
