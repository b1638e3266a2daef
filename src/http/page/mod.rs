//! The page for people: six files that stand in the binary and use nothing but the interface that everybody has.

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The page loads its own style and script, talks to its own address, and shows one image that stands in it. Nothing
/// that a name of a SKU could smuggle in runs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /`.
pub(super) fn index<S: Clone + Send + Sync + 'static>() -> MethodRouter<S> {
    served("text/html; charset=utf-8", include_str!("index.html"))
}

/// `GET /page.css`.
pub(super) fn style<S: Clone + Send + Sync + 'static>() -> MethodRouter<S> {
    served("text/css; charset=utf-8", include_str!("page.css"))
}

/// `GET /page.js`.
pub(super) fn script<S: Clone + Send + Sync + 'static>() -> MethodRouter<S> {
    served("text/javascript; charset=utf-8", include_str!("page.js"))
}

/// `GET /alerts.js`, which `page.js` imports.
pub(super) fn alerts<S: Clone + Send + Sync + 'static>() -> MethodRouter<S> {
    served("text/javascript; charset=utf-8", include_str!("alerts.js"))
}

/// `GET /stream.js`, which `page.js` imports.
pub(super) fn stream<S: Clone + Send + Sync + 'static>() -> MethodRouter<S> {
    served("text/javascript; charset=utf-8", include_str!("stream.js"))
}

/// `GET /pace.js`, which `page.js` imports.
pub(super) fn pace<S: Clone + Send + Sync + 'static>() -> MethodRouter<S> {
    served("text/javascript; charset=utf-8", include_str!("pace.js"))
}

fn served<S: Clone + Send + Sync + 'static>(content_type: &'static str, content: &'static str) -> MethodRouter<S> {
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&Sha256::digest(content)[..12]));
    get(move |headers: HeaderMap| async move { answer(&headers, content_type, content, &tag) })
}

/// Asked for anew each time and sent only when it changed: a new binary shows its own page at once.
fn answer(headers: &HeaderMap, content_type: &'static str, content: &'static str, tag: &str) -> Response {
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let shared =
        [(ETAG, tag), (CACHE_CONTROL, "no-cache"), (CONTENT_SECURITY_POLICY, POLICY), (REFERRER_POLICY, "no-referrer")];
    if known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag) {
        return (StatusCode::NOT_MODIFIED, shared).into_response();
    }
    (shared, [(CONTENT_TYPE, content_type)], content).into_response()
}
