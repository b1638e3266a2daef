//! What is published, as server-sent events.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

use super::expect_problem;
use super::server::{Routes, TestLimits, TestServer};

/// Longer than any step takes, shorter than anybody waits.
const DEADLINE: Duration = Duration::from_secs(20);
const STREAM: &str = "/api/v1/events/stream";

/// A stream as a reader sees it.
struct Reader {
    response: reqwest::Response,
    text: String,
}

impl Reader {
    async fn open(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { response, text: String::new() }
    }

    /// The next block of lines; `None` at the end of the stream.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return Some(block);
            }
            let chunk = timeout(DEADLINE, self.response.chunk()).await.expect("the stream goes on").ok()??;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event: id, name and data.
    async fn event(&mut self) -> (i64, String, Value) {
        loop {
            let block = self.block().await.expect("the stream goes on");
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            if let (Some(id), Some(event), Some(data)) = (field("id"), field("event"), field("data")) {
                return (id.parse().unwrap(), event.to_owned(), serde_json::from_str(data).unwrap());
            }
        }
    }

    /// The numbers of the next events.
    async fn ids(&mut self, count: usize) -> Vec<i64> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.event().await.0);
        }
        ids
    }
}

#[tokio::test]
async fn a_stream_shows_what_is_published_from_now_on_and_nothing_that_is_not() {
    let server = TestServer::start().await;
    server.store.announce(&["before"]);
    server.store.publish();
    let mut reader = Reader::open(server.get(STREAM)).await;
    assert_eq!(reader.block().await.unwrap(), "retry: 1000\nid: 1");
    server.store.announce(&["A \u{2028}\n\"1\"", "B"]);
    server.store.publish();
    server.store.announce(&["not published"]);
    let (id, event, data) = reader.event().await;
    assert_eq!((id, event.as_str()), (2, "low-stock"));
    let expected = json!({
        "specversion": "1.0", "id": data["id"], "source": "holdfast", "type": "low-stock",
        "time": "2023-11-14T22:13:20.000000Z", "datacontenttype": "application/json",
        "data": {
            "seq": 2, "sku": "A \u{2028}\n\"1\"", "location": "default", "version": 1, "level": "low",
            "previous_level": "normal", "available": 3, "warning_threshold": 5, "critical_threshold": 1,
            "cause": { "type": "order-created", "id": data["data"]["cause"]["id"], "source": "shop" },
            "recorded_at": "2023-11-14T22:13:20.000000Z",
        },
    });
    assert_eq!(data, expected);
    assert_eq!(reader.ids(1).await, [3]);
    server.store.publish();
    assert_eq!(reader.event().await.2["data"]["sku"], "not published");
}

#[tokio::test]
async fn a_stream_goes_on_after_the_number_that_was_seen_also_inside_of_a_batch() {
    let server = TestServer::start().await;
    for round in 0..100 {
        server.store.announce(&[&format!("A{round}"), &format!("B{round}"), &format!("C{round}")]);
        server.store.announce(&[]);
    }
    server.store.publish();
    for seen in [0_i64, 1, 2, 3, 151, 299] {
        let mut reader = Reader::open(server.get(STREAM).header("last-event-id", seen)).await;
        let count = (300 - seen) as usize;
        assert_eq!(reader.ids(count).await, (seen + 1..=300).collect::<Vec<_>>());
        drop(reader);
    }
    let mut parameter = Reader::open(server.get(&format!("{STREAM}?last_event_id=298"))).await;
    assert_eq!(parameter.ids(2).await, [299, 300]);
    let both = server.get(&format!("{STREAM}?last_event_id=0")).header("last-event-id", "300");
    let mut newer = Reader::open(both).await;
    assert_eq!(newer.block().await.unwrap(), "retry: 1000");
    server.store.announce(&["D"]);
    server.store.publish();
    assert_eq!(newer.ids(1).await, [301]);
    assert_eq!(parameter.ids(1).await, [301]);
}

#[tokio::test]
async fn a_stream_that_is_slower_than_what_comes_misses_nothing() {
    let server = TestServer::start().await;
    let mut reader = Reader::open(server.get(STREAM)).await;
    let mut last = 0;
    // Each round is more than the streams keep in memory for a reader that does not read.
    for round in 0..20 {
        for batch in 0..100 {
            server.store.announce(&[&"x".repeat(100), &format!("{round}-{batch}")]);
            server.store.publish();
        }
        tokio::task::yield_now().await;
        last += 200;
    }
    assert_eq!(reader.ids(last).await, (1..=last as i64).collect::<Vec<_>>());
}

