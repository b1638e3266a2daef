//! The year of a shop's orders in `examples/retail`, in small: what `make retail` and `make watch` do, with the binary that
//! is under test.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/retail");
const BINARY: &str = env!("CARGO_BIN_EXE_holdfast");

fn python(arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.current_dir(FOLDER).args(arguments);
    command
}

#[test]
fn the_parts_of_the_retail_run_work() {
    let output = python(&["-m", "unittest", "discover"]).output().expect("python3 should run");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}");
    assert!(report.contains("\nRan "), "{report}");
}

#[test]
fn a_shops_orders_on_postgresql_and_kafka_end_as_the_file_says_after_a_kill_and_a_replay() {
    let runs = play(&["--bus", "kafka", "--supply", "half"]);
    assert_eq!(runs.len(), 1);
    shows_shortage(&runs[0]);
}

#[test]
fn a_shops_orders_on_postgresql_and_nats_end_as_the_file_says_after_a_kill_and_a_replay() {
    let runs = play(&["--bus", "nats", "--supply", "half"]);
    assert_eq!(runs.len(), 1);
    shows_shortage(&runs[0]);
}

#[test]
fn a_shops_orders_on_sqlite_and_the_embedded_log_end_as_the_file_says_after_a_kill_and_a_replay() {
    let runs = play(&["--bus", "local"]);
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0]["orders_refused_for_stock"], 0, "{}", runs[0]);
    shows_shortage(&runs[1]);
}

#[test]
fn every_acknowledged_event_is_handled_however_often_embedded_workers_and_publishers_are_killed() {
    let runs = play(&["--bus", "local", "--supply", "half", "--kills", "12"]);
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0]["kills"]["workers"], 12, "{}", runs[0]);
    assert!(runs[0]["kills"]["publishers"].as_i64().is_some_and(|killed| killed > 0), "{}", runs[0]);
    shows_shortage(&runs[0]);
}

/// The small cut; returns the figures of each run, of which those that must be 0 are.
fn play(arguments: &[&str]) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("retail.json");
    let path = report.to_str().expect("a path of plain text");
    let output = python(&["run.py", "--cut", "small", "--binary", BINARY, "--report", path])
        .args(arguments)
        .output()
        .expect("python3 should run");
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{printed}");

    let report: Value = serde_json::from_slice(&std::fs::read(report).expect("a report")).expect("JSON");
    let runs = report["runs"].as_array().expect("runs").clone();
    for run in &runs {
        for figure in ["repeats", "holes", "differences", "lost", "replay_changes", "dead_letters"] {
            assert_eq!(run[figure], 0, "{figure} of {run}");
        }
        for figure in ["events_in", "applied", "duplicates", "announcements", "order_lines", "lines_per_s"] {
            assert!(run[figure].as_i64().is_some_and(|found| found > 0), "{figure} of {run}");
        }
        assert_eq!(run["worker_killed"], true, "{run}");
    }
    runs
}

/// With half the stock, refusals and low stock come up for real.
fn shows_shortage(run: &Value) {
    for figure in ["orders_refused_for_stock", "low_stock"] {
        assert!(run[figure].as_i64().is_some_and(|found| found > 100), "{figure} of {run}");
    }
}

/// A process in a group of its own, as a shell starts a command; the whole group ends with the test.
struct Group(Child);

impl Group {
    /// Sends a signal to every process of the group, as a terminal does.
    fn signal(&self, name: &str) -> bool {
        let group = format!("-{}", self.0.id());
        Command::new("kill").args(["-s", name, "--", &group]).status().expect("kill should run").success()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Only what is still there: the number of a group that ended may be somebody else's by now.
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal("KILL");
            let _ = self.0.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_week_to_watch_tells_what_happens_to_stock_and_one_interrupt_ends_all_of_it() {
    let mut command = python(&["watch.py", "--minutes", "1", "--binary", BINARY]);
    let mut show = Group(command.stdout(Stdio::piped()).process_group(0).spawn().expect("python3 should run"));
    let output = BufReader::new(show.0.stdout.take().expect("standard output was asked for"));
    let mut sidecar = None;
    let (mut orders, mut levels) = (0, 0);
    let mut lines = output.lines().map(|line| line.expect("text"));
    for line in lines.by_ref() {
        if let Some((_, address)) = line.split_once("sidecar answers at ") {
            sidecar = Some(address.trim_end_matches(", for example:").to_owned());
        }
        orders += i32::from(line.starts_with("order "));
        levels += i32::from(line.contains("stock now "));
        if orders >= 5 && levels >= 1 {
            break;
        }
    }
    let sidecar = sidecar.expect("the address of the sidecar should be printed");
    let stock = reqwest::get(format!("{sidecar}/api/v1/stock/85123A")).await.expect("the sidecar should answer");
    assert_eq!(stock.status(), 200);

    assert!(show.signal("INT"));
    // What is still printed; the end of the output is the end of every process that could print.
    lines.for_each(drop);
    assert_eq!(show.0.wait().expect("it should end").code(), Some(0));
    assert!(!show.signal("CONT"), "a process was left behind");
    assert!(reqwest::get(format!("{sidecar}/livez")).await.is_err(), "the worker was left behind");
}
