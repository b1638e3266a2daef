//! Servers that go away and come back, answers that are lost, a relay that wakes up too late, garbage between events.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use holdfast::domain::rules::Rules;
use holdfast::ports::Outcome;
use serde_json::{Value, json};

use super::installation::Installation;
use crate::servers::{Action, KafkaAddress, NatsAddress, Servers};
use crate::shop::{PostgresAddress, Shop, event, lines, new_database, ordered, registered};

fn orders(first: usize, count: usize) -> Vec<Value> {
    let order = |number: usize| {
        let body = json!({"order_id": format!("O-{number}"), "lines": lines(&[("A", 1)])});
        event("order-created", &format!("o-{number}"), body)
    };
    (first..first + count).map(order).collect()
}

fn stock() -> Value {
    event("sku-registered", "r-A", json!({"sku": "A", "initial": 100_000}))
}

/// A proxy before a database that swallows the answer to one COMMIT and cuts the connection: the client never learns
/// that it was committed.
struct DeafProxy {
    port: u16,
    armed: Arc<AtomicBool>,
    swallowed: Arc<AtomicUsize>,
}

impl DeafProxy {
    fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port should be free");
        let own = listener.local_addr().expect("it is bound").port();
        let (armed, swallowed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (arm, count) = (armed.clone(), swallowed.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(("127.0.0.1", port)).expect("the database should listen");
                let deaf = Arc::new(AtomicBool::new(false));
                carry(client.try_clone().expect("a socket"), server.try_clone().expect("a socket"), {
                    let (arm, count, deaf) = (arm.clone(), count.clone(), deaf.clone());
                    move |bytes: &[u8]| {
                        let commits = bytes.windows(6).any(|word| word.eq_ignore_ascii_case(b"COMMIT"));
                        if commits && arm.swap(false, Ordering::SeqCst) {
                            count.fetch_add(1, Ordering::SeqCst);
                            deaf.store(true, Ordering::SeqCst);
                        }
                        true
                    }
                });
                carry(server, client, move |_: &[u8]| !deaf.load(Ordering::SeqCst));
            }
        });
        Self { port: own, armed, swallowed }
    }
}

