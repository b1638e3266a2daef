//! `stock-counted`: somebody counted, while the shop went on.

use holdfast::domain::rules::DeductOn;
use holdfast::domain::words::{StockKey, Timestamp};
use holdfast::engine::judge::Bench;
use holdfast::ports::{Entry, Loaded, Outcome, Seen, Store};
use serde_json::{Value, json};

use super::{
    Shop, adjusted, cancelled, cart, counted, deducting_on, ledger, moment, received, retold, send, send_one, sku,
    stocked, stocked_with, synced, told, words,
};
use crate::shop::{decoded, fresh, ordered, record};

#[tokio::test]
async fn a_count_taken_while_selling_keeps_what_moved_since() {
    let mut shop = stocked(&[("A", 100), ("B", 100)]).await;
    send(&mut shop, vec![ordered("O-1", &[("A", 10)]), received("R-1", &[("A", 5)])]).await;
    let then = moment(&shop).await;
    // Found: 93 instead of 95. Meanwhile 7 more go and 2 come.
    send_one(&mut shop, ordered("O-2", &[("A", 7), ("B", 1)])).await;
    send_one(&mut shop, received("R-2", &[("A", 2)])).await;
    assert_eq!(send_one(&mut shop, counted("N-1", "A", 93, &then)).await, "applied");
    assert_eq!(shop.units("A").await, (88, 0, 0, 88));
    assert_eq!(ledger(&shop, "A").await[0], "count 90 -> 88");
    assert!(told(&shop, "N-1").await.is_empty(), "it is answered by its change");
    // Another row has nothing to do with it.
    assert_eq!(shop.units("B").await.0, 99);
    shop.assert_sound().await;
}

#[tokio::test]
async fn what_the_same_batch_did_before_moved_since() {
    let mut shop = stocked(&[("A", 100)]).await;
    let then = moment(&shop).await;
    let batch = vec![
        ordered("O-1", &[("A", 10)]),
        counted("N-1", "A", 97, &then),
        ordered("O-2", &[("A", 5)]),
        counted("N-2", "A", 100, &then),
    ];
    // The second found what the books said then.
    assert_eq!(send(&mut shop, batch).await, ["applied", "applied", "applied", "ignored"]);
    let expected = ["deduct 87 -> 82", "count 90 -> 87", "deduct 100 -> 90", "register 0 -> 100"];
    assert_eq!(ledger(&shop, "A").await, expected);
    shop.assert_sound().await;
}

