//! A NATS server of our own that is killed and frozen under load.

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast::bus::nats::{NatsSink, NatsSinkSettings};
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
