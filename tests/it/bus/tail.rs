//! Reading what is published.

use holdfast::bus::publish::PublishReport;
use holdfast::bus::tail::TailStart;
use holdfast::ports::{OutputRecord, Sink};

use super::Bus;
use crate::buses::{
    BusKind, DEADLINE, announcement, event, following, instant_between, now, progress, rest, seq, texts,
};

/// The announcements of a range, written just now.
fn fresh(bus: &Bus, seqs: std::ops::RangeInclusive<i64>) -> Vec<OutputRecord> {
    seqs.map(|seq| OutputRecord { timestamp: now(), ..announcement(&bus.stock(), seq) }).collect()
}

async fn numbers(bus: &Bus, from: TailStart) -> Vec<i64> {
    let tail = bus.tail(&[bus.stock()], from, true, true).await.unwrap();
    rest(tail).await.iter().map(seq).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_begins_at_the_start_a_time_or_the_end_and_follows_what_comes() {
    let bus = Bus::open().await;
    let mut sink = bus.sink().await;
    sink.open().await.unwrap();
    assert!(numbers(&bus, TailStart::Start).await.is_empty());
    sink.publish(fresh(&bus, 1..=300), progress(1, 300)).await.unwrap();
    let between = instant_between().await;
    sink.publish(fresh(&bus, 301..=1_000), progress(2, 1_000)).await.unwrap();
    assert_eq!(numbers(&bus, TailStart::Start).await, (1..=1_000).collect::<Vec<_>>());
    assert_eq!(numbers(&bus, TailStart::Time(between)).await, (301..=1_000).collect::<Vec<_>>());
    assert!(numbers(&bus, TailStart::End).await.is_empty());

    let mut following_all = bus.tail(&[bus.stock()], TailStart::Time(between), false, true).await.unwrap();
    let mut following_new = bus.tail(&[bus.stock()], TailStart::End, false, true).await.unwrap();
    sink.publish(fresh(&bus, 1_001..=1_010), progress(3, 1_010)).await.unwrap();
    for (tail, first) in [(&mut following_all, 301), (&mut following_new, 1_001)] {
        for expected in first..=1_010 {
            assert_eq!(following(tail).await.as_ref().map(seq), Some(expected));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_what_comes_can_be_cancelled() {
    let bus = Bus::open().await;
    let mut sink = bus.sink().await;
    sink.open().await.unwrap();
    let mut tail = bus.tail(&[bus.stock()], TailStart::Start, false, true).await.unwrap();
    let mut seen = Vec::new();
    for number in 1..=20 {
        // The end of publishing cancels whatever the tail is waiting for.
        let publishing = sink.publish(bus.announcements(number..=number), progress(number, number));
        let mut publishing = std::pin::pin!(publishing);
        loop {
            tokio::select! {
                published = &mut publishing => break published.unwrap(),
                next = following(&mut tail) => seen.extend(next.as_ref().map(seq)),
            }
        }
    }
    while seen.len() < 20 {
        seen.extend(following(&mut tail).await.as_ref().map(seq));
    }
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_side_by_side_keep_their_order_and_lose_nothing() {
    let bus = Bus::open().await;
    let topic = bus.topic("orders").await;
    let publish = async |writer: usize| {
        let publisher = bus.publisher(std::slice::from_ref(&topic)).await.unwrap();
        for number in 0..100 {
            publisher.send(event(&topic, &format!("w{writer}"), number)).await.unwrap();
        }
        let report = tokio::time::timeout(DEADLINE, publisher.finish()).await.unwrap().unwrap();
        assert_eq!(report, PublishReport { acknowledged: 100, ..PublishReport::default() });
    };
    tokio::join!(publish(0), publish(1), publish(2), publish(3));
    let tail = bus.tail(std::slice::from_ref(&topic), TailStart::Start, true, false).await.unwrap();
    let all = texts(&rest(tail).await);
    assert_eq!(all.len(), 400);
    for writer in 0..4 {
        let own: Vec<&String> = all.iter().filter(|text| text.starts_with(&format!("w{writer}:"))).collect();
        let expected: Vec<String> = (0..100).map(|number| format!("w{writer}:{number}")).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>());
    }
}
