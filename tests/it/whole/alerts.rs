//! Alerts and what a row was, of a real worker, over a restart.

use serde_json::{Value, json};

use super::super::Here;
use crate::market::Combination;
use crate::shop::{event, lines};
use crate::worker::installation::Worker;

async fn shown(worker: &Worker, path: &str) -> Value {
    let (status, body) = worker.ask(path).await.expect("an answer");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

async fn acknowledge(worker: &Worker, id: &str) -> (u16, Value) {
    let url = format!("http://127.0.0.1:{}/api/v1/alerts/{id}/acknowledge", worker.http_port);
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.post(url).json(&json!({"operator": "Ada"})).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_read_acknowledged_and_resolved_and_the_ledger_tells_what_was() {
    let place = Here::place().await;
    let installation = &place.installation;
    let registered = json!({"sku": "A", "initial": 100, "warning_threshold": 20, "critical_threshold": 5});
    installation.publish(&[event("sku-registered", "r-A", registered)]);
    let mut first = installation.worker();
    installation.wait_until_handled(1).await;
    let before = shown(&first, "/api/v1/stock/A/movements").await["items"][0].clone();
    installation.publish(&[event("order-created", "o-1", json!({"order_id": "O-1", "lines": lines(&[("A", 90)])}))]);
    installation.wait_until_handled(2).await;

    let open = shown(&first, "/api/v1/alerts?state=open&sku=A").await;
    let alert = open["items"][0].clone();
    assert_eq!((&alert["level"], &alert["available"], &open["next"]), (&json!("low"), &json!(10), &Value::Null));
    let id = alert["id"].as_str().expect("an id").to_owned();
    let (status, acknowledged) = acknowledge(&first, &id).await;
    assert_eq!((status, &acknowledged["acknowledged_by"]), (200, &json!("Ada")), "{acknowledged}");
    first.signal("KILL");
    assert_eq!(first.wait(), None);

    let second = installation.worker();
    second.wait_for("/readyz", 200).await;
    assert_eq!(acknowledge(&second, &id).await, (200, acknowledged.clone()));
    assert_eq!(shown(&second, &format!("/api/v1/alerts/{id}")).await, acknowledged);
    assert_eq!(shown(&second, "/api/v1/alerts?state=open").await["items"], json!([]));
    installation.publish(&[event("order-cancelled", "c-1", json!({"order_id": "O-1"}))]);
    installation.wait_until_handled(3).await;
    let resolved = shown(&second, &format!("/api/v1/alerts/{id}")).await;
    assert_eq!((&resolved["state"], &resolved["acknowledged_by"]), (&json!("resolved"), &json!("Ada")));
    let (status, problem) = acknowledge(&second, &id).await;
    assert_eq!((status, &problem["code"]), (409, &json!("INV_004")), "{problem}");

    let instant = before["recorded_at"].as_str().expect("a time");
    let was = shown(&second, &format!("/api/v1/stock/A?as_of={instant}")).await;
    assert_eq!((&was["version"], &was["available"], &was["recorded_at"]), (&json!(1), &json!(100), &json!(instant)));
    let (status, body) = second.ask("/api/v1/stock/A?as_of=2001-01-01T00:00:00Z").await.expect("an answer");
    assert!(status == 404 && body.contains(&format!("is known since {instant}")), "{status}: {body}");
    let (status, body) = second.ask("/api/v1/stock/A?as_of=9000-01-01T00:00:00Z").await.expect("an answer");
    assert!(status == 400 && body.contains("must not be in the future"), "{status}: {body}");
}
