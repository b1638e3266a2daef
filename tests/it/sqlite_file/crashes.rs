//! Processes that write to one file and are killed at any moment: what they acknowledged is there, and nothing of what
//! they were at.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use holdfast::store::Upkeep;

use crate::shop::{OnSqlite, ShopOn, ordered, registered};

/// Names the file and the writer to a child process.
const FILE: &str = "HOLDFAST_TEST_FILE";
const WRITER: &str = "HOLDFAST_TEST_WRITER";
const ACKNOWLEDGED: &str = "acknowledged ";
const ROUNDS: usize = 25;
const ORDERS: usize = 20;

/// Not a test of its own: the process that the test below kills.
#[tokio::test]
#[ignore = "it is started and killed by another test"]
async fn a_writer_that_goes_on_until_it_is_killed() {
    let (Ok(file), Ok(writer)) = (std::env::var(FILE), std::env::var(WRITER)) else { return };
    let mut shop = ShopOn::<OnSqlite>::at(file, Default::default()).await;
    for batch in 0.. {
        let names: Vec<String> = (0..ORDERS).map(|order| format!("O-{writer}-{batch}-{order}")).collect();
        let wanted = |place: usize| [("A", 1), (["B", "C", "D"][place % 3], 1)];
        let orders = names.iter().enumerate().map(|(place, name)| ordered(name, &wanted(place))).collect();
        for outcome in shop.send(orders).await {
            assert_eq!(outcome.as_str(), "applied");
        }
        // Past the test harness, which would keep it.
        let mut output = std::io::stdout().lock();
        writeln!(output, "{ACKNOWLEDGED}{writer}-{batch}").expect("the parent reads");
        output.flush().expect("the parent reads");
    }
}

fn writer(file: &str, name: &str) -> Child {
    let program = std::env::current_exe().expect("this program");
    Command::new(program)
        .args(["--exact", "sqlite_file::crashes::a_writer_that_goes_on_until_it_is_killed", "--ignored", "--nocapture"])
        .env(FILE, file)
        .env(WRITER, name)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this program should run again")
}

/// When a process is killed, once it has acknowledged enough.
enum Moment {
    /// At once: the next batch is being read.
    AtOnce,
    /// When the file's log is written to: a batch is being committed, this one's or its neighbour's.
    WhenWritten(PathBuf),
}

impl Moment {
    fn wait(&self) {
        let Self::WhenWritten(log) = self else { return };
        let state = || log.metadata().and_then(|it| Ok((it.len(), it.modified()?))).ok();
        let (before, started) = (state(), Instant::now());
        while state() == before && started.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
    }
}

/// Reads acknowledgements until there are so many, kills the process and reads what it still said.
fn kill_after(mut child: Child, acknowledgements: usize, moment: &Moment) -> Vec<String> {
    let mut said = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
    let mut acknowledged: Vec<String> = Vec::new();
    let mut killed = false;
    while let Some(Ok(line)) = said.next() {
        // The harness writes its own words before the first line.
        if let Some((_, batch)) = line.split_once(ACKNOWLEDGED) {
            acknowledged.push(batch.to_owned());
        }
        if !killed && acknowledged.len() >= acknowledgements {
            moment.wait();
            child.kill().expect("it is ours");
            killed = true;
        }
    }
    let status = child.wait().expect("it was started");
    assert_eq!(status.signal(), Some(9), "it ended by itself: {status}");
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_are_killed_at_any_moment_lose_nothing_and_leave_nothing_half_done() {
    let mut shop = ShopOn::<OnSqlite>::open().await;
    shop.send(["A", "B", "C", "D"].map(|sku| registered(sku, 10_000_000)).into()).await;
    let mut acknowledged = HashSet::new();
    for round in 0..ROUNDS {
        // Two processes on one file, killed one after the other.
        let children = [format!("left{round}"), format!("right{round}")].map(|name| writer(&shop.url, &name));
        let [left, right] = children;
        let moment = || match round % 3 {
            0 => Moment::AtOnce,
            _ => Moment::WhenWritten(format!("{}-wal", shop.url).into()),
        };
        let (first, second) = (moment(), moment());
        let left = tokio::task::spawn_blocking(move || kill_after(left, 1 + round % 4, &first));
        let right = tokio::task::spawn_blocking(move || kill_after(right, 2 + round % 3, &second));
        for said in [left.await, right.await] {
            acknowledged.extend(said.expect("a thread"));
        }
        shop.store.check_integrity().await.expect("the file is whole");
    }
    assert!(acknowledged.len() >= 3 * ROUNDS, "only {} batches were acknowledged", acknowledged.len());
    for batch in &acknowledged {
        let found = shop.number(&format!("select count(*) from claim where reference like 'O-{batch}-%'")).await;
        assert_eq!(found, ORDERS as i64, "batch {batch} was acknowledged");
    }
    let orders = shop.number("select count(*) from claim").await;
    assert_eq!(orders % ORDERS as i64, 0, "a batch is there in part");
    assert_eq!(shop.units("A").await.0, 10_000_000 - orders);
    assert_eq!(shop.number("select count(*) from inbox").await, orders + 4);
    shop.assert_sound().await;
    eprintln!(
        "{} processes were killed, {} batches acknowledged, {} found",
        2 * ROUNDS,
        acknowledged.len(),
        orders / ORDERS as i64
    );
}
