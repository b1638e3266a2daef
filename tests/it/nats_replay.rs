//! Setting a group back on a real NATS server.

use holdfast::bus::nats::{ReplayError, apply_replay, plan_replay};
use holdfast::bus::replay::{PartitionOffset, ReplayMove, ReplayPlan, ReplayTarget};
use holdfast::domain::words::Timestamp;
use holdfast::ports::Source;

use crate::nats_support::{Ground, output, settle, take, texts, wait_for_status};

async fn plan(ground: &Ground, topic: &str, target: ReplayTarget) -> Result<ReplayPlan, ReplayError> {
    plan_replay(&ground.connection(), &ground.name("group"), &[topic.to_owned()], &target).await
}

/// A topic of ten records, all of them settled.
async fn settled(ground: &Ground) -> String {
    let topic = ground.topic("orders").await;
    ground.publish((0..10).map(|number| output(&topic, "k", number)).collect()).await;
    let mut source = ground.source(&[&topic]).await;
    let (_, receipts) = take(&mut source, 10).await;
    settle(&mut source, receipts).await;
    source.close().await.unwrap();
    topic
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_would_happen_and_changes_nothing_until_it_is_applied() {
    let ground = Ground::shared().await;
    let topic = settled(&ground).await;
    let planned = |new: i64| ReplayPlan {
        group: ground.name("group"),
        moves: vec![ReplayMove { topic: topic.clone(), partition: 0, current: Some(11), new, records: 11 - new }],
    };
    let named = |offset| ReplayTarget::Offsets(vec![PartitionOffset { topic: topic.clone(), partition: 0, offset }]);
    let time_of_8 = ground.read(&[&topic]).await[7].timestamp.unwrap();
    for (target, new) in [
        (ReplayTarget::Start, 1),
        (ReplayTarget::Time(time_of_8), 8),
        (ReplayTarget::Time(Timestamp(4_000_000_000_000_000)), 11),
        (named(5), 5),
        (named(11), 11),
    ] {
        assert_eq!(plan(&ground, &topic, target.clone()).await.unwrap(), planned(new), "{target:?}");
    }
    apply_replay(&ground.connection(), &planned(8)).await.unwrap();
    let mut source = ground.source(&[&topic]).await;
    assert_eq!(texts(&take(&mut source, 3).await.0), ["k:7", "k:8", "k:9"]);
    source.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_active_group_is_refused() {
    let ground = Ground::shared().await;
    let topic = settled(&ground).await;
    let before = plan(&ground, &topic, ReplayTarget::Start).await.unwrap();
    let source = ground.source(&[&topic]).await;
    wait_for_status(&source, "it has asked", |status| !status.lag.is_empty()).await;
    let refused = plan(&ground, &topic, ReplayTarget::Start).await.unwrap_err();
    assert!(matches!(&refused, ReplayError::GroupActive { .. }), "{refused}");
    let refused = apply_replay(&ground.connection(), &before).await.unwrap_err();
    assert!(matches!(refused, ReplayError::GroupActive { .. }), "{refused}");
    source.close().await.unwrap();
    apply_replay(&ground.connection(), &before).await.unwrap();
    let mut source = ground.source(&[&topic]).await;
    assert_eq!(take(&mut source, 10).await.0.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_that_are_not_there_are_refused() {
    let ground = Ground::shared().await;
    let topic = settled(&ground).await;
    let named =
        |partition, offset| ReplayTarget::Offsets(vec![PartitionOffset { topic: topic.clone(), partition, offset }]);
    let refused = plan(&ground, &topic, named(0, 12)).await.unwrap_err();
    assert!(matches!(refused, ReplayError::OffsetOutOfRange { first: 1, end: 11, .. }), "{refused}");
    let refused = plan(&ground, &topic, named(1, 0)).await.unwrap_err();
    assert!(matches!(refused, ReplayError::UnknownPartition { partition: 1, .. }), "{refused}");
}
