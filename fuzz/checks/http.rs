//! The sidecar: any request gets an answer of its contract, and none is the worker's fault.

use std::cell::RefCell;

use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::worker::Worker;

/// The largest page that may be asked for.
const MAX_PAGE: usize = 500;
/// Longest trace context that is carried on, in bytes.
const MAX_TRACE_BYTES: usize = 512;
/// Bytes of the digest behind a cursor.
const DIGEST_BYTES: usize = 4;
/// Every list that goes on somewhere.
const LISTS: [&str; 5] = [
    "/api/v1/stock?",
    "/api/v1/stock/A/movements?",
    "/api/v1/stock/A/claims?",
    "/api/v1/alerts?",
    "/api/v1/differences?",
];

thread_local! {
    static READ_ONLY: RefCell<Worker> = RefCell::new(Worker::of_a_shop());
}

/// A path with its query string, asked with GET of a worker that nobody writes to. A list is the same however it is cut
/// into pages.
pub fn question(input: &[u8]) -> bool {
    let Ok(target) = std::str::from_utf8(input) else { return false };
    let Ok(request) = Request::get(format!("/{target}")).body(Body::empty()) else { return false };
    READ_ONLY.with_borrow_mut(|worker| {
        let (status, kind, body) = worker.ask(request);
        // Nothing has said that it is ready, and nobody wrote since.
        let is_a_probe = ["livez", "readyz", "health"].iter().any(|probe| target.starts_with(probe));
        assert!(status.as_u16() < 500 || is_a_probe, "{status} for {target:?}");
        expect_problem(status, &kind, &body);
        if status.is_success() && kind == "application/json" {
            let page: Value = serde_json::from_slice(&body).expect("it is JSON");
            expect_pages(worker, target, page);
        }
        status.is_success()
    })
}

/// The rest of a list, page by page, is what one page without a limit shows.
fn expect_pages(worker: &mut Worker, target: &str, first: Value) {
    // What stands behind a `#` is the caller's own.
    let target = target.split('#').next().unwrap_or_default();
    let (Some((path, query)), Value::Array(mut shown)) = (target.split_once('?'), first["items"].clone()) else {
        return;
    };
    let without = |left_out: &[&str]| -> String {
        let is_kept = |pair: &&str| !left_out.contains(&pair.split('=').next().unwrap_or_default());
        query.split('&').filter(is_kept).map(|pair| format!("{pair}&")).collect()
    };
    // A name that is written with escapes is found by the worker alone.
    let Some(whole) = worker.json(&format!("/{path}?{}limit={MAX_PAGE}", without(&["limit"]))) else { return };
    let mut next = first["next"].clone();
    while let Some(cursor) = next.as_str() {
        let following = format!("/{path}?{}cursor={cursor}", without(&["cursor"]));
        let Some(page) = worker.json(&following) else { return };
        let items = page["items"].as_array().expect("a list goes on with items");
        assert!(!items.is_empty() && shown.len() < MAX_PAGE, "{following} shows nothing or never ends");
        shown.extend(items.iter().cloned());
        next = page["next"].clone();
    }
    assert_eq!(whole["items"], Value::Array(shown), "{target:?} in one page and in several");
}

/// A digit for a list, and what a cursor says, which is sealed here as the worker seals its own: wherever it points, the
/// list goes on with an end of itself.
pub fn cursor(input: &[u8]) -> bool {
    let Some((choice, said)) = input.split_first() else { return false };
    let list = LISTS[usize::from(choice.wrapping_sub(b'0')) % LISTS.len()];
    let digest = Sha256::digest(said);
    let sealed = URL_SAFE_NO_PAD.encode([said, &digest[..DIGEST_BYTES]].concat());
    let Ok(request) = Request::get(format!("{list}limit={MAX_PAGE}&cursor={sealed}")).body(Body::empty()) else {
        return false;
    };
    READ_ONLY.with_borrow_mut(|worker| {
        let (status, kind, body) = worker.ask(request);
        assert!(status == StatusCode::OK || status == StatusCode::BAD_REQUEST, "{status} for {said:?}");
        expect_problem(status, &kind, &body);
        if status != StatusCode::OK {
            return false;
        }
        let page: Value = serde_json::from_slice(&body).expect("it is JSON");
        let whole = worker.json(&format!("{list}limit={MAX_PAGE}")).expect("the list has a beginning");
        let (shown, all) = (page["items"].as_array().expect("a list"), whole["items"].as_array().expect("a list"));
        assert!(all.len() > 1 && all.ends_with(shown), "behind {said:?}: {shown:?}");
        assert!(page["next"].is_null());
        true
    })
}