/// Carries bytes one way until an end closes or `passes` says no; then both directions are cut.
fn carry(mut from: TcpStream, mut to: TcpStream, passes: impl Fn(&[u8]) -> bool + Send + 'static) {
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if !passes(&buffer[..read]) || to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(std::net::Shutdown::Both);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_commit_was_not_answered_is_found_to_be_committed() {
    let database = new_database().await;
    let port: u16 = crate::shop::shared_postgres().port;
    let proxy = DeafProxy::before(port);
    let through = database.replace(&format!(":{port}/"), &format!(":{}/", proxy.port));
    let mut shop = Shop::at(through, Rules::default()).await;
    assert_eq!(shop.send_one(registered("A", 10)).await, Outcome::Applied);
    proxy.armed.store(true, Ordering::SeqCst);
    // The retry finds what the lost answer would have said.
    assert_eq!(shop.send_one(ordered("O-1", &[("A", 4)])).await, Outcome::Duplicate);
    assert_eq!(proxy.swallowed.load(Ordering::SeqCst), 1);
    assert_eq!(shop.units("A").await.0, 6);
    assert_eq!(shop.answers("O-1").await.len(), 1);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_and_the_broker_may_be_killed_and_come_back_under_load() {
    killed_and_come_back("kafka").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_and_nats_may_be_killed_and_come_back_under_load() {
    killed_and_come_back("nats").await;
}

async fn killed_and_come_back(bus: &'static str) {
    let start = move || Arc::new(Servers::start(&["postgres", bus]));
    let servers = tokio::task::spawn_blocking(start).await.expect("servers");
    let postgres: PostgresAddress = servers.address("postgres");
    let url = match bus {
        "kafka" => servers.address::<KafkaAddress>(bus).url(),
        _ => servers.address::<NatsAddress>(bus).url(),
    };
    let installation = Installation::bare(postgres.url, url);
    installation.succeed(&["migrate"]);
    installation.succeed(&["topics", "apply"]);
    installation.publish(&[stock()]);
    let mut worker = installation.worker();
    installation.wait_until_handled(1).await;
    let mut identities = 1;
    for (round, server) in ["postgres", bus, "postgres"].into_iter().enumerate() {
        installation.publish(&orders(round * 2_000, 2_000));
        identities += 2_000;
        let acting = servers.clone();
        tokio::task::spawn_blocking(move || acting.act(Action::Kill, server)).await.expect("a kill");
        if server == "postgres" {
            worker.wait_for("/readyz", 503).await;
            worker.wait_for("/livez", 200).await;
        }
        let acting = servers.clone();
        tokio::task::spawn_blocking(move || acting.act(Action::Start, server)).await.expect("a start");
        // Started is not yet answering, on a busy machine for longer than a publisher waits.
        let started = Instant::now();
        while !installation.output(&["topics", "check"]).status.success() {
            assert!(started.elapsed() < Duration::from_secs(120), "{bus} does not answer");
        }
    }
    installation.wait_until_handled(identities).await;
    worker.wait_for("/readyz", 200).await;
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    installation.assert_sound().await;
    assert_eq!(installation.number("select on_hand from stock where sku = 'A'").await, 100_000 - 6_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_was_stopped_and_comes_back_publishes_nothing_again() {
    stopped_and_comes_back(Installation::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_to_nats_that_was_stopped_and_comes_back_does_not_either() {
    stopped_and_comes_back(Installation::on_nats().await).await;
}

async fn stopped_and_comes_back(installation: Installation) {
    installation.publish(&[stock()]);
    let mut sleeper = installation.worker();
    installation.wait_until_handled(1).await;
    let epoch = installation.number("select epoch from relay").await;
    sleeper.signal("STOP");
    // The other takes the lease over, and then the partitions.
    let mut heir = installation.worker();
    installation.publish(&orders(0, 500));
    installation.wait_until_handled(501).await;
    assert!(installation.number("select epoch from relay").await > epoch, "the lease was not taken over");
    sleeper.signal("CONT");
    installation.publish(&orders(500, 500));
    installation.wait_until_handled(1_001).await;
    for worker in [&mut heir, &mut sleeper] {
        worker.signal("TERM");
        assert_eq!(worker.wait(), Some(0));
    }
    installation.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_drains_under_load_and_the_next_one_finds_everything() {
    let installation = Installation::new().await;
    installation.publish(&[stock()]);
    let mut worker = installation.worker();
    installation.wait_until_handled(1).await;
    installation.publish(&orders(0, 5_000));
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0), "a drain is no failure");
    // Whatever was committed is announced, and nothing is in doubt.
    assert_eq!(
        installation.number("select last_number - published_number from outbox_counter, relay").await,
        0,
        "committed and not announced"
    );
    let mut next = installation.worker();
    installation.wait_until_handled(5_001).await;
    next.signal("TERM");
    assert_eq!(next.wait(), Some(0));
    installation.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_between_events_is_buried_once_and_holds_nobody_up() {
    let installation = Installation::new().await;
    installation.publish(&[stock()]);
    let mut worker = installation.worker();
    installation.wait_until_handled(1).await;
    let poison = json!({"event_id": "p-1", "order_id": "O-9", "lines": [{"sku": "A", "quantity": -1}]});
    let before: Vec<Value> = orders(0, 3);
    let after: Vec<Value> = orders(3, 3);
    let topic = |body: &Value| format!("{body}\n");
    let mixed: String = before.iter().map(topic).chain([topic(&poison)]).chain(after.iter().map(topic)).collect();
    installation.publish_lines(&["publish", "--topic", "order-created", "-"], &mixed);
    installation.wait_until_handled(7).await;
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    assert_eq!(installation.number("select count(*) from dead_letter").await, 1);

    installation.succeed(&["replay", "--from", "start"]);
    let mut again = installation.worker();
    again.wait_for("/readyz", 200).await;
    let marker = orders(100, 1);
    installation.publish(&marker);
    installation.wait_until_handled(8).await;
    again.signal("TERM");
    assert_eq!(again.wait(), Some(0));
    let letters = installation.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:#?}");
    assert!(letters[0].to_string().contains("invalid_quantity"), "{letters:#?}");
    assert_eq!(installation.number("select on_hand from stock where sku = 'A'").await, 100_000 - 7);
    installation.assert_sound().await;
}
