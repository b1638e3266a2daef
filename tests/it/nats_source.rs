//! Taking events from a real NATS server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast::bus::nats::{NatsConnection, NatsFailure, NatsSource};
use holdfast::ports::{BatchLimit, OutputRecord, Position, Record, Source};

use crate::nats_support::{
    ANY, Ground, batch, exactly, output, settle, take, text, texts, wait_for_lag, wait_for_status,
};
use crate::servers::{NatsAddress, Servers};

fn numbers(records: &[Record]) -> Vec<usize> {
    records.iter().map(|record| text(record).split(':').next_back().unwrap().parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_comes_at_once_in_the_order_of_the_stream_and_owned() {
    let ground = Ground::shared().await;
    let topic = ground.topic("orders").await;
    ground.publish((0..3_000).map(|number| output(&topic, &format!("k.{}", number % 7), number)).collect()).await;
    let mut source = ground.source(&[&topic]).await;
    let (records, receipts) = take(&mut source, 3_000).await;
    assert_eq!(numbers(&records), (0..3_000).collect::<Vec<_>>());
    let position = Position { topic: topic.as_str().into(), partition: 0, offset: 11 };
    assert_eq!((&records[10].position, records[10].key.as_deref()), (&position, Some(&b"k.3"[..])));
    settle(&mut source, receipts).await;
    // One that comes alone is given alone, without waiting for others.
    ground.publish(vec![output(&topic, "k", 3_000)]).await;
    let (one, receipt) = batch(&mut source, ANY).await;
    assert_eq!(texts(&one), ["k:3000"]);
    source.settle(receipt, &[]).await.unwrap();
    wait_for_lag(&source, 0).await;
    source.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_keys_of_other_publishers_are_carried() {
    let ground = Ground::shared().await;
    let topic = ground.topic("orders").await;
    let context = ground.context().await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("ce-id", "e-1");
    let sent = context.publish_with_headers(format!("{topic}.eu.O-1"), headers, "body".into()).await.unwrap();
    sent.await.unwrap();
    context.publish(topic.clone(), "no key".into()).await.unwrap().await.unwrap();
    let mut source = ground.source(&[&topic]).await;
    let (records, _) = take(&mut source, 2).await;
    assert_eq!(records[0].headers, [("ce-id".to_owned(), Some(b"e-1".to_vec()))]);
    assert_eq!(records[0].key.as_deref(), Some(&b"eu.O-1"[..]));
    assert!(records[0].timestamp.is_some());
    assert_eq!((records[1].key.as_ref(), text(&records[1])), (None, "no key".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_settled_comes_again_and_what_was_settled_does_not() {
    let ground = Ground::shared().await;
    let topic = ground.topic("orders").await;
    ground.publish((0..10).map(|number| output(&topic, "k", number)).collect()).await;

    let mut source = ground.source(&[&topic]).await;
    let (first, receipts) = exactly(&mut source, 4).await;
    assert_eq!(numbers(&first), [0, 1, 2, 3]);
    settle(&mut source, receipts).await;
    // Taken, never settled.
    let (second, _) = exactly(&mut source, 3).await;
    assert_eq!(numbers(&second), [4, 5, 6]);
    source.close().await.unwrap();

    // Given back in the order of the stream, and soon: nobody waits for the end of the server's patience.
    let mut source = ground.source(&[&topic]).await;
    let (again, receipts) = take(&mut source, 6).await;
    assert_eq!(numbers(&again), [4, 5, 6, 7, 8, 9]);
    settle(&mut source, receipts).await;
    source.close().await.unwrap();
    let mut source = ground.source(&[&topic]).await;
    ground.publish(vec![output(&topic, "k", 10)]).await;
    assert_eq!(numbers(&take(&mut source, 1).await.0), [10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_held_who_died_comes_again_in_order() {
    let ground = Ground::shared().await;
    let topic = ground.topic("orders").await;
    ground.publish((0..20).map(|number| output(&topic, "k", number)).collect()).await;
    let mut dying = ground.source(&[&topic]).await;
    let (taken, receipts) = exactly(&mut dying, 5).await;
    assert_eq!(numbers(&taken), [0, 1, 2, 3, 4]);
    settle(&mut dying, receipts).await;
    wait_for_lag(&dying, 15).await;
    let _held = exactly(&mut dying, 5).await;
    // Its tasks end where they are and tell nobody.
    drop(dying);

    let mut heir = ground.source(&[&topic]).await;
    ground.publish(vec![output(&topic, "k", 20)]).await;
    let mut all = Vec::new();
    while all.len() < 16 {
        let (records, receipt) = batch(&mut heir, ANY).await;
        all.extend(numbers(&records));
        heir.settle(receipt, &[]).await.unwrap();
    }
    // A later one overtook them; among themselves they kept their order.
    let came_again: Vec<usize> = all.iter().copied().filter(|number| *number < 20).collect();
    assert_eq!(came_again, (5..20).collect::<Vec<_>>());
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lives_keeps_what_it_holds_however_long_the_database_is_away() {
    let ground = Ground::shared().await;
    let topic = ground.topic("orders").await;
    ground.publish((0..10).map(|number| output(&topic, "k", number)).collect()).await;
    let mut slow = ground.source(&[&topic]).await;
    let (held, receipts) = exactly(&mut slow, 5).await;
    assert_eq!(numbers(&held), [0, 1, 2, 3, 4]);
    // Another member of the group sees nothing of it for much longer than the server waits for an acknowledgement.
    let mut other = ground.source(&[&topic]).await;
    let patience = crate::nats_support::ACK_WAIT * 2;
    assert!(tokio::time::timeout(patience, other.next_batch(ANY)).await.is_err(), "it was given to somebody else");
    settle(&mut slow, receipts).await;
    let (rest, receipts) = take(&mut slow, 5).await;
    assert_eq!(numbers(&rest), [5, 6, 7, 8, 9]);
    settle(&mut slow, receipts).await;
    wait_for_lag(&slow, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_share_the_work_and_when_one_leaves_the_other_does_all() {
    let ground = Ground::shared().await;
    let topic = ground.topic("orders").await;
    let (mut one, mut other) = (ground.source(&[&topic]).await, ground.source(&[&topic]).await);
    // Each must have asked before anything comes, or the first takes all.
    for source in [&one, &other] {
        wait_for_status(source, "it is measured", |status| !status.lag.is_empty()).await;
    }
    ground.publish((0..2_000).map(|number| output(&topic, &format!("k{}", number % 50), number)).collect()).await;
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    let mut shares = [0, 0];
    while seen.len() < 2_000 {
        for (share, source) in shares.iter_mut().zip([&mut one, &mut other]) {
            let Ok(next) = tokio::time::timeout(Duration::from_millis(50), source.next_batch(ANY)).await else {
                continue;
            };
            let (deliveries, receipt) = next.unwrap().unwrap();
            *share += deliveries.len();
            for delivery in deliveries {
                let holdfast::ports::Delivery::Record(record) = delivery else { panic!("a bus gives records") };
                *seen.entry(numbers(&[record])[0]).or_default() += 1;
            }
            source.settle(receipt, &[]).await.unwrap();
        }
    }
    assert!(shares.iter().all(|share| *share > 200), "they share badly: {shares:?}");
    assert!(seen.values().all(|times| *times == 1), "something came twice");
    one.close().await.unwrap();
    ground.publish((2_000..2_100).map(|number| output(&topic, "k", number)).collect()).await;
    let (rest, receipts) = take(&mut other, 100).await;
    assert_eq!(numbers(&rest), (2_000..2_100).collect::<Vec<_>>());
    settle(&mut other, receipts).await;
    other.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_catches_up_meets_topics_in_the_order_in_which_they_were_written() {
    let ground = Ground::shared().await;
    let (orders, cancels) = (ground.topic("orders").await, ground.topic("cancels").await);
    for round in 0..5 {
        ground.publish(vec![output(&orders, "k", 2 * round)]).await;
        ground.publish(vec![output(&cancels, "k", 2 * round + 1)]).await;
    }
    let mut source = ground.source(&[&cancels, &orders]).await;
    assert_eq!(numbers(&take(&mut source, 10).await.0), (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_holds_no_more_than_it_may_and_large_records_pass() {
    let ground = Ground::shared().await;
    let topic = ground.topic("orders").await;
    let large = |number| OutputRecord { payload: Some(vec![b'x'; 900_000]), ..output(&topic, "k", number) };
    ground.publish((0..8).map(large).collect()).await;
    let mut source = ground.source(&[&topic]).await;
    let mut count = 0;
    while count < 8 {
        let (records, receipt) = batch(&mut source, BatchLimit { deliveries: 100, bytes: 1_000_000 }).await;
        assert!(records.len() <= 2, "{} records of 900,000 bytes", records.len());
        count += records.len();
        source.settle(receipt, &[]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_streams_and_consumers_are_named_with_the_remedy() {
    let ground = Ground::shared().await;
    let there = ground.topic("orders").await;
    let mut settings = ground.source_settings(&[&there, &ground.name("nowhere")]);
    let message = NatsSource::open(settings.clone()).await.unwrap_err().to_string();
    assert!(message.contains(&ground.name("nowhere")) && message.contains("holdfast topics apply"), "{message}");
    assert!(!message.contains(&there), "{message}");
    settings.topics = vec![there.clone()];
    settings.group = "others".to_owned();
    let message = NatsSource::open(settings).await.unwrap_err().to_string();
    assert!(message.contains(&format!("others-{there}")) && message.contains("holdfast topics apply"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_is_named_with_the_cause() {
    let ground = Ground::shared().await;
    let mut settings = ground.source_settings(&["orders"]);
    settings.connection = NatsConnection::new("nats://127.0.0.1:1", "test", Default::default()).unwrap();
    settings.start_timeout = Duration::from_millis(500);
    let failure = NatsSource::open(settings).await.unwrap_err();
    assert!(matches!(failure, NatsFailure::Unreachable { .. }), "{failure}");
    let message = failure.to_string();
    assert!(message.contains("127.0.0.1:1") && message.contains("refused"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_a_password_or_a_token_is_let_in_and_nobody_else() {
    for (options, user, properties) in [
        (vec!["user=shop", "password=p@ss"], "shop:p%40ss@", vec![]),
        (vec!["token=secret"], "", vec![("token", "secret")]),
        (vec!["token=secret"], "secret@", vec![]),
    ] {
        let arguments: Vec<String> = options.iter().map(|option| format!("--nats-option={option}")).collect();
        let start = move || Servers::start_with(&["nats"], &arguments);
        let servers = tokio::task::spawn_blocking(start).await.unwrap();
        let ground = Ground::on(servers.address::<NatsAddress>("nats"));
        let properties = properties.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let url = format!("nats://{user}{}", ground.nats.address);
        let mut settings = ground.source_settings(&["orders"]);
        let stranger = NatsSource::open(settings.clone()).await.unwrap_err();
        assert!(matches!(stranger, NatsFailure::Refused { .. }), "{stranger}");
        settings.connection = NatsConnection::new(&url, "test", properties).unwrap();
        let known = NatsSource::open(settings).await.unwrap_err();
        assert!(matches!(known, NatsFailure::Missing { .. }), "{known}");
    }
}
