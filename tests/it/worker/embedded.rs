//! Workers whose store and bus are one file: from nothing, killed at any moment, side by side.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::installation::{DEADLINE, Installation};
use crate::shop::{self, OnSqlite, ShopOn, event, lines};

/// The binary in a folder, with no setting.
fn bare_command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.args(arguments).current_dir(folder);
    command
}

fn registered(sku: &str, initial: i64) -> Value {
    event("sku-registered", &format!("r-{sku}"), json!({"sku": sku, "initial": initial}))
}

fn order(number: usize) -> Value {
    let body = json!({"order_id": format!("O-{number}"), "lines": lines(&[("A", 2), ("B", 1)])});
    event("order-created", &format!("o-{number}"), body)
}

fn answers(published: &[Value]) -> usize {
    published.iter().filter(|event| event["type"] == "reservation-result").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_any_setting_handles_events_from_an_empty_folder() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let folder = folder.path();
    let port = super::installation::free_port();
    let listen = format!("127.0.0.1:{port}");
    let started = Instant::now();
    let child = bare_command(folder, &["run", "--http-listen", &listen])
        .env("HOLDFAST__LOG__LEVEL", "info,holdfast::store=debug")
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the binary should run");
    let mut worker = super::installation::Worker { child, http_port: port };
    let body = registered("SKU-1", 10).to_string();
    let client = reqwest::Client::new();
    let answer = loop {
        let post = client
            .post(format!("http://{listen}/api/v1/events"))
            .header("content-type", "application/cloudevents+json")
            .body(body.clone());
        match post.send().await {
            Ok(response) if response.status() == 200 => break response.text().await.expect("an answer"),
            _ => assert!(started.elapsed() < DEADLINE, "the worker never answered"),
        }
    };
    println!("start to first event handled: {:?}", started.elapsed());
    assert!(answer.contains("applied"), "{answer}");
    std::fs::write(folder.join("orders.jsonl"), format!("{}\n", order(1))).expect("a file");
    let run = |arguments: &[&str]| {
        let output = bare_command(folder, arguments).output().expect("the binary should run");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(run(&["publish", "orders.jsonl"]), "1 events acknowledged\n");
    // The registration's and the order's; follows until they are there.
    let seen = run(&["subscribe", "--from", "start", "--count", "2"]);
    assert_eq!(seen.lines().count(), 2, "{seen}");
    assert!(seen.contains(r#""seq":1,"#), "{seen}");
    assert_eq!(run(&["topics", "check"]), "18 topics are as specified\n");
    run(&["verify"]);
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    let mut said = String::new();
    for stream in [
        worker.child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read>),
        worker.child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read>),
    ] {
        stream.expect("it was asked for").read_to_string(&mut said).expect("text");
    }
    assert_eq!(said.matches("embedded: store and bus are one file").count(), 1, "{said}");
    // It takes as long as reading the file does.
    assert_eq!(said.matches("checked the file, it is whole").count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_workers_that_are_killed_in_a_loop_lose_nothing_that_was_acknowledged() {
    const ROUNDS: usize = 20;
    const ORDERS: usize = 100;
    let (installation, _folder) = Installation::embedded();
    let mut worker = installation.worker();
    worker.wait_for("/readyz", 200).await;
    installation.publish(&[registered("A", 1_000_000), registered("B", 1_000_000)]);
    let mut identities: i64 = 2;
    for round in 0..ROUNDS {
        // Acknowledged, each order twice as brokers do, while a worker reads and dies.
        let orders: Vec<Value> = (0..ORDERS).map(|number| order(round * ORDERS + number)).collect();
        installation.publish(&[orders.clone(), orders].concat());
        identities += ORDERS as i64;
        // At another moment of its work in every round.
        let until = 2 + (round * ORDERS + (round * 37) % ORDERS) as i64;
        let started = Instant::now();
        while installation.number("select count(*) from inbox").await < until {
            assert!(started.elapsed() < DEADLINE, "round {round} stands still");
        }
        worker.signal("KILL");
        assert_eq!(worker.wait(), None);
        worker = installation.worker();
    }
    installation.wait_until_handled(identities).await;
    // Before that it would not hear of a signal.
    worker.wait_for("/readyz", 200).await;
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    let published = installation.assert_sound().await;
    let orders = identities - 2;
    assert_eq!(answers(&published) as i64, orders, "each order is answered once");
    assert_eq!(installation.number("select on_hand from stock where sku = 'A'").await, 1_000_000 - 2 * orders);
    println!("{ROUNDS} kills, {orders} orders, {} announcements, 0 differences", published.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_on_one_file_take_turns_and_the_stopped_one_is_overtaken() {
    let (installation, _folder) = Installation::embedded();
    let mut first = installation.worker();
    first.wait_for("/readyz", 200).await;
    let mut second = installation.worker();
    second.wait_for("/readyz", 200).await;
    installation.publish(&[registered("A", 10_000), registered("B", 10_000)]);
    installation.wait_until_handled(2).await;
    let refused = installation.output(&["replay", "--from", "start"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains(&format!("process {}", first.child.id())), "{said}");
    first.signal("STOP");
    installation.publish(&(0..50).map(order).collect::<Vec<_>>());
    installation.wait_until_handled(52).await;
    first.signal("CONT");
    second.signal("KILL");
    assert_eq!(second.wait(), None);
    installation.publish(&(50..100).map(order).collect::<Vec<_>>());
    installation.wait_until_handled(102).await;
    first.signal("TERM");
    assert_eq!(first.wait(), Some(0));
    let published = installation.assert_sound().await;
    assert_eq!(answers(&published), 100);
    let seqs: BTreeSet<i64> = published.iter().filter_map(|event| event["data"]["seq"].as_i64()).collect();
    assert_eq!(seqs.len(), published.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_the_file_changes_nothing_and_garbage_is_buried_once() {
    let (installation, _folder) = Installation::embedded();
    let mut worker = installation.worker();
    worker.wait_for("/readyz", 200).await;
    installation.publish(&[registered("A", 1_000), registered("B", 1_000), order(1)]);
    let poison = json!({"event_id": "p-1", "order_id": "O-9", "lines": [{"sku": "A", "quantity": -1}]});
    installation.publish_lines(&["publish", "--topic", "order-created", "-"], &format!("{poison}\n"));
    installation.publish(&[order(2)]);
    installation.wait_until_handled(4).await;
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    let seq = installation.number("select last_seq from outbox_counter").await;
    let plan = installation.succeed(&["replay", "--from", "start", "--dry-run"]);
    assert!(plan.contains("partitions, with up to 5 records ahead"), "{plan}");
    installation.succeed(&["replay", "--from", "start"]);
    let mut again = installation.worker();
    installation.wait_until_handled(4).await;
    installation.publish(&[order(3)]);
    installation.wait_until_handled(5).await;
    again.signal("TERM");
    assert_eq!(again.wait(), Some(0));
    assert_eq!(installation.dead_letters().len(), 1);
    let published = installation.assert_sound().await;
    assert!(published.len() as i64 > seq);
    assert_eq!(answers(&published), 3);
    assert_eq!(installation.number("select on_hand from stock where sku = 'A'").await, 1_000 - 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_sink_has_not_got_is_published_to_the_log_first() {
    let (installation, folder) = Installation::embedded();
    let mut worker = installation.worker();
    worker.wait_for("/readyz", 200).await;
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    // Batches of a store that announces nothing by itself, and a relay that never came.
    let file = folder.path().join("holdfast.db").display().to_string();
    let mut shop = ShopOn::<OnSqlite>::at(file, Default::default()).await;
    for number in 0..3 {
        let outcomes = shop.send(vec![shop::registered(&format!("S-{number}"), 10)]).await;
        assert_eq!(outcomes.len(), 1);
    }
    assert_eq!(installation.number("select last_number - published_number from outbox_counter, relay").await, 3);
    installation.publish(&[registered("A", 10), registered("B", 10), order(1)]);
    let mut worker = installation.worker();
    installation.wait_until_handled(6).await;
    installation.publish(&[order(2)]);
    installation.wait_until_handled(7).await;
    worker.wait_for("/readyz", 200).await;
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    let published = installation.assert_sound().await;
    assert_eq!(answers(&published), 2);
    let newest = "select (select last_number from outbox_counter) - (select batch from log_progress)";
    assert_eq!(installation.number(newest).await, 0);
}
