//! `/api/v1/alerts`: what is low, and who looks after it.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::body::{read, require_json};
use super::cursor::Cursor;
use super::parameters::{Parameters, Segment, operator, sku};
use super::problem::{Code, Problem};
use super::router::Sidecar;
use super::stock::Page;
use crate::domain::alert::{Alert, AlertId, AlertState};
use crate::ports::{Acknowledgement, AlertFilter, AlertPlace, Watch};
use crate::wire::instant;

/// An alert as the contract shows it.
#[derive(Serialize)]
pub(super) struct AlertBody {
    id: Uuid,
    sku: String,
    location: String,
    level: &'static str,
    available: i64,
    version: i64,
    state: &'static str,
    opened_at: String,
    acknowledged_at: Option<String>,
    acknowledged_by: Option<String>,
    resolved_at: Option<String>,
}

impl AlertBody {
    fn of(alert: &Alert) -> Self {
        Self {
            id: Uuid::from_bytes(alert.id.0),
            sku: alert.key.sku.to_string(),
            location: alert.key.location.to_string(),
            level: alert.level.as_str(),
            available: alert.available,
            version: alert.version,
            state: alert.state.as_str(),
            opened_at: instant::format(alert.opened_at),
            acknowledged_at: alert.acknowledged_at.map(instant::format),
            acknowledged_by: alert.acknowledged_by.as_deref().map(str::to_owned),
            resolved_at: alert.resolved_at.map(instant::format),
        }
    }
}

/// `GET /api/v1/alerts`.
pub(super) async fn list<Q: Watch>(
    State(sidecar): State<Arc<Sidecar<Q>>>,
    mut parameters: Parameters,
) -> Result<Json<Page<AlertBody>>, Problem> {
    let filter = AlertFilter {
        state: parameters.one("state")?.map(|text| state(&text)).transpose()?,
        sku: parameters.one("sku")?.map(sku).transpose()?,
        location: parameters.location()?,
    };
    let after = parameters.one("cursor")?.map(|text| Cursor::alert(&text)).transpose()?;
    let limit = parameters.limit()?;
    parameters.done()?;
    let alerts = sidecar.ask(sidecar.queries.alerts(&filter, after.as_ref(), limit + 1)).await?;
    let behind = |alert: &Alert| Cursor::behind_alert(&AlertPlace { opened_at: alert.opened_at, id: alert.id });
    Ok(Json(Page::new(alerts, limit, behind, AlertBody::of)))
}

fn state(text: &str) -> Result<AlertState, Problem> {
    let words = || AlertState::ALL.map(AlertState::as_str).join(", ");
    AlertState::parse(text).ok_or_else(|| Problem::invalid(format!("state must be one of {}", words())))
}

/// `GET /api/v1/alerts/{id}`.
pub(super) async fn one<Q: Watch>(
    State(sidecar): State<Arc<Sidecar<Q>>>,
    Segment(text): Segment,
    parameters: Parameters,
) -> Result<Json<AlertBody>, Problem> {
    let id = id(&text)?;
    parameters.done()?;
    let alert = sidecar.ask(sidecar.queries.alert(id)).await?;
    alert.map(|alert| Json(AlertBody::of(&alert))).ok_or_else(|| unknown(id))
}

/// Who acknowledges.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AcknowledgeBody {
    operator: Option<String>,
}

/// `POST /api/v1/alerts/{id}/acknowledge`.
pub(super) async fn acknowledge<Q: Watch>(
    State(sidecar): State<Arc<Sidecar<Q>>>,
    Segment(text): Segment,
    headers: HeaderMap,
    parameters: Parameters,
    body: Body,
) -> Result<Json<AlertBody>, Problem> {
    let id = id(&text)?;
    parameters.done()?;
    let body = read(&sidecar, &headers, body).await?;
    require_json(&headers)?;
    let by = acknowledger(&body)?;
    match sidecar.ask(sidecar.queries.acknowledge(id, by.as_deref())).await? {
        Acknowledgement::Acknowledged(alert) => Ok(Json(AlertBody::of(&alert))),
        Acknowledgement::Resolved(alert) => {
            let since = alert.resolved_at.map_or_else(String::new, |at| format!(" since {}", instant::format(at)));
            let detail = format!("the alert is resolved{since}: there is nothing left to look after");
            Err(Problem::new(StatusCode::CONFLICT, Code::Conflict, detail))
        }
        Acknowledgement::Unknown => Err(unknown(id)),
    }
}

/// The operator in a body, which may be empty.
fn acknowledger(body: &[u8]) -> Result<Option<String>, Problem> {
    const RIGHT: &str = "the body must be empty or {\"operator\": \"who it is\"}";
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Ok(None),
        Some(b'{') => {}
        Some(_) => return Err(Problem::invalid(RIGHT)),
    }
    let read: AcknowledgeBody =
        serde_json::from_slice(body).map_err(|error| Problem::invalid(format!("{RIGHT}: {error}")))?;
    read.operator.map(operator).transpose()
}

/// Ids are UUIDs, and every other text is the id of nothing.
fn id(text: &str) -> Result<AlertId, Problem> {
    let id = Uuid::try_parse(text).map_err(|_| Problem::not_found("no such alert: its id is a UUID"))?;
    Ok(AlertId(id.into_bytes()))
}

fn unknown(id: AlertId) -> Problem {
    Problem::not_found(format!("no alert {}", Uuid::from_bytes(id.0)))
}
