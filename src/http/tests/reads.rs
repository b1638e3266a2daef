//! Stock, history and claims.

use serde_json::{Value, json};

use super::expect_problem;
use super::server::{TestServer, row};
use crate::domain::announce::MovementKind;
use crate::domain::claim::{Claim, ClaimKey, ClaimKind, ClaimLine, ClaimState};
use crate::domain::event::{Cause, EventType, Trace};
use crate::domain::stock::Counters;
use crate::domain::words::{Reference, StockKey, Timestamp};
use crate::ports::{ClaimView, HolderView, MovementView};

async fn fetch(server: &TestServer, path: &str) -> Value {
    let response = server.get(path).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    assert_eq!(response.headers()["content-type"], "application/json");
    response.json().await.unwrap()
}

fn keys(page: &Value) -> Vec<String> {
    let key = |item: &Value| format!("{}@{}", item["sku"].as_str().unwrap(), item["location"].as_str().unwrap());
    page["items"].as_array().unwrap().iter().map(key).collect()
}

#[tokio::test]
async fn one_row_is_shown_as_the_contract_says() {
    let server = TestServer::start().await;
    server.store.put_stock(row("A/1 ä", "default", 20));
    server.store.put_stock(row("A/1 ä", "east", 30));
    let shown = fetch(&server, "/api/v1/stock/A%2F1%20%C3%A4").await;
    let expected = json!({
        "sku": "A/1 ä", "location": "default", "name": null, "on_hand": 20, "cart_held": 1, "order_reserved": 2,
        "reserved": 3, "safety_stock": 3, "available": 14, "warning_threshold": 10, "critical_threshold": 5,
        "max_stock": null, "status": "active", "level": "normal", "version": 7,
        "updated_at": "2023-11-14T22:13:20.123456Z",
    });
    assert_eq!(shown, expected);
    assert_eq!(fetch(&server, "/api/v1/stock/A%2F1%20%C3%A4?location=east").await["on_hand"], 30);
    let problem = expect_problem(server.get("/api/v1/stock/B"), 404, "INV_001").await;
    assert_eq!(problem["detail"], "no stock of SKU \"B\" at location \"default\"");
    expect_problem(server.get("/api/v1/stock/B?colour=red"), 400, "INV_003").await;
    expect_problem(server.get("/api/v1/stock/B?location=a&location=b"), 400, "INV_003").await;
}

#[tokio::test]
async fn a_list_is_walked_page_by_page_without_gap_or_repeat() {
    let server = TestServer::start().await;
    for sku in ["A", "B", "C"] {
        for location in ["default", "east"] {
            server.store.put_stock(row(sku, location, 1));
        }
    }
    let (mut seen, mut path) = (Vec::new(), "/api/v1/stock?limit=4".to_owned());
    loop {
        let page = fetch(&server, &path).await;
        seen.extend(keys(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/stock?limit=4&cursor={next}");
    }
    assert_eq!(seen, ["A@default", "A@east", "B@default", "B@east", "C@default", "C@east"]);
    let page = fetch(&server, "/api/v1/stock?limit=6").await;
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (6, &Value::Null));
    assert_eq!(keys(&fetch(&server, "/api/v1/stock?sku=C&sku=A&location=east").await), ["A@east", "C@east"]);
    assert_eq!(fetch(&server, "/api/v1/stock?sku=Z").await, json!({ "items": [], "next": null }));
    for wrong in ["limit=0", "limit=501", "limit=x", "limit=1&limit=2", "cursor=x", "skus=A", "sku="] {
        expect_problem(server.get(&format!("/api/v1/stock?{wrong}")), 400, "INV_003").await;
    }
}

#[tokio::test]
async fn a_page_holds_fifty_rows_unless_more_are_asked_for() {
    let server = TestServer::start().await;
    for number in 0..60 {
        server.store.put_stock(row(&format!("{number:03}"), "default", 1));
    }
    let page = fetch(&server, "/api/v1/stock").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 50);
    assert!(page["next"].is_string());
    assert_eq!(fetch(&server, "/api/v1/stock?limit=500").await["items"].as_array().unwrap().len(), 60);
}

#[tokio::test]
async fn history_is_shown_newest_first() {
    let server = TestServer::start().await;
    let key = StockKey::new("A", "default");
    server.store.put_stock(row("A", "default", 1));
    server.store.put_stock(row("B", "default", 1));
    for version in 1..=3 {
        server.store.put_movement(&key, movement(version));
    }
    let page = fetch(&server, "/api/v1/stock/A/movements?limit=2").await;
    let expected = json!({
        "version": 3, "kind": "reserve",
        "change": { "on_hand": 0, "cart_held": 0, "order_reserved": 4, "safety_stock": 0 },
        "after": {
            "on_hand": 9, "cart_held": 0, "order_reserved": 4, "reserved": 4, "safety_stock": 1, "available": 4,
        },
        "cause": { "type": "order-created", "id": "e-3", "source": "shop", "reference": "O-3" },
        "traceparent": "00-1-2-01",
        "recorded_at": "1970-01-01T00:00:00.000003Z",
    });
    assert_eq!(page["items"][0], expected);
    assert_eq!(page["items"][1]["version"], 2);
    let next = page["next"].as_str().unwrap();
    let page = fetch(&server, &format!("/api/v1/stock/A/movements?limit=2&cursor={next}")).await;
    assert_eq!((page["items"].as_array().unwrap().len(), &page["items"][0]["version"]), (1, &json!(1)));
    assert_eq!(page["next"], Value::Null);
    assert_eq!(fetch(&server, "/api/v1/stock/B/movements").await["items"], json!([]));
    expect_problem(server.get("/api/v1/stock/C/movements"), 404, "INV_001").await;
    expect_problem(server.get("/api/v1/stock/A/movements?location=east"), 404, "INV_001").await;
}

