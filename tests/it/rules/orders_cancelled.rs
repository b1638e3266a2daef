//! `order-cancelled`, whole and in part, after its order.

use holdfast::domain::rules::DeductOn;
use serde_json::{Value, json};

use super::{
    cancelled, cancelled_part, cart, confirmed, created, deducting_on, last_told, send, send_one, shipped,
    shipped_part, sku, stocked, stocked_with, told,
};
use crate::shop::{fresh, lines, ordered};

fn version(order: &str, version: i64, wanted: &[(&str, i64)]) -> Value {
    created(order, wanted, json!({"order_version": version}))
}

fn cancelled_version(order: &str, version: i64, parts: Option<&[(&str, i64)]>) -> Value {
    let data = match parts {
        None => json!({"order_id": order, "order_version": version}),
        Some(parts) => json!({"order_id": order, "order_version": version, "lines": lines(parts)}),
    };
    fresh("order-cancelled", data)
}

#[tokio::test]
async fn five_of_ten_deducted_and_cancelled_are_ten_again() {
    for deduct_on in [DeductOn::Created, DeductOn::Confirmed, DeductOn::Shipped] {
        let mut shop = stocked_with(deducting_on(deduct_on), &[("A", 10)]).await;
        send_one(&mut shop, ordered("O-1", &[("A", 5)])).await;
        assert_eq!(shop.units("A").await.3, 5);
        assert_eq!(send_one(&mut shop, cancelled("O-1")).await, "applied");
        assert_eq!(shop.units("A").await, (10, 0, 0, 10));
        assert_eq!(last_told(&shop, "O-1").await, "cancelled, cancelled: A 5 -> 5 of 10");
        assert_eq!(shop.order("O-1").await.expires_at, None);
        assert_eq!(send_one(&mut shop, cancelled("O-1")).await, "ignored");
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn parts_are_cumulative_and_a_line_with_nothing_left_blocks_no_other() {
    for deduct_on in [DeductOn::Created, DeductOn::Confirmed, DeductOn::Shipped] {
        let mut shop = stocked_with(deducting_on(deduct_on), &[("A", 10), ("B", 10)]).await;
        let state = if deduct_on == DeductOn::Created { "deducted" } else { "reserved" };
        send_one(&mut shop, ordered("O-1", &[("A", 5), ("B", 5)])).await;
        let steps = [
            (cancelled_part("O-1", &[("A", 2)]), format!("released, {state}: A 2 -> 2 of 7"), 7, 5),
            // Three in all: one more.
            (cancelled_part("O-1", &[("A", 3)]), format!("released, {state}: A 3 -> 1 of 8"), 8, 5),
            // More than there is is capped; X was never ordered.
            (
                cancelled_part("O-1", &[("A", 9), ("X", 1), ("B", 1)]),
                format!("released, {state}: A 9 -> 2 of 10; X 1 -> 0 of 0; B 1 -> 1 of 6"),
                10,
                6,
            ),
            (
                cancelled_part("O-1", &[("A", 9), ("B", 2)]),
                format!("released, {state}: A 9 -> 0 of 10; B 2 -> 1 of 7"),
                10,
                7,
            ),
            // All of it in parts is the whole.
            (cancelled_part("O-1", &[("B", 5)]), "cancelled, cancelled: B 5 -> 3 of 10".to_owned(), 10, 10),
        ];
        for (event, expected, a, b) in steps {
            assert_eq!(send_one(&mut shop, event.clone()).await, "applied", "{event}");
            assert_eq!(last_told(&shop, "O-1").await, expected);
            assert_eq!((shop.units("A").await.3, shop.units("B").await.3), (a, b), "{event}");
        }
        // Nothing is left to call off.
        let answers = told(&shop, "O-1").await.len();
        assert_eq!(send_one(&mut shop, cancelled_part("O-1", &[("A", 2)])).await, "ignored");
        assert_eq!(told(&shop, "O-1").await.len(), answers);
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn an_older_part_that_comes_late_moves_nothing_and_is_answered_and_the_same_part_again_is_not() {
    let mut shop = stocked(&[("A", 10), ("B", 10)]).await;
    send_one(&mut shop, ordered("O-1", &[("A", 5), ("B", 5)])).await;
    send_one(&mut shop, cancelled_part("O-1", &[("A", 3)])).await;
    assert_eq!(send_one(&mut shop, cancelled_part("O-1", &[("A", 2)])).await, "applied");
    assert_eq!(last_told(&shop, "O-1").await, "released, deducted: A 2 -> 0 of 8");
    assert_eq!(send_one(&mut shop, cancelled_part("O-1", &[("A", 3)])).await, "ignored");
    assert_eq!(told(&shop, "O-1").await.len(), 3);
    assert_eq!(shop.units("A").await, (8, 0, 0, 8));
}

#[tokio::test]
async fn shipped_units_do_not_move_when_the_rest_is_cancelled() {
    for deduct_on in [DeductOn::Created, DeductOn::Shipped] {
        let mut shop = stocked_with(deducting_on(deduct_on), &[("A", 10), ("B", 10)]).await;
        send_one(&mut shop, ordered("O-1", &[("A", 5), ("B", 2)])).await;
        send_one(&mut shop, shipped_part("O-1", "S-1", &[("A", 3)])).await;
        assert_eq!(send_one(&mut shop, cancelled("O-1")).await, "applied");
        assert_eq!(last_told(&shop, "O-1").await, "cancelled, cancelled: A 2 -> 2 of 7; B 2 -> 2 of 10");
        assert_eq!(shop.units("A").await, (7, 0, 0, 7));
        shop.assert_sound().await;
        // In parts: what is left is what was shipped, so that the order is.
        send_one(&mut shop, ordered("O-2", &[("B", 5)])).await;
        send_one(&mut shop, shipped_part("O-2", "S-2", &[("B", 3)])).await;
        send_one(&mut shop, cancelled_part("O-2", &[("B", 5)])).await;
        assert_eq!(last_told(&shop, "O-2").await, "released, shipped: B 5 -> 2 of 7");
        assert_eq!(send_one(&mut shop, cancelled("O-2")).await, "refused");
        assert_eq!(last_told(&shop, "O-2").await, "conflict, shipped: ");
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn of_a_refused_or_expired_order_a_part_releases_nothing_and_says_so() {
    let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 10)]).await;
    send_one(&mut shop, ordered("O-1", &[("A", 50)])).await;
    assert_eq!(send_one(&mut shop, cancelled_part("O-1", &[("A", 2)])).await, "applied");
    assert_eq!(last_told(&shop, "O-1").await, "released, refused: A 2 -> 0 of 10");
    send_one(&mut shop, ordered("O-2", &[("A", 5)])).await;
    super::make_one_due(&shop, "O-2").await;
    assert_eq!(shop.sweep().await, 1);
    assert_eq!(send_one(&mut shop, cancelled_part("O-2", &[("A", 2)])).await, "applied");
    assert_eq!(last_told(&shop, "O-2").await, "released, expired: A 2 -> 0 of 10");
    assert_eq!(shop.units("A").await, (10, 0, 0, 10));
    // What was called off after the deadline does not come back with a late confirmation.
    assert_eq!(send_one(&mut shop, confirmed("O-2")).await, "applied");
    assert_eq!(shop.units("A").await, (7, 0, 0, 7));
    // A whole cancellation closes either.
    send_one(&mut shop, cancelled("O-1")).await;
    assert_eq!(last_told(&shop, "O-1").await, "cancelled, cancelled: ");
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_cancellation_of_a_lower_version_is_stale_and_one_without_never_is() {
    let mut shop = stocked(&[("A", 10)]).await;
    for order in ["O-1", "O-2", "O-3"] {
        send_one(&mut shop, version(order, 2, &[("A", 2)])).await;
    }
    assert_eq!(send_one(&mut shop, cancelled_version("O-1", 1, None)).await, "ignored");
    assert_eq!(send_one(&mut shop, cancelled_version("O-1", 1, Some(&[("A", 1)]))).await, "ignored");
    assert_eq!(shop.units("A").await.0, 4);
    assert_eq!(send_one(&mut shop, cancelled_version("O-1", 2, None)).await, "applied");
    assert_eq!(send_one(&mut shop, cancelled_version("O-2", 3, None)).await, "applied");
    assert_eq!(send_one(&mut shop, cancelled("O-3")).await, "applied");
    assert_eq!(shop.units("A").await, (10, 0, 0, 10));
    assert_eq!(shop.answers("O-1").await[1].request_version, Some(2));
    // One that waits for its order is stale when a higher version comes first.
    send_one(&mut shop, cancelled_version("O-4", 1, Some(&[("A", 1)]))).await;
    send_one(&mut shop, version("O-4", 2, &[("A", 2)])).await;
    assert_eq!(told(&shop, "O-4").await, ["granted, deducted: A 2 -> 2 of 10"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_locked_sku_can_be_cancelled_and_released() {
    let mut shop = stocked(&[("A", 10)]).await;
    send(&mut shop, vec![ordered("O-1", &[("A", 2)]), cart("C-1", 1, &[("A", 3)])]).await;
    send_one(&mut shop, sku("A", json!({"status": "locked"}))).await;
    assert_eq!(send_one(&mut shop, cancelled("O-1")).await, "applied");
    assert_eq!(send_one(&mut shop, cart("C-1", 2, &[("A", 1)])).await, "applied");
    assert_eq!(shop.units("A").await, (10, 1, 0, 9));
    assert_eq!(send_one(&mut shop, cart("C-1", 3, &[("A", 2)])).await, "applied");
    assert_eq!(last_told(&shop, "C-1").await, "partial, held (not_sellable): A 2 -> 1 of 10 (not_sellable)");
    shop.assert_sound().await;
}

#[tokio::test]
async fn the_events_of_an_order_give_the_same_in_one_batch_and_in_several() {
    let script = || {
        vec![
            cart("C-1", 1, &[("A", 4)]),
            created("O-1", &[("A", 3), ("B", 2)], json!({"cart_id": "C-1"})),
            cart("C-1", 2, &[("A", 1)]),
            created("O-1", &[("A", 2), ("B", 4)], json!({"order_version": 1})),
            cancelled_part("O-1", &[("B", 1)]),
            confirmed("O-1"),
            shipped_part("O-1", "S-1", &[("A", 1)]),
            cancelled("O-1"),
            shipped("O-1", "S-2"),
        ]
    };
    for deduct_on in [DeductOn::Created, DeductOn::Confirmed, DeductOn::Shipped] {
        let mut results = Vec::new();
        for one_batch in [true, false] {
            let mut shop = stocked_with(deducting_on(deduct_on), &[("A", 10), ("B", 10)]).await;
            if one_batch {
                send(&mut shop, script()).await;
            } else {
                for event in script() {
                    send_one(&mut shop, event).await;
                }
            }
            let mut order = shop.order("O-1").await;
            (order.revision, order.expires_at) = (0, None);
            let units = (shop.units("A").await, shop.units("B").await);
            results.push((told(&shop, "O-1").await, told(&shop, "C-1").await, order, units));
            shop.assert_sound().await;
        }
        assert_eq!(results[0], results[1], "{deduct_on:?}");
        assert_eq!(results[0].3.0.0, 9, "one A was shipped");
    }
}

#[tokio::test]
async fn a_part_that_was_told_before_a_new_attempt_does_not_count_against_it_when_it_is_told_again() {
    let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 10)]).await;
    // One order expires after the part, the other was refused before it.
    send_one(&mut shop, ordered("O-1", &[("A", 5)])).await;
    send_one(&mut shop, ordered("O-2", &[("A", 50)])).await;
    let parts = [cancelled_part("O-1", &[("A", 2)]), cancelled_part("O-2", &[("A", 2)])];
    send(&mut shop, parts.to_vec()).await;
    super::make_due(&shop).await;
    assert_eq!(shop.sweep().await, 1);
    for (order, part) in ["O-1", "O-2"].into_iter().zip(&parts) {
        send_one(&mut shop, super::created(order, &[("A", 5)], json!({"order_version": 1}))).await;
        assert_eq!(send_one(&mut shop, super::retold(part)).await, "ignored");
        assert_eq!(shop.order(order).await.lines.values().map(|line| line.reserved).sum::<i64>(), 5);
    }
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_part_with_a_line_that_the_order_does_not_have_is_answered_once() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, ordered("O-1", &[("A", 5)])).await;
    let part = cancelled_part("O-1", &[("A", 3), ("X", 1)]);
    assert_eq!(send_one(&mut shop, part.clone()).await, "applied");
    assert_eq!(send_one(&mut shop, super::retold(&part)).await, "ignored");
    assert_eq!(told(&shop, "O-1").await.len(), 2);
}

#[tokio::test]
async fn a_further_part_counts_in_full_whatever_earlier_parts_could_not_give_back() {
    let mut shop = stocked(&[("A", 10)]).await;
    // Refused: the first part gives nothing back. Then the order is tried anew.
    send_one(&mut shop, ordered("O-1", &[("A", 50)])).await;
    send_one(&mut shop, cancelled_part("O-1", &[("A", 3)])).await;
    send_one(&mut shop, version("O-1", 1, &[("A", 10)])).await;
    let parts = [6, 8].map(|units| cancelled_part("O-1", &[("A", units)]));
    for (part, left) in parts.iter().zip([6, 8]) {
        assert_eq!(send_one(&mut shop, part.clone()).await, "applied");
        assert_eq!(shop.units("A").await.0, left);
        assert_eq!(send_one(&mut shop, super::retold(part)).await, "ignored");
    }
    shop.assert_sound().await;
}
