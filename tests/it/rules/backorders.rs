//! `policy: backorder`: who waits, and who gets the units that come.

use std::collections::HashSet;

use holdfast::domain::announce::{Announcement, AnnouncementBody, MovementKind};
use holdfast::domain::claim::ClaimState;
use holdfast::domain::event::EventType;
use holdfast::domain::rules::{DeductOn, Rules};
use holdfast::domain::words::StockKey;
use holdfast::ports::Queries;
use holdfast::wire::identity::announcement_id;
use serde_json::{Value, json};

use super::{
    Shop, cancelled, cancelled_part, cart, created, deducting_on, last_told, levels, make_due, make_one_due, received,
    retold, send, send_one, sku, stocked, stocked_with, told, words,
};
use crate::shop::ordered;

/// How an order ends that gets nothing.
pub const SHORT: &str = "refused insufficient_stock";

/// An order that waits for what is missing.
pub fn backordered(order: &str, wanted: &[(&str, i64)]) -> Value {
    created(order, wanted, json!({"policy": "backorder"}))
}

/// A higher version of an order.
pub fn changed(order: &str, version: i64, policy: &str, wanted: &[(&str, i64)]) -> Value {
    created(order, wanted, json!({"policy": policy, "order_version": version}))
}

/// Units that an order waits for of a SKU.
pub async fn waits_for(shop: &Shop, order: &str, sku: &str) -> i64 {
    shop.order(order).await.lines[&StockKey::new(sku, "default")].waiting
}

/// How often a SKU changed, by what was announced.
async fn changes(shop: &Shop, sku: &str) -> usize {
    let is_of = |announcement: &Announcement| match &announcement.body {
        AnnouncementBody::StockChanged { key, .. } => key.sku.as_str() == sku,
        AnnouncementBody::LowStock { .. }
        | AnnouncementBody::StockShortage { .. }
        | AnnouncementBody::StockDrift { .. }
        | AnnouncementBody::ReservationResult(_) => false,
    };
    shop.announcements().await.iter().filter(|it| is_of(it)).count()
}

#[tokio::test]
async fn what_is_missing_waits_and_what_comes_goes_to_whoever_came_first_with_an_answer_for_each() {
    let mut shop = stocked(&[("A", 2)]).await;
    assert_eq!(send_one(&mut shop, backordered("O-1", &[("A", 5)])).await, "applied");
    assert_eq!(
        told(&shop, "O-1").await,
        ["partial, deducted (insufficient_stock): A 5 -> 2 of 2 (insufficient_stock), 3 wait"]
    );
    send_one(&mut shop, backordered("O-2", &[("A", 4)])).await;
    let nothing = "partial, deducted (insufficient_stock): A 4 -> 0 of 0 (insufficient_stock), 4 wait";
    assert_eq!(told(&shop, "O-2").await, [nothing], "an order that only waits stands as well");
    send_one(&mut shop, backordered("O-3", &[("A", 1)])).await;
    let before = changes(&shop, "A").await;
    send_one(&mut shop, received("R-1", &[("A", 5)])).await;
    assert_eq!(changes(&shop, "A").await, before + 1, "one net change");
    // The first gets all, the second the rest and stays first; the third waits though it would fit.
    assert_eq!(last_told(&shop, "O-1").await, "granted, deducted: A 5 -> 5 of 7");
    let rest = "partial, deducted (insufficient_stock): A 4 -> 2 of 2 (insufficient_stock), 2 wait";
    assert_eq!(last_told(&shop, "O-2").await, rest);
    assert_eq!(told(&shop, "O-3").await.len(), 1);
    assert_eq!(shop.kept().await.line_for("A"), ["O-2", "O-3"]);
    assert_eq!((shop.units("A").await, shop.stock("A").await.waiting), ((0, 0, 0, 0), 3));
    shop.assert_sound().await;
    send_one(&mut shop, received("R-2", &[("A", 9)])).await;
    assert_eq!(last_told(&shop, "O-2").await, "granted, deducted: A 4 -> 4 of 11");
    assert_eq!(last_told(&shop, "O-3").await, "granted, deducted: A 1 -> 1 of 7");
    assert_eq!((shop.units("A").await, shop.stock("A").await.waiting), ((6, 0, 0, 6), 0));
    assert!(shop.kept().await.waiting_lines.is_empty());
    shop.assert_sound().await;
}

