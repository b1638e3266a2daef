//! Setting a group back on a real Kafka.

use holdfast::bus::kafka::{ReplayError, apply_replay, plan_replay};
use holdfast::bus::replay::{ReplayPlan, ReplayTarget};
use holdfast::ports::Source;

use crate::kafka_support::{Ground, committed, output, settle, take, wait_for_status};

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
