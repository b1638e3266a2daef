//! What is proved of a store: nothing differs by itself, and each kind of damage is found and named.

use holdfast::domain::rules::{DeductOn, Rules};
use holdfast::domain::stock::Level;
use holdfast::store::{CHECKS, Migration, Upkeep, Verification};
use serde_json::json;

use super::Shop;
use crate::shop::{Tampering, fresh, lines, ordered, registered};

/// A shop in which every check has something to look at.
async fn lived_in() -> Shop {
    let mut shop = Shop::with_rules(Rules { deduct_on: DeductOn::Confirmed, ..Rules::default() }).await;
    shop.send(vec![registered("A", 100), registered("B", 100), registered("W", 0)]).await;
    shop.send_one(fresh("cart-updated", json!({"cart_id": "C-1", "cart_version": 1, "lines": lines(&[("A", 2)])})))
        .await;
    for order in 0..4 {
        shop.send_one(ordered(&format!("O-{order}"), &[("A", 1), ("B", 1)])).await;
    }
    let waits = json!({"order_id": "O-W", "policy": "backorder", "lines": lines(&[("W", 3)])});
    shop.send_one(fresh("order-created", waits)).await;
    shop
}

async fn verify(shop: &Shop) -> Vec<Verification> {
    shop.store.verify(false).await.expect("the checks should run")
}

#[tokio::test]
async fn every_check_looks_at_something_and_finds_a_sound_store_sound() {
    let shop = lived_in().await;
    let mut begun = Vec::new();
    let checks = shop.store.verify_with(false, |number, name| begun.push((number, name))).await.unwrap();
    assert_eq!(checks.len(), CHECKS);
    assert!(begun.iter().copied().eq(checks.iter().map(|check| check.check).enumerate()), "{begun:?}");
    for check in &checks {
        assert!(check.looked_at > 0 && check.differing == 0 && check.differences.is_empty(), "{check:?}");
    }
    shop.store.check_integrity().await.expect("it can be read");
    shop.store.migrate().await.expect("nothing is left to do");
    assert_eq!(shop.store.migration().await.unwrap(), Migration::Current);
}

#[tokio::test]
async fn each_kind_of_damage_is_found_and_named() {
    let damages = [
        (Tampering::CartHeld { sku: "A", units: 3 }, "counters equal", "A@default"),
        (Tampering::MovementLost { sku: "B", version: 2 }, "movement versions", "B@default"),
        (Tampering::CartHeld { sku: "A", units: 3 }, "cart_held and order_reserved", "A@default"),
        (Tampering::SetAside { reference: "C-1", more: 1 }, "what claim lines", "cart C-1, A@default"),
        (Tampering::CartHeld { sku: "B", units: 97 }, "what is reserved", "B@default"),
        (Tampering::Waiting { sku: "W", units: 4 }, "what is waited for", "W@default"),
        (Tampering::PlacesLost { reference: "O-W" }, "what is waited for", "order O-W, W@default"),
        (Tampering::Waiting { sku: "A", units: 1 }, "nobody waits", "A@default"),
        (Tampering::OutboxLost { numbers: 3..=3 }, "outbox numbers", "batch 4"),
        (Tampering::NumbersGiven { batches: 1 }, "outbox numbers", "counter"),
        (Tampering::Published { number: 8, seq: 1 }, "outbox numbers", "published"),
        (Tampering::Level { sku: "B", level: Level::Critical }, "levels follow", "B@default"),
    ];
    for (damage, check, place) in damages {
        let shop = lived_in().await;
        shop.tamper(damage.clone()).await;
        let found = verify(&shop).await.into_iter().find(|found| found.check.starts_with(check)).expect("a check");
        assert_eq!(found.differing, 1, "{damage:?}: {found:?}");
        let told = &found.differences[0];
        assert_eq!((told.place.as_str(), told.check), (place, found.check), "{damage:?}: {found:?}");
        assert_ne!(told.expected, told.found);
    }
}

#[tokio::test]
async fn what_carts_hold_can_be_left_out_of_levels() {
    let mut shop = Shop::open().await;
    let settings = json!({"sku": "A", "initial": 10, "warning_threshold": 5, "critical_threshold": 1});
    shop.send_one(fresh("sku-registered", settings)).await;
    shop.send_one(fresh("cart-updated", json!({"cart_id": "C-1", "cart_version": 1, "lines": lines(&[("A", 6)])})))
        .await;
    assert_eq!(shop.stock("A").await.level, Level::Low);
    assert_eq!(verify(&shop).await[CHECKS - 1].differing, 0);
    let without = shop.store.verify(true).await.unwrap();
    assert_eq!(without[CHECKS - 1].differing, 1, "with what the cart holds there would be enough");
}
