//! What a source gives, when it gives it again, and what settling means.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use holdfast::ports::{BatchLimit, DeadLetterReason, Outcome, OutputRecord, Source};

use super::Bus;
use crate::buses::{
    ANY, BusKind, DEADLINE, batch, by_key, close, event, lag, number, numbered, records, settle, settle_as, take,
    take_and_settle, text, texts, wait_for_lag,
};

const FOUR: BatchLimit = BatchLimit { deliveries: 4, ..ANY };

#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_key_come_in_the_order_in_which_they_were_written() {
    let bus = Bus::open().await;
    let topic = bus.topic_of("orders", 4).await;
    bus.publish((0..2_000).map(|number| event(&topic, &format!("k{}", number % 7), number)).collect()).await;
    let mut source = bus.reader(&topic).await;
    let read = by_key(&take_and_settle(&mut source, 2_000).await);
    let expected = (0..7).map(|key| (format!("k{key}"), (key..2_000).step_by(7).collect::<Vec<usize>>())).collect();
    assert_eq!(read, expected);
    wait_for_lag(&source, 0).await;
    close(source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_settled_comes_again_to_the_next_member_and_what_was_settled_never() {
    let bus = Bus::open().await;
    let topic = bus.topic("orders").await;
    bus.publish_numbered(&topic, 0, 10).await;
    let mut source = bus.reader(&topic).await;
    assert_eq!(texts(&take_and_settle(&mut source, 4).await), numbered(0..4));
    // Taken, never settled.
    let (taken, _) = take(&mut source, 3).await;
    assert_eq!(texts(&taken), numbered(4..7));
    close(source).await;

    let mut source = bus.reader(&topic).await;
    assert_eq!(texts(&take_and_settle(&mut source, 6).await), numbered(4..10));
    wait_for_lag(&source, 0).await;
    close(source).await;
    // Whatever was still to come would come before this.
    let mut source = bus.reader(&topic).await;
    bus.publish_numbered(&topic, 10, 1).await;
    assert_eq!(texts(&take_and_settle(&mut source, 1).await), ["k:10"]);
    wait_for_lag(&source, 0).await;
    close(source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_source_held_that_was_dropped_comes_again_in_order() {
    let bus = Bus::open().await;
    let topic = bus.topic("orders").await;
    bus.publish_numbered(&topic, 0, 20).await;
    let mut dying = bus.reader(&topic).await;
    assert_eq!(texts(&take_and_settle(&mut dying, 5).await), numbered(0..5));
    wait_for_lag(&dying, 15).await;
    let _held = take(&mut dying, 5).await;
    drop(dying);

    let mut heir = bus.reader(&topic).await;
    let mut seen = Vec::new();
    while !(5..20).all(|number| seen.contains(&number)) {
        let (records, receipt) = batch(&mut heir, ANY).await;
        seen.extend(records.iter().map(number));
        settle(&mut heir, vec![receipt]).await;
    }
    // Nobody promises that what was settled a moment before a crash does not come again.
    let first = seen.iter().position(|number| *number == 5).unwrap();
    assert_eq!(seen[first..], (5..20).collect::<Vec<_>>());
    wait_for_lag(&heir, 0).await;
    close(heir).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_settled_and_published_is_there_after_a_restart_of_the_server() {
    let mut bus = Bus::open_alone().await;
    let topic = bus.topic("orders").await;
    bus.publish_numbered(&topic, 0, 10).await;
    let mut source = bus.reader(&topic).await;
    assert_eq!(texts(&take_and_settle(&mut source, 4).await), numbered(0..4));
    close(source).await;
    bus.restart().await;
    let mut source = bus.reader(&topic).await;
    assert_eq!(texts(&take_and_settle(&mut source, 6).await), numbered(4..10));
    wait_for_lag(&source, 0).await;
    close(source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_before_it_is_settled_and_then_nothing_is_left() {
    let bus = Bus::open().await;
    let topic = bus.topic("orders").await;
    bus.publish_numbered(&topic, 0, 5).await;
    let mut source = bus.reader(&topic).await;
    let (_, receipts) = take(&mut source, 5).await;
    wait_for_lag(&source, 5).await;
    let mut status = source.status();
    for _ in 0..20 {
        tokio::time::timeout(DEADLINE, status.changed()).await.expect("a status should come").unwrap();
        assert_eq!(lag(&status.borrow()), Some(5));
    }
    settle(&mut source, receipts).await;
    wait_for_lag(&source, 0).await;
    close(source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_can_be_cancelled_at_any_moment_without_losing_anything() {
    let bus = Bus::open().await;
    let topic = bus.topic("orders").await;
    let mut source = bus.reader(&topic).await;
    let look = |source: &mut _| {
        let source: &mut holdfast::bus::any::AnySource = source;
        pin!(source.next_batch(FOUR)).poll(&mut Context::from_waker(Waker::noop()))
    };
    assert!(look(&mut source).is_pending(), "nothing is there yet");
    let publishing = async {
        for round in 0..20 {
            bus.publish_numbered(&topic, round * 15, 15).await;
        }
    };
    let reading = async {
        let (mut read, mut cancelled) = (Vec::new(), 0);
        while read.len() < 300 {
            // Looked at once and dropped when nothing is there.
            let (more, receipt) = match look(&mut source) {
                Poll::Ready(taken) => {
                    let (deliveries, receipt) = taken.unwrap().unwrap();
                    (records(deliveries), receipt)
                }
                Poll::Pending => {
                    cancelled += 1;
                    batch(&mut source, FOUR).await
                }
            };
            read.extend(more);
            settle(&mut source, vec![receipt]).await;
        }
        (read, cancelled)
    };
    let ((), (read, cancelled)) = tokio::join!(publishing, reading);
    assert_eq!(texts(&read), numbered(0..300));
    assert!(cancelled > 0, "it never had to wait");
    wait_for_lag(&source, 0).await;
    close(source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_holds_no_more_deliveries_and_bytes_than_it_may() {
    let bus = Bus::open().await;
    let topic = bus.topic("orders").await;
    // The record that crosses the line is still taken: three of 1,000 bytes where 2,500 are allowed.
    let limits = [(BatchLimit { deliveries: 7, ..ANY }, 7), (BatchLimit { deliveries: 100, bytes: 2_500 }, 3)];
    let mut source = bus.reader(&topic).await;
    for (limit, most) in limits {
        let large = |number: usize| OutputRecord {
            payload: Some(format!("k:{number:0>998}").into_bytes()),
            ..event(&topic, "k", number)
        };
        bus.publish((0..60).map(large).collect()).await;
        let (mut numbers, mut sizes) = (Vec::new(), Vec::new());
        while numbers.len() < 60 {
            let (records, receipt) = batch(&mut source, limit).await;
            numbers.extend(records.iter().map(number));
            sizes.push(records.len());
            settle(&mut source, vec![receipt]).await;
        }
        assert_eq!(numbers, (0..60).collect::<Vec<_>>());
        assert_eq!(sizes.iter().max(), Some(&most), "{limit:?}: {sizes:?}");
    }
    wait_for_lag(&source, 0).await;
    close(source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_nobody_understands_holds_nobody_up_and_is_gone_once_it_is_buried() {
    let bus = Bus::open().await;
    let topic = bus.topic("orders").await;
    let poison = OutputRecord { payload: Some(vec![0xff, 0xfe, 0, b'{']), ..event(&topic, "k", 1) };
    bus.publish(vec![event(&topic, "k", 0), poison.clone(), event(&topic, "k", 2)]).await;
    let mut source = bus.reader(&topic).await;
    let buried = Outcome::DeadLettered { reason: DeadLetterReason::Undecodable, detail: Arc::from("no text") };
    for (payload, outcome) in [
        (event(&topic, "k", 0).payload, Outcome::Applied),
        (poison.payload, buried),
        (event(&topic, "k", 2).payload, Outcome::Duplicate),
    ] {
        let (records, receipt) = batch(&mut source, BatchLimit { deliveries: 1, ..ANY }).await;
        assert_eq!(records.into_iter().map(|record| record.payload).collect::<Vec<_>>(), [payload]);
        settle_as(&mut source, receipt, &[outcome]).await;
    }
    wait_for_lag(&source, 0).await;
    close(source).await;
    let mut source = bus.reader(&topic).await;
    bus.publish_numbered(&topic, 3, 1).await;
    assert_eq!(texts(&take_and_settle(&mut source, 1).await), ["k:3"]);
    close(source).await;
}

/// To tell that a fact was said twice is the inbox's work: an id that a bus forgets after a while is none.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_published_twice_comes_twice() {
    let bus = Bus::open().await;
    let topic = bus.topic("orders").await;
    let fact = OutputRecord { headers: vec![("ce_id".to_owned(), Some(b"e-1".to_vec()))], ..event(&topic, "k", 1) };
    bus.publish(vec![fact.clone(), fact.clone()]).await;
    bus.publish(vec![fact]).await;
    let mut source = bus.reader(&topic).await;
    let read = take_and_settle(&mut source, 3).await;
    let offsets: Vec<i64> = read.iter().map(|record| record.position.offset - Bus::FIRST_OFFSET).collect();
    assert_eq!((texts(&read), offsets), (vec!["k:1".to_owned(); 3], vec![0, 1, 2]));
    wait_for_lag(&source, 0).await;
    close(source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_catches_up_meets_topics_in_the_order_in_which_they_were_written() {
    let bus = Bus::open().await;
    let (orders, cancels) = (bus.topic("orders").await, bus.topic("cancels").await);
    for round in 0..5 {
        bus.publish(vec![event(&orders, "k", 2 * round)]).await;
        bus.publish(vec![event(&cancels, "k", 2 * round + 1)]).await;
    }
    let mut source = bus.source(&[cancels, orders]).await.unwrap();
    assert_eq!(texts(&take_and_settle(&mut source, 10).await), numbered(0..10));
    wait_for_lag(&source, 0).await;
    close(source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_waits_is_woken_by_a_record() {
    let bus = Bus::open().await;
    let topic = bus.topic("orders").await;
    let mut source = bus.reader(&topic).await;
    let waiting = tokio::spawn(async move { (take_and_settle(&mut source, 1).await, source) });
    bus.publish_numbered(&topic, 0, 1).await;
    let (records, source) = waiting.await.unwrap();
    assert_eq!(text(&records[0]), "k:0");
    close(source).await;
}
