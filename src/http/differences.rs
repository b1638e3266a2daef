//! `/api/v1/differences`: the figures that differ from what other sides say.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::cursor::Cursor;
use super::parameters::{Parameters, sku};
use super::problem::Problem;
use super::router::Sidecar;
use super::stock::Page;
use crate::domain::reconciliation::{Difference, DifferenceKey, Resolution};
use crate::ports::{DifferenceFilter, Queries};
use crate::wire::instant;

/// An open difference as the contract shows it.
#[derive(Serialize)]
pub(super) struct DifferenceBody {
    sku: String,
    location: String,
    source: String,
    field: &'static str,
    ours: i64,
    /// `null` when it is missing.
    theirs: Option<i64>,
    missing: bool,
    alert: bool,
    version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    first_seen_at: String,
    last_seen_at: String,
}

impl DifferenceBody {
    fn of((place, open): &(DifferenceKey, Difference)) -> Self {
        let settled = open.settled.as_ref();
        Self {
            sku: place.key.sku.to_string(),
            location: place.key.location.to_string(),
            source: place.source.as_str().to_owned(),
            field: place.field.as_str(),
            ours: open.ours,
            theirs: open.theirs,
            missing: open.theirs.is_none(),
            alert: open.is_alert,
            version: open.version,
            resolution: settled.map(|(resolution, _): &(Resolution, _)| resolution.as_str()),
            operator: settled.and_then(|(_, decision)| decision.operator.as_deref().map(str::to_owned)),
            reason: settled.map(|(_, decision)| decision.reason.to_string()),
            first_seen_at: instant::format(open.first_seen_at),
            last_seen_at: instant::format(open.last_seen_at),
        }
    }
}

/// `GET /api/v1/differences`.
pub(super) async fn list<Q: Queries>(
    State(sidecar): State<Arc<Sidecar<Q>>>,
    mut parameters: Parameters,
) -> Result<Json<Page<DifferenceBody>>, Problem> {
    let filter =
        DifferenceFilter { source: parameters.figure_source()?, sku: parameters.one("sku")?.map(sku).transpose()? };
    let after = parameters.one("cursor")?.map(|text| Cursor::difference(&text)).transpose()?;
    let limit = parameters.limit()?;
    parameters.done()?;
    let found = sidecar.ask(sidecar.queries.differences(&filter, after.as_ref(), limit + 1)).await?;
    Ok(Json(Page::new(found, limit, |(place, _)| Cursor::behind_difference(place), DifferenceBody::of)))
}
