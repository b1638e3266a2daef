//! Alerts: lists of them, acknowledgements that meet batches, and how long they are kept.

use holdfast::domain::alert::{Alert, AlertState};
use holdfast::ports::{Acknowledgement, AlertFilter, AlertPlace, Watch};
use holdfast::store::Upkeep;
use serde_json::{Value, json};

use super::Shop;
use crate::shop::{Tampering, fresh, lines, ordered};

const DAY_SECONDS: i64 = 86_400;

/// A SKU that is normal above 5.
fn kept(sku: &str, location: &str) -> Value {
    fresh("sku-registered", json!({"sku": sku, "location": location, "initial": 10, "warning_threshold": 5}))
}

fn received(sku: &str, units: i64) -> Value {
    let receipt = uuid::Uuid::now_v7().to_string();
    fresh("stock-received", json!({"receipt_id": receipt, "lines": lines(&[(sku, units)])}))
}

/// Lets a SKU fall, by an order of a name.
fn fallen(sku: &str, name: &str) -> Value {
    ordered(name, &[(sku, 6)])
}

async fn page(shop: &Shop, filter: &AlertFilter, after: Option<&AlertPlace>, limit: u32) -> Vec<Alert> {
    shop.store.alerts(filter, after, limit).await.expect("the store should answer")
}

fn names(alerts: &[Alert]) -> Vec<String> {
    let name = |alert: &Alert| format!("{}@{} {}", alert.key.sku, alert.key.location, alert.state.as_str());
    alerts.iter().map(name).collect()
}

/// A shop with alerts of every state and several ages.
async fn watched() -> Shop {
    let mut shop = Shop::open().await;
    for (sku, age) in [("A", 400), ("B", 300), ("C", 200), ("D", 100)] {
        shop.send(vec![kept(sku, "default"), fallen(sku, &format!("O-{sku}"))]).await;
        shop.tamper(Tampering::AlertsAged { sku, seconds: age }).await;
    }
    // A is resolved and falls again, C is acknowledged, E falls elsewhere.
    shop.send(vec![received("A", 6)]).await;
    shop.tamper(Tampering::AlertsAged { sku: "A", seconds: 400 }).await;
    shop.send(vec![fallen("A", "O-A2")]).await;
    let of_c = AlertFilter { sku: Some("C".into()), ..AlertFilter::default() };
    let id = page(&shop, &of_c, None, 1).await[0].id;
    shop.store.acknowledge(id, Some("Ada")).await.expect("the store should answer");
    let line = json!([{"sku": "E", "location": "north", "quantity": 6}]);
    shop.send(vec![kept("E", "north"), fresh("order-created", json!({"order_id": "O-E", "lines": line}))]).await;
    shop.tamper(Tampering::AlertsAged { sku: "E", seconds: 50 }).await;
    shop
}

#[tokio::test]
async fn alerts_come_newest_first_narrowed_by_state_sku_and_location() {
    let shop = watched().await;
    let all = AlertFilter::default();
    let newest_first = [
        "A@default open",
        "E@north open",
        "D@default open",
        "C@default acknowledged",
        "B@default open",
        "A@default resolved",
    ];
    assert_eq!(names(&page(&shop, &all, None, 100).await), newest_first);
    let state = |state| AlertFilter { state: Some(state), ..AlertFilter::default() };
    let open = page(&shop, &state(AlertState::Open), None, 100).await;
    assert_eq!(names(&open), ["A@default open", "E@north open", "D@default open", "B@default open"]);
    assert_eq!(names(&page(&shop, &state(AlertState::Open), None, 2).await), newest_first[..2]);
    assert_eq!(names(&page(&shop, &state(AlertState::Acknowledged), None, 9).await), newest_first[3..4]);
    assert_eq!(names(&page(&shop, &state(AlertState::Resolved), None, 9).await), newest_first[5..]);
    let of_a = AlertFilter { sku: Some("A".into()), ..AlertFilter::default() };
    assert_eq!(names(&page(&shop, &of_a, None, 9).await), ["A@default open", "A@default resolved"]);
    let resolved_a = AlertFilter { state: Some(AlertState::Resolved), ..of_a.clone() };
    assert_eq!(names(&page(&shop, &resolved_a, None, 9).await), ["A@default resolved"]);
    let north = AlertFilter { location: Some("north".into()), ..AlertFilter::default() };
    assert_eq!(names(&page(&shop, &north, None, 9).await), ["E@north open"]);
    let nowhere = AlertFilter { location: Some("north".into()), ..of_a };
    assert!(page(&shop, &nowhere, None, 9).await.is_empty());
}

