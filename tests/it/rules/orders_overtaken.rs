//! What overtakes an order: cancellations, confirmations and shipments that come before it.

use holdfast::domain::claim::ClaimState;
use holdfast::store::Upkeep;
use serde_json::{Value, json};

use super::{
    cancelled, cancelled_part, cart, confirmed, created, last_told, received, retold, send, send_one, shipped,
    shipped_part, stocked, told, with,
};
use crate::shop::{Tampering, day, fresh, ordered};

fn version(order: &str, version: i64, wanted: &[(&str, i64)]) -> Value {
    created(order, wanted, json!({"order_version": version}))
}

#[tokio::test]
async fn a_cancellation_before_its_order_has_the_order_refused_once_and_for_every_version() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 4)])).await;
    assert_eq!(
        send_one(&mut shop, fresh("order-cancelled", json!({"order_id": "O-1", "order_version": 1}))).await,
        "applied"
    );
    assert!(told(&shop, "O-1").await.is_empty(), "it is answered when it takes effect");
    assert_eq!(shop.order("O-1").await.state, ClaimState::Cancelled);
    let order = created("O-1", &[("A", 4)], json!({"cart_id": "C-1", "order_version": 2}));
    assert_eq!(send_one(&mut shop, order.clone()).await, "refused cancelled");
    let refusal = "refused, cancelled (cancelled): A 4 -> 0 of 10 (cancelled)";
    assert_eq!(told(&shop, "O-1").await, [refusal]);
    // Its cart is converted and released.
    assert_eq!(shop.cart("C-1").await.state, ClaimState::Converted);
    assert_eq!(shop.units("A").await, (10, 0, 0, 10));
    // The same lines again, nothing; a lower version, stale; anything else, a conflict.
    assert_eq!(send_one(&mut shop, retold(&order)).await, "ignored");
    assert_eq!(send_one(&mut shop, version("O-1", 1, &[("A", 1)])).await, "ignored");
    assert_eq!(send_one(&mut shop, version("O-1", 3, &[("A", 4)])).await, "ignored");
    assert_eq!(send_one(&mut shop, cancelled("O-1")).await, "ignored");
    assert_eq!(told(&shop, "O-1").await, [refusal]);
    assert_eq!(send_one(&mut shop, version("O-1", 4, &[("A", 1)])).await, "refused closed");
    assert_eq!(send_one(&mut shop, confirmed("O-1")).await, "refused closed");
    assert_eq!(last_told(&shop, "O-1").await, "conflict, cancelled (closed): ");
    assert_eq!(shop.units("A").await, (10, 0, 0, 10));
    shop.assert_sound().await;
}

#[tokio::test]
async fn what_overtakes_an_order_is_applied_right_after_it_in_the_order_in_which_it_came() {
    /// What comes before the order, all answers to it, and what is left of its SKU.
    type Case = (&'static [&'static str], &'static [&'static str], (i64, i64, i64, i64));
    let cases: [Case; 6] = [
        (
            &["part 2", "confirmed", "shipped"],
            &[
                "granted, deducted: A 5 -> 5 of 10",
                "released, deducted: A 2 -> 2 of 7",
                "confirmed, deducted: A 5 -> 3 of 7",
                "shipped, shipped: A 3 -> 3 of 7",
            ],
            (7, 0, 0, 7),
        ),
        (
            &["shipped", "part 2"],
            &["granted, deducted: A 5 -> 5 of 10", "shipped, shipped: A 5 -> 5 of 5", "conflict, shipped: "],
            (5, 0, 0, 5),
        ),
        (
            &["shipped 3", "part 4", "shipped"],
            &[
                "granted, deducted: A 5 -> 5 of 10",
                "shipped, deducted: A 3 -> 3 of 5",
                "released, shipped: A 4 -> 2 of 7",
                "conflict, shipped: ",
            ],
            (7, 0, 0, 7),
        ),
        (
            &["part 2", "part 5", "confirmed"],
            &[
                "granted, deducted: A 5 -> 5 of 10",
                "released, deducted: A 2 -> 2 of 7",
                "cancelled, cancelled: A 5 -> 3 of 10",
                "conflict, cancelled (closed): ",
            ],
            (10, 0, 0, 10),
        ),
        // A full cancellation is no event of an order that comes later: it keeps it from coming.
        (
            &["confirmed", "cancelled", "part 2"],
            &["refused, cancelled (cancelled): A 5 -> 0 of 10 (cancelled)", "conflict, cancelled (closed): "],
            (10, 0, 0, 10),
        ),
        // The order is closed as soon as it is called off.
        (
            &["cancelled", "confirmed"],
            &["conflict, cancelled (closed): ", "refused, cancelled (cancelled): A 5 -> 0 of 10 (cancelled)"],
            (10, 0, 0, 10),
        ),
    ];
    for one_batch in [true, false] {
        for (before, expected, units) in cases {
            let mut shop = stocked(&[("A", 10)]).await;
            let mut events: Vec<Value> = before
                .iter()
                .map(|event| match *event {
                    "confirmed" => confirmed("O-1"),
                    "cancelled" => cancelled("O-1"),
                    "shipped" => shipped("O-1", "S-2"),
                    "shipped 3" => shipped_part("O-1", "S-1", &[("A", 3)]),
                    part => cancelled_part("O-1", &[("A", part.trim_start_matches("part ").parse().unwrap())]),
                })
                .collect();
            events.push(ordered("O-1", &[("A", 5)]));
            if one_batch {
                send(&mut shop, events).await;
            } else {
                for event in events {
                    send_one(&mut shop, event).await;
                }
            }
            assert_eq!(told(&shop, "O-1").await, expected, "{before:?} before the order");
            assert_eq!(shop.units("A").await, units, "{before:?} before the order");
            assert!(shop.order("O-1").await.remembered.is_empty());
            shop.assert_sound().await;
        }
    }
}