#[tokio::test]
async fn those_who_waited_are_answered_after_the_event_by_its_cause_under_ids_of_their_own() {
    let mut shop = stocked(&[("A", 0), ("B", 0)]).await;
    send(&mut shop, vec![backordered("O-1", &[("A", 1), ("B", 1)]), backordered("O-2", &[("A", 1)])]).await;
    let told_before = shop.announcements().await.len();
    // One receipt, two rows, and a line that is refused, so that the receipt itself is answered as well.
    send_one(&mut shop, received("R-1", &[("A", 2), ("B", 1), ("X", 1)])).await;
    let announced = shop.announcements().await;
    let answers: Vec<_> = announced[told_before..]
        .iter()
        .filter_map(|announcement| match &announcement.body {
            AnnouncementBody::ReservationResult(answer) => Some((announcement, answer)),
            AnnouncementBody::StockChanged { .. }
            | AnnouncementBody::LowStock { .. }
            | AnnouncementBody::StockShortage { .. }
            | AnnouncementBody::StockDrift { .. } => None,
        })
        .collect();
    let references: Vec<&str> = answers.iter().map(|(_, answer)| answer.reference.as_str()).collect();
    assert_eq!(references, ["R-1", "O-1", "O-2"], "one answer each, the event's own first");
    for (announcement, answer) in &answers {
        assert_eq!((announcement.cause.event_type, answer.request_version), (EventType::StockReceived, None));
    }
    assert_eq!(last_told(&shop, "O-1").await, "granted, deducted: A 1 -> 1 of 2; B 1 -> 1 of 1");
    let ids: HashSet<_> = announced.iter().map(|it| announcement_id(&it.cause, &it.body)).collect();
    assert_eq!(ids.len(), announced.len(), "every announcement has an id of its own");
    // The claim keeps it as its last answer.
    let key = shop.order("O-1").await.key;
    let kept = shop.store.claim(&key).await.unwrap().expect("it is known").answer.expect("it was answered");
    assert_eq!((&kept["outcome"], &kept["cause"]["reference"]), (&json!("granted"), &json!("R-1")));
    shop.assert_sound().await;
}

