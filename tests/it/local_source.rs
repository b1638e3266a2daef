//! Taking events from the embedded log, on files on disk.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use holdfast::bus::local::{BufferLimit, LocalFailure, LocalSource};
use holdfast::ports::{BatchLimit, OutputRecord, Source};

use crate::local_support::{
    ANY, LocalGround, batch, output, publish, record, settle, take, texts, until, wait_for_status,
};

#[tokio::test(flavor = "multi_thread")]
async fn records_of_all_topics_come_in_the_order_of_arrival_with_everything_they_carry() {
    let ground = LocalGround::new(&["a", "b", "elsewhere"]).await;
    let whole =
        OutputRecord { headers: vec![("h".to_owned(), Some(vec![0, 255])), ("h".to_owned(), None)], ..output("b", 1) };
    let bare = OutputRecord { key: None, payload: None, ..output("a", 2) };
    let large = OutputRecord { payload: Some(vec![b'x'; 3_000_000]), ..output("a", 4) };
    let sent = vec![output("a", 0), whole, bare, output("elsewhere", 3), large, output("b", 5)];
    assert_eq!(ground.publish(sent.clone()).await.acknowledged, 6);
    let mut source = ground.source(&["a", "b"]).await;
    let (records, _) = take(&mut source, 5).await;
    let wanted: Vec<_> = sent.iter().filter(|record| &*record.topic != "elsewhere").collect();
    let mut offsets = [0, 0];
    for (record, sent) in records.iter().zip(wanted) {
        assert_eq!((&record.key, &record.headers, &record.payload), (&sent.key, &sent.headers, &sent.payload));
        assert_eq!((&record.position.topic, record.timestamp), (&sent.topic, Some(sent.timestamp)));
        let next = &mut offsets[usize::from(&*sent.topic == "b")];
        assert_eq!((record.position.partition, record.position.offset), (0, *next));
        *next += 1;
    }
    source.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_settled_comes_again_and_what_was_settled_does_not() {
    let ground = LocalGround::new(&["t"]).await;
    ground.publish((0..10).map(|number| output("t", number)).collect()).await;
    let mut source = ground.source(&["t"]).await;
    let (first, receipt) = batch(&mut source, BatchLimit { deliveries: 4, bytes: usize::MAX }).await;
    assert_eq!(texts(&first), ["t:0", "t:1", "t:2", "t:3"]);
    source.settle(receipt, &[]).await.unwrap();
    // Taken, never settled.
    let (second, _) = batch(&mut source, BatchLimit { deliveries: 3, bytes: usize::MAX }).await;
    assert_eq!(texts(&second), ["t:4", "t:5", "t:6"]);
    source.close().await.unwrap();

    let mut source = ground.source(&["t"]).await;
    let (again, receipts) = take(&mut source, 6).await;
    assert_eq!(texts(&again), ["t:4", "t:5", "t:6", "t:7", "t:8", "t:9"]);
    settle(&mut source, receipts).await;
    source.close().await.unwrap();
    assert_eq!(ground.stored().await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_stay_where_they_are_until_a_batch_is_settled() {
    let ground = LocalGround::new(&["t"]).await;
    ground.publish((0..5).map(|number| output("t", number)).collect()).await;
    let mut settings = ground.settings(&["t"]);
    settings.statistics_interval = Duration::from_millis(20);
    let mut source = LocalSource::open(settings).await.unwrap();
    let (_, receipts) = take(&mut source, 5).await;
    wait_for_status(&source, "the lag is known", |status| status.lag == [("t".into(), 0, 5)]).await;
    let mut status = source.status();
    for _ in 0..20 {
        status.changed().await.unwrap();
    }
    assert_eq!(ground.stored().await, 0);
    settle(&mut source, receipts).await;
    until("the offset is stored", async || ground.stored().await == 5).await;
    wait_for_status(&source, "the lag is gone", |status| status.lag == [("t".into(), 0, 0)]).await;
    source.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_wait_loses_nothing_and_a_full_buffer_neither() {
    let ground = LocalGround::new(&["t"]).await;
    let mut settings = ground.settings(&["t"]);
    settings.buffer = BufferLimit { records: 7, bytes: usize::MAX };
    let mut source = LocalSource::open(settings).await.unwrap();
    let records: Vec<_> = (0..100).map(|number| output("t", number)).collect();
    let expected: Vec<String> = (0..100).map(|number| format!("t:{number}")).collect();
    ground.publish(records).await;
    let limit = BatchLimit { deliveries: 3, bytes: usize::MAX };
    let mut read = Vec::new();
    let mut cancelled = 0;
    while read.len() < 100 {
        // Looked at once and dropped when nothing is there.
        let waited = pin!(source.next_batch(limit)).poll(&mut Context::from_waker(Waker::noop()));
        match waited {
            Poll::Ready(taken) => {
                let (deliveries, receipt) = taken.unwrap().unwrap();
                source.settle(receipt, &[]).await.unwrap();
                read.extend(deliveries.into_iter().map(record));
            }
            Poll::Pending => {
                cancelled += 1;
                let (records, receipt) = batch(&mut source, limit).await;
                source.settle(receipt, &[]).await.unwrap();
                read.extend(records);
            }
        }
    }
    assert_eq!(texts(&read), expected);
    assert!(cancelled > 0, "a buffer of seven is empty now and then");
    source.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_another_process_are_seen_without_a_hint() {
    let ground = LocalGround::new(&["t"]).await;
    let mut source = ground.source(&["t"]).await;
    wait_for_status(&source, "it reads", |status| status.rebalances > 0).await;
    let elsewhere = ground.elsewhere().await;
    let mut longest = Duration::ZERO;
    for number in 0..20 {
        publish(&elsewhere, vec![output("t", number)]).await;
        let published = std::time::Instant::now();
        let (records, receipt) = batch(&mut source, ANY).await;
        longest = longest.max(published.elapsed());
        assert_eq!(texts(&records), [format!("t:{number}")]);
        source.settle(receipt, &[]).await.unwrap();
    }
    println!("seen at the latest {longest:?} after it was acknowledged");
    source.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_reads_and_the_next_one_goes_on_where_it_left() {
    let ground = LocalGround::new(&["t"]).await;
    ground.publish((0..6).map(|number| output("t", number)).collect()).await;
    let mut first = ground.source(&["t"]).await;
    let (_, receipt) = batch(&mut first, BatchLimit { deliveries: 4, bytes: usize::MAX }).await;
    let mut settings = ground.settings(&["t"]);
    settings.log = ground.elsewhere().await;
    let mut second = LocalSource::open(settings).await.unwrap();
    wait_for_status(&second, "it stands by", |status| status.connected).await;
    assert_eq!(second.status().borrow().rebalances, 0);
    first.settle(receipt, &[]).await.unwrap();
    first.close().await.unwrap();
    let (rest, _) = take(&mut second, 2).await;
    assert_eq!(texts(&rest), ["t:4", "t:5"]);
    second.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_lease_ran_out_settles_nothing_any_more() {
    let ground = LocalGround::new(&["t"]).await;
    ground.publish((0..3).map(|number| output("t", number)).collect()).await;
    let mut stopped = ground.source(&["t"]).await;
    let (_, late) = take(&mut stopped, 3).await;
    // As after a takeover by somebody who saw the lease run out.
    ground.tamper("update log_group set holder = x'01', epoch = epoch + 1, expires_at = 0").await;
    settle(&mut stopped, late).await;
    wait_for_status(&stopped, "it is in the group again", |status| status.rebalances == 2).await;
    assert_eq!(ground.stored().await, 0);
    let (again, receipts) = take(&mut stopped, 3).await;
    assert_eq!(texts(&again), ["t:0", "t:1", "t:2"]);
    settle(&mut stopped, receipts).await;
    stopped.close().await.unwrap();
    assert_eq!(ground.stored().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_topics_and_files_are_named() {
    let ground = LocalGround::new(&["t"]).await;
    let failure = LocalSource::open(ground.settings(&["t", "nobody.made.this"])).await.unwrap_err();
    assert!(matches!(&failure, LocalFailure::MissingTopics { topics, .. } if topics == &["nobody.made.this"]));
    assert!(failure.to_string().contains("holdfast topics apply"), "{failure}");
    let failure = holdfast::bus::local::LocalLog::open(std::path::Path::new("/nowhere/holdfast.db")).await.unwrap_err();
    assert!(failure.to_string().contains("holdfast migrate"), "{failure}");
}
