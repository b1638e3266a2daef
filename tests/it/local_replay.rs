//! Setting a group of the embedded log back, its topics, and what becomes of old records.

use holdfast::bus::local::{
    DroppedRecords, LONGEST_UNREAD, LocalAdmin, ReplayError, apply_replay, drop_old, plan_replay,
};
use holdfast::bus::replay::{PartitionOffset, ReplayPlan, ReplayTarget};
use holdfast::bus::{TopicDifferenceKind, TopicOutcome};
use holdfast::ports::Source;

use crate::local_support::{GROUP, LocalGround, output, settle, spec, take, texts, wait_for_status};

/// A topic of ten records that arrived a second apart, all of them settled.
async fn settled() -> LocalGround {
    let ground = LocalGround::new(&["t", "u"]).await;
    ground.publish((0..10).map(|number| output("t", number)).collect()).await;
    ground.tamper("update log_record set arrived_at = record_offset * 1000000").await;
    let mut source = ground.source(&["t"]).await;
    let (_, receipts) = take(&mut source, 10).await;
    settle(&mut source, receipts).await;
    source.close().await.unwrap();
    ground
}

async fn plan(ground: &LocalGround, target: ReplayTarget) -> Result<ReplayPlan, ReplayError> {
    plan_replay(&ground.log, GROUP, &["t".to_owned()], &target).await
}

/// How many records one round dropped that left nothing due.
async fn dropped(ground: &LocalGround) -> u64 {
    let dropped = drop_old(&ground.log).await.unwrap();
    assert!(!dropped.is_unfinished, "{dropped:?}");
    dropped.records
}

fn named(topic: &str, partition: i32, offset: i64) -> ReplayTarget {
    ReplayTarget::Offsets(vec![PartitionOffset { topic: topic.to_owned(), partition, offset }])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_active_group_is_refused_and_its_member_is_named() {
    let ground = settled().await;
    let before = plan(&ground, ReplayTarget::Start).await.unwrap();
    let source = ground.source(&["t"]).await;
    wait_for_status(&source, "it reads", |status| status.rebalances > 0).await;
    let refused = plan(&ground, ReplayTarget::Start).await.unwrap_err();
    let process = format!("process {}", std::process::id());
    assert!(
        matches!(&refused, ReplayError::GroupActive { members, .. } if *members == [process.as_str()]),
        "{refused}"
    );
    assert!(matches!(apply_replay(&ground.log, &before).await, Err(ReplayError::GroupActive { .. })));
    source.close().await.unwrap();
    assert_eq!(ground.stored().await, 10);
    apply_replay(&ground.log, &before).await.unwrap();
    assert_eq!(ground.stored().await, 0);
}

/// It took the reading over from one that was stopped and is gone since, so that nobody has the lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_reads_without_the_lock_stores_nothing_over_a_replay() {
    let ground = settled().await;
    ground.tamper("update log_group set holder = x'01', member = 'process 1', expires_at = 1, epoch = 7").await;
    let start = plan(&ground, ReplayTarget::Start).await.unwrap();
    apply_replay(&ground.log, &start).await.unwrap();
    assert_eq!(ground.stored().await, 0);
    // What such a member stores is asked for under its holder and epoch.
    assert_eq!(ground.number("select count(*) from log_group where holder is null and epoch = 8").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_once_and_compared() {
    let ground = LocalGround::new(&["t"]).await;
    let admin = LocalAdmin::new(ground.log.clone());
    let specs = [spec("t", 5), spec("v", 5)];
    assert_eq!(admin.apply(&specs).await.unwrap(), [TopicOutcome::Existed, TopicOutcome::Created]);
    let differences = admin.check(&[spec("t", 5), spec("v", 5), spec("w", -1)]).await.unwrap();
    let [setting, missing] = &differences[..] else { panic!("{differences:?}") };
    assert_eq!(setting.to_string(), "topic t has retention.ms=-1 instead of 5");
    assert_eq!(missing.kind, TopicDifferenceKind::Missing);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_records_go_when_every_group_has_read_them_or_nobody_came_for_too_long() {
    let ground = LocalGround::new(&["kept"]).await;
    LocalAdmin::new(ground.log.clone()).apply(&[spec("t", 60_000)]).await.unwrap();
    ground.publish((0..10).map(|number| output("t", number)).collect()).await;
    ground.publish(vec![output("kept", 0)]).await;
    assert_eq!(dropped(&ground).await, 0, "they are new");
    let mut source = ground.source(&["t"]).await;
    let (_, receipt) =
        crate::local_support::batch(&mut source, holdfast::ports::BatchLimit { deliveries: 4, bytes: usize::MAX })
            .await;
    source.settle(receipt, &[]).await.unwrap();
    source.close().await.unwrap();
    // Two minutes old, but for the last three.
    let age = "update log_record set arrived_at = arrived_at - 120000000 where record_offset < 7 or topic = 1";
    ground.tamper(age).await;
    assert_eq!(dropped(&ground).await, 4, "the group has read four");
    let mut source = ground.source(&["t"]).await;
    let (rest, _) = take(&mut source, 6).await;
    assert_eq!(texts(&rest), ["t:4", "t:5", "t:6", "t:7", "t:8", "t:9"]);
    source.close().await.unwrap();
    let ancient = LONGEST_UNREAD.as_micros();
    ground.tamper(&format!("update log_record set arrived_at = arrived_at - {ancient} where record_offset < 7")).await;
    assert_eq!(dropped(&ground).await, 3);
    assert_eq!(ground.number("select count(*) from log_record").await, 4);
    let refused = plan(&ground, named("t", 0, 6)).await.unwrap_err();
    assert!(matches!(refused, ReplayError::OffsetOutOfRange { first: 7, end: 10, .. }), "{refused}");
    // Numbers and offsets are never given again.
    ground.tamper("delete from log_record").await;
    ground.publish(vec![output("t", 10)]).await;
    assert_eq!(ground.number("select id * 1000 + record_offset from log_record").await, 12_010);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_drops_a_bounded_number_of_records_and_bytes_and_says_what_is_left() {
    let ground = LocalGround::new(&["kept"]).await;
    LocalAdmin::new(ground.log.clone()).apply(&[spec("small", 60_000), spec("large", 60_000)]).await.unwrap();
    // Long ago. Both topics are due at once.
    for (topic, records, payload) in [("small", 12_000, "x'00'"), ("large", 10, "zeroblob(5000000)")] {
        let first = ground.number("select coalesce(max(id), 0) + 1 from log_record").await;
        ground
            .tamper(&format!(
                "with recursive n (number) as (select 0 union all select number + 1 from n where number < {records} - 1)
                 insert into log_record (id, topic, record_offset, arrived_at, recorded_at, payload)
                 select {first} + n.number, t.id, n.number, 1, 1, {payload} from n, log_topic t where t.name = '{topic}'"
            ))
            .await;
        ground.tamper(&format!("update log_topic set next_offset = {records} where name = '{topic}'")).await;
    }
    let mut rounds = Vec::new();
    loop {
        let DroppedRecords { records, is_unfinished } = drop_old(&ground.log).await.unwrap();
        rounds.push(records);
        if !is_unfinished {
            break;
        }
    }
    assert_eq!(rounds, [10_000, 2_000, 4, 4, 2]);
    assert_eq!(ground.number("select count(*) from log_record").await, 0);
    assert_eq!(drop_old(&ground.log).await.unwrap(), DroppedRecords::default());
}