#[tokio::test]
async fn nobody_who_comes_later_gets_ahead_of_who_waits() {
    let mut shop = stocked(&[("A", 0)]).await;
    send_one(&mut shop, backordered("O-1", &[("A", 5)])).await;
    // In one batch with what comes, and in batches of their own.
    let outcomes =
        send(&mut shop, vec![received("R-1", &[("A", 3)]), ordered("O-2", &[("A", 1)]), cart("C-1", 1, &[("A", 1)])])
            .await;
    assert_eq!(outcomes, ["applied", "refused insufficient_stock", "refused insufficient_stock"]);
    assert_eq!(send_one(&mut shop, created("O-3", &[("A", 1)], json!({"policy": "partial"}))).await, SHORT);
    assert_eq!(send_one(&mut shop, received("R-2", &[("A", 3)])).await, "applied");
    assert_eq!(send_one(&mut shop, ordered("O-4", &[("A", 1)])).await, "applied", "the sixth unit is nobody's");
    assert_eq!(shop.units("A").await, (0, 0, 0, 0));
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_unknown_or_locked_sku_is_not_waited_for_and_an_order_that_gets_and_waits_for_nothing_is_refused() {
    let mut shop = stocked(&[("A", 0), ("L", 9)]).await;
    send_one(&mut shop, sku("L", json!({"status": "locked"}))).await;
    assert_eq!(send_one(&mut shop, backordered("O-1", &[("L", 1), ("X", 1)])).await, "refused unknown_sku");
    assert_eq!(
        told(&shop, "O-1").await,
        ["refused, refused (unknown_sku): L 1 -> 0 of 9 (not_sellable); X 1 -> 0 of 0 (unknown_sku)"]
    );
    send_one(&mut shop, backordered("O-2", &[("A", 1), ("L", 1), ("X", 1)])).await;
    assert_eq!(
        told(&shop, "O-2").await,
        ["partial, deducted (unknown_sku): A 1 -> 0 of 0 (insufficient_stock), 1 wait; L 1 -> 0 of 9 (not_sellable); \
          X 1 -> 0 of 0 (unknown_sku)"]
    );
    send_one(&mut shop, sku("L", json!({"status": "active"}))).await;
    assert_eq!(told(&shop, "O-2").await.len(), 1, "nobody waits for it");
    // A refusal is for good, also when units come.
    send_one(&mut shop, received("R-1", &[("A", 5)])).await;
    assert_eq!(shop.order("O-1").await.state, ClaimState::Refused);
    assert_eq!(send_one(&mut shop, backordered("O-3", &[("A", 4)])).await, "applied");
    assert_eq!(told(&shop, "O-3").await, ["granted, deducted: A 4 -> 4 of 4"], "what is there is granted as ever");
    shop.assert_sound().await;
}

#[tokio::test]
async fn whatever_raises_what_is_available_goes_to_who_waits() {
    let taken = [("A", 5)];
    // What happens first, then what frees at least two units.
    let ways: Vec<(&str, Vec<Value>, Value)> = vec![
        ("a receipt", vec![ordered("O-1", &taken)], received("R-1", &[("A", 2)])),
        ("a cancellation", vec![ordered("O-1", &taken)], cancelled("O-1")),
        ("a part of one", vec![ordered("O-1", &taken)], cancelled_part("O-1", &[("A", 2)])),
        ("a change", vec![ordered("O-1", &taken)], changed("O-1", 1, "all", &[("A", 3)])),
        ("a smaller cart", vec![cart("C-1", 1, &taken)], cart("C-1", 2, &[("A", 3)])),
        ("an order of a cart", vec![cart("C-1", 1, &taken)], created("O-1", &[("A", 3)], json!({"cart_id": "C-1"}))),
        (
            "less that is kept back",
            vec![sku("A", json!({"safety_stock": 2})), ordered("O-1", &[("A", 3)])],
            sku("A", json!({"safety_stock": 0})),
        ),
    ];
    for (way, first, event) in ways {
        let mut shop = stocked(&[("A", 5)]).await;
        send(&mut shop, first).await;
        send_one(&mut shop, backordered("O-W", &[("A", 2)])).await;
        assert_eq!(waits_for(&shop, "O-W", "A").await, 2, "{way}");
        let before = shop.stock("A").await.version;
        send_one(&mut shop, event).await;
        assert!(last_told(&shop, "O-W").await.starts_with("granted, deducted: A 2 -> 2"), "{way}");
        assert_eq!(shop.stock("A").await.version, before + 1, "{way}");
        assert_eq!(shop.stock("A").await.waiting, 0, "{way}");
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn what_time_takes_from_others_goes_to_who_waits() {
    // A cart.
    let mut shop = stocked(&[("A", 5)]).await;
    send(&mut shop, vec![cart("C-1", 1, &[("A", 5)]), backordered("O-W", &[("A", 2)])]).await;
    make_due(&shop).await;
    assert_eq!(shop.sweep().await, 1);
    assert_eq!(last_told(&shop, "O-W").await, "granted, deducted: A 2 -> 2 of 5");
    shop.assert_sound().await;
    // A reservation.
    let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 5)]).await;
    send(&mut shop, vec![ordered("O-1", &[("A", 5)]), backordered("O-W", &[("A", 2)])]).await;
    make_one_due(&shop, "O-1").await;
    assert_eq!(shop.sweep().await, 1);
    assert_eq!(last_told(&shop, "O-W").await, "granted, reserved: A 2 -> 2 of 5");
    assert_eq!(shop.units("A").await, (5, 0, 2, 3));
    shop.assert_sound().await;
}

#[tokio::test]
async fn nothing_is_given_out_of_a_row_that_is_not_for_sale_until_it_is_again() {
    let mut shop = stocked(&[("A", 0)]).await;
    send(&mut shop, vec![backordered("O-1", &[("A", 2)]), sku("A", json!({"status": "locked"}))]).await;
    send_one(&mut shop, received("R-1", &[("A", 5)])).await;
    assert_eq!((shop.units("A").await, waits_for(&shop, "O-1", "A").await), ((5, 0, 0, 5), 2));
    shop.assert_sound().await;
    send_one(&mut shop, sku("A", json!({"status": "active"}))).await;
    assert_eq!(last_told(&shop, "O-1").await, "granted, deducted: A 2 -> 2 of 5");
    assert_eq!(shop.units("A").await, (3, 0, 0, 3));
    shop.assert_sound().await;
}

