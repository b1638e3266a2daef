//! Topics on a real Kafka.

use std::collections::BTreeMap;

use holdfast::bus::kafka::KafkaAdmin;
use holdfast::bus::{TopicDifference, TopicDifferenceKind, TopicOutcome, TopicSpec};

use crate::kafka_support::Ground;

#[tokio::test]
async fn missing_topics_are_made_and_existing_ones_left_alone() {
    let ground = Ground::shared();
    let admin = KafkaAdmin::new(ground.connection());
    let spec = |name: &str, partitions, setting: &str| TopicSpec {
        name: ground.name(name),
        partitions,
        replication: None,
        config: BTreeMap::from([("max.message.bytes".to_owned(), setting.to_owned())]),
    };
    let first = [spec("a", 2, "2000000")];
    assert_eq!(admin.apply(&first).await.unwrap(), [TopicOutcome::Created]);
    let wanted = [spec("a", 3, "1000000"), spec("b", 1, "1000000")];
    let difference = |topic: &str, kind| TopicDifference { topic: ground.name(topic), kind };
    let setting = TopicDifferenceKind::Setting {
        name: "max.message.bytes".to_owned(),
        wanted: "1000000".to_owned(),
        found: Some("2000000".to_owned()),
    };
    let of_a = [difference("a", TopicDifferenceKind::Partitions { wanted: 3, found: 2 }), difference("a", setting)];
    let with_missing = [of_a.to_vec(), vec![difference("b", TopicDifferenceKind::Missing)]].concat();
    assert_eq!(admin.check(&wanted).await.unwrap(), with_missing);
    assert_eq!(admin.apply(&wanted).await.unwrap(), [TopicOutcome::Existed, TopicOutcome::Created]);
    assert_eq!(admin.check(&wanted).await.unwrap(), of_a);
    assert_eq!(admin.check(&first).await.unwrap(), []);
}
