//! Server-sent events of a real worker: what a reader sees is what is published, over every restart.

use std::time::Instant;

use serde_json::{Value, json};

use super::super::Here;
use crate::market::Combination;
use crate::shop::{event, lines};
use crate::worker::installation::{DEADLINE, Installation, Worker};

/// Reads a stream until it holds as many events as wanted, or ends; each with its id.
async fn read(worker: &Worker, path: &str, seen: Option<i64>, wanted: usize) -> Vec<(i64, Value)> {
    let url = format!("http://127.0.0.1:{}{path}", worker.http_port);
    let mut request = reqwest::Client::new().get(url);
    if let Some(seen) = seen {
        request = request.header("last-event-id", seen);
    }
    let mut response = request.send().await.expect("the sidecar should answer");
    assert_eq!(response.status(), 200);
    let (mut text, mut events) = (String::new(), Vec::new());
    while events.len() < wanted {
        let chunk = tokio::time::timeout(DEADLINE, response.chunk()).await.expect("the stream should go on");
        let Ok(Some(chunk)) = chunk else { return events };
        text.push_str(std::str::from_utf8(&chunk).expect("events are sent whole"));
        while let Some((block, rest)) = text.split_once("\n\n") {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                let data = serde_json::from_str(data).expect("an event should be JSON");
                events.push((id.parse().expect("an id should be a number"), data));
            }
            text = rest.to_owned();
        }
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_over_a_restart_without_a_hole_and_shows_what_subscribers_see() {
    let place = Here::place().await;
    let installation = &place.installation;
    let order = |number: usize| {
        let body = json!({"order_id": format!("O-{number}"), "lines": lines(&[("A", 2)])});
        event("order-created", &format!("o-{number}"), body)
    };
    installation.publish(&[event(
        "sku-registered",
        "r-A",
        json!({"sku": "A", "initial": 1_000, "warning_threshold": 900}),
    )]);
    installation.publish(&(0..40).map(order).collect::<Vec<_>>());
    let mut first = installation.worker();
    installation.wait_until_handled(41).await;
    let seen = read(&first, "/api/v1/events/stream", Some(0), 30).await;
    let last = seen[29].0;
    assert_eq!(last, 30, "{seen:?}");
    first.signal("KILL");
    assert_eq!(first.wait(), None);

    installation.publish(&(40..80).map(order).collect::<Vec<_>>());
    let second = installation.worker();
    second.wait_for("/livez", 200).await;
    let published = installation.number("select published_seq from relay").await as usize;
    let mut all = seen[..30].to_vec();
    all.extend(read(&second, "/api/v1/events/stream", Some(last), published - 30).await);
    installation.wait_until_handled(81).await;
    let published = installation.number("select published_seq from relay").await as usize;
    let last = all.last().expect("something was shown").0;
    all.extend(
        read(&second, &format!("/api/v1/events/stream?last_event_id={last}"), None, published - all.len()).await,
    );
    let expected: Vec<(i64, Value)> = (1..).zip(installation.published()).collect();
    assert_eq!(all, expected, "a stream shows what a subscriber is shown");

    let alerts = read(&second, "/api/v1/events/stream?topic=low-stock", Some(0), 1).await;
    assert_eq!(alerts[0].1["type"], "low-stock");
    assert_numbers_that_are_gone_are_told(installation, &second, published as i64).await;
}

async fn assert_numbers_that_are_gone_are_told(installation: &Installation, worker: &Worker, last: i64) {
    installation.execute("delete from outbox where number < 2").await;
    for (seq, expected) in [(0, 410), (last + 1, 410)] {
        let (status, body) =
            worker.ask(&format!("/api/v1/events/stream?last_event_id={seq}")).await.expect("an answer");
        assert_eq!(status, expected, "{body}");
        assert!(body.contains("INV_001"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_hold_a_sku_come_newest_first_in_pages() {
    let mut place = Here::place().await;
    let installation = &mut place.installation;
    installation.environment.push(("HOLDFAST__ORDERS__DEDUCT_ON".to_owned(), "shipped".to_owned()));
    let order = |name: &str| {
        let body = json!({"order_id": name, "lines": lines(&[("A", 2)])});
        event("order-created", &format!("e-{name}"), body)
    };
    installation.publish(&[event("sku-registered", "r-A", json!({"sku": "A", "initial": 1_000}))]);
    let worker = installation.worker();
    installation.wait_until_handled(1).await;
    // One after the other, since those of one batch begin to hold at one moment.
    for (name, handled) in ["O-1", "O-4", "O-2", "O-5"].into_iter().zip(2..) {
        installation.publish(&[order(name)]);
        installation.wait_until_handled(handled).await;
    }
    let cart = json!({"cart_id": "C-1", "ttl_s": 1_500, "lines": lines(&[("A", 1)])});
    installation.publish(&[event("cart-updated", "u-1", cart)]);
    installation.wait_until_handled(6).await;
    installation.publish(&[order("O-3")]);
    installation.wait_until_handled(7).await;
    // A confirmed order holds since it was placed.
    installation.publish(&[event("order-confirmed", "f-1", json!({"order_id": "O-4"}))]);
    installation.wait_until_handled(8).await;
    let (mut found, mut cursor) = (Vec::new(), String::new());
    let started = Instant::now();
    loop {
        let path = format!("/api/v1/stock/A/claims?limit=2{cursor}");
        let (status, body) = worker.ask(&path).await.expect("an answer");
        assert_eq!(status, 200, "{body}");
        let page: Value = serde_json::from_str(&body).expect("JSON");
        let items = page["items"].as_array().expect("items").iter();
        found.extend(items.map(|item| format!("{} {} {}", item["reference"], item["reserved"], item["state"])));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
        assert!(started.elapsed() < DEADLINE);
    }
    let found: Vec<String> = found.iter().map(|text| text.replace('"', "")).collect();
    let expected =
        ["O-3 2 reserved", "C-1 1 held", "O-5 2 reserved", "O-2 2 reserved", "O-4 2 confirmed", "O-1 2 reserved"];
    assert_eq!(found, expected);
    let (status, body) = worker.ask("/api/v1/stock?prefix=A&limit=1").await.expect("an answer");
    assert!(status == 200 && body.contains("\"sku\":\"A\""), "{body}");
    let (_, body) = worker.ask("/api/v1/stock?prefix=B").await.expect("an answer");
    assert!(body.contains("\"items\":[]"), "{body}");
}
