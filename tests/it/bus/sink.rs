//! Publishing: each record once, in order, whatever happens between a publication and its answer.

use std::time::Instant;

use holdfast::ports::{Header, OutputRecord, Sink, SinkError};

use super::Bus;
use crate::buses::{BusKind, DEADLINE, Fencing, cut_after, open_again, progress};

#[tokio::test(flavor = "multi_thread")]
async fn how_far_publishing_has_come_is_read_back() {
    let bus = Bus::open().await;
    let mut sink = bus.sink().await;
    let unopened = sink.publish(bus.announcements(1..=1), progress(1, 1)).await.unwrap_err();
    assert!(matches!(unopened, SinkError::Unclear(_)), "{unopened}");
    assert_eq!(sink.open().await.unwrap(), None);
    for batch in 1..=3 {
        let seqs = batch * 10 - 9..=batch * 10;
        sink.publish(bus.announcements(seqs), progress(batch, batch * 10)).await.unwrap();
    }
    assert_eq!(sink.open().await.unwrap(), Some(progress(3, 30)));
    // A batch that announces nothing.
    sink.publish(Vec::new(), progress(4, 30)).await.unwrap();
    assert_eq!(sink.open().await.unwrap(), Some(progress(4, 30)));
    sink.close().await;
    let mut sink = bus.sink().await;
    assert_eq!(sink.open().await.unwrap(), Some(progress(4, 30)));
    sink.publish(bus.announcements(31..=31), progress(5, 31)).await.unwrap();
    sink.close().await;
    assert_eq!(bus.announced().await, (1..=31).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_publication_goes_through_whole_and_in_order() {
    let bus = Bus::open().await;
    let mut sink = bus.sink().await;
    sink.open().await.unwrap();
    sink.publish(bus.announcements(1..=2_500), progress(1, 2_500)).await.unwrap();
    assert_eq!(sink.open().await.unwrap(), Some(progress(1, 2_500)));
    assert_eq!(bus.announced().await, (1..=2_500).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_whose_answer_is_lost_is_found_and_not_repeated() {
    let bus = Bus::open_alone().await;
    let mut sink = bus.sink().await;
    sink.open().await.unwrap();
    sink.publish(bus.announcements(1..=3), progress(1, 3)).await.unwrap();
    sink.close().await;
    // Small, and large enough for whatever a bus does with large ones.
    for (batch, seqs) in [(2, 4..=8), (3, 9..=900)] {
        let last = *seqs.end();
        let mut unsure = bus.publish_unheard(bus.announcements(seqs), progress(batch, last)).await;
        assert_eq!(open_again(&mut unsure).await, (batch, last));
        unsure.close().await;
    }
    let mut heir = bus.sink().await;
    assert_eq!(open_again(&mut heir).await, (3, 900));
    heir.publish(bus.announcements(901..=901), progress(4, 901)).await.unwrap();
    assert_eq!(bus.announced().await, (1..=901).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_is_cut_anywhere_is_published_once() {
    let bus = Bus::open().await;
    let mut sink = bus.sink().await;
    let (mut cuts, batches) = (0, 12);
    for batch in 1..=batches {
        let (before, last) = ((batch - 1) * 4, batch * 4);
        let mut records = bus.announcements(before + 1..=last);
        records.push(bus.dead_letter(batch));
        let mut waits = batch as usize;
        loop {
            let found = open_again(&mut sink).await;
            if found == (batch, last) {
                break;
            }
            assert_eq!(found.0, batch - 1, "the progress is of another batch");
            match cut_after(waits, sink.publish(records.clone(), progress(batch, last))).await {
                Some(Ok(())) => break,
                // What was cut may arrive between the reading and the publication.
                Some(Err(SinkError::Unclear(_))) => {}
                Some(Err(error)) => panic!("{error}"),
                None => {
                    cuts += 1;
                    let refused = sink.publish(Vec::new(), progress(batch, last)).await.unwrap_err();
                    assert!(matches!(refused, SinkError::Unclear(_)), "{refused}");
                }
            }
            waits += 1;
        }
    }
    assert!(cuts > 0, "no publication was cut");
    assert_eq!(bus.announced().await, (1..=batches * 4).collect::<Vec<_>>());
    let letters: Vec<_> = bus.buried().await.into_iter().map(|letter| letter.payload).collect();
    assert_eq!(letters, (1..=batches).map(|batch| bus.dead_letter(batch).payload).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_broke_off_together_are_completed_one_by_one() {
    let bus = Bus::open().await;
    let mut sink = bus.sink().await;
    let (groups, mut batch) = (12, open_again(&mut sink).await.0);
    for group in 1..=groups {
        let last = group * 4;
        let letters = (batch + 1..=last).map(|batch| bus.dead_letter(batch));
        let together = letters.chain(bus.announcements(batch + 1..=last)).collect();
        let _ = cut_after(group as usize, sink.publish(together, progress(last, last))).await;
        batch = open_again(&mut sink).await.0;
        let deadline = Instant::now() + DEADLINE;
        while batch < last {
            assert!(Instant::now() < deadline, "batch {} cannot be completed", batch + 1);
            let next = batch + 1;
            let records = [vec![bus.dead_letter(next)], bus.announcements(next..=next)].concat();
            batch = match sink.publish(records, progress(next, next)).await {
                Ok(()) => next,
                // What was cut may arrive between the reading and the publication.
                Err(SinkError::Unclear(_)) => open_again(&mut sink).await.0,
                Err(error) => panic!("{error}"),
            };
        }
    }
    assert_eq!(bus.announced().await, (1..=groups * 4).collect::<Vec<_>>());
    let letters: Vec<_> = bus.buried().await.into_iter().map(|letter| letter.payload).collect();
    assert_eq!(letters, (1..=groups * 4).map(|batch| bus.dead_letter(batch).payload).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_sink_that_comes_back_is_fenced_and_changes_nothing() {
    let bus = Bus::open().await;
    let mut older = bus.sink().await;
    older.open().await.unwrap();
    older.publish(bus.announcements(1..=2), progress(1, 2)).await.unwrap();
    let mut heir = bus.sink().await;
    assert_eq!(heir.open().await.unwrap(), Some(progress(1, 2)));
    heir.publish(bus.announcements(3..=4), progress(2, 4)).await.unwrap();
    let fenced = older.publish(bus.announcements(3..=4), progress(2, 4)).await.unwrap_err();
    assert!(matches!(fenced, SinkError::Fenced(_)), "{fenced}");
    assert_eq!(bus.announced().await, [1, 2, 3, 4]);

    // Should two take themselves for the one that publishes, one of them does.
    assert_eq!(older.open().await.unwrap(), Some(progress(2, 4)));
    let of_heir = heir.publish(bus.announcements(5..=6), progress(3, 6)).await;
    let of_older = older.publish(bus.announcements(5..=6), progress(3, 6)).await;
    let (won, lost) = match Bus::FENCING {
        Fencing::Opening => (of_older, of_heir),
        Fencing::Publishing => (of_heir, of_older),
    };
    won.unwrap();
    assert!(matches!(lost, Err(SinkError::Fenced(_) | SinkError::Unclear(_))), "{lost:?}");
    assert_eq!(bus.announced().await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(open_again(&mut bus.sink().await).await, (3, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_sink_that_takes_several_batches_together_leaves_no_hole() {
    let bus = Bus::open().await;
    let mut older = bus.sink().await;
    older.open().await.unwrap();
    older.publish(bus.announcements(1..=2), progress(1, 2)).await.unwrap();
    let mut heir = bus.sink().await;
    heir.open().await.unwrap();
    // Batch 2 announces nothing. The older one publishes it together with batch 3.
    heir.publish(Vec::new(), progress(2, 2)).await.unwrap();
    let fenced = older.publish(bus.announcements(3..=6), progress(3, 6)).await.unwrap_err();
    assert!(matches!(fenced, SinkError::Fenced(_)), "{fenced}");
    assert_eq!(bus.announced().await, [1, 2]);
    heir.publish(bus.announcements(3..=6), progress(3, 6)).await.unwrap();
    assert_eq!(bus.announced().await, (1..=6).collect::<Vec<_>>());
}

/// What an outbox holds: the `seq` after each batch, from before the first one. Some batches announce nothing.
fn outbox(batches: i64) -> Vec<i64> {
    let sizes = (1..=batches).map(|batch| batch * 7 % 4);
    std::iter::once(0)
        .chain(sizes.scan(0, |seq, size| {
            *seq += size;
            Some(*seq)
        }))
        .collect()
}

/// Publishes an outbox as a relay does that knows of no lease, up to `together` batches at a time.
async fn relay(bus: &Bus, outbox: &[i64], together: i64) {
    let mut sink = bus.sink().await;
    let batches = outbox.len() as i64 - 1;
    let (mut batch, _) = open_again(&mut sink).await;
    while batch < batches {
        let next = (batch + together).min(batches);
        let (before, last) = (outbox[batch as usize], outbox[next as usize]);
        let letters = (batch + 1..=next).map(|batch| bus.dead_letter(batch));
        let records = letters.chain(bus.announcements(before + 1..=last)).collect();
        batch = match sink.publish(records, progress(next, last)).await {
            Ok(()) => next,
            Err(SinkError::Unclear(_) | SinkError::Fenced(_)) => open_again(&mut sink).await.0,
            Err(error) => panic!("{error}"),
        };
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sinks_that_take_the_stream_from_each_other_publish_each_record_once_and_in_order() {
    let bus = Bus::open().await;
    let outbox = outbox(60);
    tokio::join!(relay(&bus, &outbox, 1), relay(&bus, &outbox, 3));
    assert_eq!(bus.announced().await, (1..=outbox[60]).collect::<Vec<_>>());
    let letters: Vec<_> = bus.buried().await.into_iter().map(|letter| letter.payload).collect();
    assert_eq!(letters, (1..=60).map(|batch| bus.dead_letter(batch).payload).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_keep_their_bytes_and_their_order() {
    let bus = Bus::open().await;
    let mut sink = bus.sink().await;
    sink.open().await.unwrap();
    sink.publish((0..3).map(|offset| bus.dead_letter(offset)).collect(), progress(1, 0)).await.unwrap();
    let mixed = [vec![bus.dead_letter(3)], bus.announcements(1..=1), vec![bus.dead_letter(4)]].concat();
    sink.publish(mixed, progress(2, 1)).await.unwrap();
    assert_eq!(sink.open().await.unwrap(), Some(progress(2, 1)));
    let buried = bus.buried().await;
    assert_eq!(buried.len(), 5);
    for (offset, (buried, sent)) in buried.into_iter().zip((0..).map(|offset| bus.dead_letter(offset))).enumerate() {
        let OutputRecord { key, headers, payload, .. } = Bus::carried(sent);
        // A bus may add what it needs itself.
        let is_ours = |(name, _): &Header| name.starts_with("dead-letter-");
        let found: Vec<Header> = buried.headers.into_iter().filter(is_ours).collect();
        assert_eq!((buried.key, found, buried.payload), (key, headers, payload), "letter {offset}");
    }
    assert_eq!(bus.announced().await, [1]);
}
