//! Alerts: opened and resolved as levels are announced, acknowledged by people.

use holdfast::domain::alert::{Alert, AlertState};
use holdfast::domain::rules::Rules;
use holdfast::ports::{Acknowledgement, AlertFilter, Watch};
use serde_json::{Value, json};

use super::{Shop, cancelled, cart, make_due, received, send, send_one, sku};
use crate::shop::ordered;

/// A SKU with thresholds 20 and 10 that has 100 units.
fn kept(name: &str) -> Value {
    sku(name, json!({"initial": 100, "warning_threshold": 20, "critical_threshold": 10}))
}

/// Sells or receives until so many units of A are available.
fn moved(from: i64, to: i64) -> Value {
    let name = format!("{from} to {to}, {}", uuid::Uuid::now_v7());
    if to < from { ordered(&name, &[("A", from - to)]) } else { received(&name, &[("A", to - from)]) }
}

/// Every alert, the oldest version first.
async fn alerts(shop: &Shop) -> Vec<Alert> {
    let mut found = shop.store.alerts(&AlertFilter::default(), None, 1_000).await.expect("the store should answer");
    found.sort_by(|one, other| (&one.key, one.version).cmp(&(&other.key, other.version)));
    found
}

/// Every alert as `sku level at available, version, state`.
async fn told(shop: &Shop) -> Vec<String> {
    let sentence = |alert: Alert| {
        let (sku, level, state) = (alert.key.sku, alert.level.as_str(), alert.state.as_str());
        format!("{sku} {level} at {}, version {}, {state}", alert.available, alert.version)
    };
    alerts(shop).await.into_iter().map(sentence).collect()
}

