//! Taking events from the embedded log, on files on disk.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use holdfast::bus::local::{BufferLimit, LocalFailure, LocalSource};
use holdfast::ports::{BatchLimit, Source};

use crate::local_support::{ANY, LocalGround, batch, output, publish, record, settle, take, texts, wait_for_status};

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
