//! `holdfast demo`: a shop on a worker of its own, as whoever starts it sees it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::installation::{Worker, free_port};

/// The demo with its temporary files in a folder, on a port that nobody has.
fn demo(folder: &Path, arguments: &[&str]) -> Command {
    demo_at(&format!("127.0.0.1:{}", free_port()), folder, arguments)
}

fn demo_at(address: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.args(["demo", "--http-listen", address]).args(arguments).current_dir(folder).env("TMPDIR", folder);
    command
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    demo(folder, arguments).output().expect("the binary should run")
}

fn objects(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).expect("a line should be JSON")).collect()
}

fn assert_empty(folder: &Path) {
    let left: Vec<_> = std::fs::read_dir(folder).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

fn number(figures: &Value, pointer: &str) -> i64 {
    figures.pointer(pointer).and_then(Value::as_i64).unwrap_or_else(|| panic!("{pointer} in {figures}"))
}

#[test]
fn a_shop_sees_everything_happen_and_its_stock_stays_true() {
    let folder = folder();
    let output = run(folder.path(), &["--for", "5s", "--no-tui", "--json", "--rate", "400", "--seed", "7"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let lines = objects(&String::from_utf8_lossy(&output.stdout));
    let (summary, progress) = lines.split_last().expect("it should print");
    assert!(progress.len() >= 2, "{lines:?}");
    assert!(progress.iter().all(|line| line["kind"] == "progress"), "{lines:?}");
    assert_eq!((&summary["kind"], &summary["seed"]), (&"summary".into(), &7.into()), "{summary}");
    println!("{summary}");
    for event_type in ["sku-registered", "cart-updated", "order-created", "order-cancelled", "stock-received"] {
        assert!(number(summary, &format!("/handed_in/{event_type}")) > 0, "{summary}");
    }
    for figure in [
        "/sales",
        "/sale_orders",
        "/alerts",
        "/recoveries",
        "/answers/cart/granted",
        "/answers/order/granted",
        "/answers/order/cancelled",
        "/announcements",
        "/first_event_ms",
    ] {
        assert!(number(summary, figure) > 0, "{figure} in {summary}");
    }
    for figure in ["/repeats", "/holes", "/unanswered", "/verify/differing"] {
        assert_eq!(number(summary, figure), 0, "{figure} in {summary}");
    }
    assert_eq!(number(summary, "/last_seq"), number(summary, "/announcements"));
    assert_eq!((&summary["verify"]["holds"], &summary["sound"]), (&true.into(), &true.into()), "{summary}");
    assert_empty(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_its_page_until_an_interrupt_ends_it_in_good_order() {
    let folder = folder();
    let mut child = demo(folder.path(), &["--no-tui"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary should run");
    let mut output = BufReader::new(child.stdout.take().expect("it was asked for"));
    let mut errors = child.stderr.take().expect("it was asked for");
    let mut worker = Worker { child, http_port: 0 };
    let mut said = String::new();
    output.read_line(&mut said).expect("text");
    let address = said.split_whitespace().find(|word| word.starts_with("http://")).expect("an address");
    worker.http_port =
        address.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    worker.wait_for("/readyz", 200).await;
    // Printed while it runs: the shop is open.
    output.read_line(&mut said).expect("text");
    let (status, page) = worker.ask("/").await.expect("the page");
    assert!(status == 200 && page.contains("<html"), "{page}");
    let (_, stock) = worker.ask("/api/v1/stock?limit=1").await.expect("stock");
    assert!(stock.contains("on_hand"), "{stock}");
    worker.signal("INT");
    // Read to the end before it is waited for: a full pipe would hold it up.
    output.read_to_string(&mut said).expect("text");
    let mut log = String::new();
    errors.read_to_string(&mut log).expect("text");
    assert_eq!(worker.wait(), Some(0), "{said}{log}");
    assert!(said.contains("every invariant holds in 9 checks"), "{said}");
    assert!(said.contains("0 repeats, 0 holes, 0 without an answer"), "{said}");
    assert_empty(folder.path());
}

#[test]
fn a_port_that_is_taken_is_told_and_another_is_used() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let folder = folder();
    let arguments = ["--for", "1s", "--json"];
    let output = demo_at(&address, folder.path(), &arguments).output().expect("the binary should run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(errors.contains(&format!("{address} is taken; the sidecar listens on 127.0.0.1:")), "{errors}");
    let lines = objects(&String::from_utf8_lossy(&output.stdout));
    assert_ne!(lines[0]["address"], format!("http://{address}"));
}

#[test]
fn settings_of_servers_are_left_alone_and_flags_for_them_refused() {
    let folder = folder();
    let output = demo(folder.path(), &["--for", "1s", "--json"])
        .env("HOLDFAST__STORE__URL", "postgres://nobody@127.0.0.1:1/nothing")
        .env("HOLDFAST__SOURCE__URL", "kafka://127.0.0.1:1")
        .output()
        .expect("the binary should run");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for (arguments, said) in [
        (["--store-url", "sqlite://x.db"], "--store-url sets store.url, and the demo has a file of its own"),
        (["--set", "carts.hold=false"], "sets carts.hold"),
        (["--for", "5"], "like 30s, 5m or 1h"),
        (["--for", "0s"], "like 30s, 5m or 1h"),
        (["--rate", "0"], "--rate"),
        (["--rate", "20001"], "--rate"),
        (["--seed", "one"], "--seed"),
        (["--tui", "yes"], "--tui"),
    ] {
        let output = run(folder.path(), &arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(said), "{arguments:?}: {errors}");
    }
    assert_empty(folder.path());
}

#[test]
fn a_terminal_is_drawn_on_and_given_back_at_a_key() {
    let folder = folder();
    let listen = format!("127.0.0.1:{}", free_port());
    let shell =
        format!("stty cols 110 rows 36; {} demo --rate 300 --http-listen {listen}", env!("CARGO_BIN_EXE_holdfast"));
    let child = Command::new("script")
        .args(["--quiet", "--return", "--command", &shell, "/dev/null"])
        .env("TMPDIR", folder.path())
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("util-linux should be installed");
    let mut worker = Worker { child, http_port: 0 };
    let mut keyboard = worker.child.stdin.take().expect("it was asked for");
    let mut screen = worker.child.stdout.take().expect("it was asked for");
    let mut drawn = Vec::new();
    let mut piece = [0; 4_096];
    while !String::from_utf8_lossy(&drawn).contains("granted") {
        let length = screen.read(&mut piece).expect("the terminal should go on");
        assert!(length > 0, "{}", String::from_utf8_lossy(&drawn));
        drawn.extend_from_slice(&piece[..length]);
    }
    keyboard.write_all(b"q").expect("the keyboard should be read");
    screen.read_to_end(&mut drawn).expect("the terminal should end");
    let text = String::from_utf8_lossy(&drawn);
    assert_eq!(worker.wait(), Some(0), "{text}");
    for part in ["Holdfast", "Stock", "Orders", "Alerts", "events/s", &listen, "\u{1b}[?1049h"] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
    let (_, after) = text.rsplit_once("\u{1b}[?1049l").expect("the screen should be given back");
    assert!(after.contains("every invariant holds"), "{after:?}");
    // Log lines would run over the screen.
    assert!(!text.contains("INFO"), "{text:?}");
    assert_empty(folder.path());
}
