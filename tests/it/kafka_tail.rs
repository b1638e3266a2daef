//! Reading what is published, and publishing from outside, on a real Kafka.

use holdfast::bus::kafka::{KafkaPublisher, KafkaSink, KafkaTail, KafkaTailSettings, TailOrder};
use holdfast::bus::tail::TailStart;
use holdfast::ports::{OutputRecord, Record, Sink};

use crate::kafka_support::{DEADLINE, Ground, output, progress, text};

/// The number in the payload, where there is one.
fn number_of(record: &Record) -> Option<i64> {
    text(record).split(':').next_back()?.parse().ok()
}

fn settings(ground: &Ground, topics: &[String], from: TailStart, order: TailOrder) -> KafkaTailSettings {
    let (connection, topics) = (ground.connection(), topics.to_vec());
    KafkaTailSettings { connection, topics, from, until_end: true, order, number: number_of }
}

/// Reads until the end, or this many.
async fn read(settings: KafkaTailSettings, count: usize) -> Vec<i64> {
    let mut tail = KafkaTail::open(settings).await.unwrap();
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let next = tokio::time::timeout(DEADLINE, tail.next()).await.expect("a record should come").unwrap();
        let Some(record) = next else { break };
        numbers.push(number_of(&record).unwrap_or(-1));
    }
    numbers
}

/// Three topics of four partitions, with the numbers from 1 spread over them by two transactions each time.
async fn published(ground: &Ground, count: i64) -> Vec<String> {
    let topics = vec![ground.topic("a", 4).await, ground.topic("b", 4).await, ground.topic("c", 4).await];
    let mut sink = KafkaSink::new(ground.exactly_once().await);
    sink.open().await.unwrap();
    for part in (1..=count).collect::<Vec<_>>().chunks(100) {
        let topic = |number: i64| &topics[(number * number % 3) as usize];
        let records = part.iter().map(|number| output(topic(*number), &format!("k{}", number % 7), *number as usize));
        sink.publish(records.collect(), progress(part[0])).await.unwrap();
    }
    sink.close().await;
    topics
}

#[tokio::test]
async fn all_topics_are_read_in_the_order_of_their_numbers() {
    let ground = Ground::shared();
    let topics = published(&ground, 1_000).await;
    let order = TailOrder::Gapless { first: Some(1) };
    let numbers = read(settings(&ground, &topics, TailStart::Start, order), usize::MAX).await;
    assert_eq!(numbers, (1..=1_000).collect::<Vec<_>>());
    let time = output("", "", 700).timestamp;
    let order = TailOrder::Gapless { first: None };
    let numbers = read(settings(&ground, &topics, TailStart::Time(time), order), usize::MAX).await;
    assert_eq!(numbers, (700..=1_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn some_topics_are_read_in_growing_order() {
    let ground = Ground::shared();
    let topics = published(&ground, 1_000).await;
    let numbers = read(settings(&ground, &topics[1..], TailStart::Start, TailOrder::Growing), usize::MAX).await;
    let expected: Vec<i64> = (1..=1_000).filter(|number| number * number % 3 != 0).collect();
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn a_reader_from_the_end_sees_what_comes_and_only_that() {
    let ground = Ground::shared();
    let topics = published(&ground, 10).await;
    let order = TailOrder::Gapless { first: None };
    let ended = settings(&ground, &topics, TailStart::End, order);
    assert!(read(ended.clone(), usize::MAX).await.is_empty());

    let mut tail = KafkaTail::open(KafkaTailSettings { until_end: false, ..ended }).await.unwrap();
    let more = (11..=15).map(|number| output(&topics[number % 3], "k", number)).collect();
    ground.publish(more).await;
    for expected in 11..=15 {
        let record = tokio::time::timeout(DEADLINE, tail.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(number_of(&record), Some(expected));
    }
}

#[tokio::test]
async fn a_publisher_counts_what_was_acknowledged_and_names_what_was_not() {
    let ground = Ground::shared();
    let topics =
        vec![ground.topic("orders", 2).await, ground.topic_with("small", 1, &[("max.message.bytes", "1000")]).await];
    let publisher = KafkaPublisher::open(&ground.connection(), &topics).await.unwrap();
    for number in 1..=10_000 {
        publisher.send(output(&topics[0], &format!("k{}", number % 9), number)).await.unwrap();
    }
    let noise = (0..5_000_u64).map(|number| (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect();
    publisher.send(OutputRecord { payload: Some(noise), ..output(&topics[1], "k", 0) }).await.unwrap();
    let report = publisher.finish().await.unwrap();
    assert_eq!((report.acknowledged, report.failed), (10_000, 1));
    assert_eq!((report.failures[0].number, &report.failures[0].topic), (10_000, &topics[1]));
    let order = TailOrder::Gapless { first: Some(1) };
    let numbers = read(settings(&ground, &topics, TailStart::Start, order), usize::MAX).await;
    assert_eq!(numbers, (1..=10_000).collect::<Vec<_>>());
}
