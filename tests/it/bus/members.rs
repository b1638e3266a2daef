//! Several members of one group.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast::ports::Source;

use super::Bus;
use crate::buses::{
    ANY, Members, by_key, close, event, number, numbered, records, take, take_and_settle, texts, wait_for_lag,
};

#[tokio::test(flavor = "multi_thread")]
async fn two_members_do_all_of_the_work_once_and_the_one_that_stays_goes_on_alone() {
    let bus = Bus::open().await;
    let topic = bus.topic_of("orders", 4).await;
    let mut members = [bus.reader(&topic).await, bus.reader(&topic).await];
    Bus::wait_for_two(&members[0], &members[1]).await;
    let key = |number: usize| format!("k{}", number % 50);
    bus.publish((0..2_000).map(|number| event(&topic, &key(number), number)).collect()).await;

    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    let mut shares = [Vec::new(), Vec::new()];
    while seen.len() < 2_000 {
        for (share, source) in shares.iter_mut().zip(&mut members) {
            let Ok(next) = tokio::time::timeout(Duration::from_millis(50), source.next_batch(ANY)).await else {
                continue;
            };
            let (deliveries, receipt) = next.unwrap().unwrap();
            source.settle(receipt, &[]).await.unwrap();
            let taken = records(deliveries);
            taken.iter().for_each(|record| *seen.entry(number(record)).or_default() += 1);
            share.extend(taken);
        }
    }
    assert!(seen.values().all(|times| *times == 1), "something came twice");
    for (key, numbers) in shares.iter().flat_map(|share| by_key(share)) {
        assert!(numbers.is_sorted(), "{key} is out of order: {numbers:?}");
    }
    let sizes = shares.map(|share| share.len());
    match Bus::MEMBERS {
        Members::Together => assert!(sizes.iter().all(|share| *share > 200), "they share badly: {sizes:?}"),
        Members::OneAtATime => assert_eq!(sizes, [2_000, 0]),
    }

    let [leaving, mut staying] = members;
    close(leaving).await;
    bus.publish((2_000..2_100).map(|number| event(&topic, &key(number), number)).collect()).await;
    let rest = by_key(&take_and_settle(&mut staying, 100).await);
    let expected = (0..50).map(|key| (format!("k{key}"), vec![2_000 + key, 2_050 + key])).collect();
    assert_eq!(rest, expected);
    wait_for_lag(&staying, 0).await;
    close(staying).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_leaves_hands_over_what_it_holds_to_one_that_waits() {
    let bus = Bus::open().await;
    let topic = bus.topic("orders").await;
    bus.publish_numbered(&topic, 0, 10).await;
    let mut leaving = bus.reader(&topic).await;
    assert_eq!(texts(&take_and_settle(&mut leaving, 4).await), numbered(0..4));
    let (held, _) = take(&mut leaving, 3).await;
    assert_eq!(texts(&held), numbered(4..7));
    let mut waiting = bus.reader(&topic).await;
    let taking = tokio::spawn(async move { (take_and_settle(&mut waiting, 6).await, waiting) });
    // What it took and did not settle, and what it had not given yet.
    close(leaving).await;
    let (taken, waiting) = taking.await.unwrap();
    assert_eq!(texts(&taken), numbered(4..10));
    wait_for_lag(&waiting, 0).await;
    close(waiting).await;
}
