//! A Kafka of our own that is killed and frozen under load.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use holdfast::bus::kafka::{KafkaPublisher, KafkaSink, KafkaSinkSettings, KafkaSource};
use holdfast::ports::{Sink, SinkError, Source};

use crate::kafka_support::{DEADLINE, Ground, batch, output, progress, text, texts, wait_for_status};
use crate::servers::{Action, Servers};

/// Records of one transaction.
const SIZE: i64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_goes_away_costs_no_record_and_repeats_none() {
    let servers = Servers::start(&["kafka"]);
    let ground = Ground::on(servers.address("kafka"));
    let topic = ground.topic("stock", 3).await;
    let settings = KafkaSinkSettings { publish_timeout: Duration::from_secs(5), ..ground.exactly_once().await };
    killed_under_publishing_and_taking(&servers, &ground, &topic, settings.clone()).await;
    frozen_under_publishing(&servers, &ground, &topic, settings).await;
}

/// Ticks of a hundredth of a second that a thread of this process has had a processor.
fn processor_ticks(thread: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let of_thread = |task: std::path::PathBuf| -> Option<u64> {
        let name = std::fs::read_to_string(task.join("comm")).ok()?;
        let status = std::fs::read_to_string(task.join("stat")).ok()?;
        // The name in brackets may hold anything; user and system time are the 12th and 13th field behind it.
        let fields: Vec<&str> = status.rsplit(')').next()?.split_whitespace().collect();
        (name.trim() == thread).then(|| fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
    };
    tasks.filter_map(|task| of_thread(task.unwrap().path())).sum()
}

/// A relay publishes and a member of a group takes; both go on as if nothing had been.
async fn killed_under_publishing_and_taking(
    servers: &Servers,
    ground: &Ground,
    topic: &str,
    settings: KafkaSinkSettings,
) {
    let batches = 60;
    let relay = tokio::spawn(relay(settings, topic.to_owned(), batches));
    let mut source = KafkaSource::open(ground.source_settings(&[topic])).await.unwrap();
    let (first, receipt) = numbers_of_batch(&mut source).await;
    // A member that lost its connection may be given once more what it had not committed.
    let mut numbers: BTreeSet<i64> = first.into_iter().collect();
    source.settle(receipt, &[]).await.unwrap();
    tokio::task::block_in_place(|| servers.act(Action::Kill, "kafka"));
    wait_for_status(&source, "the source notices", |status| status.trouble.is_some()).await;
    tokio::task::block_in_place(|| servers.act(Action::Start, "kafka"));
    while numbers.len() < (batches * SIZE) as usize {
        let (more, receipt) = numbers_of_batch(&mut source).await;
        numbers.extend(more);
        source.settle(receipt, &[]).await.unwrap();
    }
    wait_for_status(&source, "it has recovered", |status| status.connected && status.trouble.is_none()).await;
    relay.await.unwrap();
    source.close().await.unwrap();
    assert_eq!(numbers, (0..(batches * SIZE)).collect());

    let mut read: Vec<i64> = ground.read(topic, (batches * SIZE) as usize).await.iter().map(number).collect();
    read.sort_unstable();
    assert_eq!(read, numbers.into_iter().collect::<Vec<_>>());
}

/// A transaction whose outcome nobody knows: it is found out, and what is missing is published.
async fn frozen_under_publishing(servers: &Servers, ground: &Ground, topic: &str, settings: KafkaSinkSettings) {
    let impatient = KafkaSinkSettings { open_timeout: Duration::from_secs(1), ..settings.clone() };
    let mut sink = KafkaSink::new(settings);
    let before = sink.open().await.unwrap().unwrap().batch;
    let other = ground.topic("other", 1).await;
    let publisher = KafkaPublisher::open(&ground.connection(), std::slice::from_ref(&other)).await.unwrap();
    tokio::task::block_in_place(|| servers.act(Action::Pause, "kafka"));
    publisher.send(output(&other, "waits", 1)).await.unwrap();
    let (ticks, began) = (processor_ticks("kafka-publisher"), Instant::now());
    let unclear = sink.publish(vec![output(topic, "frozen", 1)], progress(before + 1)).await.unwrap_err();
    assert!(matches!(unclear, SinkError::Unclear(_)), "{unclear}");
    let (ticks, waited) = (processor_ticks("kafka-publisher") - ticks, began.elapsed());
    println!("the publisher took {ticks} ticks in {waited:?} of a frozen broker");
    assert!(u128::from(ticks) * 10 * 20 < waited.as_millis(), "it kept a core busy for {ticks} ticks of {waited:?}");
    let unclear = KafkaSink::new(impatient).open().await.unwrap_err();
    assert!(matches!(unclear, SinkError::Unclear(_)), "{unclear}");
    tokio::task::block_in_place(|| servers.act(Action::Resume, "kafka"));
    if open_again(&mut sink).await == before {
        sink.publish(vec![output(topic, "frozen", 1)], progress(before + 1)).await.unwrap();
    }
    assert_eq!(open_again(&mut sink).await, before + 1);
    let everything = ground.read(topic, (before * SIZE) as usize + 1).await;
    assert_eq!(texts(&everything).iter().filter(|text| *text == "frozen:1").count(), 1);
    sink.close().await;
    assert_eq!(publisher.finish().await.unwrap().acknowledged, 1);
}

/// Publishes numbered records as a relay does: after an unclear outcome it opens again and goes on after what it
/// finds.
async fn relay(settings: KafkaSinkSettings, topic: String, batches: i64) {
    let mut sink = KafkaSink::new(settings);
    let mut published = open_again(&mut sink).await;
    while published < batches {
        let record = |index: i64| output(&topic, &format!("k{}", index % 5), (published * SIZE + index) as usize);
        match sink.publish((0..SIZE).map(record).collect(), progress(published + 1)).await {
            Ok(()) => published += 1,
            Err(SinkError::Unclear(_)) => published = open_again(&mut sink).await,
            Err(error) => panic!("{error}"),
        }
    }
    sink.close().await;
}

/// The last batch, as soon as the broker tells.
async fn open_again(sink: &mut KafkaSink) -> i64 {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match sink.open().await {
            Ok(progress) => return progress.map_or(0, |progress| progress.batch),
            Err(SinkError::Unclear(reason)) => assert!(Instant::now() < deadline, "it stays unclear: {reason}"),
            Err(error) => panic!("{error}"),
        }
    }
}

async fn numbers_of_batch(source: &mut KafkaSource) -> (Vec<i64>, holdfast::bus::kafka::KafkaReceipt) {
    let (records, receipt) = batch(source, crate::kafka_support::ANY).await;
    (records.iter().map(number).collect(), receipt)
}

fn number(record: &holdfast::ports::Record) -> i64 {
    text(record).split(':').next_back().unwrap().parse().unwrap()
}
