//! Taking events from a real Kafka.

use std::time::Duration;

use holdfast::bus::kafka::{KafkaFailure, KafkaSource};
use holdfast::ports::{BatchLimit, Source};

use crate::kafka_support::{ANY, Ground, batch, by_key, output, settle, take, text, texts};

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
async fn an_unreachable_broker_is_named() {
    let ground = Ground::shared();
    let mut settings = ground.source_settings(&["orders"]);
    settings.connection =
        holdfast::bus::kafka::KafkaConnection::new("kafka://127.0.0.1:1", "test", Default::default()).unwrap();
    settings.start_timeout = Duration::from_millis(500);
    let failure = KafkaSource::open(settings).await.unwrap_err();
    assert!(matches!(failure, KafkaFailure::Unreachable { .. }), "{failure}");
    assert!(failure.to_string().contains("127.0.0.1:1"), "{failure}");
    println!("{failure}");
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
