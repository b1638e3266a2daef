//! Instants at the edge of what is allowed: the batch is judged at a moment of the test's choosing.

use holdfast::domain::words::Timestamp;
use holdfast::ports::{Loaded, Store};
use holdfast::wire::instant;
use serde_json::{Value, json};

use super::{Shop, cart, counted, stocked, with, words};
use crate::shop::{decoded, ordered, record};

/// Commits events as one batch at a moment.
async fn at(shop: &Shop, now: Timestamp, events: Vec<Value>) -> Vec<String> {
    let entries = decoded(events.into_iter().map(|event| record(event.to_string().into_bytes())).collect());
    let bench = shop.bench();
    let judge = |loaded| bench.judge(&entries, Loaded { now, ..loaded });
    words(&shop.store.commit(&entries, &judge).await.expect("it should commit").outcomes)
}

async fn now(shop: &Shop) -> Timestamp {
    shop.store.outbox_status().await.expect("a clock").now
}

/// An instant so many seconds later, and the one a microsecond further in the same direction.
fn edge(now: Timestamp, seconds: i64) -> [Timestamp; 2] {
    let edge = now.plus_seconds(seconds);
    [edge, Timestamp(edge.0 + seconds.signum())]
}

#[tokio::test]
async fn an_event_may_be_ahead_by_the_whole_skew_and_not_by_a_microsecond_more() {
    let shop = stocked(&[("A", 10)]).await;
    let now = now(&shop).await;
    let [last, beyond] = edge(now, 300).map(instant::format);
    let id = || uuid::Uuid::new_v4().to_string();
    let order = |order: &str, time: &str| with(ordered(order, &[("A", 1)]), json!({"id": id(), "time": time}));
    let outcomes = at(&shop, now, vec![order("O-1", &last), order("O-2", &beyond)]).await;
    assert_eq!(outcomes, ["applied", "dead_lettered impossible_time"]);
}

#[tokio::test]
async fn an_id_of_a_day_that_has_not_come_is_impossible_also_without_any_other_time() {
    let shop = stocked(&[("A", 10)]).await;
    let order = || with(ordered("O-1", &[("A", 1)]), json!({"id": uuid::Uuid::now_v7().to_string()}));
    let now = now(&shop).await;
    assert_eq!(at(&shop, now.plus_seconds(-86_400), vec![order()]).await, ["dead_lettered impossible_time"]);
    assert_eq!(at(&shop, now, vec![order()]).await, ["applied"]);
}

#[tokio::test]
async fn a_count_may_be_ahead_by_the_whole_skew_and_as_old_as_is_believed() {
    let shop = stocked(&[("A", 10)]).await;
    let now = now(&shop).await;
    for (name, seconds) in [("ahead", 300), ("old", -604_800)] {
        let [last, beyond] = edge(now, seconds).map(instant::format);
        let counts =
            vec![counted(&format!("{name}-1"), "A", 10, &last), counted(&format!("{name}-2"), "A", 10, &beyond)];
        assert_eq!(at(&shop, now, counts).await, ["ignored", "dead_lettered impossible_time"], "{name}");
    }
}

#[tokio::test]
async fn a_count_of_this_moment_has_seen_what_the_same_batch_sold_before_it() {
    let shop = stocked(&[("A", 10)]).await;
    let now = now(&shop).await;
    let events = vec![ordered("O-1", &[("A", 3)]), counted("N-1", "A", 10, &instant::format(now))];
    assert_eq!(at(&shop, now, events).await, ["applied", "applied"]);
    assert_eq!(shop.units("A").await.0, 10, "what was found is what there is now");
}

#[tokio::test]
async fn a_cart_is_too_old_once_its_time_is_over_and_not_at_its_last_moment() {
    let shop = stocked(&[("A", 10)]).await;
    let told = now(&shop).await;
    let [last, beyond] = edge(told, 60);
    let event = |name: &str| {
        let id = uuid::Uuid::new_v4().to_string();
        let mut event = with(cart(name, 1, &[("A", 1)]), json!({"id": id, "time": instant::format(told)}));
        event["data"]["ttl_s"] = json!(60);
        event
    };
    assert_eq!(at(&shop, last, vec![event("C-1")]).await, ["applied"]);
    assert_eq!(at(&shop, beyond, vec![event("C-2")]).await, ["refused too_old"]);
}
