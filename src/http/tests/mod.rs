//! The sidecar over real connections, with a store in memory and an engine that the test plays.

mod alerts;
mod connections;
mod events;
mod page;
mod probes;
mod reads;
mod server;
mod stream;

use serde_json::{Value, json};

use super::openapi;
use super::router::routes;
use server::{Memory, TestServer};

/// Sends a request and expects a problem of this status and code.
async fn expect_problem(request: reqwest::RequestBuilder, status: u16, code: &str) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let problem: Value = response.json().await.unwrap();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)), "{problem}");
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    problem
}

#[tokio::test]
async fn every_error_is_a_problem_with_its_code() {
    let server = TestServer::start().await;
    let get = |path: &str| server.get(path);
    expect_problem(get("/nothing/here"), 404, "INV_001").await;
    expect_problem(server.client.delete(server.url("/api/v1/stock/A")), 405, "INV_003").await;
    expect_problem(server.client.post(server.url("/livez")), 405, "INV_003").await;
    expect_problem(get("/api/v1/stock/%FF"), 400, "INV_003").await;
    expect_problem(get("/api/v1/stock/a%00b"), 400, "INV_003").await;
    expect_problem(get(&format!("/api/v1/stock/{}", "x".repeat(101))), 400, "INV_003").await;
    expect_problem(get(&format!("/api/v1/orders/{}", "x".repeat(201))), 400, "INV_003").await;
    expect_problem(get(&format!("/api/v1/stock?cursor={}", "x".repeat(20_000))), 414, "INV_003").await;
    expect_problem(get("/livez").header("host", "shop.example"), 403, "INV_005").await;
}

#[tokio::test]
async fn the_document_describes_exactly_the_routes_and_their_methods() {
    let document: Value = serde_json::from_str(openapi::DOCUMENT).unwrap();
    let described: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    let served: Vec<&str> = routes::<Memory>().iter().map(|route| route.path).collect();
    assert_eq!(described, served);
    let server = TestServer::start().await;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let url = server.url(&path.replace(['{', '}'], ""));
        for method in ["get", "put", "post", "delete", "patch"] {
            let sent = reqwest::Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let taken = server.client.request(sent, &url).send().await.unwrap().status() != 405;
            assert_eq!(taken, methods.get(method).is_some(), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    let document: Value = serde_json::from_str(openapi::DOCUMENT).unwrap();
    let mut open = vec![&document];
    let mut references = 0;
    while let Some(value) = open.pop() {
        match value {
            Value::Object(table) => {
                if let Some(Value::String(reference)) = table.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                    references += 1;
                }
                open.extend(table.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(references > 50);
}
