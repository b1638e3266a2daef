//! `policy: backorder`: what becomes of an order that waits.

use holdfast::domain::rules::DeductOn;
use holdfast::domain::words::StockKey;
use holdfast::ports::{Store, StoreError};
use serde_json::json;

use super::backorders::{SHORT, backordered, changed, waits_for};
use super::{
    cancelled, cancelled_part, cart, confirmed, created, deducting_on, last_told, lives_for, make_due, received,
    retold, send, send_one, shipped, shipped_part, stocked, stocked_with, told,
};
use crate::shop::{Tampering, decoded, record};

#[tokio::test]
async fn the_deadline_of_a_reservation_ends_its_wait_and_a_confirmed_order_waits_on() {
    for deduct_on in [DeductOn::Confirmed, DeductOn::Shipped] {
        let mut shop = stocked_with(deducting_on(deduct_on), &[("A", 1), ("B", 0)]).await;
        let orders =
            vec![backordered("O-1", &[("A", 3)]), backordered("O-2", &[("A", 2)]), backordered("O-3", &[("B", 1)])];
        send(&mut shop, orders).await;
        assert!(lives_for(&shop, holdfast::domain::claim::ClaimKind::Order, "O-2").await > 0);
        assert_eq!(send_one(&mut shop, confirmed("O-2")).await, "applied");
        let state = if deduct_on == DeductOn::Confirmed { "deducted" } else { "confirmed" };
        assert_eq!(last_told(&shop, "O-2").await, format!("confirmed, {state}: A 2 -> 0 of 0, 2 wait"));
        make_due(&shop).await;
        assert_eq!(shop.sweep().await, 2, "O-2 has no deadline any more");
        assert_eq!(last_told(&shop, "O-1").await, "expired, expired: A 3 -> 1 of 1");
        assert_eq!(last_told(&shop, "O-3").await, "expired, expired: B 1 -> 0 of 0");
        // The unit goes to who waits on.
        let granted = format!("partial, {state} (insufficient_stock): A 2 -> 1 of 1 (insufficient_stock), 1 wait");
        assert_eq!(last_told(&shop, "O-2").await, granted);
        assert_eq!(shop.kept().await.waiting_lines.len(), 1);
        // Of what is over nothing waits again. An order that only waited cannot be had back.
        send_one(&mut shop, received("R-1", &[("A", 2), ("B", 5)])).await;
        assert_eq!(send_one(&mut shop, confirmed("O-1")).await, "applied");
        assert_eq!(last_told(&shop, "O-1").await, format!("confirmed, {state}: A 3 -> 1 of 0"));
        assert_eq!(send_one(&mut shop, confirmed("O-3")).await, "refused");
        assert_eq!(last_told(&shop, "O-3").await, "lost, expired: B 1 -> 0 of 5");
        assert_eq!(send_one(&mut shop, retold(&confirmed("O-3"))).await, "ignored");
        assert_eq!(send_one(&mut shop, shipped("O-3", "S-1")).await, "refused");
        let units = if deduct_on == DeductOn::Confirmed { (0, 0, 0, 0) } else { (3, 0, 3, 0) };
        assert_eq!(shop.units("A").await, units);
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn what_waits_is_not_shipped_and_an_order_is_shipped_when_nothing_waits_any_more() {
    for deduct_on in [DeductOn::Created, DeductOn::Confirmed, DeductOn::Shipped] {
        let mut shop = stocked_with(deducting_on(deduct_on), &[("A", 2)]).await;
        send(&mut shop, vec![backordered("O-1", &[("A", 5)]), confirmed("O-1")]).await;
        send_one(&mut shop, shipped_part("O-1", "S-1", &[("A", 4)])).await;
        let expected = "shipped, deducted: A 4 -> 2 of 0, 3 wait";
        assert_eq!(last_told(&shop, "O-1").await, expected, "{deduct_on:?}: no more than it has");
        assert_eq!(send_one(&mut shop, shipped("O-1", "S-2")).await, "refused", "nothing is left to ship yet");
        send_one(&mut shop, received("R-1", &[("A", 4)])).await;
        assert_eq!(last_told(&shop, "O-1").await, "granted, deducted: A 5 -> 5 of 6");
        let units = if deduct_on == DeductOn::Shipped { (4, 0, 3, 1) } else { (1, 0, 0, 1) };
        assert_eq!(shop.units("A").await, units);
        send_one(&mut shop, shipped("O-1", "S-3")).await;
        assert_eq!(last_told(&shop, "O-1").await, "shipped, shipped: A 3 -> 3 of 1");
        assert_eq!(shop.units("A").await, (1, 0, 0, 1));
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn a_reserved_order_that_waits_takes_units_as_it_stands() {
    let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 0), ("B", 0)]).await;
    send(&mut shop, vec![backordered("O-1", &[("A", 2)]), backordered("O-2", &[("B", 2)]), confirmed("O-2")]).await;
    send_one(&mut shop, received("R-1", &[("A", 2), ("B", 2)])).await;
    // Set aside before the confirmation, taken out after it.
    assert_eq!((shop.units("A").await, shop.units("B").await), ((2, 0, 2, 0), (0, 0, 0, 0)));
    assert_eq!(last_told(&shop, "O-1").await, "granted, reserved: A 2 -> 2 of 2");
    assert!(shop.order("O-1").await.expires_at.is_some(), "its deadline stays what it was");
    assert_eq!(last_told(&shop, "O-2").await, "granted, deducted: B 2 -> 2 of 2");
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_cancellation_takes_what_waits_first() {
    let mut shop = stocked(&[("A", 2)]).await;
    send(&mut shop, vec![backordered("O-1", &[("A", 6)]), backordered("O-2", &[("A", 1)])]).await;
    let part = cancelled_part("O-1", &[("A", 3)]);
    assert_eq!(send_one(&mut shop, part.clone()).await, "applied");
    assert_eq!(last_told(&shop, "O-1").await, "released, deducted: A 3 -> 3 of 0, 1 wait");
    assert_eq!((shop.units("A").await.0, told(&shop, "O-2").await.len()), (0, 1), "nothing moved");
    assert_eq!(send_one(&mut shop, retold(&part)).await, "ignored");
    // The last one that waits, and one that it has: that one goes to who waits.
    send_one(&mut shop, cancelled_part("O-1", &[("A", 5)])).await;
    assert_eq!(last_told(&shop, "O-1").await, "released, deducted: A 5 -> 2 of 1");
    assert_eq!(last_told(&shop, "O-2").await, "granted, deducted: A 1 -> 1 of 1");
    let order = shop.order("O-1").await;
    let line = order.lines[&StockKey::new("A", "default")];
    assert_eq!((line.requested, line.deducted, line.released, line.waiting), (6, 1, 5, 0));
    // The whole.
    send_one(&mut shop, backordered("O-3", &[("A", 4)])).await;
    assert_eq!(send_one(&mut shop, cancelled("O-3")).await, "applied");
    assert_eq!(last_told(&shop, "O-3").await, "cancelled, cancelled: A 4 -> 4 of 0");
    assert!(shop.kept().await.waiting_lines.is_empty());
    // All parts of what only waits.
    send(&mut shop, vec![backordered("O-4", &[("A", 2)]), cancelled_part("O-4", &[("A", 2)])]).await;
    assert_eq!(last_told(&shop, "O-4").await, "cancelled, cancelled: A 2 -> 2 of 0");
    send_one(&mut shop, received("R-1", &[("A", 9)])).await;
    assert_eq!(shop.units("A").await, (9, 0, 0, 9));
    shop.assert_sound().await;
}

#[tokio::test]
async fn what_overtakes_an_order_that_waits_takes_effect_after_it() {
    let mut shop = stocked(&[("A", 1)]).await;
    send(&mut shop, vec![cancelled_part("O-1", &[("A", 2)]), shipped("O-1", "S-1")]).await;
    send_one(&mut shop, backordered("O-1", &[("A", 5)])).await;
    assert_eq!(
        told(&shop, "O-1").await,
        [
            "partial, deducted (insufficient_stock): A 5 -> 1 of 1 (insufficient_stock), 4 wait",
            "released, deducted: A 2 -> 2 of 0, 2 wait",
            "shipped, deducted: A 1 -> 1 of 0, 2 wait",
        ]
    );
    assert_eq!(shop.stock("A").await.waiting, 2);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_change_counts_what_waits_as_the_orders_and_gives_it_up_first() {
    let mut shop = stocked(&[("A", 2), ("B", 1)]).await;
    send(&mut shop, vec![backordered("O-1", &[("A", 5)]), backordered("O-2", &[("A", 1)])]).await;
    // Other lines, the same of A: A waits on.
    send_one(&mut shop, changed("O-1", 1, "all", &[("A", 5), ("B", 1)])).await;
    assert_eq!(
        last_told(&shop, "O-1").await,
        "partial, deducted (insufficient_stock): A 5 -> 2 of 2 (insufficient_stock), 3 wait; B 1 -> 1 of 1"
    );
    // `all` wants every unit that is added, and a refusal leaves everything as it was.
    assert_eq!(send_one(&mut shop, changed("O-1", 2, "all", &[("A", 6)])).await, SHORT);
    assert_eq!(waits_for(&shop, "O-1", "A").await, 3);
    assert_eq!(send_one(&mut shop, changed("O-1", 2, "partial", &[("A", 6)])).await, "ignored", "the same again");
    assert_eq!(send_one(&mut shop, changed("O-1", 3, "partial", &[("A", 6)])).await, SHORT);
    // `backorder` waits for what is added, at the place that the order has.
    send_one(&mut shop, changed("O-1", 4, "backorder", &[("A", 6), ("B", 3)])).await;
    assert_eq!(
        last_told(&shop, "O-1").await,
        "partial, deducted (insufficient_stock): A 6 -> 2 of 2 (insufficient_stock), 4 wait; \
         B 3 -> 1 of 1 (insufficient_stock), 2 wait"
    );
    assert_eq!(shop.kept().await.line_for("A"), ["O-1", "O-2"]);
    // Fewer: what waits goes first, then what it has, which others wait for.
    send_one(&mut shop, changed("O-1", 5, "all", &[("A", 3)])).await;
    assert_eq!(
        last_told(&shop, "O-1").await,
        "partial, deducted (insufficient_stock): A 3 -> 2 of 2 (insufficient_stock), 1 wait"
    );
    assert_eq!((shop.units("B").await.0, shop.stock("B").await.waiting), (1, 0));
    send_one(&mut shop, changed("O-1", 6, "all", &[("A", 1)])).await;
    assert_eq!(last_told(&shop, "O-1").await, "granted, deducted: A 1 -> 1 of 2");
    assert_eq!(last_told(&shop, "O-2").await, "granted, deducted: A 1 -> 1 of 1");
    // Nothing of what a change adds can be had or waited for.
    assert_eq!(send_one(&mut shop, changed("O-1", 7, "backorder", &[("X", 1)])).await, "refused unknown_sku");
    send_one(&mut shop, changed("O-1", 8, "backorder", &[("A", 2), ("X", 1)])).await;
    assert_eq!(
        last_told(&shop, "O-1").await,
        "partial, deducted (unknown_sku): A 2 -> 1 of 1 (insufficient_stock), 1 wait; X 1 -> 0 of 0 (unknown_sku)"
    );
    // Without anything that it has or waits for it is called off.
    send_one(&mut shop, backordered("O-5", &[("B", 4)])).await;
    send_one(&mut shop, changed("O-5", 1, "backorder", &[("B", 2), ("A", 1)])).await;
    assert_eq!((waits_for(&shop, "O-5", "B").await, shop.units("B").await.0), (1, 0));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_change_that_takes_a_cart_over_gets_what_the_cart_holds_before_it_waits() {
    let mut shop = stocked(&[("A", 3)]).await;
    send(
        &mut shop,
        vec![cart("C-1", 1, &[("A", 3)]), backordered("O-1", &[("A", 2)]), backordered("O-2", &[("A", 4)])],
    )
    .await;
    let change = |version: i64, wanted: &[(&str, i64)]| {
        created("O-2", wanted, json!({"order_version": version, "cart_id": "C-1", "policy": "backorder"}))
    };
    send_one(&mut shop, change(1, &[("A", 2), ("X", 1)])).await;
    // X stands in the way of the answer alone: nothing that the change asks for more of can be had.
    assert_eq!(shop.units("A").await, (3, 3, 0, 0));
    send_one(&mut shop, change(2, &[("A", 2)])).await;
    assert_eq!(last_told(&shop, "O-2").await, "granted, deducted: A 2 -> 2 of 3");
    // What is left of the cart goes to who waits first.
    let rest = "partial, deducted (insufficient_stock): A 2 -> 1 of 1 (insufficient_stock), 1 wait";
    assert_eq!(last_told(&shop, "O-1").await, rest);
    assert_eq!(shop.units("A").await, (0, 0, 0, 0));
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_order_gets_its_own_carts_hold_though_others_wait() {
    let mut shop = stocked(&[("A", 3)]).await;
    send(&mut shop, vec![cart("C-1", 1, &[("A", 3)]), backordered("O-1", &[("A", 1)])]).await;
    let order = created("O-2", &[("A", 5)], json!({"cart_id": "C-1", "policy": "backorder"}));
    send_one(&mut shop, order).await;
    assert_eq!(
        last_told(&shop, "O-2").await,
        "partial, deducted (insufficient_stock): A 5 -> 3 of 3 (insufficient_stock), 2 wait"
    );
    assert_eq!(shop.kept().await.line_for("A"), ["O-1", "O-2"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_row_that_says_other_than_the_line_before_it_is_never_written() {
    let mut shop = stocked(&[("A", 1)]).await;
    send_one(&mut shop, backordered("O-1", &[("A", 3)])).await;
    shop.tamper(Tampering::Waiting { sku: "A", units: 77 }).await;
    let entries = decoded(vec![record(received("R-1", &[("A", 1)]).to_string().into_bytes())]);
    let bench = shop.bench();
    let committed = shop.store.commit(&entries, &|loaded| bench.judge(&entries, loaded)).await;
    let Err(StoreError::Fatal(why)) = committed else { panic!("{committed:?}") };
    assert!(why.contains("the waiting list of A@default would be broken"), "{why}");
}
