//! `stock-adjusted`: somebody corrects what is on hand.

use serde_json::json;

use super::{
    Shop, adjusted, cart, confirmed, deducting_on, ledger, received, retold, send, send_one, sku, stocked,
    stocked_with, told, with,
};
use crate::shop::ordered;
use holdfast::domain::rules::DeductOn;
use holdfast::domain::words::StockKey;
use holdfast::ports::Queries;

#[tokio::test]
async fn a_correction_raises_lowers_or_sets_what_is_on_hand_and_says_why_and_who() {
    let mut shop = stocked(&[("A", 10)]).await;
    let by = json!({"operator": "Ada", "reason": "broken glass"});
    assert_eq!(send_one(&mut shop, adjusted("A-1", "A", "decrease", 3, by)).await, "applied");
    assert_eq!(send_one(&mut shop, adjusted("A-2", "A", "increase", 5, json!({}))).await, "applied");
    let set = adjusted("A-3", "A", "set", 0, json!({"expected_version": 3}));
    assert_eq!(send_one(&mut shop, set).await, "applied");
    assert_eq!(ledger(&shop, "A").await, ["adjust 12 -> 0", "adjust 7 -> 12", "adjust 10 -> 7", "register 0 -> 10"]);
    let history = shop.store.movements(&StockKey::new("A", "default"), None, 10).await.unwrap();
    let said: Vec<_> = history.iter().map(|it| (it.reason.as_deref(), it.operator.as_deref())).collect();
    assert_eq!(said, [(Some("found"), None), (Some("found"), None), (Some("broken glass"), Some("Ada")), (None, None)]);
    assert_eq!(history[2].cause.reference, Some("A-1".into()));
    // An applied correction is answered by its change.
    for correction in ["A-1", "A-2", "A-3"] {
        assert!(told(&shop, correction).await.is_empty());
    }
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_correction_counts_once_whatever_is_told_under_its_name() {
    let mut shop = stocked(&[("A", 10), ("B", 10)]).await;
    let correction = adjusted("A-1", "A", "decrease", 3, json!({}));
    send_one(&mut shop, correction.clone()).await;
    assert_eq!(send_one(&mut shop, retold(&correction)).await, "ignored");
    assert_eq!(send_one(&mut shop, adjusted("A-1", "B", "increase", 5, json!({}))).await, "ignored");
    // Also within one batch.
    let other = adjusted("A-2", "A", "decrease", 1, json!({}));
    assert_eq!(send(&mut shop, vec![other.clone(), retold(&other)]).await, ["applied", "ignored"]);
    // The names of receipts, syncs and corrections are names of their own.
    assert_eq!(send_one(&mut shop, received("A-1", &[("A", 4)])).await, "applied");
    assert_eq!(send_one(&mut shop, super::synced("A-1", "A", -1)).await, "applied");
    assert_eq!((shop.units("A").await.0, shop.units("B").await.0), (9, 10));
    assert!(told(&shop, "A-1").await.is_empty());
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_correction_is_compared_with_the_version_that_it_was_made_for() {
    let mut shop = stocked(&[("A", 10)]).await;
    let refused = "refused version_mismatch";
    let cases = [
        // Nobody may set what he has not looked at.
        (adjusted("A-1", "A", "set", 5, json!({})), refused),
        (adjusted("A-2", "A", "set", 5, json!({"expected_version": 2})), refused),
        (adjusted("A-3", "A", "set", 5, json!({"expected_version": 0})), refused),
        (adjusted("A-4", "A", "increase", 5, json!({"expected_version": 2})), refused),
        (adjusted("A-5", "A", "decrease", 5, json!({"expected_version": 2})), refused),
        (adjusted("A-6", "A", "increase", 5, json!({"expected_version": 1})), "applied"),
        (adjusted("A-7", "A", "decrease", 1, json!({"expected_version": 2})), "applied"),
        (adjusted("A-8", "A", "set", 5, json!({"expected_version": 3})), "applied"),
    ];
    for (event, expected) in cases {
        assert_eq!(send_one(&mut shop, event.clone()).await, expected, "{event}");
    }
    assert_eq!(shop.units("A").await, (5, 0, 0, 5));
    assert_eq!(told(&shop, "A-2").await, ["refused, - (version_mismatch): A 5 -> 0 of 10 (version_mismatch)"]);
    let answer = shop.answers("A-2").await.remove(0);
    assert_eq!((answer.kind.as_str(), answer.request_version, answer.expires_at), ("stock", None, None));
    // A refused correction leaves nothing: its maker looks again and tells it as a new event.
    let again = adjusted("A-2", "A", "set", 7, json!({"expected_version": 4}));
    assert_eq!(send_one(&mut shop, again).await, "applied");
    assert_eq!(shop.units("A").await.0, 7);
    shop.assert_sound().await;
}

#[tokio::test]
async fn of_two_corrections_for_one_version_one_is_applied() {
    let mut shop = stocked(&[("A", 10)]).await;
    let set = |name: &str, units: i64| adjusted(name, "A", "set", units, json!({"expected_version": 1}));
    assert_eq!(send(&mut shop, vec![set("A-1", 8), set("A-2", 9)]).await, ["applied", "refused version_mismatch"]);
    assert_eq!(shop.units("A").await.0, 8);
    // What sells in between is seen as well.
    let sold = vec![ordered("O-1", &[("A", 1)]), adjusted("A-3", "A", "set", 8, json!({"expected_version": 2}))];
    assert_eq!(send(&mut shop, sold).await, ["applied", "refused version_mismatch"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_correction_takes_nothing_that_is_set_aside() {
    let mut shop = stocked_with(deducting_on(DeductOn::Shipped), &[("A", 10)]).await;
    send_one(&mut shop, sku("A", json!({"safety_stock": 4}))).await;
    send(&mut shop, vec![ordered("O-1", &[("A", 3)]), cart("C-1", 1, &[("A", 2)])]).await;
    let refused = "refused insufficient_stock";
    assert_eq!(send_one(&mut shop, adjusted("A-1", "A", "decrease", 6, json!({}))).await, refused);
    let version = shop.stock("A").await.version;
    let set = |name: &str, units: i64| adjusted(name, "A", "set", units, json!({"expected_version": version}));
    assert_eq!(send_one(&mut shop, set("A-2", 4)).await, refused);
    // What could have been taken, and what is available.
    assert_eq!(told(&shop, "A-1").await, ["refused, - (insufficient_stock): A 6 -> 0 of 5 (insufficient_stock)"]);
    assert_eq!(told(&shop, "A-2").await, ["refused, - (insufficient_stock): A 4 -> 0 of 1 (insufficient_stock)"]);
    // What is kept back from sale is there all the same.
    assert_eq!(send_one(&mut shop, adjusted("A-3", "A", "decrease", 5, json!({}))).await, "applied");
    assert_eq!(shop.units("A").await, (5, 2, 3, -4));
    assert_eq!(send_one(&mut shop, confirmed("O-1")).await, "applied");
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_increase_or_a_set_above_the_maximum_is_refused_and_physical_facts_are_not() {
    let mut shop = Shop::open().await;
    send_one(&mut shop, sku("A", json!({"initial": 8, "max_stock": 10}))).await;
    let set =
        |name: &str, units: i64, version: i64| adjusted(name, "A", "set", units, json!({"expected_version": version}));
    assert_eq!(send_one(&mut shop, adjusted("A-1", "A", "increase", 3, json!({}))).await, "refused over_max");
    assert_eq!(told(&shop, "A-1").await, ["refused, - (over_max): A 3 -> 0 of 2 (over_max)"]);
    assert_eq!(send_one(&mut shop, set("A-2", 11, 1)).await, "refused over_max");
    assert_eq!(send_one(&mut shop, adjusted("A-3", "A", "increase", 2, json!({}))).await, "applied");
    // Goods arrive, other systems take back, and somebody counts, whatever the maximum says.
    assert_eq!(send_one(&mut shop, received("R-1", &[("A", 5)])).await, "applied");
    assert_eq!(send_one(&mut shop, super::synced("T-1", "A", 5)).await, "applied");
    let now = super::moment(&shop).await;
    assert_eq!(send_one(&mut shop, super::counted("N-1", "A", 30, &now)).await, "applied");
    assert_eq!(shop.units("A").await.0, 30);
    // A decrease is welcome above it; a `set` says what should be there.
    assert_eq!(send_one(&mut shop, adjusted("A-4", "A", "decrease", 1, json!({}))).await, "applied");
    let version = shop.stock("A").await.version;
    assert_eq!(send_one(&mut shop, set("A-5", 11, version)).await, "refused over_max");
    assert_eq!(send_one(&mut shop, set("A-6", 10, version)).await, "applied");
    // Another maximum holds from then on.
    send_one(&mut shop, sku("A", json!({"max_stock": 12}))).await;
    assert_eq!(send_one(&mut shop, adjusted("A-7", "A", "increase", 2, json!({}))).await, "applied");
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_correction_of_what_nobody_registered_is_refused_and_creates_nothing() {
    let mut shop = stocked(&[("A", 10)]).await;
    let elsewhere = with(adjusted("A-1", "A", "increase", 1, json!({})), json!({}));
    let mut north = elsewhere.clone();
    north["data"]["location"] = json!("north");
    for (event, place) in [(adjusted("A-0", "X", "increase", 1, json!({})), "X"), (north, "A@north")] {
        let reference = event["data"]["adjustment_id"].as_str().unwrap().to_owned();
        assert_eq!(send_one(&mut shop, event).await, "refused unknown_sku");
        let expected = format!("refused, - (unknown_sku): {place} 1 -> 0 of 0 (unknown_sku)");
        assert_eq!(told(&shop, &reference).await, [expected]);
    }
    // Unknown comes before a wrong version.
    assert_eq!(send_one(&mut shop, adjusted("A-2", "X", "set", 1, json!({}))).await, "refused unknown_sku");
    assert_eq!(shop.kept().await.stock.len(), 1);
    send_one(&mut shop, sku("X", json!({}))).await;
    assert_eq!(send_one(&mut shop, adjusted("A-0", "X", "increase", 1, json!({}))).await, "applied");
    shop.assert_sound().await;
}

#[tokio::test]
async fn corrections_go_on_whatever_the_status() {
    let mut shop = Shop::open().await;
    for status in ["inactive", "locked"] {
        send_one(&mut shop, sku(status, json!({"initial": 5, "status": status}))).await;
        let name = |letter: &str| format!("{letter}-{status}");
        assert_eq!(send_one(&mut shop, adjusted(&name("A"), status, "increase", 4, json!({}))).await, "applied");
        assert_eq!(send_one(&mut shop, super::synced(&name("T"), status, -2)).await, "applied");
        let now = super::moment(&shop).await;
        assert_eq!(send_one(&mut shop, super::counted(&name("N"), status, 20, &now)).await, "applied");
        assert_eq!(shop.units(status).await.0, 20);
    }
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_set_that_changes_nothing_raises_nothing_and_counts_once_all_the_same() {
    let mut shop = stocked(&[("A", 10)]).await;
    let set = adjusted("A-1", "A", "set", 10, json!({"expected_version": 1}));
    assert_eq!(send_one(&mut shop, set).await, "ignored");
    assert_eq!((shop.stock("A").await.version, shop.announcements().await.len()), (1, 1));
    let other = adjusted("A-1", "A", "set", 4, json!({"expected_version": 1}));
    assert_eq!(send_one(&mut shop, other).await, "ignored");
    assert_eq!(shop.units("A").await.0, 10);
    shop.assert_sound().await;
}
