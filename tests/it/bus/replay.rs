//! Setting a group back, and forth.

use holdfast::bus::replay::{PartitionOffset, ReplayMove, ReplayPlan, ReplayTarget};
use holdfast::domain::words::Timestamp;
use holdfast::ports::OutputRecord;

use super::Bus;
use crate::buses::{
    BusKind, Refusal, close, event, instant_between, now, numbered, take_and_settle, texts, wait_for_lag,
};

const FIRST: i64 = Bus::FIRST_OFFSET;

/// Ten records, all of them settled; five were written before an instant and five after it.
async fn settled(bus: &Bus) -> (String, Timestamp) {
    let topic = bus.topic("orders").await;
    let fresh = |number| OutputRecord { timestamp: now(), ..event(&topic, "k", number) };
    bus.publish((0..5).map(fresh).collect()).await;
    let between = instant_between().await;
    bus.publish((5..10).map(fresh).collect()).await;
    let mut source = bus.reader(&topic).await;
    take_and_settle(&mut source, 10).await;
    close(source).await;
    (topic, between)
}

fn named(topic: &str, partition: i32, offset: i64) -> ReplayTarget {
    ReplayTarget::Offsets(vec![PartitionOffset { topic: topic.to_owned(), partition, offset }])
}

/// A plan that goes on behind so many records of ten.
async fn plan(bus: &Bus, topic: &str, target: ReplayTarget) -> Result<ReplayPlan, Refusal> {
    bus.plan(&[topic.to_owned()], target).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_would_happen_and_changes_nothing_until_it_is_applied() {
    let bus = Bus::open().await;
    let (topic, between) = settled(&bus).await;
    let group = plan(&bus, &topic, ReplayTarget::Start).await.unwrap().group;
    let planned = |records: i64| ReplayPlan {
        group: group.clone(),
        moves: vec![ReplayMove {
            topic: topic.clone(),
            partition: 0,
            current: Some(FIRST + 10),
            new: FIRST + 10 - records,
            records,
        }],
    };
    for (target, records) in [
        (ReplayTarget::Start, 10),
        (ReplayTarget::Time(between), 5),
        (ReplayTarget::Time(Timestamp(4_000_000_000_000_000)), 0),
        (named(&topic, 0, FIRST + 4), 6),
        (named(&topic, 0, FIRST + 10), 0),
    ] {
        assert_eq!(plan(&bus, &topic, target.clone()).await.unwrap(), planned(records), "{target:?}");
    }
    // Back, from the start, and forth over what was not read.
    for (target, read) in
        [(ReplayTarget::Time(between), 5..10), (named(&topic, 0, FIRST + 7), 7..10), (ReplayTarget::Start, 0..10)]
    {
        let plan = plan(&bus, &topic, target.clone()).await.unwrap();
        bus.replay(&plan).await.unwrap();
        let mut source = bus.reader(&topic).await;
        assert_eq!(texts(&take_and_settle(&mut source, read.len()).await), numbered(read), "{target:?}");
        wait_for_lag(&source, 0).await;
        close(source).await;
    }
    bus.publish_numbered(&topic, 10, 5).await;
    let forth = plan(&bus, &topic, named(&topic, 0, FIRST + 13)).await.unwrap();
    assert_eq!((forth.moves[0].current, forth.moves[0].records), (Some(FIRST + 10), 2));
    bus.replay(&forth).await.unwrap();
    let mut source = bus.reader(&topic).await;
    assert_eq!(texts(&take_and_settle(&mut source, 2).await), numbered(13..15));
    close(source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_a_living_member_is_not_set_back() {
    let bus = Bus::open().await;
    let (topic, _) = settled(&bus).await;
    let before = plan(&bus, &topic, ReplayTarget::Start).await.unwrap();
    let source = bus.reader(&topic).await;
    Bus::wait_until_active(&source).await;
    let refused = plan(&bus, &topic, ReplayTarget::Start).await.unwrap_err();
    assert!(matches!(refused, Refusal::Active), "{refused:?}");
    let refused = bus.replay(&before).await.unwrap_err();
    assert!(matches!(refused, Refusal::Active), "{refused:?}");
    close(source).await;
    assert_eq!(plan(&bus, &topic, ReplayTarget::Start).await.unwrap(), before, "nothing was changed");
    bus.replay(&before).await.unwrap();
    let mut source = bus.reader(&topic).await;
    assert_eq!(texts(&take_and_settle(&mut source, 10).await), numbered(0..10));
    close(source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_are_not_there_are_refused() {
    let bus = Bus::open().await;
    let (topic, _) = settled(&bus).await;
    let refused = plan(&bus, &topic, named(&topic, 0, FIRST + 11)).await.unwrap_err();
    let (wanted_first, wanted_end) = (FIRST, FIRST + 10);
    assert!(
        matches!(refused, Refusal::OutOfRange { first, end } if (first, end) == (wanted_first, wanted_end)),
        "{refused:?}"
    );
    for wrong in [named(&topic, 1, FIRST), named("elsewhere", 0, FIRST)] {
        let refused = plan(&bus, &topic, wrong.clone()).await.unwrap_err();
        assert!(matches!(refused, Refusal::UnknownPartition), "{wrong:?}: {refused:?}");
    }
}
