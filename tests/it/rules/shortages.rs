//! A row of which less is on hand than is reserved: who is told, and how the shop goes on.

use std::collections::BTreeSet;

use holdfast::domain::announce::{AnnouncementBody, MAX_SHORT_CLAIMS};
use holdfast::domain::rules::DeductOn;
use serde_json::{Value, json};

use super::{
    Shop, adjusted, cancelled, cart, confirmed, counted, created, deducting_on, last_told, levels, make_one_due,
    moment, received, send, send_one, shipped, shortages, sku, stocked_with, synced, told,
};
use crate::shop::ordered;

/// Ten units: an order has five of them set aside, another one three, a cart one. Then four are found.
async fn short(deduct_on: DeductOn) -> Shop {
    let mut shop = stocked_with(deducting_on(deduct_on), &[("A", 10)]).await;
    let orders = vec![
        created("O-1", &[("A", 5)], json!({"ttl_s": 100})),
        created("O-2", &[("A", 3)], json!({"ttl_s": 200})),
        cart("C-1", 1, &[("A", 1)]),
    ];
    for order in orders {
        send_one(&mut shop, order).await;
        shop.pass(1).await;
    }
    let now = moment(&shop).await;
    assert_eq!(send_one(&mut shop, counted("N-1", "A", 4, &now)).await, "applied");
    shop
}

#[tokio::test]
async fn the_truth_wins_and_whoever_holds_units_is_named_newest_first() {
    let mut shop = short(DeductOn::Confirmed).await;
    assert_eq!(shop.units("A").await, (4, 1, 8, -5), "nothing is cancelled");
    assert_eq!(shortages(&shop).await, ["A 4 of 9, 5 short: cart C-1 1; order O-2 3; order O-1 5"]);
    assert_eq!(levels(&shop).await, ["A normal -> out at -5"]);
    // Behind its change, with the same cause.
    let announced = shop.announcements().await;
    let [.., change, _, shortage] = &announced[..] else { panic!("{announced:?}") };
    assert!(matches!(&change.body, AnnouncementBody::StockChanged { .. }), "{change:?}");
    assert_eq!((&shortage.cause, shortage.cause.reference.as_ref()), (&change.cause, Some(&"N-1".into())));
    // Nothing new is reserved.
    assert_eq!(send_one(&mut shop, ordered("O-3", &[("A", 1)])).await, "refused insufficient_stock");
    assert_eq!(told(&shop, "O-3").await, ["refused, refused (insufficient_stock): A 1 -> 0 of 0 (insufficient_stock)"]);
    assert_eq!(send_one(&mut shop, cart("C-2", 1, &[("A", 1)])).await, "refused insufficient_stock");
    assert_eq!(shortages(&shop).await.len(), 1, "later events do not tell of it again");
    shop.assert_sound().await;
}

#[tokio::test]
async fn what_the_same_batch_changed_of_holders_is_told() {
    let mut shop = stocked_with(deducting_on(DeductOn::Shipped), &[("A", 10), ("B", 3)]).await;
    send(&mut shop, vec![ordered("O-1", &[("A", 2)]), ordered("O-2", &[("A", 3)]), confirmed("O-2")]).await;
    let now = moment(&shop).await;
    let batch = vec![
        cancelled("O-1"),
        created("O-3", &[("A", 4), ("B", 3)], json!({"ttl_s": 60})),
        counted("N-1", "A", 1, &now),
        counted("N-2", "B", 2, &now),
    ];
    assert_eq!(send(&mut shop, batch).await, ["applied"; 4]);
    // The newest stands first, whatever its deadline.
    assert_eq!(
        shortages(&shop).await,
        ["A 1 of 7, 6 short: order O-3 4; order O-2 3", "B 2 of 3, 1 short: order O-3 3"]
    );
    shop.assert_sound().await;
}