#[tokio::test]
async fn only_the_topics_that_are_named_are_shown() {
    let server = TestServer::start().await;
    let mut all = Reader::open(server.get(&format!("{STREAM}?topic=stock-changed&topic=eu.low-stock"))).await;
    let mut other = Reader::open(server.get(&format!("{STREAM}?topic=reservation-result&last_event_id=0"))).await;
    server.store.announce(&["A"]);
    server.store.publish();
    assert_eq!(all.ids(1).await, [1]);
    server.draining.cancel();
    assert_eq!(other.block().await.as_deref(), Some("retry: 1000"));
    assert_eq!(other.block().await, None);
    let problem = expect_problem(server.get(&format!("{STREAM}?topic=order-created")), 503, "INV_006").await;
    assert!(problem["detail"].as_str().unwrap().contains("stops"), "{problem}");
}

#[tokio::test]
async fn wrong_requests_and_numbers_that_are_gone_are_told() {
    let server = TestServer::start().await;
    for wrong in ["topic=order-created", "last_event_id=x", "last_event_id=-1", "since=1", "topic="] {
        expect_problem(server.get(&format!("{STREAM}?{wrong}")), 400, "INV_003").await;
    }
    expect_problem(server.get(STREAM).header("last-event-id", ""), 400, "INV_003").await;
    server.store.announce(&["A"]);
    server.store.announce(&["B"]);
    server.store.publish();
    server.store.drop_published();
    let problem = expect_problem(server.get(STREAM).header("last-event-id", "0"), 410, "INV_001").await;
    assert!(problem["detail"].as_str().unwrap().contains("not kept any more"), "{problem}");
    let problem = expect_problem(server.get(STREAM).header("last-event-id", "3"), 410, "INV_001").await;
    assert!(problem["detail"].as_str().unwrap().contains("never published"), "{problem}");
    let mut reader = Reader::open(server.get(STREAM).header("last-event-id", "1")).await;
    assert_eq!(reader.ids(1).await, [2]);
    server.store.go_away();
    expect_problem(server.get(STREAM), 503, "INV_006").await;
}

#[tokio::test]
async fn streams_are_limited_and_give_their_place_back() {
    let server = TestServer::with(TestLimits { streams: 1, ..TestLimits::default() }).await;
    let first = Reader::open(server.get(STREAM)).await;
    let problem = expect_problem(server.get(STREAM), 503, "INV_006").await;
    assert!(problem["detail"].as_str().unwrap().contains("too many streams"), "{problem}");
    assert_eq!(server.get("/livez").send().await.unwrap().status(), 200);
    drop(first);
    let freed = async {
        while server.get(STREAM).send().await.unwrap().status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, freed).await.expect("the place of a reader that left is given back");
}

#[tokio::test]
async fn a_drain_ends_every_stream_at_once() {
    let server = TestServer::start().await;
    let mut reader = Reader::open(server.get(STREAM)).await;
    reader.block().await.unwrap();
    server.draining.cancel();
    server.stop.cancel();
    assert_eq!(reader.block().await, None);
    timeout(DEADLINE, server.task).await.expect("the server ends").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reader_who_wants_little_of_much_hears_all_the_time_how_far_it_came() {
    let routes = Routes::with(&TestLimits::default());
    let request =
        Request::get(format!("{STREAM}?topic=reservation-result&last_event_id=0")).header("host", "localhost");
    let response = routes.app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut blocks = response.into_body().into_data_stream();
    let store = routes.store;
    // Announcements of another topic, one a second, for as long as anybody listens.
    let publishing = tokio::spawn(async move {
        loop {
            store.announce(&["unwanted"]);
            store.publish();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let started = tokio::time::Instant::now();
    let (mut told, mut last) = (Vec::new(), started);
    while let Some(block) = blocks.next().await {
        let silent = last.elapsed();
        assert!(silent <= Duration::from_secs(16), "nothing was heard for {silent:?}");
        last = tokio::time::Instant::now();
        let block = block.unwrap();
        let text = std::str::from_utf8(&block).unwrap();
        told.extend(text.lines().find_map(|line| line.strip_prefix("id: ")?.parse::<u64>().ok()));
    }
    publishing.abort();
    // The stream has ended for its age, and its last word is where to go on.
    let seconds = started.elapsed().as_secs();
    assert!((240..=242).contains(&seconds), "{seconds}");
    assert!(told.len() >= 15 && told.is_sorted(), "{told:?}");
    assert!(told.last().is_some_and(|last| *last >= seconds - 2), "{told:?} after {seconds} s");
}