#[tokio::test]
async fn an_answer_to_what_overtook_an_order_names_the_event_that_asked() {
    let mut shop = stocked(&[("A", 10)]).await;
    let part = cancelled_part("O-1", &[("A", 2)]);
    let confirmation = confirmed("O-1");
    let order = ordered("O-1", &[("A", 5)]);
    for event in [&part, &confirmation, &order] {
        send_one(&mut shop, event.clone()).await;
    }
    let causes: Vec<String> = shop
        .announcements()
        .await
        .iter()
        .filter(|announcement| announcement.cause.reference.as_ref().is_some_and(|name| name.as_str() == "O-1"))
        .map(|announcement| announcement.cause.id.to_string())
        .collect();
    let id = |event: &Value| event["id"].as_str().unwrap().to_owned();
    // The order: stock and answer; the part: stock and answer; the confirmation: answer.
    assert_eq!(causes, [id(&order), id(&order), id(&part), id(&part), id(&confirmation)]);
}

#[tokio::test]
async fn a_refused_order_answers_what_waited_for_it() {
    let mut shop = stocked(&[("A", 1)]).await;
    send(&mut shop, vec![cancelled_part("O-1", &[("A", 2)]), confirmed("O-1"), shipped("O-1", "S-1")]).await;
    send_one(&mut shop, ordered("O-1", &[("A", 5)])).await;
    assert_eq!(
        told(&shop, "O-1").await,
        [
            "refused, refused (insufficient_stock): A 5 -> 0 of 1 (insufficient_stock)",
            "released, refused: A 2 -> 0 of 1",
            "conflict, refused: ",
            "conflict, refused: ",
        ]
    );
    // Nothing of it waits for the next attempt.
    send_one(&mut shop, received("R-1", &[("A", 9)])).await;
    send_one(&mut shop, version("O-1", 1, &[("A", 5)])).await;
    assert_eq!(last_told(&shop, "O-1").await, "granted, deducted: A 5 -> 5 of 10");
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_tombstone_outlives_the_keys_of_its_day() {
    let mut shop = stocked(&[("A", 10)]).await;
    let id = uuid::Uuid::new_v4().to_string();
    let long_ago = with(cancelled("O-1"), json!({"id": id, "time": "2020-01-02T10:00:00Z"}));
    send_one(&mut shop, long_ago).await;
    shop.tamper(Tampering::DayWritten { day: day("2020-01-02"), on: day("2020-01-02") }).await;
    assert_eq!(shop.store.maintain().await.unwrap().days_dropped, 1);
    assert_eq!(send_one(&mut shop, ordered("O-1", &[("A", 2)])).await, "refused cancelled");
    assert_eq!(shop.units("A").await, (10, 0, 0, 10));
}

#[tokio::test]
async fn what_overtakes_an_order_without_end_is_answered_as_a_conflict_after_a_thousand() {
    let mut shop = stocked(&[("A", 10)]).await;
    let waiting = (0..1_000).map(|number| shipped_part("O-1", &format!("S-{number}"), &[("A", 1)])).collect();
    let outcomes = shop.send(waiting).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_str() == "applied"));
    assert_eq!(send_one(&mut shop, shipped("O-1", "S-1000")).await, "refused");
    assert_eq!(told(&shop, "O-1").await, ["conflict, awaited: "]);
    assert_eq!(shop.order("O-1").await.remembered.len(), 1_000);
}
