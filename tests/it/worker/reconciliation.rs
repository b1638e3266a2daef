//! `verify --repair` and `reconcile` without a worker: what they show, refuse and leave to the next worker.

use std::fs;

use serde_json::{Value, json};

use super::installation::Installation;
use crate::shop::event;

const BY_HAND: [&str; 5] = ["--apply", "--operator", "ada", "--reason", "after the fire"];

/// How a command ended, and everything that it said.
fn run(installation: &Installation, arguments: &[&str]) -> (Option<i32>, String) {
    let output = installation.output(arguments);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("commands print text"))
}

/// An installation in a file that keeps two SKUs, of which every announcement is out.
async fn stocked() -> (Installation, tempfile::TempDir) {
    let (installation, folder) = Installation::embedded();
    let mut worker = installation.worker();
    worker.wait_for("/readyz", 200).await;
    let registered = |sku: &str| event("sku-registered", &format!("r-{sku}"), json!({"sku": sku, "initial": 10}));
    installation.publish(&[registered("A"), registered("B")]);
    installation.wait_until_handled(2).await;
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    (installation, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_recorded_by_verify_mended_by_hand_and_announced_by_the_next_worker() {
    let (installation, _folder) = stocked().await;
    assert_eq!(run(&installation, &["verify", "--repair"]).0, Some(0));
    installation.execute("update stock set on_hand = 4, level = 'out' where sku = 'A'").await;
    let (code, said) = run(&installation, &["verify"]);
    assert_eq!(code, Some(3), "{said}");
    assert_eq!(installation.number("select count(*) from stock_diff where source = 'ledger'").await, 1);
    let (code, said) = run(&installation, &["verify", "--repair", "--json"]);
    let shown: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).expect("JSON");
    assert_eq!((code, &shown["holds"], &shown["repair"]["repairable"]), (Some(3), &json!(false), &json!(1)));
    assert_eq!(shown["repair"]["rows"][0]["then"]["on_hand"], 10);
    assert_eq!(installation.number("select on_hand from stock where sku = 'A'").await, 4, "it only shows");
    let (code, said) = run(&installation, &[&["verify", "--repair"][..], &BY_HAND].concat());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("repaired       A@default (version 1): on_hand 4 -> 10, level out -> normal"), "{said}");
    assert_eq!(installation.number("select count(*) from stock_diff").await, 0);
    assert_eq!(
        installation.number("select count(*) from movement where operator = 'ada' and reason = 'after the fire'").await,
        1
    );
    let mut worker = installation.worker();
    worker.wait_for("/readyz", 200).await;
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    let published = installation.assert_sound().await;
    let types: Vec<&str> = published.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(
        types,
        ["stock-changed", "stock-changed", "stock-drift", "stock-drift", "stock-changed", "low-stock"],
        "a counter and a level differed, and one movement mended both"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_in_the_ledger_is_told_and_left_alone() {
    let (installation, _folder) = stocked().await;
    installation.execute("delete from movement where sku = 'B'").await;
    let (code, said) = run(&installation, &[&["verify", "--repair"][..], &BY_HAND].concat());
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("BEYOND REPAIR  B@default") && said.contains("ledger has gaps"), "{said}");
    assert_eq!(installation.number("select version from stock where sku = 'B'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_systems_figures_are_compared_and_wrong_ones_refused() {
    let (installation, folder) = stocked().await;
    let file = folder.path().join("figures");
    let path = file.to_str().expect("UTF-8");
    let compare = |content: &str, more: &[&str]| {
        fs::write(&file, content).expect("a file");
        run(&installation, &[&["reconcile", "--source", "wms", path], more].concat())
    };
    let (code, said) = compare("{\"sku\":\"A\",\"available\":10}\n{\"sku\":\"B\",\"available\":10}\n", &[]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = compare("sku,available\nA,4\nX,1\n", &["--alert-threshold", "5"]);
    assert_eq!(code, Some(3), "{said}");
    for expected in [
        "compared 2 rows with 2 figures of wms: 2 differ (1 missing), 1 at once to be looked at",
        "ALERT A@default: ours 10, theirs 4",
        "B@default: ours 10, theirs missing",
        "1 figures are of rows that are not registered: X@default",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
    // Ours counts: the difference is settled, though it stays until the other system has taken it.
    let ours = [&["--fix", "use_ours"][..], &BY_HAND].concat();
    let (code, said) = compare("sku,available\nA,4\nB,10\n", &ours);
    assert!(code == Some(0) && said.contains("use_ours"), "{code:?} {said}");
    for (content, expected) in [
        ("sku,available\nA,4\nA,5\n", "line 3: A@default stands there twice"),
        ("sku,units\n", "line 1: the first line must name the columns"),
        ("", "it holds no figure"),
    ] {
        let (code, said) = compare(content, &[]);
        assert!(code == Some(1) && said.contains(expected), "{code:?} {said}");
    }
    let (code, said) =
        run(&installation, &["reconcile", "--source", "wms", "--url", "http://shop:hunter2@127.0.0.1:1/x?k=hunter2"]);
    assert!(code == Some(1) && said.contains("http://127.0.0.1:1/x") && !said.contains("hunter2"), "{code:?} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_hand_says_who_and_why_or_is_not_made() {
    let (installation, _folder) = Installation::embedded();
    installation.succeed(&["migrate"]);
    for wrong in [
        &["verify", "--repair", "--apply"][..],
        &["verify", "--repair", "--apply", "--operator", "ada"],
        &["verify", "--repair", "--apply", "--reason", "x"],
        &["verify", "--repair", "--apply", "--operator", "ada", "--reason", ""],
        &["verify", "--apply", "--operator", "ada", "--reason", "x"],
        &["verify", "--operator", "ada"],
        &["reconcile", "--source", "wms"],
        &["reconcile", "--source", "ledger", "f"],
        &["reconcile", "--source", "W M S", "f"],
        &["reconcile", "--source", "wms", "f", "--url", "http://x"],
        &["reconcile", "--source", "wms", "f", "--fix", "use_theirs"],
        &["reconcile", "--source", "wms", "f", "--apply", "--operator", "ada", "--reason", "x"],
        &["reconcile", "--source", "wms", "f", "--tolerance", "-1"],
    ] {
        let (code, said) = run(&installation, wrong);
        assert_eq!(code, Some(2), "{wrong:?}: {said}");
    }
}
