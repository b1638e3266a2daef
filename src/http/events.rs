//! `POST /api/v1/events`: events for the engine, answered after they are committed.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::body::{read, require_json};
use super::parameters::Parameters;
use super::problem::{Code, Problem};
use super::router::Sidecar;
use crate::bus::direct::SubmitError;
use crate::domain::words::Timestamp;
use crate::ports::{Delivery, Header, Outcome, Position, Queries, Record};
use crate::wire::cloudevents::STRUCTURED;

/// The most events of one request: what one batch of the engine takes with room to spare.
const MAX_EVENTS: usize = 1_000;
/// What a position says in place of a topic.
const TOPIC: &str = "http";
/// Trace context that is carried from the request to its events.
const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];
/// Longest trace header that is carried, in bytes; the standard asks for at least 512.
const MAX_TRACE_BYTES: usize = 1_024;

/// How one event ended.
#[derive(Debug, Serialize)]
pub(super) struct EventResult {
    id: Option<String>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// `POST /api/v1/events`.
pub(super) async fn post<Q: Queries>(
    State(sidecar): State<Arc<Sidecar<Q>>>,
    headers: HeaderMap,
    parameters: Parameters,
    body: Body,
) -> Result<Json<Vec<EventResult>>, Problem> {
    parameters.done()?;
    if sidecar.stop.is_cancelled() {
        return Err(stopping());
    }
    let body = read(&sidecar, &headers, body).await?;
    let events = split(&body)?;
    require_json(&headers)?;
    let ids: Vec<Option<String>> = events.iter().map(|event| id_of(event)).collect();
    let outcomes = submit(&sidecar, deliveries(&headers, &events)).await?;
    let results = ids.into_iter().zip(&outcomes).map(|(id, outcome)| EventResult {
        id,
        outcome: outcome.as_str(),
        reason: reason(outcome),
    });
    Ok(Json(results.collect()))
}

/// The events of a body, each as it was written.
fn split(body: &[u8]) -> Result<Vec<&RawValue>, Problem> {
    let no_json = |error: serde_json::Error| Problem::invalid(format!("the body is not JSON: {error}"));
    let events = match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => serde_json::from_slice(body).map_err(no_json)?,
        Some(b'{') => vec![serde_json::from_slice(body).map_err(no_json)?],
        _ => return Err(Problem::invalid("the body must be one CloudEvent in JSON or a JSON array of them")),
    };
    if events.len() > MAX_EVENTS {
        let detail = format!("a request may carry at most {MAX_EVENTS} events and this one has {}", events.len());
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Code::Invalid, detail));
    }
    Ok(events)
}

/// The id that an event says it has, wherever the contract lets it stand. For the answer only: what counts is what the
/// decoder finds.
fn id_of(event: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Envelope {
        id: Option<Value>,
        data: Option<Body>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Body {
        Fields { event_id: Option<Value> },
        Other(IgnoredAny),
    }
    let event: Envelope = serde_json::from_str(event.get()).ok()?;
    let in_body = |body| match body {
        Body::Fields { event_id } => event_id,
        Body::Other(IgnoredAny) => None,
    };
    match event.id.or_else(|| event.data.and_then(in_body))? {
        Value::String(id) => Some(id),
        _ => None,
    }
}

fn deliveries(headers: &HeaderMap, events: &[&RawValue]) -> Vec<Delivery> {
    let trace = TRACE_HEADERS.iter().filter_map(|name| {
        let value = headers.get(*name).filter(|value| value.len() <= MAX_TRACE_BYTES)?;
        Some(((*name).to_owned(), Some(value.as_bytes().to_vec())))
    });
    let content_type = ("content-type".to_owned(), Some(STRUCTURED.as_bytes().to_vec()));
    let shared: Vec<Header> = std::iter::once(content_type).chain(trace).collect();
    let topic: Arc<str> = TOPIC.into();
    let arrived = now();
    let delivery = |(offset, event): (i64, &&RawValue)| {
        Delivery::Record(Record {
            position: Position { topic: Arc::clone(&topic), partition: 0, offset },
            key: None,
            headers: shared.clone(),
            payload: Some(event.get().as_bytes().to_vec()),
            timestamp: arrived,
        })
    };
    (0..).zip(events).map(delivery).collect()
}

/// The moment of arrival stands in for the broker's timestamp.
fn now() -> Option<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok().map(Timestamp)
}

/// Hands the events over together. The wait has a deadline, the work has none: what was handed over is committed
/// whether or not somebody still waits.
async fn submit<Q>(sidecar: &Sidecar<Q>, deliveries: Vec<Delivery>) -> Result<Vec<Outcome>, Problem> {
    const REPEAT: &str = "the events may have been committed; send them again with the same ids to know";
    let waiting = sidecar.submissions.submit(deliveries);
    match tokio::time::timeout(sidecar.limits.request_timeout, waiting).await {
        Ok(Ok(outcomes)) => Ok(outcomes),
        Ok(Err(SubmitError::Busy)) => {
            Err(Problem::unavailable("too many events wait already; try again").retry_after(1))
        }
        Ok(Err(SubmitError::Closed)) => Err(stopping()),
        Ok(Err(SubmitError::Unanswered)) => {
            Err(Problem::unavailable(format!("the worker stopped before it could answer: {REPEAT}")).retry_after(5))
        }
        Err(_) => {
            let detail = format!("the events were not committed in time: {REPEAT}");
            Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, Code::Unavailable, detail).retry_after(5))
        }
    }
}

fn reason(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Refused(reason) => reason.map(|reason| reason.as_str()),
        Outcome::DeadLettered { reason, .. } => Some(reason.as_str()),
        Outcome::Applied | Outcome::Ignored | Outcome::Duplicate => None,
    }
}

fn stopping() -> Problem {
    Problem::unavailable("the worker stops and takes no more events; another one will").retry_after(5)
}