#[tokio::test]
async fn what_is_reserved_stays_and_only_movements_of_units_on_hand_count() {
    let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 20)]).await;
    let then = moment(&shop).await;
    // Set aside, given back, settings: none of it moves a unit.
    send(&mut shop, vec![ordered("O-1", &[("A", 5)]), cart("C-1", 1, &[("A", 4)])]).await;
    send(&mut shop, vec![cart("C-1", 2, &[]), sku("A", json!({"safety_stock": 2}))]).await;
    assert_eq!(send_one(&mut shop, counted("N-1", "A", 18, &then)).await, "applied");
    assert_eq!(shop.units("A").await, (18, 0, 5, 11));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_count_that_finds_what_the_books_say_raises_nothing_and_counts_once() {
    let mut shop = stocked(&[("A", 10)]).await;
    let then = moment(&shop).await;
    assert_eq!(send_one(&mut shop, counted("N-1", "A", 10, &then)).await, "ignored");
    assert_eq!((shop.stock("A").await.version, shop.announcements().await.len()), (1, 1));
    assert_eq!(send_one(&mut shop, counted("N-1", "A", 4, &then)).await, "ignored", "it was told before");
    let other = counted("N-2", "A", 4, &then);
    assert_eq!(send(&mut shop, vec![other.clone(), retold(&other)]).await, ["applied", "ignored"]);
    let now = moment(&shop).await;
    assert_eq!(send_one(&mut shop, counted("N-3", "A", 0, &now)).await, "applied");
    assert_eq!(shop.units("A").await.0, 0);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_row_that_is_younger_than_its_count_is_counted_as_it_stands() {
    let mut shop = stocked(&[("B", 1)]).await;
    let then = moment(&shop).await;
    send_one(&mut shop, sku("A", json!({"initial": 10}))).await;
    send_one(&mut shop, received("R-1", &[("A", 5)])).await;
    assert_eq!(send_one(&mut shop, counted("N-1", "A", 3, &then)).await, "applied");
    assert_eq!(shop.units("A").await.0, 3);
    // Registered and counted in one batch.
    let both = vec![sku("C", json!({"initial": 10})), counted("N-2", "C", 3, &then)];
    assert_eq!(send(&mut shop, both).await, ["applied", "applied"]);
    assert_eq!(shop.units("C").await.0, 3);
    assert_eq!(send_one(&mut shop, counted("N-3", "X", 3, &then)).await, "refused unknown_sku");
    assert_eq!(told(&shop, "N-3").await, ["refused, - (unknown_sku): X 3 -> 0 of 0 (unknown_sku)"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_count_that_would_leave_less_than_nothing_is_refused() {
    let mut shop = stocked(&[("A", 10)]).await;
    let then = moment(&shop).await;
    send_one(&mut shop, ordered("O-1", &[("A", 8)])).await;
    // Whoever found 5 and sold 8 after it was wrong at least once.
    let count = counted("N-1", "A", 5, &then);
    assert_eq!(send_one(&mut shop, count.clone()).await, "refused insufficient_stock");
    assert_eq!(told(&shop, "N-1").await, ["refused, - (insufficient_stock): A 5 -> 0 of 2 (insufficient_stock)"]);
    assert_eq!(shop.answers("N-1").await[0].kind.as_str(), "stock");
    // It leaves nothing, and is told again once somebody has looked.
    send_one(&mut shop, cancelled("O-1")).await;
    assert_eq!(send_one(&mut shop, retold(&count)).await, "applied");
    assert_eq!(shop.units("A").await.0, 5);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_correction_that_was_recorded_meanwhile_is_a_movement_as_every_other() {
    let mut shop = stocked(&[("A", 10)]).await;
    let then = moment(&shop).await;
    send_one(&mut shop, adjusted("A-1", "A", "decrease", 1, json!({}))).await;
    send_one(&mut shop, synced("T-1", "A", -2)).await;
    assert_eq!(send_one(&mut shop, counted("N-1", "A", 9, &then)).await, "applied");
    assert_eq!(shop.units("A").await.0, 6);
    shop.assert_sound().await;
}

/// The database's clock.
async fn clock(shop: &Shop) -> Timestamp {
    shop.store.outbox_status().await.expect("the store should answer").now
}

/// A count at so many seconds from now.
async fn counted_in(shop: &Shop, count: &str, seconds: i64) -> Value {
    let instant = holdfast::wire::instant::format(clock(shop).await.plus_seconds(seconds));
    counted(count, "A", 7, &instant)
}

#[tokio::test]
async fn a_count_of_the_future_or_of_long_ago_is_buried() {
    let mut shop = stocked(&[("A", 10)]).await;
    let impossible = "dead_lettered impossible_time";
    // Within what clocks may differ it counts as now: what was sold a moment ago was sold before it.
    send_one(&mut shop, ordered("O-1", &[("A", 1)])).await;
    let ahead = counted_in(&shop, "N-1", 290).await;
    assert_eq!(send_one(&mut shop, ahead).await, "applied");
    assert_eq!(shop.units("A").await.0, 7);
    for (count, seconds) in [("N-2", 310), ("N-3", -604_810), ("N-4", -86_400 * 365)] {
        let event = counted_in(&shop, count, seconds).await;
        assert_eq!(send_one(&mut shop, event).await, impossible, "{seconds}");
    }
    for instant in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
        assert_eq!(send_one(&mut shop, counted("N-5", "A", 7, instant)).await, impossible, "{instant}");
    }
    let almost = counted_in(&shop, "N-6", -604_790).await;
    assert_eq!(send_one(&mut shop, almost).await, "ignored", "the row did not exist then, and has 7 now");
    assert_eq!(shop.units("A").await.0, 7);
    assert_eq!(shop.dead_letters().await.len(), 10, "each came at two positions");
    let without = fresh("stock-counted", json!({"count_id": "N-7", "sku": "A", "quantity": 1}));
    assert_eq!(send_one(&mut shop, without).await, "dead_lettered invalid_field");
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_count_that_was_believed_once_is_a_duplicate_however_old_it_is() {
    let shop = stocked(&[("A", 10)]).await;
    let event = counted_in(&shop, "N-1", -100).await;
    let entries = decoded(vec![record(event.to_string().into_bytes())]);
    let Entry::Event { envelope, .. } = &entries[0] else { panic!("{entries:?}") };
    let bench = Bench { count_max_age_seconds: 50, ..shop.bench() };
    let now = clock(&shop).await;
    let judged = |seen: Seen| {
        let loaded = Loaded { now, seen: vec![seen], books: Default::default() };
        words(&bench.judge(&entries, loaded).expect("it should be judged").outcomes).remove(0)
    };
    assert_eq!(judged(Seen::New), "dead_lettered impossible_time");
    assert_eq!(judged(Seen::Before(envelope.fingerprint)), "duplicate");
    // Both copies of one that comes twice at once are buried, as both are when they come apart.
    let twice = [entries.clone(), entries.clone()].concat();
    let loaded = Loaded { now, seen: vec![Seen::New; 2], books: Default::default() };
    let judged = bench.judge(&twice, loaded).expect("it should be judged");
    assert!(judged.outcomes.iter().all(|outcome| matches!(outcome, Outcome::DeadLettered { .. })), "{judged:?}");
    assert!(judged.fresh.is_empty());
    assert_eq!(envelope.event.counted().unwrap().0, &StockKey::new("A", "default"));
}
