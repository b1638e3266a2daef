//! Taking events from a real Kafka.

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast::bus::kafka::{BufferLimit, KafkaConnection, KafkaFailure, KafkaSource};
use holdfast::domain::words::Timestamp;
use holdfast::ports::{BatchLimit, OutputRecord, Source};

use crate::kafka_support::{
    ANY, Ground, batch, by_key, committed, output, settle, take, text, texts, ticks, until, wait_for_status,
};

#[tokio::test]
async fn records_of_a_key_keep_their_order() {
    let ground = Ground::shared();
    let topic = ground.topic("orders", 4).await;
    let records = (0..2_000).map(|number| output(&topic, &format!("k{}", number % 7), number)).collect();
    ground.publish(records).await;
    let read = ground.read(&topic, 2_000).await;
    for (key, texts) in by_key(&read) {
        let numbers: Vec<usize> =
            texts.iter().map(|text| text.split(':').next_back().unwrap().parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "key {key} is out of order");
    }
}

#[tokio::test]
async fn what_was_not_settled_comes_again_and_what_was_settled_does_not() {
    let ground = Ground::shared();
    let topic = ground.topic("orders", 1).await;
    ground.publish((0..10).map(|number| output(&topic, "k", number)).collect()).await;

    let mut source = ground.source(&[&topic]).await;
    let (first, receipt) = batch(&mut source, BatchLimit { deliveries: 4, bytes: usize::MAX }).await;
    assert_eq!(texts(&first), ["k:0", "k:1", "k:2", "k:3"]);
    source.settle(receipt, &[]).await.unwrap();
    // Taken, never settled.
    let (second, _) = batch(&mut source, BatchLimit { deliveries: 3, bytes: usize::MAX }).await;
    assert_eq!(texts(&second), ["k:4", "k:5", "k:6"]);
    source.close().await.unwrap();

    let mut source = ground.source(&[&topic]).await;
    let (again, receipts) = take(&mut source, 6).await;
    assert_eq!(texts(&again), ["k:4", "k:5", "k:6", "k:7", "k:8", "k:9"]);
    settle(&mut source, receipts).await;
    source.close().await.unwrap();
    assert_eq!(committed(&ground, &topic, 1), [Some(10)]);
}

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
async fn two_members_share_the_work_and_the_one_that_stays_gets_all_of_it() {
    let ground = Ground::shared();
    let topic = ground.topic("orders", 4).await;
    let mut first = ground.source(&[&topic]).await;
    let second = ground.source(&[&topic]).await;
    let keys: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    let partitions_of = |source: &KafkaSource| source.status().borrow().lag.len();
    until("each has two partitions", async || partitions_of(&first) == 2 && partitions_of(&second) == 2).await;

    second.close().await.unwrap();
    ground.publish(keys.iter().enumerate().map(|(number, key)| output(&topic, key, number)).collect()).await;
    let (records, _) = take(&mut first, 40).await;
    let partitions: BTreeSet<i32> = records.iter().map(|record| record.position.partition).collect();
    assert_eq!(partitions.len(), 4);
    first.close().await.unwrap();
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
async fn a_record_keeps_its_key_headers_time_and_missing_payload() {
    let ground = Ground::shared();
    let topic = ground.topic("orders", 1).await;
    let large = vec![7; 900_000];
    let records = vec![
        OutputRecord {
            topic: topic.as_str().into(),
            key: None,
            headers: vec![
                ("ce_id".to_owned(), Some(b"1".to_vec())),
                ("empty".to_owned(), Some(Vec::new())),
                ("missing".to_owned(), None),
                ("ce_id".to_owned(), Some(vec![0, 255])),
            ],
            payload: None,
            timestamp: Timestamp(1_600_000_000_123_000),
        },
        OutputRecord { payload: Some(Vec::new()), ..output(&topic, "", 1) },
        OutputRecord { payload: Some(large), ..output(&topic, "k", 2) },
    ];
    ground.publish(records.clone()).await;
    let read = ground.read(&topic, 3).await;
    for (offset, (read, sent)) in read.iter().zip(&records).enumerate() {
        assert_eq!(read.position.offset, offset as i64);
        assert_eq!((&read.key, &read.headers, &read.payload), (&sent.key, &sent.headers, &sent.payload));
        assert_eq!(read.timestamp, Some(sent.timestamp));
    }
}

#[tokio::test]
async fn waiting_can_be_cancelled_without_losing_anything() {
    let ground = Ground::shared();
    let topic = ground.topic("orders", 1).await;
    let mut source = ground.source(&[&topic]).await;
    let mut seen = Vec::new();
    for number in 0..20 {
        // The end of publishing cancels whatever the source is waiting for.
        let mut publishing = std::pin::pin!(ground.publish(vec![output(&topic, "k", number)]));
        loop {
            tokio::select! {
                () = &mut publishing => break,
                (records, _) = batch(&mut source, ANY) => seen.extend(texts(&records)),
            }
        }
    }
    let rest = 20 - seen.len();
    seen.extend(texts(&take(&mut source, rest).await.0));
    assert_eq!(seen, (0..20).map(|number| format!("k:{number}")).collect::<Vec<_>>());
    source.close().await.unwrap();
}

#[tokio::test]
async fn a_source_that_waits_is_woken_by_a_record() {
    let ground = Ground::shared();
    let topic = ground.topic("orders", 3).await;
    let mut source = ground.source(&[&topic]).await;
    let waiting = tokio::spawn(async move { (batch(&mut source, ANY).await.0, source) });
    ground.publish(vec![output(&topic, "k", 1)]).await;
    let (records, source) = waiting.await.unwrap();
    assert_eq!(text(&records[0]), "k:1");
    source.close().await.unwrap();
}

#[tokio::test]
async fn a_source_of_a_missing_topic_says_which_and_what_to_do() {
    let ground = Ground::shared();
    let there = ground.topic("orders", 1).await;
    let missing = ground.name("carts");
    let failure = KafkaSource::open(ground.source_settings(&[&there, &missing])).await.unwrap_err();
    assert!(matches!(&failure, KafkaFailure::MissingTopics { topics, .. } if *topics == [missing.clone()]));
    let message = failure.to_string();
    assert!(message.contains("holdfast topics apply") && !message.contains(&there), "{message}");
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
