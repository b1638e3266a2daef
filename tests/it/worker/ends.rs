//! How a worker ends when it cannot drain, and what the next one finds.

use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::installation::{DEADLINE, Installation, Worker, free_port};
use crate::servers::{Action, KafkaAddress, Servers, patient_kafka};
use crate::shop::{event, lines, new_database};

fn stock() -> Value {
    event("sku-registered", "r-A", json!({"sku": "A", "initial": 1_000}))
}

fn orders(first: usize, count: usize) -> Vec<Value> {
    let order = |number: usize| {
        let body = json!({"order_id": format!("O-{number}"), "lines": lines(&[("A", 1)])});
        event("order-created", &format!("o-{number}"), body)
    };
    (first..first + count).map(order).collect()
}

/// A worker of which one can read what it said.
fn heard_worker(installation: &Installation, environment: &[(&str, &str)]) -> Worker {
    let http_port = free_port();
    let child = installation
        .command(&["run", "--log-level", "error", "--http-listen", &format!("127.0.0.1:{http_port}")])
        .envs(environment.iter().copied())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary should run");
    Worker { child, http_port }
}

/// What a worker that ended had to say.
fn said(worker: &mut Worker) -> String {
    std::io::read_to_string(worker.child.stderr.take().expect("it was piped")).expect("it should say text")
}

/// Everything that the worker's batch needs, held by somebody else.
async fn hold_stock(installation: &Installation) -> PgConnection {
    let mut connection = PgConnection::connect(&installation.database).await.expect("the database should answer");
    for statement in ["begin", "select * from stock for update"] {
        sqlx::query(statement).execute(&mut connection).await.expect("a lock");
    }
    connection
}

