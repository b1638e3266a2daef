//! Errors as `application/problem+json` (RFC 9457).

use std::borrow::Cow;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The content type of every error.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// What a caller has to do about an error. `INV_002` (refused by a rule of stock) belongs to the write operations of the
/// contract and is not given yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// `INV_001`: what was asked for is not there.
    NotFound,
    /// `INV_003`: the request is wrong; the same again fails again.
    Invalid,
    /// `INV_004`: the request contradicts what is known.
    Conflict,
    /// `INV_005`: the caller may not do this.
    Forbidden,
    /// `INV_006`: the worker cannot answer now; the same may succeed later.
    Unavailable,
}

impl Code {
    fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "INV_001",
            Self::Invalid => "INV_003",
            Self::Conflict => "INV_004",
            Self::Forbidden => "INV_005",
            Self::Unavailable => "INV_006",
        }
    }

    /// The code of a status that was given without one.
    fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Forbidden,
            status if status.is_client_error() => Self::Invalid,
            _ => Self::Unavailable,
        }
    }
}

/// One error.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: Code,
    detail: Cow<'static, str>,
    /// Seconds after which to try again.
    retry_after_s: Option<u32>,
    /// The state of each part of the worker.
    parts: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<&'a serde_json::Value>,
}

impl Problem {
    /// Any error.
    pub(super) fn new(status: StatusCode, code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, detail: detail.into(), retry_after_s: None, parts: None }
    }

    /// What a status says without further words.
    pub(super) fn of(status: StatusCode) -> Self {
        Self::new(status, Code::of(status), status.canonical_reason().unwrap_or("the request failed"))
    }

    /// What was asked for is not there.
    pub(super) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, detail)
    }

    /// The request is wrong.
    pub(super) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::Invalid, detail)
    }

    /// The worker cannot answer now.
    pub(super) fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, detail)
    }

    /// With the seconds after which to try again.
    pub(super) fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// With the state of each part of the worker.
    pub(super) fn with_parts(self, parts: serde_json::Value) -> Self {
        Self { parts: Some(parts), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code.as_str(),
            detail: &self.detail,
            parts: self.parts.as_ref(),
        };
        let body = serde_json::to_string(&body).expect("texts and numbers always serialize");
        let mut response = (self.status, [(CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
