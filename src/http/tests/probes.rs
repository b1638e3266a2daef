//! Probes, health and metrics.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::expect_problem;
use super::server::{TestLimits, TestServer};
use crate::health::PartState;

#[tokio::test]
async fn readiness_follows_the_database_and_every_part() {
    let server = TestServer::start().await;
    let response = server.get("/readyz").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let up = json!({ "status": "up" });
    let expected = json!({
        "status": "ready", "parts": { "database": up, "bus": up, "migrations": up, "relay": up },
    });
    assert_eq!(response.json::<Value>().await.unwrap(), expected);

    server.readiness.send_modify(|readiness| {
        readiness.relay = PartState::Down("fenced".into());
        readiness.bus = PartState::Starting;
    });
    let problem = expect_problem(server.get("/readyz"), 503, "INV_006").await;
    assert_eq!(problem["detail"], "not ready: bus, relay");
    assert_eq!(problem["parts"]["relay"], json!({ "status": "down", "detail": "fenced" }));
    assert_eq!(problem["parts"]["bus"], json!({ "status": "starting" }));

    server.readiness.send_modify(|readiness| {
        readiness.relay = PartState::Up;
        readiness.bus = PartState::Up;
    });
    server.readiness.send_modify(|readiness| readiness.bus = PartState::Degraded("see the log".into()));
    let response = server.get("/readyz").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let shown = response.json::<Value>().await.unwrap();
    assert_eq!(shown["parts"]["bus"], json!({ "status": "degraded", "detail": "see the log" }));
    server.store.go_away();
    let problem = expect_problem(server.get("/readyz"), 503, "INV_006").await;
    assert_eq!(problem["detail"], "not ready: database");
}

#[tokio::test]
async fn health_shows_one_part_or_all() {
    let server = TestServer::start().await;
    let all: Value = server.get("/health").send().await.unwrap().json().await.unwrap();
    let names: Vec<&String> = all["parts"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["database", "bus", "migrations", "relay", "loops"]);
    server.store.go_away();
    expect_problem(server.get("/health"), 503, "INV_006").await;
    expect_problem(server.get("/health/database"), 503, "INV_006").await;
    let relay = server.get("/health/relay").send().await.unwrap();
    assert_eq!(
        relay.json::<Value>().await.unwrap(),
        json!({ "status": "up", "parts": { "relay": { "status": "up" } } })
    );
    expect_problem(server.get("/health/engine"), 404, "INV_001").await;
}

#[tokio::test]
async fn a_loop_that_stands_still_fails_the_liveness_probe_alone() {
    let limits = TestLimits { longest_turn: Duration::from_millis(1), ..TestLimits::default() };
    let server = TestServer::with(limits).await;
    assert_eq!(server.get("/livez").send().await.unwrap().status(), 200);
    assert_eq!(server.client.head(server.url("/livez")).send().await.unwrap().status(), 200);
    let pulse = server.liveness.watch("engine");
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.get("/livez").send().await.unwrap().status() == 200 {
        assert!(Instant::now() < deadline, "a loop that stands still was not noticed");
    }
    let problem = expect_problem(server.get("/livez"), 503, "INV_006").await;
    assert!(problem["detail"].as_str().unwrap().starts_with("engine turned last"), "{problem}");
    assert_eq!(server.get("/readyz").send().await.unwrap().status(), 200);
    drop(pulse);
    assert_eq!(server.get("/livez").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_not_by_path() {
    let server = TestServer::start().await;
    for sku in ["A", "B"] {
        expect_problem(server.get(&format!("/api/v1/stock/{sku}")), 404, "INV_001").await;
    }
    expect_problem(server.get("/nowhere"), 404, "INV_001").await;
    let response = server.get("/metrics").send().await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = response.text().await.unwrap();
    for line in [
        "holdfast_http_requests_total{method=\"GET\",route=\"/api/v1/stock/{sku}\",status=\"404\"} 2",
        "holdfast_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} 1",
        "holdfast_ready 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    server.readiness.send_modify(|readiness| readiness.relay = PartState::Starting);
    let text = server.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(text.lines().any(|line| line == "holdfast_ready 0"), "{text}");
}
