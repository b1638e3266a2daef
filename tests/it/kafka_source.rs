//! Taking events from a real Kafka.

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast::bus::kafka::{BufferLimit, KafkaConnection, KafkaFailure, KafkaSource};
use holdfast::domain::words::Timestamp;
use holdfast::ports::Source;

use crate::kafka_support::{ANY, Ground, batch, committed, output, settle, take, text, ticks, until, wait_for_status};

#[tokio::test]
async fn offsets_stay_where_they_are_until_a_batch_is_settled() {
    let ground = Ground::shared();
    let topic = ground.topic("orders", 1).await;
    ground.publish((0..5).map(|number| output(&topic, "k", number)).collect()).await;
    let mut settings = ground.source_settings(&[&topic]);
    settings.connection = ground.connection_with(&[("auto.commit.interval.ms", "20")]);
    settings.statistics_interval = Duration::from_millis(20);
    let mut source = KafkaSource::open(settings).await.unwrap();
    let (_, receipts) = take(&mut source, 5).await;
    let lag = wait_for_status(&source, "the lag is known", |status| !status.lag.is_empty()).await.lag;
    assert_eq!(lag, [(topic.as_str().into(), 0, 5)]);
    // Ten times the commit interval.
    ticks(&source, 10).await;
    assert_eq!(committed(&ground, &topic, 1), [None]);
    settle(&mut source, receipts).await;
    until("the offset is committed", async || committed(&ground, &topic, 1) == [Some(5)]).await;
    wait_for_status(&source, "the lag is gone", |status| status.lag.iter().all(|(_, _, lag)| *lag == 0)).await;
    source.close().await.unwrap();
}

#[tokio::test]
async fn a_revoked_partition_is_settled_before_it_moves() {
    let ground = Ground::shared();
    let topic = ground.topic("orders", 2).await;
    let keys: Vec<String> = (0..20).map(|number| format!("k{number}")).collect();
    ground.publish(keys.iter().enumerate().map(|(number, key)| output(&topic, key, number)).collect()).await;
    let mut first = ground.source(&[&topic]).await;
    let (records, receipts) = take(&mut first, 20).await;
    assert_eq!(records.len(), 20);

    let mut settings = ground.source_settings(&[&topic]);
    settings.statistics_interval = Duration::from_millis(100);
    let mut second = KafkaSource::open(settings).await.unwrap();
    wait_for_status(&second, "the second member has joined", |status| status.rebalances > 0).await;
    ticks(&second, 10).await;
    assert_eq!(second.status().borrow().lag.len(), 0, "a partition moved while its batch was out");
    settle(&mut first, receipts).await;
    wait_for_status(&second, "a partition has moved", |status| status.lag.len() == 1).await;
    ground.publish(keys.iter().enumerate().map(|(number, key)| output(&topic, key, 100 + number)).collect()).await;
    let (from_first, _) = batch(&mut first, ANY).await;
    let (from_second, _) = batch(&mut second, ANY).await;
    for record in from_first.iter().chain(&from_second) {
        let number: usize = text(record).split(':').next_back().unwrap().parse().unwrap();
        assert!(number >= 100, "{} came twice", text(record));
    }
    first.close().await.unwrap();
    second.close().await.unwrap();
}

#[tokio::test]
async fn a_partition_that_could_not_be_drained_moves_and_a_late_settle_does_no_harm() {
    let ground = Ground::shared();
    let topic = ground.topic("orders", 2).await;
    ground.publish((0..20).map(|number| output(&topic, &format!("k{number}"), number)).collect()).await;
    let mut settings = ground.source_settings(&[&topic]);
    settings.rebalance_drain = Duration::from_millis(50);
    let mut first = KafkaSource::open(settings.clone()).await.unwrap();
    let (_, late) = take(&mut first, 20).await;
    let mut second = KafkaSource::open(settings).await.unwrap();
    // What the first member has taken and not settled.
    let (moved, receipt) = batch(&mut second, ANY).await;
    assert!(!moved.is_empty() && moved.len() < 20);
    settle(&mut first, late).await;
    second.settle(receipt, &[]).await.unwrap();
    first.close().await.unwrap();
    second.close().await.unwrap();
    assert_eq!(committed(&ground, &topic, 2).iter().flatten().sum::<i64>(), 20);
}

#[tokio::test]
async fn a_full_buffer_holds_the_broker_up_and_costs_no_membership() {
    let ground = Ground::shared();
    let topic = ground.topic("orders", 2).await;
    let count = 3_000;
    ground.publish((0..count).map(|number| output(&topic, &format!("k{number}"), number)).collect()).await;
    let mut settings = ground.source_settings(&[&topic]);
    // A member that is not polled for so long loses its partitions.
    settings.connection = ground.connection_with(&[
        ("session.timeout.ms", "1000"),
        ("heartbeat.interval.ms", "200"),
        ("max.poll.interval.ms", "1000"),
    ]);
    settings.statistics_interval = Duration::from_millis(100);
    settings.buffer = BufferLimit { records: 100, bytes: 1_000_000 };
    let mut source = KafkaSource::open(settings).await.unwrap();
    wait_for_status(&source, "both partitions are assigned", |status| status.lag.len() == 2).await;
    let rebalances = source.status().borrow().rebalances;
    // Twice the allowed interval.
    ticks(&source, 20).await;
    assert_eq!(source.status().borrow().rebalances, rebalances);
    let (first, _) = batch(&mut source, ANY).await;
    assert!(first.len() <= 200, "{} records were buffered", first.len());
    let (rest, _) = take(&mut source, count - first.len()).await;
    let seen: BTreeSet<String> = first.iter().chain(&rest).map(text).collect();
    assert_eq!(seen.len(), count);
    source.close().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_catches_up_takes_its_partitions_in_the_order_of_record_time() {
    let ground = Ground::shared();
    let topics = [ground.topic("carts", 3).await, ground.topic("orders", 4).await, ground.topic("stock", 1).await];
    // One partition has few records, one topic has all of the oldest.
    let count = 30_000;
    let topic_of = |number: usize| if number < 2_000 { &topics[2] } else { &topics[number % 2] };
    let records = (0..count).map(|number| output(topic_of(number), &format!("k{}", number % 50), number)).collect();
    ground.publish(records).await;
    let mut settings = ground.source_settings(&[&topics[0], &topics[1], &topics[2]]);
    settings.buffer = BufferLimit { records: 500, bytes: 1_000_000 };
    let mut source = KafkaSource::open(settings).await.unwrap();
    let (records, _) = take(&mut source, count).await;
    let times: Vec<Timestamp> = records.iter().map(|record| record.timestamp.unwrap()).collect();
    let disorder = times.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert_eq!(disorder, 0);
    source.close().await.unwrap();
}

#[tokio::test]
async fn an_unreachable_broker_is_named_with_the_cause() {
    let ground = Ground::shared();
    let mut settings = ground.source_settings(&["orders"]);
    settings.connection = KafkaConnection::new("kafka://127.0.0.1:1", "test", Default::default()).unwrap();
    settings.start_timeout = Duration::from_millis(500);
    let failure = KafkaSource::open(settings).await.unwrap_err();
    assert!(matches!(failure, KafkaFailure::Unreachable { .. }), "{failure}");
    let message = failure.to_string();
    assert!(message.contains("127.0.0.1:1") && message.contains("Connection refused"), "{message}");
}