async fn only(shop: &Shop) -> Alert {
    let mut found = alerts(shop).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

async fn acknowledge(shop: &Shop, alert: &Alert, operator: Option<&str>) -> Acknowledgement {
    shop.store.acknowledge(alert.id, operator).await.expect("the store should answer")
}

async fn acknowledged(shop: &Shop, alert: &Alert, operator: Option<&str>) -> Alert {
    match acknowledge(shop, alert, operator).await {
        Acknowledgement::Acknowledged(alert) => alert,
        other => panic!("it should be acknowledged: {other:?}"),
    }
}

#[tokio::test]
async fn an_alert_opens_when_a_level_falls_follows_it_and_is_resolved_at_normal() {
    let mut shop = Shop::open().await;
    send_one(&mut shop, kept("A")).await;
    assert!(alerts(&shop).await.is_empty());
    let steps = [
        (21, None),
        (20, Some("A low at 20, version 3, open")),
        // The level is the same: nothing is announced.
        (15, Some("A low at 20, version 3, open")),
        (8, Some("A critical at 8, version 5, open")),
        (0, Some("A out at 0, version 6, open")),
        // Upwards, too, it is the same alert, until the level is normal.
        (11, Some("A low at 11, version 7, open")),
        (21, Some("A low at 11, version 7, open")),
        (22, Some("A low at 11, version 7, resolved")),
        (30, Some("A low at 11, version 7, resolved")),
    ];
    let (mut available, mut first) = (100, None);
    for (to, expected) in steps {
        send_one(&mut shop, moved(available, to)).await;
        available = to;
        assert_eq!(told(&shop).await, expected.into_iter().collect::<Vec<_>>(), "at {to}");
        let id = alerts(&shop).await.first().map(|alert| (alert.id, alert.opened_at));
        assert!(first.is_none() || first == id, "it stays the same alert");
        first = id;
    }
    let resolved = only(&shop).await;
    assert!(resolved.resolved_at.is_some_and(|at| at >= resolved.opened_at));
    // The next time is another alert.
    send_one(&mut shop, moved(30, 5)).await;
    assert_eq!(told(&shop).await, ["A low at 11, version 7, resolved", "A critical at 5, version 11, open"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_row_that_is_low_from_its_first_unit_on_opens_an_alert_and_one_without_units_does_not() {
    let mut shop = Shop::open().await;
    let thresholds = json!({"warning_threshold": 20, "critical_threshold": 10});
    send(&mut shop, vec![sku("A", thresholds.clone()), sku("B", thresholds)]).await;
    send_one(&mut shop, received("R-1", &[("A", 12)])).await;
    assert_eq!(told(&shop).await, ["A low at 12, version 2, open"]);
}

#[tokio::test]
async fn changed_thresholds_open_and_resolve_alerts_as_units_do() {
    let mut shop = Shop::open().await;
    send_one(&mut shop, kept("A")).await;
    send_one(&mut shop, sku("A", json!({"warning_threshold": 100}))).await;
    assert_eq!(told(&shop).await, ["A low at 100, version 2, open"]);
    send_one(&mut shop, sku("A", json!({"warning_threshold": 20}))).await;
    assert_eq!(told(&shop).await, ["A low at 100, version 2, resolved"]);
}

#[tokio::test]
async fn a_batch_leaves_the_alerts_that_its_events_leave_one_by_one() {
    // Falls, is resolved, falls again twice, is resolved, falls, becomes better.
    let path = [100, 20, 30, 9, 0, 22, 5, 15];
    let (mut together, mut apart) = (Shop::open().await, Shop::open().await);
    let mut events = vec![kept("A")];
    events.extend(path.windows(2).map(|step| moved(step[0], step[1])));
    for event in &events {
        send_one(&mut apart, event.clone()).await;
    }
    // The first fall alone, so that the batch finds an alert that is not resolved.
    let (before, rest) = events.split_at(2);
    send(&mut together, before.to_vec()).await;
    let opened = only(&together).await;
    send(&mut together, rest.to_vec()).await;
    let expected =
        ["A low at 20, version 2, resolved", "A out at 0, version 5, resolved", "A low at 15, version 8, open"];
    assert_eq!(told(&apart).await, expected);
    assert_eq!(told(&together).await, expected);
    assert_eq!(alerts(&together).await[0].id, opened.id);
    let ids = |alerts: Vec<Alert>| alerts.into_iter().map(|alert| alert.id).collect::<Vec<_>>();
    assert_eq!(ids(alerts(&together).await), ids(alerts(&apart).await), "ids follow from causes and rows");
}

#[tokio::test]
async fn an_alert_is_acknowledged_once_and_keeps_who_did_it() {
    let mut shop = Shop::open().await;
    send(&mut shop, vec![kept("A"), moved(100, 20)]).await;
    let open = only(&shop).await;
    let first = acknowledged(&shop, &open, Some("Ada")).await;
    assert_eq!((first.state, first.acknowledged_by.as_deref()), (AlertState::Acknowledged, Some("Ada")));
    assert!(first.acknowledged_at.is_some_and(|at| at >= first.opened_at));
    // By somebody else, later: it answers the same.
    assert_eq!(acknowledged(&shop, &open, Some("Bob")).await, first);
    assert_eq!(acknowledged(&shop, &open, None).await, first);
    assert_eq!(shop.store.alert(open.id).await.unwrap(), Some(first.clone()));
    // It changes neither stock nor what is announced.
    assert_eq!(shop.stock("A").await.version, 2);
    send_one(&mut shop, moved(20, 100)).await;
    let resolved = only(&shop).await;
    assert_eq!(resolved.acknowledged_by.as_deref(), Some("Ada"), "who looked after it stays");
    assert_eq!(acknowledge(&shop, &open, Some("Bob")).await, Acknowledgement::Resolved(resolved.clone()));
    assert_eq!(only(&shop).await, resolved);
    let other = holdfast::domain::alert::AlertId([7; 16]);
    assert_eq!(shop.store.acknowledge(other, None).await.unwrap(), Acknowledgement::Unknown);
    assert_eq!(shop.store.alert(other).await.unwrap(), None);
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_acknowledged_alert_that_becomes_worse_is_open_again_and_one_that_becomes_better_is_not() {
    let mut shop = Shop::open().await;
    send(&mut shop, vec![kept("A"), moved(100, 9)]).await;
    let alert = only(&shop).await;
    acknowledged(&shop, &alert, Some("Ada")).await;
    send_one(&mut shop, moved(9, 15)).await;
    let better = only(&shop).await;
    assert_eq!((better.state, better.level.as_str()), (AlertState::Acknowledged, "low"));
    assert_eq!(better.acknowledged_by.as_deref(), Some("Ada"));
    // Better, and then worse, in one batch.
    send(&mut shop, vec![moved(15, 8), moved(8, 15)]).await;
    let worse = only(&shop).await;
    assert_eq!((worse.state, worse.level.as_str()), (AlertState::Open, "low"), "it was critical in between");
    assert_eq!((worse.acknowledged_at, worse.acknowledged_by), (None, None));
    assert_eq!((worse.id, worse.opened_at), (alert.id, alert.opened_at));
    assert_eq!(acknowledged(&shop, &alert, None).await.state, AlertState::Acknowledged);
}

#[tokio::test]
async fn what_is_held_given_back_and_expires_moves_alerts_like_what_is_sold() {
    let mut shop = Shop::with_rules(super::deducting_on(holdfast::domain::rules::DeductOn::Shipped)).await;
    send_one(&mut shop, kept("A")).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 85)])).await;
    assert_eq!(told(&shop).await, ["A low at 15, version 2, open"]);
    make_due(&shop).await;
    assert_eq!(shop.sweep().await, 1);
    assert_eq!(told(&shop).await, ["A low at 15, version 2, resolved"]);
    send_one(&mut shop, ordered("O-1", &[("A", 95)])).await;
    send_one(&mut shop, cancelled("O-1")).await;
    assert_eq!(told(&shop).await, ["A low at 15, version 2, resolved", "A critical at 5, version 4, resolved"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn alerts_leave_the_holds_of_carts_out_where_levels_do() {
    let mut shop = Shop::with_rules(Rules { ignore_cart_holds: true, ..Rules::default() }).await;
    send_one(&mut shop, kept("A")).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 85)])).await;
    assert!(alerts(&shop).await.is_empty());
    send_one(&mut shop, sku("A", json!({"safety_stock": 81}))).await;
    assert_eq!(told(&shop).await, ["A low at 19, version 3, open"]);
}

#[tokio::test]
async fn rows_of_one_batch_have_alerts_of_their_own() {
    let mut shop = Shop::open().await;
    send(&mut shop, vec![kept("A"), kept("B"), kept("C")]).await;
    send_one(&mut shop, ordered("O-1", &[("C", 100), ("A", 85), ("B", 70)])).await;
    assert_eq!(told(&shop).await, ["A low at 15, version 2, open", "C out at 0, version 2, open"]);
    let ids: std::collections::BTreeSet<_> = alerts(&shop).await.into_iter().map(|alert| alert.id).collect();
    assert_eq!(ids.len(), 2);
    // The same delivery again changes nothing, and neither does what is refused.
    send_one(&mut shop, ordered("O-2", &[("A", 1_000)])).await;
    assert_eq!(told(&shop).await.len(), 2);
}