#[tokio::test]
async fn what_was_let_go_and_taken_again_is_held_anew_also_within_a_batch() {
    let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 10)]).await;
    for holder in [cart("C-1", 1, &[("A", 2)]), ordered("O-1", &[("A", 3)])] {
        send_one(&mut shop, holder).await;
        shop.pass(1).await;
    }
    let now = moment(&shop).await;
    let again = vec![cart("C-1", 2, &[]), cart("C-1", 3, &[("A", 2)]), counted("N-1", "A", 1, &now)];
    assert_eq!(send(&mut shop, again).await, ["applied"; 3]);
    shop.pass(1).await;
    let now = moment(&shop).await;
    assert_eq!(send_one(&mut shop, counted("N-2", "A", 2, &now)).await, "applied");
    let newest_first = ["A 1 of 5, 4 short: cart C-1 2; order O-1 3", "A 2 of 5, 3 short: cart C-1 2; order O-1 3"];
    assert_eq!(shortages(&shop).await, newest_first, "in the batch, and by what is kept of it");
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_shortage_names_a_thousand_claims_at_most_and_the_newest_of_them() {
    let mut shop = stocked_with(deducting_on(DeductOn::Shipped), &[("A", 2_000)]).await;
    let order = |number: i64| ordered(&format!("O-{number:04}"), &[("A", 1)]);
    shop.send((0..100).map(order).collect()).await;
    shop.pass(1).await;
    shop.send((100..1_200).map(order).collect()).await;
    let now = moment(&shop).await;
    // Those who call off in the same batch leave room for those behind them.
    let mut batch: Vec<Value> = (1_100..1_200).map(|number| cancelled(&format!("O-{number:04}"))).collect();
    batch.push(counted("N-1", "A", 5, &now));
    shop.send(batch).await;
    let announced = shop.announcements().await;
    let Some(AnnouncementBody::StockShortage { reserved, claims, .. }) = announced.last().map(|it| &it.body) else {
        panic!("{:?}", announced.last())
    };
    assert_eq!((*reserved, claims.len()), (1_100, MAX_SHORT_CLAIMS));
    let named: BTreeSet<String> = claims.iter().map(|holder| holder.claim.reference.to_string()).collect();
    assert!(named.into_iter().eq((100..1_100).map(|number| format!("O-{number:04}"))));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_short_row_mends_as_units_come_back_and_a_correction_must_mend_it_whole() {
    let mut shop = short(DeductOn::Confirmed).await;
    assert_eq!(send_one(&mut shop, adjusted("A-1", "A", "increase", 4, json!({}))).await, "refused insufficient_stock");
    assert_eq!(send_one(&mut shop, synced("S-1", "A", 1)).await, "applied");
    assert_eq!(send_one(&mut shop, adjusted("A-2", "A", "decrease", 1, json!({}))).await, "refused insufficient_stock");
    let version = shop.stock("A").await.version;
    let set = adjusted("A-3", "A", "set", 8, json!({"expected_version": version}));
    assert_eq!(send_one(&mut shop, set).await, "refused insufficient_stock");
    assert_eq!(shop.units("A").await, (5, 1, 8, -4));
    send(&mut shop, vec![cancelled("O-2"), cart("C-1", 2, &[])]).await;
    assert_eq!(shop.units("A").await, (5, 0, 5, 0));
    assert_eq!(send_one(&mut shop, ordered("O-4", &[("A", 1)])).await, "refused insufficient_stock");
    send_one(&mut shop, received("R-1", &[("A", 1)])).await;
    assert_eq!(send_one(&mut shop, ordered("O-5", &[("A", 1)])).await, "applied");
    assert_eq!(shortages(&shop).await.len(), 2, "the count and the sync");
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_count_that_changes_a_short_row_tells_of_it_again() {
    let mut shop = short(DeductOn::Confirmed).await;
    let now = moment(&shop).await;
    assert_eq!(send_one(&mut shop, counted("N-2", "A", 4, &now)).await, "ignored");
    assert_eq!(send_one(&mut shop, counted("N-3", "A", 6, &now)).await, "applied");
    let now = moment(&shop).await;
    assert_eq!(send_one(&mut shop, counted("N-4", "A", 20, &now)).await, "applied");
    let told = shortages(&shop).await;
    assert_eq!(told[1..], ["A 6 of 9, 3 short: cart C-1 1; order O-2 3; order O-1 5"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_order_is_confirmed_on_a_short_row_and_what_is_not_there_stays_set_aside() {
    let mut shop = short(DeductOn::Confirmed).await;
    send_one(&mut shop, sku("B", json!({"initial": 1}))).await;
    assert_eq!(send_one(&mut shop, confirmed("O-1")).await, "applied");
    assert_eq!(last_told(&shop, "O-1").await, "confirmed, confirmed: A 5 -> 5 of 0");
    // Four of the five were there. The rest leaves with its shipment, once it has come.
    assert_eq!(shop.units("A").await, (0, 1, 4, -5));
    assert_eq!(shop.order("O-1").await.expires_at, None);
    assert_eq!(send_one(&mut shop, confirmed("O-1")).await, "ignored");
    assert_eq!(send_one(&mut shop, shipped("O-1", "S-1")).await, "applied");
    assert_eq!(last_told(&shop, "O-1").await, "shipped, deducted: A 5 -> 4 of 0");
    assert_eq!(send_one(&mut shop, shipped("O-1", "S-2")).await, "refused");
    assert_eq!(last_told(&shop, "O-1").await, "conflict, deducted: A 1 -> 0 of 0");
    send_one(&mut shop, received("R-1", &[("A", 2)])).await;
    assert_eq!(send_one(&mut shop, shipped("O-1", "S-3")).await, "applied");
    assert_eq!(last_told(&shop, "O-1").await, "shipped, shipped: A 1 -> 1 of 0");
    assert_eq!(shop.units("A").await, (1, 1, 3, -3));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_shipment_from_a_short_row_sends_what_is_there() {
    let mut shop = short(DeductOn::Shipped).await;
    assert_eq!(send_one(&mut shop, shipped("O-1", "S-1")).await, "applied");
    assert_eq!(last_told(&shop, "O-1").await, "shipped, deducted: A 5 -> 4 of 0");
    assert_eq!(shop.units("A").await, (0, 1, 4, -5));
    // What was confirmed and not shipped may be called off, and goes nowhere.
    assert_eq!(send_one(&mut shop, cancelled("O-1")).await, "applied");
    assert_eq!(shop.units("A").await, (0, 1, 3, -4));
    // A deadline gives back as ever.
    make_one_due(&shop, "O-2").await;
    assert_eq!(shop.sweep().await, 1);
    assert_eq!(shop.units("A").await, (0, 1, 0, -1));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_cart_on_a_short_row_becomes_an_order_as_far_as_its_units_are_there() {
    let mut shop = stocked_with(deducting_on(DeductOn::Created), &[("A", 10)]).await;
    send(&mut shop, vec![cart("C-1", 1, &[("A", 4)]), cart("C-2", 1, &[("A", 3)])]).await;
    let now = moment(&shop).await;
    send_one(&mut shop, counted("N-1", "A", 5, &now)).await;
    let order = |name: &str, cart: &str, units: i64| created(name, &[("A", units)], json!({"cart_id": cart}));
    assert_eq!(send_one(&mut shop, order("O-1", "C-1", 4)).await, "refused insufficient_stock");
    assert_eq!(send_one(&mut shop, order("O-2", "C-1", 2)).await, "applied");
    assert_eq!(shop.units("A").await, (3, 3, 0, 0));
    shop.assert_sound().await;
}

/// One unit of A each: OLD holds it since before 1,100 others do.
async fn held_by_many() -> Shop {
    let mut shop = stocked_with(deducting_on(DeductOn::Shipped), &[("A", 1_101)]).await;
    shop.send_one(ordered("OLD", &[("A", 1)])).await;
    shop.pass(1).await;
    shop.send((0..1_100).map(|number| ordered(&format!("O-{number:04}"), &[("A", 1)])).collect()).await;
    shop
}

#[tokio::test]
async fn a_shortage_names_the_same_claims_in_one_batch_and_in_two() {
    let mut told = Vec::new();
    for together in [false, true] {
        let mut shop = held_by_many().await;
        let now = moment(&shop).await;
        let events = vec![confirmed("OLD"), counted("N-1", "A", 10, &now)];
        if together {
            shop.send(events).await;
        } else {
            send(&mut shop, events).await;
        }
        told.extend(shortages(&shop).await);
    }
    assert_eq!(told.len(), 2);
    assert_eq!(told[0], told[1]);
    assert!(!told[1].contains("OLD"), "there are a thousand newer ones");
}

#[tokio::test]
async fn an_old_holder_that_waits_for_more_is_not_named_as_the_newest() {
    let mut shop = held_by_many().await;
    let more = created("OLD", &[("A", 4)], json!({"order_version": 2, "policy": "backorder"}));
    assert_eq!(send_one(&mut shop, more).await, "applied");
    assert_eq!(shop.stock("A").await.waiting, 3);
    let now = moment(&shop).await;
    assert_eq!(send_one(&mut shop, counted("N-1", "A", 10, &now)).await, "applied");
    let told = shortages(&shop).await;
    assert_eq!(told.len(), 1);
    assert!(!told[0].contains("OLD"), "there are a thousand newer ones");
}