fn movement(version: i64) -> MovementView {
    MovementView {
        version,
        kind: MovementKind::Reserve,
        change: Counters { order_reserved: 4, ..Counters::default() },
        after: Counters { on_hand: 9, cart_held: 0, order_reserved: 4, safety_stock: 1 },
        cause: Cause {
            event_type: EventType::OrderCreated,
            id: format!("e-{version}").into(),
            source: "shop".into(),
            reference: Some(Reference::new(format!("O-{version}"))),
        },
        reason: None,
        operator: None,
        trace: Trace { parent: Some("00-1-2-01".into()), state: None },
        recorded_at: Timestamp(version),
    }
}

#[tokio::test]
async fn orders_and_carts_show_what_they_hold() {
    let server = TestServer::start().await;
    let key = |kind, name: &str| ClaimKey { kind, reference: Reference::new(name) };
    let mut claim = Claim::new(key(ClaimKind::Order, "O-1"), ClaimState::Reserved);
    claim.version = Some(2);
    claim.expires_at = Some(Timestamp(1));
    let line = ClaimLine {
        requested: 5,
        reserved: 4,
        deducted: 3,
        released: 2,
        shipped: 1,
        waiting: 6,
        ..ClaimLine::default()
    };
    claim.lines.insert(StockKey::new("A", "default"), line);
    server.store.put_claim(ClaimView { claim, answer: Some(json!({ "outcome": "granted" })) });
    let cart = Claim::new(key(ClaimKind::Cart, "C-1"), ClaimState::Released);
    server.store.put_claim(ClaimView { claim: cart, answer: None });

    let expected = json!({
        "kind": "order", "reference": "O-1", "state": "reserved", "version": 2,
        "expires_at": "1970-01-01T00:00:00.000001Z",
        "lines": [{
            "sku": "A", "location": "default", "requested": 5, "reserved": 4, "deducted": 3, "released": 2,
            "shipped": 1, "returned": 0, "waiting": 6,
        }],
        "answer": { "outcome": "granted" },
    });
    assert_eq!(fetch(&server, "/api/v1/orders/O-1").await, expected);
    let expected = json!({
        "kind": "cart", "reference": "C-1", "state": "released", "version": null, "expires_at": null, "lines": [],
        "answer": null,
    });
    assert_eq!(fetch(&server, "/api/v1/carts/C-1").await, expected);
    expect_problem(server.get("/api/v1/carts/O-1"), 404, "INV_001").await;
    expect_problem(server.get("/api/v1/orders/O-1?location=east"), 400, "INV_003").await;
}

#[tokio::test]
async fn a_list_shows_only_skus_that_begin_as_asked() {
    let server = TestServer::start().await;
    for sku in ["A", "AB", "aB", "B%"] {
        server.store.put_stock(row(sku, "default", 1));
    }
    assert_eq!(keys(&fetch(&server, "/api/v1/stock?prefix=A").await), ["A@default", "AB@default"]);
    assert_eq!(keys(&fetch(&server, "/api/v1/stock?prefix=B%25").await), ["B%@default"]);
    expect_problem(server.get("/api/v1/stock?prefix="), 400, "INV_003").await;
}

#[tokio::test]
async fn the_claims_that_hold_a_row_are_walked_page_by_page() {
    let server = TestServer::start().await;
    let key = StockKey::new("A", "default");
    server.store.put_stock(row("A", "default", 9));
    server.store.put_stock(row("B", "default", 9));
    let holders = [("O-2", Some(Timestamp(2))), ("O-1", Some(Timestamp(1))), ("O-3", None)];
    for (name, expires_at) in holders {
        let key_of_claim = ClaimKey { kind: ClaimKind::Order, reference: Reference::new(name) };
        let holder = HolderView { key: key_of_claim, reserved: 4, state: ClaimState::Reserved, expires_at };
        server.store.put_holder(&key, holder);
    }
    let page = fetch(&server, "/api/v1/stock/A/claims?limit=2").await;
    let expected = json!({
        "kind": "order", "reference": "O-2", "reserved": 4, "state": "reserved",
        "expires_at": "1970-01-01T00:00:00.000002Z",
    });
    assert_eq!((&page["items"][0], &page["items"][1]["reference"]), (&expected, &json!("O-1")));
    let next = page["next"].as_str().unwrap();
    let page = fetch(&server, &format!("/api/v1/stock/A/claims?limit=2&cursor={next}")).await;
    assert_eq!((&page["items"][0]["reference"], &page["items"][0]["expires_at"]), (&json!("O-3"), &Value::Null));
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (1, &Value::Null));
    assert_eq!(fetch(&server, "/api/v1/stock/B/claims").await, json!({ "items": [], "next": null }));
    expect_problem(server.get("/api/v1/stock/C/claims"), 404, "INV_001").await;
    expect_problem(server.get("/api/v1/stock/A/claims?cursor=x"), 400, "INV_003").await;
}

#[tokio::test]
async fn a_database_that_is_away_is_a_503_that_names_no_host() {
    let server = TestServer::start().await;
    server.store.go_away();
    for path in
        ["/api/v1/stock", "/api/v1/stock/A", "/api/v1/stock/A/movements", "/api/v1/stock/A/claims", "/api/v1/orders/A"]
    {
        let problem = expect_problem(server.get(path), 503, "INV_006").await;
        assert!(!problem.to_string().contains("db.internal"), "{problem}");
    }
}
