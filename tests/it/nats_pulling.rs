//! What a real NATS server refuses, and what it would lose.

use std::fs;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use holdfast::bus::nats::{NatsFailure, NatsPublisher, NatsSource, NatsSourceSettings};
use holdfast::ports::{OutputRecord, Source};

use crate::nats_support::{DEADLINE, Ground, exactly, output, wait_for_status};
use crate::servers::{Action, NatsAddress, Servers};

/// A topic whose consumer somebody made by hand.
async fn topic_read_by(ground: &Ground, config: pull::Config) -> String {
    let topic = ground.name("orders");
    let context = ground.context().await;
    let stream = async_nats::jetstream::stream::Config {
        name: topic.clone(),
        subjects: vec![topic.clone(), format!("{topic}.>")],
        ..Default::default()
    };
    context.create_stream(stream).await.unwrap();
    let durable_name = Some(format!("{}-{topic}", ground.name("group")));
    context.create_consumer_on_stream(pull::Config { durable_name, ..config }, &topic).await.unwrap();
    topic
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_larger_than_the_server_took_at_the_start_comes() {
    let folder = tempfile::tempdir().unwrap();
    let (more, file) = (folder.path().join("more.conf"), folder.path().join("limits.conf"));
    // Read again at every start; the server takes such a path as relative to its own folder.
    fs::write(&more, format!("include '{}{}'\n", "../".repeat(32), file.display())).unwrap();
    fs::write(&file, "max_payload: 65536\n").unwrap();
    let argument = format!("--nats-option=settings={}", more.display());
    let start = move || Servers::start_with(&["nats"], &[argument]);
    let servers = tokio::task::spawn_blocking(start).await.unwrap();
    let ground = Ground::on(servers.address::<NatsAddress>("nats"));
    let topic = ground.topic("orders").await;
    let mut source = ground.source(&[&topic]).await;
    fs::write(&file, "max_payload: 8388608\n").unwrap();
    tokio::task::block_in_place(|| servers.act(Action::Kill, "nats"));
    wait_for_status(&source, "the source notices", |status| !status.connected).await;
    tokio::task::block_in_place(|| servers.act(Action::Start, "nats"));
    let large = |number| OutputRecord { payload: Some(vec![b'x'; 1_000_000]), ..output(&topic, "k", number) };
    ground.publish(vec![output(&topic, "k", 1), large(2), large(3), output(&topic, "k", 4)]).await;
    let taken = tokio::time::timeout(DEADLINE, exactly(&mut source, 4)).await.expect("the topic is blocked").0;
    let sizes: Vec<usize> = taken.iter().map(|record| record.payload.as_ref().unwrap().len()).collect();
    assert_eq!(sizes, [3, 1_000_000, 1_000_000, 3]);
    source.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_refuses_every_request_is_told_of() {
    let ground = Ground::shared().await;
    let topic = topic_read_by(&ground, pull::Config { max_batch: 10, ..Default::default() }).await;
    let source = ground.source(&[&topic]).await;
    let status = wait_for_status(&source, "trouble", |status| status.connected && status.trouble.is_some()).await;
    assert!(status.trouble.as_deref().is_some_and(|said| said.contains("MaxRequestBatch")), "{status:?}");
    source.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_would_lose_events_is_refused_by_name() {
    for (config, wrong) in [
        (pull::Config { ack_policy: AckPolicy::None, ..Default::default() }, "ack_policy=None"),
        (pull::Config { ack_policy: AckPolicy::All, ..Default::default() }, "ack_policy=All"),
        (pull::Config { max_deliver: 5, ..Default::default() }, "max_deliver=5"),
    ] {
        let ground = Ground::shared().await;
        let topic = topic_read_by(&ground, config).await;
        let settings =
            NatsSourceSettings { start_timeout: Duration::from_secs(5), ..ground.source_settings(&[&topic]) };
        let refused = NatsSource::open(settings).await.unwrap_err();
        assert!(matches!(refused, NatsFailure::Unsafe { .. }), "{refused}");
        let said = refused.to_string();
        assert!(said.contains(wrong) && said.contains(&topic) && said.contains("holdfast topics apply"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_fails_behind_one_that_was_not_sent_is_named_by_its_own_number() {
    let ground = Ground::shared().await;
    let (topic, small) = (ground.topic("orders").await, ground.topic("small").await);
    let context = ground.context().await;
    let mut config = context.get_stream(&small).await.unwrap().cached_info().config.clone();
    config.max_message_size = 1_000;
    context.update_stream(config).await.unwrap();
    let publisher = NatsPublisher::open(&ground.connection(), &[topic.clone(), small.clone()]).await.unwrap();
    let sized = |topic: &str, size| OutputRecord { payload: Some(vec![b'x'; size]), ..output(topic, "k", 0) };
    for record in [sized(&topic, 20_000_000), sized(&topic, 1), sized(&small, 5_000), sized(&topic, 1)] {
        publisher.send(record).await.unwrap();
    }
    let report = publisher.finish().await.unwrap();
    let failed: Vec<_> = report.failures.iter().map(|failure| (failure.number, failure.topic.as_str())).collect();
    assert_eq!((report.acknowledged, failed), (2, vec![(0, topic.as_str()), (2, small.as_str())]));
}
