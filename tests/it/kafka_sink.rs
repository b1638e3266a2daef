//! Publishing to a real Kafka.

use holdfast::bus::kafka::KafkaSink;
use holdfast::ports::{Sink, SinkError};

use crate::kafka_support::{Ground, output, progress, texts};

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