#[tokio::test]
async fn lines_of_one_order_are_filled_each_as_its_row_gets_units() {
    let mut shop = stocked(&[("A", 0), ("B", 0)]).await;
    send(&mut shop, vec![backordered("O-1", &[("A", 1), ("B", 2)]), backordered("O-2", &[("B", 1)])]).await;
    send_one(&mut shop, received("R-1", &[("A", 1)])).await;
    assert_eq!(
        last_told(&shop, "O-1").await,
        "partial, deducted (insufficient_stock): A 1 -> 1 of 1",
        "the lines that got something, and whether anything waits yet"
    );
    send_one(&mut shop, received("R-2", &[("B", 3)])).await;
    assert_eq!(last_told(&shop, "O-1").await, "granted, deducted: B 2 -> 2 of 3");
    assert_eq!(last_told(&shop, "O-2").await, "granted, deducted: B 1 -> 1 of 1");
    shop.assert_sound().await;
}

#[tokio::test]
async fn the_line_keeps_its_order_whoever_leaves_it() {
    let mut shop = stocked(&[("A", 0)]).await;
    for order in ["O-1", "O-2", "O-3"] {
        send_one(&mut shop, backordered(order, &[("A", 1)])).await;
    }
    send(&mut shop, vec![cancelled("O-3"), backordered("O-4", &[("A", 1)])]).await;
    send(&mut shop, vec![cancelled("O-1"), backordered("O-5", &[("A", 1)])]).await;
    assert_eq!(shop.kept().await.line_for("A"), ["O-2", "O-4", "O-5"]);
    send_one(&mut shop, received("R-1", &[("A", 2)])).await;
    assert_eq!(shop.kept().await.line_for("A"), ["O-5"]);
    send(&mut shop, vec![received("R-2", &[("A", 1)]), backordered("O-6", &[("A", 1)])]).await;
    assert_eq!(shop.kept().await.line_for("A"), ["O-6"], "in one batch, too");
    shop.assert_sound().await;
}

