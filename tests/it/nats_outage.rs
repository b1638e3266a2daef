//! A NATS server of our own that is killed and frozen under load, and one whose answers are lost.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use holdfast::bus::nats::{NatsConnection, NatsSink, NatsSinkSettings};
use holdfast::ports::{Record, Sink, SinkError, Source};

use crate::nats_support::{ANY, Ground, announcement, batch, open_again, progress, text, texts, wait_for_status};
use crate::servers::{Action, NatsAddress, Servers};

/// Records of one publication.
const SIZE: i64 = 20;

fn seq(record: &Record) -> i64 {
    serde_json::from_str::<serde_json::Value>(&text(record)).unwrap()["seq"].as_i64().unwrap()
}

/// Publishes numbered records as a relay does: after an unclear outcome it opens again and goes on after what it finds.
async fn relay(settings: NatsSinkSettings, topic: String, batches: i64) {
    let mut sink = NatsSink::new(settings);
    let (mut published, _) = open_again(&mut sink).await;
    while published < batches {
        let first = published * SIZE + 1;
        let records = (first..first + SIZE).map(|seq| announcement(&topic, seq)).collect();
        match sink.publish(records, progress(published + 1, first + SIZE - 1)).await {
            Ok(()) => published += 1,
            Err(SinkError::Unclear(_)) => published = open_again(&mut sink).await.0,
            Err(error) => panic!("{error}"),
        }
    }
    sink.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_away_costs_no_record_and_repeats_none() {
    let servers = tokio::task::spawn_blocking(|| Servers::start(&["nats"])).await.unwrap();
    let ground = Ground::on(servers.address::<NatsAddress>("nats"));
    let topic = ground.name("stock");
    let usual = ground.sink_settings().await;
    let settings = NatsSinkSettings { publish_timeout: Duration::from_secs(2), ..usual };
    // The same stream is read by a group.
    let context = ground.context().await;
    let durable = async_nats::jetstream::consumer::pull::Config {
        durable_name: Some(format!("{}-{topic}", ground.name("group"))),
        filter_subjects: vec![topic.clone(), format!("{topic}.>")],
        max_ack_pending: 50_000,
        ack_wait: crate::nats_support::ACK_WAIT,
        ..Default::default()
    };
    context.create_consumer_on_stream(durable, ground.name("out")).await.unwrap();

    let batches = 200;
    let relaying = tokio::spawn(relay(settings.clone(), topic.clone(), batches));
    let mut source = ground.source(&[&topic]).await;
    let mut taken = BTreeSet::new();
    let (records, receipt) = batch(&mut source, ANY).await;
    taken.extend(records.iter().map(seq));
    source.settle(receipt, &[]).await.unwrap();
    tokio::task::block_in_place(|| servers.act(Action::Kill, "nats"));
    wait_for_status(&source, "the source notices", |status| !status.connected && status.trouble.is_some()).await;
    tokio::task::block_in_place(|| servers.act(Action::Start, "nats"));
    while taken.len() < (batches * SIZE) as usize {
        let (records, receipt) = batch(&mut source, ANY).await;
        taken.extend(records.iter().map(seq));
        source.settle(receipt, &[]).await.unwrap();
    }
    wait_for_status(&source, "it has recovered", |status| status.connected && status.trouble.is_none()).await;
    relaying.await.unwrap();
    source.close().await.unwrap();
    let published: Vec<i64> = ground.read(&[&topic]).await.iter().map(seq).collect();
    assert_eq!(published, (1..=batches * SIZE).collect::<Vec<_>>());

    frozen_under_publishing(&servers, &ground, &topic, settings, batches).await;
}

/// A publication whose outcome nobody knows: it is found out, and what is missing is published.
async fn frozen_under_publishing(
    servers: &Servers,
    ground: &Ground,
    topic: &str,
    settings: NatsSinkSettings,
    batches: i64,
) {
    let last = batches * SIZE;
    let impatient = NatsSinkSettings { open_timeout: Duration::from_secs(1), ..settings.clone() };
    let mut sink = NatsSink::new(settings);
    assert_eq!(open_again(&mut sink).await, (batches, last));
    tokio::task::block_in_place(|| servers.act(Action::Pause, "nats"));
    let next = vec![announcement(topic, last + 1)];
    let unclear = sink.publish(next.clone(), progress(batches + 1, last + 1)).await.unwrap_err();
    assert!(matches!(unclear, SinkError::Unclear(_)), "{unclear}");
    let unclear = NatsSink::new(impatient).open().await.unwrap_err();
    assert!(matches!(unclear, SinkError::Unclear(_)), "{unclear}");
    tokio::task::block_in_place(|| servers.act(Action::Resume, "nats"));
    while open_again(&mut sink).await.0 == batches {
        match sink.publish(next.clone(), progress(batches + 1, last + 1)).await {
            // What was frozen may arrive between the reading and the publication.
            Ok(()) | Err(SinkError::Unclear(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let found = texts(&ground.read(&[topic]).await);
    assert_eq!(found.len() as i64, last + 1);
    sink.close().await;
}

/// A proxy that swallows what the server says after the first publication that it sees while armed, and then cuts the
/// connection: the client never learns that it was taken.
struct DeafProxy {
    port: u16,
    armed: Arc<AtomicBool>,
    swallowed: Arc<AtomicUsize>,
}

impl DeafProxy {
    fn before(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port should be free");
        let port = listener.local_addr().expect("it is bound").port();
        let (armed, swallowed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (arm, count, address) = (armed.clone(), swallowed.clone(), address.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&address).expect("the server should listen");
                let deaf = Arc::new(AtomicBool::new(false));
                let copy = |stream: &TcpStream| stream.try_clone().expect("a socket");
                carry(copy(&client), copy(&server), {
                    let (arm, deaf) = (arm.clone(), deaf.clone());
                    move |bytes: &[u8]| {
                        if bytes.windows(5).any(|word| word == b"HPUB ") && arm.swap(false, Ordering::SeqCst) {
                            deaf.store(true, Ordering::SeqCst);
                        }
                        true
                    }
                });
                let count = count.clone();
                carry(server, client, move |_: &[u8]| {
                    let passes = !deaf.load(Ordering::SeqCst);
                    count.fetch_add(usize::from(!passes), Ordering::SeqCst);
                    passes
                });
            }
        });
        Self { port, armed, swallowed }
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
async fn a_publication_whose_answer_is_lost_is_found_in_the_tail() {
    let ground = Ground::shared().await;
    let topic = ground.name("stock");
    let settings = ground.sink_settings().await;
    let proxy = DeafProxy::before(&ground.nats.address);
    let url = format!("nats://127.0.0.1:{}", proxy.port);
    let connection = NatsConnection::new(&url, "test", Default::default()).unwrap();
    let mut sink = NatsSink::new(NatsSinkSettings { connection, publish_timeout: Duration::from_secs(2), ..settings });
    sink.open().await.unwrap();
    sink.publish(vec![announcement(&topic, 1)], progress(1, 1)).await.unwrap();
    for (batch, size) in [(2, 1), (3, 5)] {
        let (_, seq) = open_again(&mut sink).await;
        let records: Vec<_> = (seq + 1..=seq + size).map(|seq| announcement(&topic, seq)).collect();
        proxy.armed.store(true, Ordering::SeqCst);
        let unclear = sink.publish(records, progress(batch, seq + size)).await.unwrap_err();
        assert!(matches!(unclear, SinkError::Unclear(_)), "{unclear}");
        // It was taken, and is known without being told.
        assert_eq!(open_again(&mut sink).await, (batch, seq + size));
    }
    assert!(proxy.swallowed.load(Ordering::SeqCst) >= 2);
    let seqs: Vec<i64> = ground.read(&[&topic]).await.iter().map(seq).collect();
    assert_eq!(seqs, (1..=7).collect::<Vec<_>>());
}