#[tokio::test]
async fn a_walk_over_alerts_meets_each_once_however_many_were_opened_at_one_moment() {
    let mut shop = Shop::open().await;
    let skus: Vec<String> = (0..13).map(|number| format!("S-{number:02}")).collect();
    shop.send(skus.iter().map(|sku| kept(sku, "default")).collect()).await;
    // One batch, one moment: only their ids tell them apart.
    shop.send(skus.iter().map(|sku| fallen(sku, &format!("O-{sku}"))).collect()).await;
    shop.tamper(Tampering::AlertsAged { sku: "S-04", seconds: 60 }).await;
    let open = AlertFilter { state: Some(AlertState::Open), ..AlertFilter::default() };
    for filter in [AlertFilter::default(), open] {
        let whole = page(&shop, &filter, None, 1_000).await;
        assert_eq!((whole.len(), whole[12].key.sku.as_str()), (13, "S-04"));
        assert!(whole.is_sorted_by(|one, other| (one.opened_at, one.id) > (other.opened_at, other.id)));
        for size in [1, 4, 13, 14] {
            let (mut walked, mut after): (Vec<Alert>, Option<AlertPlace>) = (Vec::new(), None);
            loop {
                let found = page(&shop, &filter, after.as_ref(), size).await;
                let Some(last) = found.last() else { break };
                after = Some(AlertPlace { opened_at: last.opened_at, id: last.id });
                walked.extend(found);
            }
            assert_eq!(walked, whole, "by {size}");
        }
    }
}

#[tokio::test]
async fn resolved_alerts_go_after_their_time_and_all_others_stay_however_old() {
    let mut shop = Shop::open().await;
    for sku in ["A", "B", "C"] {
        shop.send(vec![kept(sku, "default"), fallen(sku, &format!("O-{sku}"))]).await;
    }
    shop.send(vec![received("A", 6), received("B", 6)]).await;
    assert_eq!(shop.store.maintain().await.unwrap().alerts_deleted, 0, "they are young");
    for (sku, days) in [("A", 366), ("B", 364), ("C", 4_000)] {
        shop.tamper(Tampering::AlertsAged { sku, seconds: days * DAY_SECONDS }).await;
    }
    assert_eq!(shop.store.maintain().await.unwrap().alerts_deleted, 1);
    let left = page(&shop, &AlertFilter::default(), None, 10).await;
    assert_eq!(names(&left), ["B@default resolved", "C@default open"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_meet_batches_and_each_other_and_every_one_is_answered() {
    let mut shop = Shop::open().await;
    shop.send(vec![kept("A", "default"), fallen("A", "O-0")]).await;
    let id = page(&shop, &AlertFilter::default(), None, 1).await[0].id;
    let mut others = tokio::task::JoinSet::new();
    for name in ["Ada", "Bob", "Cleo"] {
        let other = Shop::at(shop.url.clone(), Default::default()).await;
        others.spawn(async move {
            for _ in 0..20 {
                let answer = other.store.acknowledge(id, Some(name)).await.expect("the store should answer");
                let Acknowledgement::Acknowledged(alert) = answer else { panic!("it is not resolved: {answer:?}") };
                assert_eq!(alert.state, AlertState::Acknowledged);
                assert!(alert.acknowledged_by.is_some() && alert.acknowledged_at.is_some());
            }
        });
    }
    // Worse and better all the time, and never normal.
    for round in 0..10 {
        shop.send_one(ordered(&format!("worse-{round}"), &[("A", 4)])).await;
        shop.send_one(received("A", 4)).await;
    }
    while let Some(joined) = others.join_next().await {
        joined.expect("nobody fails");
    }
    let left = page(&shop, &AlertFilter::default(), None, 10).await;
    assert_eq!((left.len(), left[0].id, left[0].level.as_str()), (1, id, "low"));
    shop.assert_sound().await;
}
