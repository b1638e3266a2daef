//! Figures that differ: found by a running worker, announced, listed, counted, and mended beside it.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

use super::super::Here;
use crate::market::Combination;
use crate::shop::event;
use crate::worker::installation::{DEADLINE, Installation, Worker};

const BY_HAND: [&str; 5] = ["--apply", "--operator", "ada", "--reason", "after the fire"];

/// The open differences, each as `sku source.field ours theirs`.
async fn differences(worker: &Worker) -> Vec<String> {
    let (status, body) = worker.ask("/api/v1/differences").await.expect("the sidecar should answer");
    assert_eq!(status, 200, "{body}");
    let page: Value = serde_json::from_str(&body).expect("JSON");
    let shown = |item: &Value| {
        let text = |name: &str| item[name].as_str().expect("a text").to_owned();
        format!("{} {}.{} {} {}", text("sku"), text("source"), text("field"), item["ours"], item["theirs"])
    };
    page["items"].as_array().expect("a list").iter().map(shown).collect()
}

async fn wait_for(worker: &Worker, expected: &[&str]) {
    let started = Instant::now();
    loop {
        let found = differences(worker).await;
        if found == expected {
            return;
        }
        assert!(started.elapsed() < DEADLINE, "{found:?} are open, not {expected:?}");
        tokio::task::yield_now().await;
    }
}

/// What a command that changes something ended with.
fn code(installation: &Installation, arguments: &[&str], more: &[&str]) -> (Option<i32>, String) {
    let output = installation.output(&[arguments, more].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), format!("{}{errors}", String::from_utf8_lossy(&output.stdout)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_finds_what_differs_and_a_command_beside_it_mends_it() {
    let place = Here::place().await;
    let installation = &place.installation;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let figures = folder.path().join("wms.csv");
    fs::write(&figures, "sku,available\nA,10\nB,20\n").expect("a file");
    let figures = figures.to_str().expect("UTF-8");
    let registered =
        |sku: &str, initial: i64| event("sku-registered", &format!("r-{sku}"), json!({"sku": sku, "initial": initial}));
    installation.publish(&[registered("A", 10), registered("B", 20)]);
    let mut worker = installation.worker_with(&[
        ("HOLDFAST__RECONCILE__INTERVAL_S", "1"),
        ("HOLDFAST__RECONCILE__OUTSIDE__WMS__FILE", figures),
        ("HOLDFAST__RECONCILE__OUTSIDE__WMS__INTERVAL_S", "1"),
        ("HOLDFAST__RECONCILE__OUTSIDE__WMS__TOLERANCE", "2"),
        ("HOLDFAST__RECONCILE__OUTSIDE__WMS__ALERT_THRESHOLD", "5"),
    ]);
    installation.wait_until_handled(2).await;
    wait_for(&worker, &[]).await;
    // Against our own books; the other system differs by as much, then.
    installation.execute("update stock set on_hand = 3 where sku = 'A'").await;
    wait_for(&worker, &["A ledger.on_hand 3 10", "A wms.available 3 10"]).await;
    let (_, metrics) = worker.ask("/metrics").await.expect("the sidecar should answer");
    assert!(metrics.contains("holdfast_stock_differences{source="), "{metrics}");
    let (shown, said) = code(installation, &["verify", "--repair"], &[]);
    assert_eq!(shown, Some(3), "{said}");
    assert!(said.contains("would repair   A@default (version 1): on_hand 3 -> 10"), "{said}");
    let (repaired, said) = code(installation, &["verify", "--repair"], &BY_HAND);
    assert_eq!(repaired, Some(0), "{said}");
    wait_for(&worker, &[]).await;
    assert_eq!(installation.number("select on_hand from stock where sku = 'A'").await, 10);
    // Against the other system.
    fs::write(figures, "sku,available\nA,9\nB,14\n").expect("a file");
    wait_for(&worker, &["B wms.available 20 14"]).await;
    let (compared, said) = code(installation, &["reconcile", "--source", "wms", figures], &["--tolerance", "2"]);
    assert_eq!(compared, Some(3), "{said}");
    let fix = ["--tolerance", "2", "--fix", "use_theirs", "--max-fix-amount", "6"];
    let fix = [&["reconcile", "--source", "wms", figures], &fix[..]].concat();
    let (planned, said) = code(installation, &fix, &[]);
    assert!(planned == Some(3) && said.contains("would adjust B@default by -6"), "{planned:?} {said}");
    let (fixed, said) = code(installation, &fix, &BY_HAND);
    assert!(fixed == Some(0) && said.contains("adjusted 1 rows"), "{fixed:?} {said}");
    wait_for(&worker, &[]).await;
    // Another Holdfast is a system like any other, this one itself for instance.
    let list = format!("http://127.0.0.1:{}/api/v1/stock?limit=1", worker.http_port);
    let (compared, said) = code(installation, &["reconcile", "--source", "north", "--url", &list], &["--json"]);
    assert_eq!(compared, Some(0), "{said}");
    assert!(said.contains("\"figures\":2") && said.contains("\"rows\":2"), "{said}");
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));

    let published = installation.assert_sound().await;
    let of_type = |name: &str| -> Vec<&Value> { published.iter().filter(|event| event["type"] == name).collect() };
    let drifts: Vec<String> = of_type("stock-drift")
        .into_iter()
        .map(|event| {
            let data = &event["data"];
            assert_eq!(data["cause"]["type"], "reconciliation", "{data}");
            let text = |name: &str| data[name].as_str().expect("a text").to_owned();
            format!("{} {} {} {}", text("sku"), text("source"), data["ours"], data["theirs"])
        })
        .collect();
    // The two jobs look at the same moment or one after the other.
    let mut first = drifts[..2].to_vec();
    first.sort();
    assert_eq!(first, ["A ledger 3 10", "A wms 3 10"]);
    assert_eq!(drifts[2..], ["B wms 20 14"]);
    let last = |sku: &str| of_type("stock-changed").into_iter().rfind(|event| event["data"]["sku"] == sku);
    let (a, b) = (last("A").expect("a change"), last("B").expect("a change"));
    assert_eq!((&a["data"]["change"]["on_hand"], &a["data"]["after"]["on_hand"]), (&json!(0), &json!(10)));
    assert_eq!((&b["data"]["change"]["on_hand"], &b["data"]["after"]["on_hand"]), (&json!(-6), &json!(14)));
}
