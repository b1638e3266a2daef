//! Events over HTTP.

use std::time::Duration;

use serde_json::{Value, json};

use super::expect_problem;
use super::server::{TestLimits, TestServer};
use crate::bus::direct::DirectLimits;
use crate::domain::announce::Reason;
use crate::ports::{DeadLetterReason, Delivery, Outcome, Record};

/// Types that are not JSON, among them those that a page may send to any address.
const FOREIGN: [&str; 4] =
    ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "application/jsonp"];

fn records(batch: &[Delivery]) -> Vec<&Record> {
    fn record(delivery: &Delivery) -> &Record {
        match delivery {
            Delivery::Record(record) => record,
            Delivery::Command(_) => panic!("a command came over HTTP"),
        }
    }
    batch.iter().map(record).collect()
}

fn header<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    let (_, value) = record.headers.iter().find(|(found, _)| found == name)?;
    std::str::from_utf8(value.as_deref()?).ok()
}

#[tokio::test]
async fn events_are_answered_in_order_after_they_were_settled() {
    let mut server = TestServer::start().await;
    let body = r#"[{"id": "e-1", "type": "x"}, {"data":{"event_id":"e-2"}} ,{"id":3},5,{"id":"e-5"}]"#;
    let sent = tokio::spawn(server.post_events(body).header("traceparent", "00-1-2-01").send());
    let (batch, receipt) = server.next_batch().await;
    let payloads: Vec<&str> =
        records(&batch).iter().map(|record| std::str::from_utf8(record.payload.as_deref().unwrap()).unwrap()).collect();
    assert_eq!(
        payloads,
        [r#"{"id": "e-1", "type": "x"}"#, r#"{"data":{"event_id":"e-2"}}"#, r#"{"id":3}"#, "5", r#"{"id":"e-5"}"#]
    );
    let first = records(&batch)[1];
    assert_eq!((first.position.topic.as_ref(), first.position.offset), ("http", 1));
    assert_eq!(header(first, "content-type"), Some("application/cloudevents+json"));
    assert_eq!(header(first, "traceparent"), Some("00-1-2-01"));
    assert!(first.timestamp.is_some());
    assert!(!sent.is_finished(), "nothing may be answered before it is committed");
    let buried = Outcome::DeadLettered { reason: DeadLetterReason::MissingId, detail: "no id".into() };
    let outcomes =
        [Outcome::Applied, Outcome::Duplicate, buried, Outcome::Ignored, Outcome::Refused(Some(Reason::Closed))];
    server.settle(receipt, &outcomes).await;
    let response = sent.await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    let expected = json!([
        { "id": "e-1", "outcome": "applied" },
        { "id": "e-2", "outcome": "duplicate" },
        { "id": null, "outcome": "dead_lettered", "reason": "missing_id" },
        { "id": null, "outcome": "ignored" },
        { "id": "e-5", "outcome": "refused", "reason": "closed" },
    ]);
    assert_eq!(response.json::<Value>().await.unwrap(), expected);
}

#[tokio::test]
async fn one_event_is_answered_like_an_array_of_one() {
    let mut server = TestServer::start().await;
    for content_type in
        ["application/cloudevents+json; charset=utf-8", "application/json", "Application/CloudEvents-Batch+JSON"]
    {
        let request = server.client.post(server.url("/api/v1/events")).header("content-type", content_type);
        let sent = tokio::spawn(request.body("\n {\"id\":\"e-1\"} ").send());
        let (_, receipt) = server.next_batch().await;
        server.settle(receipt, &[Outcome::Applied]).await;
        let answer: Value = sent.await.unwrap().unwrap().json().await.unwrap();
        assert_eq!(answer, json!([{ "id": "e-1", "outcome": "applied" }]));
    }
}

#[tokio::test]
async fn an_empty_array_is_answered_with_one() {
    let server = TestServer::start().await;
    let answer: Value = server.post_events("[]").send().await.unwrap().json().await.unwrap();
    assert_eq!(answer, json!([]));
}

#[tokio::test]
async fn what_is_no_list_of_events_is_refused_whole() {
    let server = TestServer::start().await;
    for body in ["", "{", "[{]", "{} {}", "\"text\"", "5", "null", "id=1", "[{\"id\":\"\u{1}\"}]"] {
        expect_problem(server.post_events(body), 400, "INV_003").await;
    }
    expect_problem(server.post_events(b"[\"\xff\"]".to_vec()), 400, "INV_003").await;
    let dry = server.client.post(server.url("/api/v1/events?dry=1")).header("content-type", "application/json");
    expect_problem(dry.body("[]"), 400, "INV_003").await;
}

#[tokio::test]
async fn what_is_no_json_is_a_400_whatever_it_says_it_is() {
    let server = TestServer::start().await;
    let post = || server.client.post(server.url("/api/v1/events"));
    expect_problem(post().body("nonsense"), 400, "INV_003").await;
    for content_type in FOREIGN {
        let problem =
            expect_problem(post().header("content-type", content_type).body("nonsense"), 400, "INV_003").await;
        assert!(problem["detail"].as_str().unwrap().contains("JSON"), "{problem}");
    }
}

#[tokio::test]
async fn json_under_another_type_is_refused_so_that_no_page_of_another_site_can_send_it() {
    let server = TestServer::start().await;
    let post = || server.client.post(server.url("/api/v1/events"));
    for content_type in FOREIGN {
        expect_problem(post().header("content-type", content_type).body("[]"), 415, "INV_003").await;
    }
    let from_a_page = post().header("origin", "https://elsewhere.example").body("[]");
    expect_problem(from_a_page, 415, "INV_003").await;
    let without = post().body("[]").send().await.unwrap();
    assert_eq!(without.status(), 200);
}

#[tokio::test]
async fn too_many_events_and_too_many_bytes_are_refused() {
    let server = TestServer::start().await;
    let many = format!("[{}]", vec!["{}"; 1_001].join(","));
    let problem = expect_problem(server.post_events(many), 413, "INV_003").await;
    assert!(problem["detail"].as_str().unwrap().contains("this one has 1001"), "{problem}");
    let large = format!("[\"{}\"]", "x".repeat(100_000));
    expect_problem(server.post_events(large), 413, "INV_003").await;
}

#[tokio::test]
async fn a_full_queue_is_a_503_that_says_when_to_come_back() {
    let direct = DirectLimits { submissions: 1, ..DirectLimits::default() };
    let mut server = TestServer::with(TestLimits { direct, ..TestLimits::default() }).await;
    // Both race for the one place; one gets it and the other is refused.
    let first = tokio::spawn(server.post_events("{}").send());
    let second = tokio::spawn(server.post_events("{}").send());
    let (refused, waiting) = {
        let (mut first, mut second) = (first, second);
        tokio::select! {
            refused = &mut first => (refused, second),
            refused = &mut second => (refused, first),
        }
    };
    let refused = refused.unwrap().unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    let (_, receipt) = server.next_batch().await;
    server.settle(receipt, &[Outcome::Applied]).await;
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_caller_that_waited_too_long_is_told_to_repeat_and_the_work_goes_on() {
    let limits = TestLimits { request_timeout: Duration::from_millis(50), ..TestLimits::default() };
    let mut server = TestServer::with(limits).await;
    let problem = expect_problem(server.post_events("{\"id\":\"e-1\"}"), 504, "INV_006").await;
    assert!(problem["detail"].as_str().unwrap().contains("same ids"), "{problem}");
    let (batch, receipt) = server.next_batch().await;
    assert_eq!(records(&batch).len(), 1);
    server.settle(receipt, &[Outcome::Applied]).await;
}

#[tokio::test]
async fn a_worker_that_died_meanwhile_says_that_the_end_is_unclear() {
    let mut server = TestServer::start().await;
    let sent = tokio::spawn(server.post_events("{\"id\":\"e-1\"}").send());
    let _ = server.next_batch().await;
    drop(server.source);
    let response = sent.await.unwrap().unwrap();
    assert_eq!(response.status(), 503);
    let problem: Value = response.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("may have been committed"), "{problem}");
    let url = format!("http://{}/api/v1/events", server.address);
    let request = server.client.post(url).header("content-type", "application/json").body("{}");
    expect_problem(request, 503, "INV_006").await;
}
