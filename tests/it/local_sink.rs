//! Publishing to the embedded log, and what a store announces there by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use holdfast::bus::local::{LocalSink, LocalSinkSettings, LocalTail, LocalTailSettings};
use holdfast::bus::tail::TailStart;
use holdfast::domain::words::Timestamp;
use holdfast::ports::{OutputRecord, Progress, Sink, SinkError};
use uuid::Uuid;

use crate::local_support::{LocalGround, output, texts};

fn progress(batch: i64) -> Progress {
    Progress { installation: Uuid::from_u128(7), batch, seq: batch * 10 }
}

fn settings(ground: &LocalGround) -> LocalSinkSettings {
    LocalSinkSettings { log: ground.log.clone(), progress: "progress".to_owned(), topics: vec!["t".to_owned()] }
}

async fn read(ground: &LocalGround, topics: &[&str], from: TailStart) -> Vec<String> {
    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let log = ground.elsewhere().await;
    let mut tail = LocalTail::open(LocalTailSettings { log, topics, from, until_end: true }).await.unwrap();
    let mut records = Vec::new();
    while let Some(record) = tail.next().await.unwrap() {
        records.push(record);
    }
    texts(&records)
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_read_back_and_nothing_is_published_twice() {
    let ground = LocalGround::new(&["t"]).await;
    let mut sink = LocalSink::new(settings(&ground));
    assert!(matches!(sink.publish(Vec::new(), progress(1)).await, Err(SinkError::Unclear(_))));
    assert_eq!(sink.open().await.unwrap(), None);
    for batch in 1..=3 {
        sink.publish(vec![output("t", batch as usize)], progress(batch)).await.unwrap();
    }
    assert_eq!(sink.open().await.unwrap(), Some(progress(3)));
    // As after an answer that was lost.
    sink.publish(vec![output("t", 3)], progress(3)).await.unwrap();
    sink.publish(Vec::new(), progress(4)).await.unwrap();
    sink.close().await;
    assert_eq!(LocalSink::new(settings(&ground)).open().await.unwrap(), Some(progress(4)));
    assert_eq!(read(&ground, &["t"], TailStart::Start).await, ["t:1", "t:2", "t:3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_is_fenced() {
    let ground = LocalGround::new(&["t"]).await;
    let mut zombie = LocalSink::new(settings(&ground));
    zombie.open().await.unwrap();
    let mut heir = LocalSink::new(settings(&ground));
    heir.open().await.unwrap();
    let fenced = zombie.publish(vec![output("t", 0)], progress(1)).await.unwrap_err();
    assert!(matches!(fenced, SinkError::Fenced(_)), "{fenced}");
    heir.publish(vec![output("t", 1)], progress(1)).await.unwrap();
    assert_eq!(read(&ground, &["t"], TailStart::Start).await, ["t:1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_a_topic_that_is_missing_leaves_nothing() {
    let ground = LocalGround::new(&["t"]).await;
    let mut sink = LocalSink::new(settings(&ground));
    sink.open().await.unwrap();
    let refused = sink.publish(vec![output("t", 0), output("u", 1)], progress(1)).await.unwrap_err();
    assert!(matches!(&refused, SinkError::Fatal(error) if error.contains(": u; create")), "{refused}");
    assert_eq!(ground.number("select count(*) from log_record").await, 0);
    assert_eq!(ground.number("select next_offset from log_topic").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_reads_from_the_start_a_time_or_the_end_and_follows() {
    let ground = LocalGround::new(&["a", "b"]).await;
    ground.publish((0..4).map(|number| output(if number % 2 == 0 { "a" } else { "b" }, number)).collect()).await;
    // Arrival is by the file's clock.
    ground.tamper("update log_record set arrived_at = id * 1000").await;
    assert_eq!(read(&ground, &["a", "b"], TailStart::Start).await, ["a:0", "b:1", "a:2", "b:3"]);
    assert_eq!(read(&ground, &["b"], TailStart::Start).await, ["b:1", "b:3"]);
    assert_eq!(read(&ground, &["a", "b"], TailStart::Time(Timestamp(1_001))).await, ["b:1", "a:2", "b:3"]);
    assert!(read(&ground, &["a", "b"], TailStart::Time(Timestamp(5_000))).await.is_empty());
    assert!(read(&ground, &["a", "b"], TailStart::End).await.is_empty());
    let topics = vec!["a".to_owned()];
    let following = LocalTailSettings { log: ground.log.clone(), topics, from: TailStart::End, until_end: false };
    let mut tail = LocalTail::open(following).await.unwrap();
    ground.publish(vec![output("b", 4), output("a", 5)]).await;
    assert_eq!(texts(&[tail.next().await.unwrap().unwrap()]), ["a:5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_side_by_side_keep_their_order_and_lose_nothing() {
    let ground = LocalGround::new(&["t"]).await;
    let published = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for writer in 0..4 {
        let (log, published) = (ground.elsewhere().await, published.clone());
        tasks.push(tokio::spawn(async move {
            for round in 0..5 {
                let record = |number: usize| OutputRecord {
                    payload: Some(format!("{writer}:{:03}", round * 20 + number).into_bytes()),
                    ..output("t", 0)
                };
                let report = crate::local_support::publish(&log, (0..20).map(record).collect()).await;
                published.fetch_add(report.acknowledged as usize, Ordering::SeqCst);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(published.load(Ordering::SeqCst), 400);
    let all = read(&ground, &["t"], TailStart::Start).await;
    assert_eq!(all.len(), 400);
    for writer in 0..4 {
        let own: Vec<&String> = all.iter().filter(|text| text.starts_with(&format!("{writer}:"))).collect();
        assert_eq!(own.len(), 100);
        assert!(own.is_sorted(), "{own:?}");
    }
}
