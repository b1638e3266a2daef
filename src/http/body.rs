//! Bodies of requests: read within the limits of size and time, and taken only as what they are sent as.

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use futures_util::StreamExt;

use super::problem::{Code, Problem};
use super::router::Sidecar;
use crate::wire::cloudevents::STRUCTURED;

/// Refuses JSON that is sent as something else. A page of another site can make a browser send a text, a form or a body
/// of no type to this address without asking first, but no JSON. A body of no type is taken from callers that are no
/// page: browsers name the page in `origin`.
pub(super) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let is_right = match headers.get(CONTENT_TYPE) {
        Some(value) => value.to_str().is_ok_and(is_json),
        None => !headers.contains_key(ORIGIN),
    };
    if is_right {
        return Ok(());
    }
    let detail = format!("content-type must be {STRUCTURED} or application/json");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Invalid, detail))
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = media_type.strip_prefix("application/");
    subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

/// The whole body, within the limits of size and time.
pub(super) async fn read<Q>(sidecar: &Sidecar<Q>, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    let most = sidecar.limits.max_body_bytes;
    let too_large = || {
        let detail = format!("the body may have at most {most} bytes; send what is in it in several requests");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Code::Invalid, detail)
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > most as u64) {
        return Err(too_large());
    }
    let collect = async {
        let mut chunks = body.into_data_stream();
        let mut whole = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Problem::invalid("the body ended before it was complete"))?;
            if whole.len() + chunk.len() > most {
                return Err(too_large());
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    };
    let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, Code::Invalid, "the body did not arrive in time");
    tokio::time::timeout(sidecar.limits.request_timeout, collect).await.map_err(late)?
}
