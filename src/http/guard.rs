//! What every request and every answer goes through.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Code, PROBLEM_JSON, Problem};
use crate::metrics::Metrics;

/// Longest path with its query string, in bytes: 500 SKUs of 100 characters would not fit, a page of usual ones does.
const MAX_TARGET_BYTES: usize = 16 * 1024;

/// Refuses what no route should see, and gives every answer its headers and its count.
pub(super) async fn guard(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
    let route: Arc<str> = route.into();
    let answer = match refusal(&request) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };
    let answer = with_headers(as_problem(answer));
    metrics.http_request(method, route, answer.status().as_u16());
    answer
}

fn refusal(request: &Request) -> Option<Problem> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET_BYTES {
        let detail = format!("path and query string may have at most {MAX_TARGET_BYTES} bytes");
        return Some(Problem::new(StatusCode::URI_TOO_LONG, Code::Invalid, detail));
    }
    let host = request.headers().get(HOST)?;
    if host.to_str().is_ok_and(is_local) {
        return None;
    }
    // Without authentication, a page of another site must not reach this address by a name of its own.
    let detail = "the host must be localhost or a loopback address as long as there is no authentication";
    Some(Problem::new(StatusCode::FORBIDDEN, Code::Forbidden, detail))
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Every error is a problem, also those that the framework makes.
fn as_problem(answer: Response) -> Response {
    let is_error = answer.status().is_client_error() || answer.status().is_server_error();
    let is_problem = answer.headers().get(CONTENT_TYPE).is_some_and(|value| value == PROBLEM_JSON);
    if is_error && !is_problem { Problem::of(answer.status()).into_response() } else { answer }
}

fn with_headers(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Only the page itself may be kept, and says so.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

/// Methods as a label: callers can invent more of them than a metric should have.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:80", "127.9.9.9:1", "[::1]:8080", "[::1]"] {
            assert!(is_local(host), "{host}");
        }
        for host in
            ["", "example.com", "localhost.example.com", "10.0.0.1:8080", "[2001:db8::1]:80", "127.0.0.1.nip.io"]
        {
            assert!(!is_local(host), "{host}");
        }
    }
}
