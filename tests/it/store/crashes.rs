//! A writer may die at any moment of a commit: the batch is there as a whole or not at all, and whoever has it
//! delivered again completes it.

use std::time::{Duration, Instant};

use holdfast::domain::rules::{DeductOn, Rules};
use holdfast::ports::{Committed, Entry, Outcome, Store, StoreError};
use serde_json::json;

use super::{Shop, stocked};
use crate::shop::{Ended, Kept, decoded, fresh, lines, ordered, record, registered};

/// Longer than anything here takes on a slow machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// How many events a batch holds: an order of two rows and a cart, and beside them what nobody understands.
const EVENTS: usize = 2;
/// How many deaths there are at least that leave nothing.
const DEATHS: usize = 10;

fn batch(number: usize) -> Vec<Entry> {
    let order = ordered(&format!("O-{number}"), &[("A", 2), ("B", 1)]);
    let cart = json!({"cart_id": format!("C-{number}"), "cart_version": 1, "lines": lines(&[("B", 3)])});
    let events = [order, fresh("cart-updated", cart)].map(|event| record(event.to_string().into_bytes()));
    decoded([events.as_slice(), &[record(b"poison".to_vec())]].concat())
}

async fn commit(shop: &Shop, entries: &[Entry]) -> Committed {
    let bench = shop.bench();
    let judge = |loaded| bench.judge(entries, loaded);
    shop.store.commit(entries, &judge).await.expect("nobody dies")
}

/// How many deaths left nothing, and how many the whole batch.
#[derive(Debug, Default)]
struct Left {
    nothing: usize,
    everything: usize,
}

/// Lets a writer die at one moment, and has another one repeat its batch. `false`: it came to its end alive.
async fn die_and_repeat(shop: &Shop, number: usize, moment: usize, left: &mut Left) -> bool {
    let entries = batch(number);
    let before = shop.kept().await;
    let error = match shop.commit_and_die(&entries, moment).await {
        Ended::Committed => return false,
        Ended::Died(error) => error,
    };
    if let Some(error) = error {
        assert!(matches!(error, StoreError::Transient(_)), "it is not known what was decided: {error}");
    }
    let found = shop.kept().await;
    if found == before {
        left.nothing += 1;
    } else {
        left.everything += 1;
        assert_whole(&before, &found);
    }
    let again = commit(shop, &entries).await;
    let expected = if found == before { Outcome::Applied } else { Outcome::Duplicate };
    assert_eq!(again.outcomes[..EVENTS], [expected.clone(), expected], "moment {moment}");
    assert_eq!(again.outbox.is_some(), found == before, "moment {moment}");
    let after = shop.kept().await;
    assert_whole(&before, &after);
    if found != before {
        assert_eq!(after, found, "a repetition changes nothing");
    }
    true
}

/// One batch lies between the two.
fn assert_whole(before: &Kept, after: &Kept) {
    assert_eq!(after.inbox.len(), before.inbox.len() + EVENTS);
    assert_eq!(after.claims.len(), before.claims.len() + 2);
    assert_eq!(after.claim_lines.len(), before.claim_lines.len() + 3);
    assert_eq!(after.movements.len(), before.movements.len() + 3);
    assert_eq!(after.dead_letters.len(), before.dead_letters.len() + 1);
    assert_eq!(after.outbox.len(), before.outbox.len() + 1);
    assert_eq!((after.last_number, after.last_seq), (before.last_number + 1, before.last_seq + 5));
    let sum = |kept: &Kept| {
        let counters = kept.stock.iter().map(|row| row.counters);
        counters.fold((0, 0), |sum, row| (sum.0 + row.cart_held, sum.1 + row.order_reserved))
    };
    let (held, reserved) = sum(before);
    assert_eq!(sum(after), (held + 3, reserved + 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_dies_at_any_moment_leaves_its_batch_whole_or_not_at_all() {
    let mut shop = Shop::with_rules(Rules { deduct_on: DeductOn::Confirmed, ..Rules::default() }).await;
    shop.send(vec![registered("A", 100_000), registered("B", 100_000)]).await;
    // The days and sources that the batches name are known from here on.
    commit(&shop, &batch(0)).await;
    let (started, mut left, mut number) = (Instant::now(), Left::default(), 1);
    // Where a commit waits is the machine's affair: moments are gone through until both ends were seen.
    while left.nothing < DEATHS || left.everything == 0 {
        assert!(started.elapsed() < DEADLINE, "{left:?} after {number} batches");
        let mut moment = 0;
        while die_and_repeat(&shop, number, moment, &mut left).await {
            number += 1;
            moment += 1;
        }
        number += 1;
    }
    println!("{} deaths left nothing, {} the whole batch", left.nothing, left.everything);
    let numbers: Vec<i64> = shop.kept().await.outbox.iter().map(|batch| batch.number).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as i64), "{numbers:?}");
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_to_be_all_duplicates() {
    let shop = stocked(10).await;
    let entries = decoded(vec![record(ordered("O-1", &[("A", 3)]).to_string().into_bytes())]);
    let lost = commit(&shop, &entries).await;
    assert_eq!(lost.outcomes, [Outcome::Applied]);
    let before = shop.kept().await;
    drop(lost);
    let again = commit(&shop, &entries).await;
    assert_eq!((again.outcomes, again.outbox), (vec![Outcome::Duplicate], None));
    assert_eq!(shop.kept().await, before);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_dies_while_it_judges_leaves_nothing_and_stops_nobody() {
    let mut shop = stocked(10).await;
    let before = shop.kept().await;
    let (store, entries) = (shop.store.clone(), decoded(vec![record(b"poison".to_vec())]));
    let dying = tokio::spawn(async move { store.commit(&entries, &|_| panic!("as it should")).await.map(drop) });
    assert!(dying.await.expect_err("it died").is_panic());
    assert_eq!(shop.kept().await, before);
    let other = Shop::at(shop.url.clone(), Rules::default()).await;
    let entries = decoded(vec![record(ordered("O-1", &[("A", 3)]).to_string().into_bytes())]);
    assert_eq!(commit(&other, &entries).await.outcomes, [Outcome::Applied]);
    // The store that it died on goes on as well.
    assert_eq!(shop.send_one(ordered("O-2", &[("A", 3)])).await, Outcome::Applied);
    assert_eq!(shop.units("A").await.0, 4);
    shop.assert_sound().await;
}
