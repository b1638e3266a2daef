//! Setting a group back on a real Kafka.

use holdfast::bus::kafka::{ReplayError, apply_replay, plan_replay};
use holdfast::bus::replay::{PartitionOffset, ReplayMove, ReplayPlan, ReplayTarget};
use holdfast::domain::words::Timestamp;
use holdfast::ports::Source;

use crate::kafka_support::{Ground, committed, output, settle, take, texts, wait_for_status};

async fn plan(ground: &Ground, topic: &str, target: ReplayTarget) -> Result<ReplayPlan, ReplayError> {
    let (connection, group, topics) = (ground.connection(), ground.name("group"), vec![topic.to_owned()]);
    tokio::task::spawn_blocking(move || plan_replay(&connection, &group, &topics, &target, |_, _| {})).await.unwrap()
}

async fn apply(ground: &Ground, plan: ReplayPlan) -> Result<(), ReplayError> {
    let connection = ground.connection();
    tokio::task::spawn_blocking(move || apply_replay(&connection, &plan)).await.unwrap()
}

/// A topic with one partition of ten records, all of them settled.
async fn settled(ground: &Ground) -> String {
    let topic = ground.topic("orders", 1).await;
    ground.publish((0..10).map(|number| output(&topic, "k", number)).collect()).await;
    let mut source = ground.source(&[&topic]).await;
    let (_, receipts) = take(&mut source, 10).await;
    settle(&mut source, receipts).await;
    source.close().await.unwrap();
    topic
}

#[tokio::test]
async fn a_plan_says_what_would_happen_and_changes_nothing_until_it_is_applied() {
    let ground = Ground::shared();
    let topic = settled(&ground).await;
    let planned = |new: i64| ReplayPlan {
        group: ground.name("group"),
        moves: vec![ReplayMove { topic: topic.clone(), partition: 0, current: Some(10), new, records: 10 - new }],
    };
    let time_of_7 = Timestamp(output(&topic, "k", 7).timestamp.0 + 1);
    let named = |offset| ReplayTarget::Offsets(vec![PartitionOffset { topic: topic.clone(), partition: 0, offset }]);
    for (target, new) in [
        (ReplayTarget::Start, 0),
        (ReplayTarget::Time(time_of_7), 7),
        (ReplayTarget::Time(Timestamp(i64::MAX)), 10),
        (named(4), 4),
        (named(10), 10),
    ] {
        assert_eq!(plan(&ground, &topic, target.clone()).await.unwrap(), planned(new), "{target:?}");
    }
    assert_eq!(committed(&ground, &topic, 1), [Some(10)]);

    apply(&ground, planned(7)).await.unwrap();
    assert_eq!(committed(&ground, &topic, 1), [Some(7)]);
    let mut source = ground.source(&[&topic]).await;
    assert_eq!(texts(&take(&mut source, 3).await.0), ["k:7", "k:8", "k:9"]);
    source.close().await.unwrap();
}

#[tokio::test]
async fn an_active_group_is_refused_and_its_members_are_named() {
    let ground = Ground::shared();
    let topic = settled(&ground).await;
    let before = plan(&ground, &topic, ReplayTarget::Start).await.unwrap();
    let source = ground.source(&[&topic]).await;
    wait_for_status(&source, "it is a member", |status| status.rebalances > 0).await;
    let refused = plan(&ground, &topic, ReplayTarget::Start).await.unwrap_err();
    assert!(matches!(&refused, ReplayError::GroupActive { members, .. } if members[0].contains("test")), "{refused}");
    let refused = apply(&ground, before.clone()).await.unwrap_err();
    assert!(matches!(refused, ReplayError::GroupActive { .. }), "{refused}");
    source.close().await.unwrap();
    assert_eq!(committed(&ground, &topic, 1), [Some(10)]);
    apply(&ground, before).await.unwrap();
    assert_eq!(committed(&ground, &topic, 1), [Some(0)]);
}

#[tokio::test]
async fn offsets_that_are_not_there_are_refused() {
    let ground = Ground::shared();
    let topic = settled(&ground).await;
    let named =
        |partition, offset| ReplayTarget::Offsets(vec![PartitionOffset { topic: topic.clone(), partition, offset }]);
    let refused = plan(&ground, &topic, named(0, 11)).await.unwrap_err();
    assert!(matches!(refused, ReplayError::OffsetOutOfRange { first: 0, end: 10, .. }), "{refused}");
    let refused = plan(&ground, &topic, named(1, 0)).await.unwrap_err();
    assert!(matches!(refused, ReplayError::UnknownPartition { partition: 1, .. }), "{refused}");
}
