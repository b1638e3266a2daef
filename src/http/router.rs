//! The routes, and what they share.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::guard::guard;
use super::problem::{Code, Problem};
use super::stream::EventStream;
use super::{alerts, claims, differences, events, openapi, page, probes, stock, stream};
use crate::bus::direct::DirectSubmitter;
use crate::health::{Liveness, Readiness};
use crate::metrics::Metrics;
use crate::ports::Watch;

/// What the routes share.
#[derive(Debug)]
pub struct Sidecar<Q> {
    /// The store.
    pub queries: Q,
    /// What is published, for those who read along.
    pub stream: Arc<EventStream>,
    /// Where events go.
    pub submissions: DirectSubmitter,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether the loops turn.
    pub liveness: Liveness,
    /// How the parts are.
    pub readiness: watch::Receiver<Readiness>,
    /// Set when the worker stops: from then on no event is taken and the worker is not ready.
    pub stop: CancellationToken,
    /// How much one request may take.
    pub limits: SidecarLimits,
}

/// How much one request may take.
#[derive(Clone, Copy, Debug)]
pub struct SidecarLimits {
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
    /// The longest wait for a body, and the longest for the answer to it.
    pub request_timeout: Duration,
}

/// One route.
pub(super) struct Route<Q> {
    /// The pattern of its path.
    pub(super) path: &'static str,
    handler: MethodRouter<Arc<Sidecar<Q>>>,
}

/// Every route. `openapi.json` describes exactly these.
pub(super) fn routes<Q: Watch>() -> Vec<Route<Q>> {
    let route = |path, handler| Route { path, handler };
    vec![
        route("/", page::index()),
        route("/page.css", page::style()),
        route("/page.js", page::script()),
        route("/alerts.js", page::alerts()),
        route("/stream.js", page::stream()),
        route("/pace.js", page::pace()),
        route("/livez", get(probes::livez::<Q>)),
        route("/readyz", get(probes::readyz::<Q>)),
        route("/health", get(probes::health::<Q>)),
        route("/health/{part}", get(probes::part::<Q>)),
        route("/metrics", get(probes::metrics::<Q>)),
        route("/openapi.json", get(openapi::document)),
        route("/api/v1/stock", get(stock::list::<Q>)),
        route("/api/v1/stock/{sku}", get(stock::one::<Q>)),
        route("/api/v1/stock/{sku}/movements", get(stock::movements::<Q>)),
        route("/api/v1/stock/{sku}/claims", get(stock::claims::<Q>)),
        route("/api/v1/orders/{id}", get(claims::order::<Q>)),
        route("/api/v1/carts/{id}", get(claims::cart::<Q>)),
        route("/api/v1/alerts", get(alerts::list::<Q>)),
        route("/api/v1/alerts/{id}", get(alerts::one::<Q>)),
        route("/api/v1/alerts/{id}/acknowledge", post(alerts::acknowledge::<Q>)),
        route("/api/v1/differences", get(differences::list::<Q>)),
        route("/api/v1/events", post(events::post::<Q>)),
        route("/api/v1/events/stream", get(stream::stream::<Q>)),
    ]
}

/// The sidecar's whole behaviour apart from connections.
pub fn router<Q: Watch>(sidecar: Sidecar<Q>) -> Router {
    let metrics = sidecar.metrics.clone();
    let unmatched = || async { Problem::not_found("no such path; /openapi.json lists those that are there") };
    let wrong_method = || async {
        let detail = "the path does not take this method; /openapi.json lists those that it takes";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, Code::Invalid, detail)
    };
    routes::<Q>()
        .into_iter()
        .fold(Router::new(), |router, route| router.route(route.path, route.handler))
        .fallback(unmatched)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(metrics, guard))
        .with_state(Arc::new(sidecar))
}
