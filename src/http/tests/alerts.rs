//! Alerts: read, and acknowledged.

use serde_json::{Value, json};
use uuid::Uuid;

use super::expect_problem;
use super::server::TestServer;
use crate::domain::alert::{Alert, AlertId, AlertState};
use crate::domain::stock::Level;
use crate::domain::words::{StockKey, Timestamp};

const OPENED_AT: Timestamp = Timestamp(1_700_000_000_123_456);

fn alert(number: u8, sku: &str, state: AlertState) -> Alert {
    Alert {
        id: AlertId([number; 16]),
        key: StockKey::new(sku, "default"),
        level: Level::Critical,
        available: 3,
        version: 7,
        state,
        opened_at: OPENED_AT,
        acknowledged_at: None,
        acknowledged_by: None,
        resolved_at: (state == AlertState::Resolved).then_some(OPENED_AT),
    }
}

fn path_of(number: u8) -> String {
    format!("/api/v1/alerts/{}", Uuid::from_bytes([number; 16]))
}

async fn fetch(server: &TestServer, path: &str) -> Value {
    let response = server.get(path).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.json().await.unwrap()
}

fn acknowledge(server: &TestServer, number: u8) -> reqwest::RequestBuilder {
    server.client.post(server.url(&format!("{}/acknowledge", path_of(number))))
}

async fn acknowledged(request: reqwest::RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

#[tokio::test]
async fn alerts_are_walked_page_by_page_and_narrowed_by_state_sku_and_location() {
    let server = TestServer::start().await;
    for (number, sku, state) in [
        (5, "A", AlertState::Open),
        (4, "B", AlertState::Resolved),
        (3, "A", AlertState::Resolved),
        (2, "C", AlertState::Open),
    ] {
        server.store.put_alert(alert(number, sku, state));
    }
    let page = fetch(&server, "/api/v1/alerts?limit=3").await;
    let expected = json!({
        "id": "05050505-0505-0505-0505-050505050505", "sku": "A", "location": "default", "level": "critical",
        "available": 3, "version": 7, "state": "open", "opened_at": "2023-11-14T22:13:20.123456Z",
        "acknowledged_at": null, "acknowledged_by": null, "resolved_at": null,
    });
    assert_eq!((&page["items"][0], page["items"].as_array().unwrap().len()), (&expected, 3));
    let next = page["next"].as_str().unwrap();
    let page = fetch(&server, &format!("/api/v1/alerts?limit=3&cursor={next}")).await;
    assert_eq!((&page["items"][0]["sku"], &page["next"]), (&json!("C"), &Value::Null));
    assert_eq!(fetch(&server, &path_of(5)).await, expected);
    let count =
        async |query: &str| fetch(&server, &format!("/api/v1/alerts?{query}")).await["items"].as_array().unwrap().len();
    for (query, expected) in [("state=open", 2), ("state=resolved&sku=A", 1), ("sku=A", 2), ("location=east", 0)] {
        assert_eq!(count(query).await, expected, "{query}");
    }
    for wrong in ["state=shut", "state=open&state=open", "cursor=x", "limit=0", "sku=", "colour=red"] {
        expect_problem(server.get(&format!("/api/v1/alerts?{wrong}")), 400, "INV_003").await;
    }
    let problem = expect_problem(server.get("/api/v1/alerts?state=shut"), 400, "INV_003").await;
    assert_eq!(problem["detail"], "state must be one of open, acknowledged, resolved");
    for unknown in [path_of(9), "/api/v1/alerts/9".to_owned()] {
        expect_problem(server.get(&unknown), 404, "INV_001").await;
    }
}

#[tokio::test]
async fn an_alert_is_acknowledged_once_and_the_same_is_answered_twice() {
    let server = TestServer::start().await;
    for (number, state) in [(1, AlertState::Open), (2, AlertState::Open), (3, AlertState::Resolved)] {
        server.store.put_alert(alert(number, "A", state));
    }
    let first = acknowledged(acknowledge(&server, 1).json(&json!({"operator": "Ada"}))).await;
    assert_eq!((&first["state"], &first["acknowledged_by"]), (&json!("acknowledged"), &json!("Ada")));
    assert_eq!(acknowledged(acknowledge(&server, 1).json(&json!({"operator": "Bob"}))).await, first);
    assert_eq!(fetch(&server, &path_of(1)).await, first);
    assert_eq!(acknowledged(acknowledge(&server, 2)).await["acknowledged_by"], Value::Null);

    let problem = expect_problem(acknowledge(&server, 3), 409, "INV_004").await;
    let detail = "the alert is resolved since 2023-11-14T22:13:20.123456Z: there is nothing left to look after";
    assert_eq!(problem["detail"], detail);
    expect_problem(acknowledge(&server, 9), 404, "INV_001").await;
    expect_problem(server.client.post(server.url("/api/v1/alerts/x/acknowledge")), 404, "INV_001").await;
}

#[tokio::test]
async fn an_acknowledgement_that_cannot_be_taken_changes_nothing() {
    let server = TestServer::start().await;
    server.store.put_alert(alert(1, "A", AlertState::Open));
    let too_long = "x".repeat(1_001);
    for wrong in [
        json!({"operator": ""}),
        json!({"operator": 7}),
        json!({"operator": too_long}),
        json!({"operator": "a\u{0}b"}),
        json!({"operators": "Ada"}),
        json!(["Ada"]),
    ] {
        expect_problem(acknowledge(&server, 1).json(&wrong), 400, "INV_003").await;
    }
    let misplaced = server.url(&format!("{}/acknowledge?operator=Ada", path_of(1)));
    expect_problem(server.client.post(misplaced), 400, "INV_003").await;
    // What a page of another site could make a browser send.
    expect_problem(acknowledge(&server, 1).header("content-type", "text/plain"), 415, "INV_003").await;
    expect_problem(acknowledge(&server, 1).header("origin", "https://shop.example"), 415, "INV_003").await;
    server.store.go_away();
    expect_problem(acknowledge(&server, 1), 503, "INV_006").await;
}