/// Waits until a batch waits for the lock.
async fn wait_until_blocked(installation: &Installation) {
    let blocked = "select count(*) from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock'";
    let started = Instant::now();
    while installation.number(blocked).await == 0 {
        assert!(started.elapsed() < DEADLINE, "no batch waits");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once_and_a_drain_that_takes_too_long_fails_and_nothing_is_lost() {
    let installation = Installation::new().await;
    installation.publish(&[stock()]);
    let mut first = installation.worker();
    installation.wait_until_handled(1).await;
    first.signal("TERM");
    assert_eq!(first.wait(), Some(0));

    // Its batch waits for a lock, so that the first signal cannot end it.
    let mut worker = heard_worker(&installation, &[("HOLDFAST__DRAIN_TIMEOUT_MS", "600000")]);
    worker.wait_for("/readyz", 200).await;
    let lock = hold_stock(&installation).await;
    installation.publish(&orders(0, 20));
    wait_until_blocked(&installation).await;
    worker.signal("TERM");
    worker.wait_for("/readyz", 503).await;
    assert!(!worker.has_ended());
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(1));
    let words = said(&mut worker);
    assert!(words.contains("second signal"), "{words}");
    lock.close().await.expect("it should close");

    let mut slow = heard_worker(&installation, &[("HOLDFAST__DRAIN_TIMEOUT_MS", "500")]);
    slow.wait_for("/readyz", 200).await;
    installation.wait_until_handled(21).await;
    let lock = hold_stock(&installation).await;
    installation.publish(&orders(20, 20));
    wait_until_blocked(&installation).await;
    slow.signal("TERM");
    assert_eq!(slow.wait(), Some(1));
    let words = said(&mut slow);
    assert!(words.contains("drain_timeout_ms (500 ms)"), "{words}");
    lock.close().await.expect("it should close");

    let mut last = installation.worker();
    installation.wait_until_handled(41).await;
    last.signal("TERM");
    assert_eq!(last.wait(), Some(0));
    installation.assert_sound().await;
    assert_eq!(installation.number("select on_hand from stock where sku = 'A'").await, 1_000 - 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_broker_is_away_ends_in_good_order_and_the_next_one_announces_the_rest() {
    let servers = tokio::task::spawn_blocking(|| Servers::start_with(&["kafka"], &patient_kafka()));
    let servers = servers.await.expect("Kafka should start");
    let installation = Installation::bare(new_database().await, servers.address::<KafkaAddress>("kafka").url());
    installation.succeed(&["topics", "apply"]);
    installation.publish(&[stock()]);
    let mut worker = heard_worker(
        &installation,
        &[("HOLDFAST__DRAIN_TIMEOUT_MS", "8000"), ("HOLDFAST__LOG__LEVEL", "warn"), ("HOLDFAST__RELAY__LEASE_S", "2")],
    );
    installation.wait_until_handled(1).await;
    servers.act(Action::Pause, "kafka");
    let address = format!("http://127.0.0.1:{}/api/v1/events", worker.http_port);
    let handled = reqwest::Client::new().post(address).json(&orders(0, 1)).send().await.expect("an answer");
    assert!(handled.text().await.expect("text").contains("applied"), "the database is there");
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0), "{}", said(&mut worker));
    servers.act(Action::Resume, "kafka");
    // A broker that was frozen for so long takes its time, and a worker does not wait for ever at its start.
    let resumed = Instant::now();
    while !installation.output(&["topics", "check"]).status.success() {
        assert!(resumed.elapsed() < DEADLINE, "the broker never came back");
    }
    let mut next = installation.worker();
    installation.wait_until_handled(2).await;
    next.signal("TERM");
    assert_eq!(next.wait(), Some(0));
    installation.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_behind_its_sink_ends_the_worker_soon_and_with_one_clear_line() {
    for guarantee in ["exactly-once", "at-least-once"] {
        let mut installation = Installation::new().await;
        installation.environment.push(("HOLDFAST__SINK__GUARANTEE".to_owned(), guarantee.to_owned()));
        installation.publish(&[stock()]);
        let mut worker = installation.worker();
        installation.wait_until_handled(1).await;
        worker.signal("TERM");
        assert_eq!(worker.wait(), Some(0));
        // As after restoring a backup that is older than the sink.
        installation
            .execute(
                "with emptied as (delete from outbox), counted as (update outbox_counter set last_number = 0, last_seq = 0)
                 update relay set published_number = 0, published_seq = 0, holder = null",
            )
            .await;
        // A drain that waited for anything would say so.
        let mut behind = heard_worker(&installation, &[("HOLDFAST__DRAIN_TIMEOUT_MS", "20000")]);
        assert_eq!(behind.wait(), Some(1), "{guarantee}");
        let words = said(&mut behind);
        let lines: Vec<&str> = words.lines().filter(|line| line.starts_with("holdfast: ")).collect();
        assert_eq!(lines.len(), 1, "{words}");
        assert!(lines[0].contains("the database is behind its sink"), "{words}");
        assert!(!words.contains("drain"), "{words}");
        assert_eq!(installation.published().len(), 1, "{guarantee}: nothing was published again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guarantee_may_be_changed_and_bodies_may_be_avro() {
    let mut installation = Installation::new().await;
    installation.environment.push(("HOLDFAST__SINK__ENCODING".to_owned(), "avro".to_owned()));
    installation.publish(&[stock()]);
    let mut identities = 1;
    for guarantee in ["at-least-once", "exactly-once", "at-least-once"] {
        installation.publish(&orders(identities as usize, 300));
        identities += 300;
        let mut worker = installation.worker_with(&[("HOLDFAST__SINK__GUARANTEE", guarantee)]);
        installation.wait_until_handled(identities).await;
        worker.signal("TERM");
        assert_eq!(worker.wait(), Some(0));
        // Nothing is repeated, as long as nothing fails.
        installation.assert_sound().await;
    }
    assert_eq!(installation.number("select on_hand from stock where sku = 'A'").await, 1_000 - 900);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_waits_for_a_lock_keeps_the_relay_from_nothing() {
    let installation = Installation::new().await;
    installation.publish(&[stock()]);
    let mut worker = installation.worker_with(&[("HOLDFAST__STORE__ENGINE_CONNECTIONS", "1")]);
    installation.wait_until_handled(1).await;
    worker.wait_for("/readyz", 200).await;
    let lock = hold_stock(&installation).await;
    installation.publish(&orders(0, 5));
    wait_until_blocked(&installation).await;
    // The relay renews its lease, whose end moves on.
    let end = "select (extract(epoch from expires_at) * 1000)::bigint from relay";
    let (before, started) = (installation.number(end).await, Instant::now());
    while installation.number(end).await < before + 3_000 {
        assert!(started.elapsed() < DEADLINE / 6, "the relay does not renew its lease");
    }
    worker.wait_for("/readyz", 200).await;
    lock.close().await.expect("it should close");
    installation.wait_until_handled(6).await;
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    installation.assert_sound().await;
}