/// Lines of headers, an empty line, and a body of `POST /api/v1/events`. JSON alone is taken, its trace context is carried,
/// and what is sent again is a duplicate.
pub fn events(input: &[u8]) -> bool {
    let Some((request, headers, body)) = request(Request::post("/api/v1/events"), input) else { return false };
    let mut worker = Worker::new();
    let (status, kind, answer) = worker.ask(request);
    assert!(!status.is_server_error(), "{status} for {input:?}");
    expect_problem(status, &kind, &answer);
    assert!(status != StatusCode::OK || is_json(&headers), "{headers:?} was taken");
    assert!(status != StatusCode::UNSUPPORTED_MEDIA_TYPE || !is_json(&headers), "{headers:?} was not taken");
    if status != StatusCode::OK {
        return false;
    }
    let outcomes = |answer: &[u8]| -> Vec<Value> { serde_json::from_slice(answer).expect("a list of outcomes") };
    let told = outcomes(&answer);
    if let Ok(Value::Array(sent)) = serde_json::from_slice::<Value>(body) {
        assert_eq!(told.len(), sent.len());
    }
    expect_trace(&worker, &headers, body);
    let (again, _, _) = self::request(Request::post("/api/v1/events"), input).expect("it was one before");
    let (status, _, answer) = worker.ask(again);
    assert_eq!(status, StatusCode::OK);
    for (first, second) in told.iter().zip(outcomes(&answer)) {
        let expected = match first["outcome"].as_str() {
            Some("applied" | "refused" | "ignored" | "duplicate") => "duplicate",
            Some("dead_lettered") => "dead_lettered",
            other => panic!("{other:?} is no outcome"),
        };
        assert_eq!((&second["id"], &second["outcome"]), (&first["id"], &Value::from(expected)));
    }
    true
}

/// Every announcement carries the request's trace context, where it can be carried and no event has one of its own.
fn expect_trace(worker: &Worker, headers: &HeaderMap, body: &[u8]) {
    let has_own = |name: &str| body.windows(name.len()).any(|it| it == name.as_bytes()) || body.contains(&b'\\');
    let carried = |name: &str| {
        let text = headers.get(name)?.as_bytes();
        let is_carried =
            (1..=MAX_TRACE_BYTES).contains(&text.len()) && text.iter().all(|it| (b' '..=b'~').contains(it));
        is_carried.then(|| String::from_utf8_lossy(text).into_owned())
    };
    worker.database.look(|tables| {
        for announcement in tables.outbox.values().flat_map(|batch| &batch.announcements) {
            let trace = &announcement.trace;
            for (name, given) in [("traceparent", &trace.parent), ("tracestate", &trace.state)] {
                assert!(has_own(name) || given.as_deref() == carried(name).as_deref(), "{name} is {given:?}");
            }
        }
    });
}

/// Lines of headers, an empty line, and a body of `POST …/acknowledge`: an alert is acknowledged by whom the body names, or
/// left as it was.
pub fn acknowledge(input: &[u8]) -> bool {
    let mut worker = Worker::of_a_shop();
    let open = worker.json("/api/v1/alerts?state=open").expect("the shop has alerts");
    let before = open["items"][0].clone();
    let path = format!("/api/v1/alerts/{}", before["id"].as_str().expect("an alert has an id"));
    let post = || Request::post(format!("{path}/acknowledge"));
    let Some((request, headers, body)) = request(post(), input) else { return false };
    let (status, kind, answer) = worker.ask(request);
    assert!(status == StatusCode::OK || status.is_client_error(), "{status} for {input:?}");
    expect_problem(status, &kind, &answer);
    let after = worker.json(&path).expect("the alert is still there");
    if status != StatusCode::OK {
        assert_eq!(after, before);
        return false;
    }
    assert!(is_json(&headers), "{headers:?} was taken");
    let named = match body.trim_ascii() {
        [] => Value::Null,
        said => serde_json::from_slice::<Value>(said).expect("it is JSON")["operator"].clone(),
    };
    assert_eq!(serde_json::from_slice::<Value>(&answer).expect("it is JSON"), after);
    assert_eq!((&after["state"], &after["acknowledged_by"]), (&Value::from("acknowledged"), &named));
    assert!(named.as_str().is_none_or(|name| !name.is_empty() && !name.contains('\0')), "{named}");
    true
}

/// A request of lines of headers, an empty line, and a body; `None` where a header is none.
fn request(mut builder: Builder, input: &[u8]) -> Option<(Request<Body>, HeaderMap, &[u8])> {
    let end = input.windows(2).position(|window| window == b"\n\n")?;
    let (head, body) = (&input[..end], &input[end + 2..]);
    for line in head.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        builder = builder.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    let request = builder.body(Body::from(body.to_vec())).ok()?;
    let headers = request.headers().clone();
    Some((request, headers, body))
}

/// Whether a body is taken: `application/json` or `application/…+json`, or of no type where no browser names its page.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get("content-type") else { return !headers.contains_key("origin") };
    let Ok(text) = value.to_str() else { return false };
    let media_type = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/json" || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

fn expect_problem(status: StatusCode, kind: &str, body: &[u8]) {
    if status.is_client_error() {
        assert_eq!(kind, "application/problem+json");
        let problem: Value = serde_json::from_slice(body).expect("a problem is JSON");
        assert_eq!(problem["status"], status.as_u16());
        assert!(problem["code"].as_str().is_some_and(|code| code.starts_with("INV_")), "{problem}");
    }
}