#[tokio::test]
async fn units_that_go_to_who_waits_at_once_are_told_of_all_the_same() {
    let mut shop = stocked(&[("A", 0)]).await;
    send_one(&mut shop, backordered("O-1", &[("A", 3)])).await;
    let version = shop.stock("A").await.version;
    assert_eq!(version, 1, "waiting alone is no change of the row");
    assert_eq!(changes(&shop, "A").await, 1);
    send_one(&mut shop, received("R-1", &[("A", 2)])).await;
    assert_eq!((shop.stock("A").await.version, changes(&shop, "A").await), (2, 2));
    let movements = shop.store.movements(&StockKey::new("A", "default"), None, 1).await.unwrap();
    assert_eq!((movements[0].kind, movements[0].change.on_hand), (MovementKind::Restock, 0));
    // What is called off goes to who waits as well: nothing is left of it in the numbers.
    send(&mut shop, vec![backordered("O-2", &[("A", 1)]), cancelled("O-1")]).await;
    let movements = shop.store.movements(&StockKey::new("A", "default"), None, 1).await.unwrap();
    assert_eq!((movements[0].kind, movements[0].after.on_hand), (MovementKind::Release, 1));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_level_does_not_flutter_when_what_comes_is_waited_for() {
    let mut shop = Shop::open().await;
    send_one(&mut shop, sku("A", json!({"initial": 9, "warning_threshold": 5, "critical_threshold": 2}))).await;
    send(&mut shop, vec![ordered("O-1", &[("A", 9)]), backordered("O-2", &[("A", 20)])]).await;
    assert_eq!(levels(&shop).await, ["A normal -> out at 0"]);
    send_one(&mut shop, received("R-1", &[("A", 20)])).await;
    assert_eq!(levels(&shop).await, ["A normal -> out at 0"]);
    send_one(&mut shop, received("R-2", &[("A", 20)])).await;
    assert_eq!(levels(&shop).await.len(), 2);
    shop.assert_sound().await;
}

#[tokio::test]
async fn no_more_orders_wait_for_a_row_than_may() {
    let rules = Rules { order_max_waiting: 2, ..Rules::default() };
    let mut shop = stocked_with(rules, &[("A", 0), ("B", 1)]).await;
    for order in ["O-1", "O-2"] {
        send_one(&mut shop, backordered(order, &[("A", 1)])).await;
    }
    assert_eq!(send_one(&mut shop, backordered("O-3", &[("A", 1)])).await, SHORT);
    assert_eq!(send_one(&mut shop, backordered("O-4", &[("A", 1), ("B", 1)])).await, "applied");
    assert_eq!(
        last_told(&shop, "O-4").await,
        "partial, deducted (insufficient_stock): A 1 -> 0 of 0 (insufficient_stock); B 1 -> 1 of 1"
    );
    // Whoever has a place may wait for more.
    send_one(&mut shop, changed("O-1", 1, "backorder", &[("A", 4)])).await;
    assert_eq!(waits_for(&shop, "O-1", "A").await, 4);
    shop.assert_sound().await;
}

#[tokio::test]
async fn where_nobody_may_wait_a_backorder_is_a_partial_order() {
    let rules = Rules { order_max_waiting: 0, ..Rules::default() };
    let mut shop = stocked_with(rules, &[("A", 2)]).await;
    send_one(&mut shop, backordered("O-1", &[("A", 5)])).await;
    assert_eq!(
        told(&shop, "O-1").await,
        ["partial, deducted (insufficient_stock): A 5 -> 2 of 2 (insufficient_stock)"]
    );
    assert_eq!(send_one(&mut shop, changed("O-1", 1, "backorder", &[("A", 6)])).await, SHORT);
    assert_eq!(send_one(&mut shop, backordered("O-2", &[("A", 1)])).await, SHORT);
    assert!(shop.kept().await.waiting_lines.is_empty());
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_fact_told_again_fills_nothing_again() {
    let mut shop = stocked(&[("A", 0)]).await;
    let (order, receipt) = (backordered("O-1", &[("A", 5)]), received("R-1", &[("A", 2)]));
    send(&mut shop, vec![order.clone(), receipt.clone()]).await;
    assert_eq!(send_one(&mut shop, retold(&order)).await, "ignored");
    assert_eq!(send_one(&mut shop, retold(&receipt)).await, "ignored");
    assert_eq!((told(&shop, "O-1").await.len(), waits_for(&shop, "O-1", "A").await), (2, 3));
    shop.assert_sound().await;
}

#[tokio::test]
async fn many_wait_and_are_served_in_one_transaction() {
    const ORDERS: i64 = 300;
    let mut shop = stocked(&[("A", 0)]).await;
    let orders: Vec<Value> = (0..ORDERS).map(|order| backordered(&format!("O-{order:03}"), &[("A", 2)])).collect();
    send(&mut shop, orders).await;
    assert_eq!(shop.stock("A").await.waiting, 2 * ORDERS);
    send_one(&mut shop, received("R-1", &[("A", 2 * ORDERS - 1)])).await;
    let kept = shop.kept().await;
    assert_eq!(kept.line_for("A"), [format!("O-{:03}", ORDERS - 1)]);
    assert_eq!(kept.movements_of("R-1"), 1);
    assert_eq!(shop.stock("A").await.waiting, 1);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_bring_units_and_workers_whose_orders_wait_do_not_get_past_each_other() {
    const ROUNDS: usize = 15;
    let first = stocked(&[("A", 0), ("B", 0)]).await;
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..3 {
        let mut shop = Shop::at(first.url.clone(), Rules::default()).await;
        workers.spawn(async move {
            for round in 0..ROUNDS {
                let name = |kind: &str| format!("{kind}-{worker}-{round}");
                // In opposite orders, so that locks taken out of order would meet.
                let wanted = if worker == 1 { [("B", 2), ("A", 1)] } else { [("A", 2), ("B", 1)] };
                let event = match (worker, round % 3) {
                    (2, _) => received(&name("R"), &[("A", 3), ("B", 3)]),
                    (_, 2) => cancelled(&format!("O-{worker}-{}", round - 1)),
                    (_, _) => backordered(&name("O"), &wanted),
                };
                assert_eq!(words(&[shop.send_one(event).await]), ["applied"], "{worker} {round}");
            }
        });
    }
    workers.join_all().await;
    first.assert_sound().await;
    let mut last = Shop::at(first.url.clone(), Rules::default()).await;
    send_one(&mut last, received("R-LAST", &[("A", 1_000), ("B", 1_000)])).await;
    assert!(last.kept().await.waiting_lines.is_empty());
    assert_eq!((last.stock("A").await.waiting, last.stock("B").await.waiting), (0, 0));
    last.assert_sound().await;
}
