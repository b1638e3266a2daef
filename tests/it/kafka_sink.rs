//! Publishing to a real Kafka.

use std::time::Duration;

use holdfast::bus::kafka::{KafkaConnection, KafkaSink, KafkaSinkSettings, SinkGuarantee};
use holdfast::ports::{OutputRecord, Sink, SinkError};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::kafka_support::{DEADLINE, Ground, output, progress, texts};

#[tokio::test]
async fn progress_is_read_back() {
    let ground = Ground::shared();
    let topic = ground.topic("stock", 2).await;
    let settings = ground.exactly_once().await;
    let mut sink = KafkaSink::new(settings.clone());
    assert_eq!(sink.open().await.unwrap(), None);
    for batch in 1..=3 {
        sink.publish(vec![output(&topic, "k", batch as usize)], progress(batch)).await.unwrap();
    }
    assert_eq!(sink.open().await.unwrap(), Some(progress(3)));
    sink.publish(Vec::new(), progress(4)).await.unwrap();
    sink.close().await;
    let mut sink = KafkaSink::new(settings);
    assert_eq!(sink.open().await.unwrap(), Some(progress(4)));
    assert_eq!(texts(&ground.read(&topic, 3).await), ["k:1", "k:2", "k:3"]);
}

#[tokio::test]
async fn a_zombie_is_fenced() {
    let ground = Ground::shared();
    let topic = ground.topic("stock", 1).await;
    let settings = ground.exactly_once().await;
    let mut zombie = KafkaSink::new(settings.clone());
    zombie.open().await.unwrap();
    zombie.publish(vec![output(&topic, "k", 1)], progress(1)).await.unwrap();
    let mut heir = KafkaSink::new(settings);
    assert_eq!(heir.open().await.unwrap(), Some(progress(1)));
    heir.publish(vec![output(&topic, "k", 2)], progress(2)).await.unwrap();
    let fenced = zombie.publish(vec![output(&topic, "z", 2)], progress(2)).await.unwrap_err();
    assert!(matches!(fenced, SinkError::Fenced(_)), "{fenced}");
    heir.publish(vec![output(&topic, "k", 3)], progress(3)).await.unwrap();
    assert_eq!(texts(&ground.read(&topic, 3).await), ["k:1", "k:2", "k:3"]);
}

#[tokio::test]
async fn what_was_produced_and_not_committed_is_published_once() {
    let ground = Ground::shared();
    let topic = ground.topic("stock", 1).await;
    let settings = ground.exactly_once().await;
    let mut sink = KafkaSink::new(settings.clone());
    sink.open().await.unwrap();
    sink.publish(vec![output(&topic, "k", 1)], progress(1)).await.unwrap();
    sink.close().await;

    // A relay that dies when its records are confirmed and its transaction is not committed.
    let SinkGuarantee::ExactlyOnce { transactional_id } = &settings.guarantee else { unreachable!() };
    let dying = transactional_producer(&ground, transactional_id);
    produce(&dying, &topic, "k:2 of the dead");
    drop(dying);

    let mut heir = KafkaSink::new(settings);
    assert_eq!(heir.open().await.unwrap(), Some(progress(1)));
    heir.publish(vec![output(&topic, "k", 2)], progress(2)).await.unwrap();
    assert_eq!(texts(&ground.read(&topic, 2).await), ["k:1", "k:2"]);
}

#[tokio::test]
async fn after_a_cancelled_publish_the_sink_must_be_opened_and_knows_where_it_is() {
    let ground = Ground::shared();
    let topic = ground.topic("stock", 1).await;
    let mut sink = KafkaSink::new(ground.exactly_once().await);
    let mut done = sink.open().await.unwrap().map_or(0, |progress| progress.batch);
    while done < 20 {
        let batch = done + 1;
        let records = vec![output(&topic, "k", batch as usize)];
        // Ends at different places from time to time.
        let patience = Duration::from_millis(batch as u64 * 2);
        match tokio::time::timeout(patience, sink.publish(records.clone(), progress(batch))).await {
            Ok(outcome) => outcome.unwrap(),
            Err(_) => {
                let unclear = sink.publish(records, progress(batch)).await.unwrap_err();
                assert!(matches!(unclear, SinkError::Unclear(_)), "{unclear}");
                done = sink.open().await.unwrap().map_or(0, |progress| progress.batch);
                // Everything after a certain patience would succeed; without this the first would never.
                if done < batch {
                    sink.publish(vec![output(&topic, "k", batch as usize)], progress(batch)).await.unwrap();
                }
            }
        }
        done = batch;
    }
    let expected: Vec<String> = (1..=20).map(|batch| format!("k:{batch}")).collect();
    assert_eq!(texts(&ground.read(&topic, 20).await), expected);
}

