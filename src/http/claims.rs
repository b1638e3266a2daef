//! `/api/v1/orders` and `/api/v1/carts`: who holds what.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::parameters::{Parameters, Segment, reference};
use super::problem::Problem;
use super::router::Sidecar;
use crate::domain::claim::{ClaimKey, ClaimKind};
use crate::ports::{ClaimView, Queries};
use crate::wire::instant;

/// A claim as the contract shows it.
#[derive(Serialize)]
pub(super) struct ClaimBody {
    kind: &'static str,
    reference: String,
    state: &'static str,
    version: Option<i64>,
    expires_at: Option<String>,
    lines: Vec<LineBody>,
    /// The last answer; `null` before the first.
    answer: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct LineBody {
    sku: String,
    location: String,
    requested: i64,
    reserved: i64,
    deducted: i64,
    released: i64,
    shipped: i64,
    returned: i64,
    waiting: i64,
}

impl ClaimBody {
    fn of(view: ClaimView) -> Self {
        let claim = view.claim;
        let lines = claim.lines.iter().filter(|(_, line)| line.stands()).map(|(key, line)| LineBody {
            sku: key.sku.to_string(),
            location: key.location.to_string(),
            requested: line.requested,
            reserved: line.reserved,
            deducted: line.deducted,
            released: line.released,
            shipped: line.shipped,
            returned: line.returned,
            waiting: line.waiting,
        });
        Self {
            kind: claim.key.kind.as_str(),
            reference: claim.key.reference.to_string(),
            state: claim.state.as_str(),
            version: claim.version,
            expires_at: claim.expires_at.map(instant::format),
            lines: lines.collect(),
            answer: view.answer,
        }
    }
}

/// `GET /api/v1/orders/{id}`.
pub(super) async fn order<Q: Queries>(
    State(sidecar): State<Arc<Sidecar<Q>>>,
    Segment(text): Segment,
    parameters: Parameters,
) -> Result<Json<ClaimBody>, Problem> {
    claim(&sidecar, ClaimKind::Order, text, parameters).await
}

/// `GET /api/v1/carts/{id}`.
pub(super) async fn cart<Q: Queries>(
    State(sidecar): State<Arc<Sidecar<Q>>>,
    Segment(text): Segment,
    parameters: Parameters,
) -> Result<Json<ClaimBody>, Problem> {
    claim(&sidecar, ClaimKind::Cart, text, parameters).await
}

async fn claim<Q: Queries>(
    sidecar: &Sidecar<Q>,
    kind: ClaimKind,
    text: String,
    parameters: Parameters,
) -> Result<Json<ClaimBody>, Problem> {
    let key = ClaimKey { kind, reference: reference(text)? };
    parameters.done()?;
    match sidecar.ask(sidecar.queries.claim(&key)).await? {
        Some(view) => Ok(Json(ClaimBody::of(view))),
        None => Err(Problem::not_found(format!("no {} {:?}", kind.as_str(), key.reference))),
    }
}
