//! Connections: limits and ends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::expect_problem;
use super::server::{TestLimits, TestServer};
use crate::http::bind;
use crate::ports::Outcome;

/// Longer than any step takes, shorter than anybody waits.
const DEADLINE: Duration = Duration::from_secs(20);

/// Sends raw bytes and reads until the server closes.
async fn exchange(server: &TestServer, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("the server closes").unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_remedy() {
    let server = TestServer::start().await;
    let message = bind(server.address).await.unwrap_err().to_string();
    let start = format!("the sidecar cannot listen on {}: ", server.address);
    assert!(message.starts_with(&start) && message.ends_with("or set http.listen to another port"), "{message}");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let limits = TestLimits { request_timeout: Duration::from_millis(50), ..TestLimits::default() };
    let server = TestServer::with(limits).await;
    let head = "POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n[";
    let answer = exchange(&server, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
}

#[tokio::test]
async fn an_announced_body_beyond_the_limit_is_refused_unread() {
    let server = TestServer::start().await;
    let head = "POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 999999999\r\n\r\n";
    let answer = exchange(&server, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_head_beyond_the_limit_closes_the_connection() {
    let server = TestServer::start().await;
    let head = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx-filler: {}", "x".repeat(200_000));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The server may close before it was given everything.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("the server closes");
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
}

#[tokio::test]
async fn a_head_that_is_no_http_is_answered_without_a_body() {
    let server = TestServer::start().await;
    let answer = exchange(&server, b"this is no HTTP\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let limits = TestLimits { max_connections: 1, ..TestLimits::default() };
    let server = TestServer::with(limits).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    let request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    first.write_all(request).await.unwrap();
    let mut byte = [0];
    timeout(DEADLINE, first.read_exact(&mut byte)).await.unwrap().unwrap();
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(request).await.unwrap();
    let early = timeout(Duration::from_millis(50), second.read_exact(&mut byte)).await;
    assert!(early.is_err(), "the second connection was served beside the first");
    drop(first);
    timeout(DEADLINE, second.read_exact(&mut byte)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_lets_the_running_request_end_and_refuses_the_next() {
    let mut server = TestServer::start().await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    let sent = tokio::spawn(server.post_events("{\"id\":\"e-1\"}").send());
    let (_, receipt) = server.next_batch().await;
    server.stop.cancel();
    let deadline = std::time::Instant::now() + DEADLINE;
    while TcpStream::connect(server.address).await.is_ok() {
        assert!(std::time::Instant::now() < deadline, "the address is still taken");
        tokio::task::yield_now().await;
    }
    assert!(!server.task.is_finished());
    server.settle(receipt, &[Outcome::Applied]).await;
    assert_eq!(sent.await.unwrap().unwrap().status(), 200);
    timeout(DEADLINE, server.task).await.expect("the server ends").unwrap();
    drop(idle);
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off_at_the_deadline() {
    let limits = TestLimits { drain_timeout: Duration::from_millis(50), ..TestLimits::default() };
    let mut server = TestServer::with(limits).await;
    let sent = tokio::spawn(server.post_events("{\"id\":\"e-1\"}").send());
    let _unsettled = server.next_batch().await;
    server.stop.cancel();
    timeout(DEADLINE, server.task).await.expect("the server ends").unwrap();
    assert!(sent.await.unwrap().is_err());
}

#[tokio::test]
async fn a_stopping_worker_takes_no_event_and_is_not_ready() {
    let server = TestServer::start().await;
    server.draining.cancel();
    let problem = expect_problem(server.post_events("{\"id\":\"e-1\"}"), 503, "INV_006").await;
    assert!(problem["detail"].as_str().unwrap().contains("takes no more events"), "{problem}");
    expect_problem(server.get("/readyz"), 503, "INV_006").await;
    assert_eq!(server.get("/livez").send().await.unwrap().status(), 200);
}