#[tokio::test]
async fn progress_is_not_read_while_somebody_elses_transaction_hides_the_end() {
    let ground = Ground::shared();
    let topic = ground.topic("stock", 1).await;
    let mut settings = ground.exactly_once().await;
    let mut sink = KafkaSink::new(settings.clone());
    sink.open().await.unwrap();
    let other = transactional_producer(&ground, &ground.name("somebody-else"));
    produce(&other, &settings.progress_topic, "not ours");
    // Committed, but behind a transaction that is still open.
    sink.publish(vec![output(&topic, "k", 1)], progress(1)).await.unwrap();
    sink.close().await;

    settings.open_timeout = Duration::from_secs(1);
    let hidden = KafkaSink::new(settings.clone()).open().await.unwrap_err();
    assert!(matches!(hidden, SinkError::Unclear(_)), "{hidden}");
    other.abort_transaction(DEADLINE).unwrap();
    settings.open_timeout = DEADLINE;
    assert_eq!(KafkaSink::new(settings).open().await.unwrap(), Some(progress(1)));
}

#[tokio::test]
async fn at_least_once_confirms_every_record_and_keeps_the_same_progress_as_exactly_once() {
    let ground = Ground::shared();
    let topic = ground.topic("stock", 1).await;
    let mut sink = KafkaSink::new(ground.at_least_once().await);
    assert_eq!(sink.open().await.unwrap(), None);
    sink.publish((0..500).map(|number| output(&topic, "k", number)).collect(), progress(1)).await.unwrap();
    assert_eq!(sink.open().await.unwrap(), Some(progress(1)));
    sink.close().await;
    // The guarantee is changed, there and back.
    let mut sink = KafkaSink::new(ground.exactly_once().await);
    assert_eq!(sink.open().await.unwrap(), Some(progress(1)));
    sink.publish(Vec::new(), progress(2)).await.unwrap();
    sink.close().await;
    let mut sink = KafkaSink::new(ground.at_least_once().await);
    assert_eq!(sink.open().await.unwrap(), Some(progress(2)));
    sink.close().await;
    let expected: Vec<String> = (0..500).map(|number| format!("k:{number}")).collect();
    assert_eq!(texts(&ground.read(&topic, 500).await), expected);
}

#[tokio::test]
async fn a_missing_topic_is_an_error_that_names_the_remedy() {
    let ground = Ground::shared();
    let missing = ground.name("stock");
    let mut settings = ground.exactly_once().await;
    settings.topics = vec![missing.clone()];
    let at_start = KafkaSink::new(settings).open().await.unwrap_err();
    for part in [missing.as_str(), "holdfast topics apply"] {
        assert!(matches!(&at_start, SinkError::Fatal(text) if text.contains(part)), "{at_start}");
    }

    // Deleted, or never made, while the relay runs.
    for mut settings in [ground.at_least_once().await, ground.exactly_once().await] {
        settings.connection = ground.connection_with(&[("topic.metadata.propagation.max.ms", "100")]);
        let mut sink = KafkaSink::new(settings);
        sink.open().await.unwrap();
        let later = sink.publish(vec![output(&missing, "k", 1)], progress(1)).await.unwrap_err();
        for part in [missing.as_str(), "holdfast topics apply"] {
            assert!(matches!(&later, SinkError::Fatal(text) if text.contains(part)), "{later}");
        }
    }
}

#[tokio::test]
async fn a_record_that_the_topic_does_not_take_is_an_error_that_names_the_setting() {
    let ground = Ground::shared();
    let small = ground.topic_with("small", 1, &[("max.message.bytes", "10000")]).await;
    let large = ground.topic_with("large", 1, &[("max.message.bytes", "9000000")]).await;
    // Cannot be compressed.
    let noise: Vec<u8> =
        (0..4_000_000_u64).map(|number| (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect();
    let record = |topic: &str| OutputRecord { payload: Some(noise.clone()), ..output(topic, "k", 1) };
    let mut sink = KafkaSink::new(ground.exactly_once().await);
    sink.open().await.unwrap();
    sink.publish(vec![record(&large)], progress(1)).await.unwrap();
    let refused = sink.publish(vec![record(&small)], progress(2)).await.unwrap_err();
    assert!(matches!(&refused, SinkError::TooLarge(text) if text.contains("max.message.bytes")), "{refused}");
    assert_eq!(sink.open().await.unwrap(), Some(progress(1)));
    assert_eq!(ground.read(&large, 1).await[0].payload, Some(noise));
}

#[tokio::test]
async fn an_unreachable_broker_is_unclear_and_named() {
    let connection = KafkaConnection::new("kafka://127.0.0.1:1", "test", Default::default()).unwrap();
    let mut settings =
        KafkaSinkSettings::new(connection, SinkGuarantee::AtLeastOnce, "p".to_owned(), vec!["stock".to_owned()]);
    settings.open_timeout = Duration::from_millis(500);
    let unreachable = KafkaSink::new(settings).open().await.unwrap_err();
    assert!(matches!(&unreachable, SinkError::Unclear(text) if text.contains("127.0.0.1:1")), "{unreachable}");
}

fn transactional_producer(ground: &Ground, transactional_id: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &ground.kafka.bootstrap)
        .set("transactional.id", transactional_id)
        .create()
        .unwrap();
    producer.init_transactions(DEADLINE).unwrap();
    producer.begin_transaction().unwrap();
    producer
}

/// Produces and waits for the confirmation. A compacted topic takes only records with a key.
fn produce(producer: &BaseProducer, topic: &str, payload: &str) {
    producer.send(BaseRecord::to(topic).key("key").payload(payload)).map_err(|(error, _)| error).unwrap();
    producer.flush(DEADLINE).unwrap();
}
