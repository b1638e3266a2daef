//! Another system's figures: differences are told once, and settled by whose figure counts.

use holdfast::domain::event::{ReconciliationTask, Taking};
use holdfast::domain::words::StockKey;
use holdfast::ports::Queries;
use holdfast::reconcile::{Fix, Terms};
use serde_json::json;

use super::reconciliation::{by_hand, command, drifts};
use super::{cart, send_one, sku, stocked};
use crate::shop::{ordered, record};

fn terms(fix: Fix) -> Terms {
    Terms { source: "wms".into(), tolerance: 0, alert_threshold: None, fix }
}

fn take_theirs(max_amount: i64, may_raise: bool) -> Terms {
    terms(Fix::UseTheirs { max_amount, may_raise, decision: by_hand() })
}

#[tokio::test]
async fn another_system_differs_beyond_the_tolerance_and_is_told_once() {
    let mut shop = stocked(&[("A", 10), ("B", 10), ("C", 10)]).await;
    let terms = Terms { tolerance: 2, alert_threshold: Some(5), ..terms(Fix::None) };
    let figures = "sku,available\nA,8\nB,7\nC,4\n";
    let report = shop.compare(terms.clone(), figures).await;
    assert_eq!((report.rows, report.differing, report.alerts, report.changed), (3, 2, 1, 2));
    let told = ["B wms.available: 10, 7", "C wms.available: 10, 4"];
    assert_eq!(drifts(&shop).await, told);
    assert_eq!(shop.differences().await, told);
    let again = shop.compare(terms.clone(), figures).await;
    assert_eq!((again.differing, again.changed), (2, 0));
    assert_eq!(drifts(&shop).await, told, "one open difference, updated, not repeated");
    let report = shop.compare(terms, "sku,available\nA,10\nB,10\nC,6\n").await;
    assert_eq!((report.differing, report.changed, report.alerts), (1, 2, 0));
    assert_eq!(shop.differences().await, ["C wms.available: 10, 6"]);
    assert_eq!(drifts(&shop).await[2..], ["C wms.available: 10, 6"]);
    assert_eq!(shop.units("A").await.0, 10, "nothing is adjusted unless it is asked for");
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_absent_figure_is_missing_and_not_nothing() {
    let mut shop = stocked(&[("A", 0), ("B", 3)]).await;
    let elsewhere = json!({"sku": "A", "location": "north", "initial": 5});
    send_one(&mut shop, crate::shop::fresh("sku-registered", elsewhere)).await;
    let report = shop.compare(terms(Fix::None), "sku,available\nB,3\nX,1\n").await;
    assert_eq!((report.rows, report.missing, report.differing), (2, 1, 1), "north is not what it keeps");
    assert_eq!(report.unknown, [StockKey::new("X", "default")]);
    assert_eq!(shop.differences().await, ["A wms.available: 0, missing"]);
    assert_eq!(drifts(&shop).await, ["A wms.available: 0, missing"]);
    // A missing figure is never adjusted to.
    let report = shop.compare(take_theirs(100, true), "sku,available\nA,\nB,3\n").await;
    assert_eq!((report.adjusted, report.not_adjusted), (0, 1));
    assert_eq!(drifts(&shop).await.len(), 1);
}

#[tokio::test]
async fn a_snapshot_says_nothing_of_other_locations_also_where_a_difference_is_open() {
    let mut shop = stocked(&[("A", 5)]).await;
    let elsewhere = json!({"sku": "A", "location": "north", "initial": 5});
    send_one(&mut shop, crate::shop::fresh("sku-registered", elsewhere)).await;
    for _ in 0..3 {
        shop.compare(terms(Fix::None), "sku,location,available\nA,north,4\n").await;
        let report = shop.compare(take_theirs(100, false), "sku,location,available\nA,default,5\n").await;
        assert_eq!((report.rows, report.differing, report.missing, report.changed), (1, 0, 0, 0));
        assert_eq!((report.adjusted, report.not_adjusted), (0, 0), "nobody knows whether it is true still");
        assert_eq!(shop.differences().await, ["A wms.available: 5, 4"]);
    }
    assert_eq!(drifts(&shop).await.len(), 1, "told once");
    let report = shop.compare(take_theirs(100, false), "sku,location,available\nA,north,4\n").await;
    assert_eq!(report.adjusted, 1);
    shop.assert_sound().await;
}

#[tokio::test]
async fn ours_counts_once_it_is_decided_and_is_announced_again_once() {
    let mut shop = stocked(&[("A", 10)]).await;
    shop.compare(terms(Fix::None), "sku,available\nA,8\n").await;
    let report = shop.compare(terms(Fix::UseOurs(by_hand())), "sku,available\nA,8\n").await;
    assert_eq!(report.changed, 1);
    assert_eq!(drifts(&shop).await, ["A wms.available: 10, 8", "A wms.available: 10, 8 (use_ours)"]);
    shop.compare(terms(Fix::UseOurs(by_hand())), "sku,available\nA,8\n").await;
    shop.compare(terms(Fix::None), "sku,available\nA,8\n").await;
    assert_eq!(drifts(&shop).await.len(), 2, "it stays settled as long as it is the same difference");
    let open = shop.store.differences(&Default::default(), None, 10).await.unwrap();
    assert_eq!(open[0].1.settled.as_ref().map(|(_, decision)| decision.clone()), Some(by_hand()));
    shop.compare(terms(Fix::None), "sku,available\nA,7\n").await;
    assert_eq!(drifts(&shop).await[2..], ["A wms.available: 10, 7"], "another one is open again");
    assert_eq!(shop.units("A").await.0, 10);
}

#[tokio::test]
async fn theirs_is_taken_by_the_recorded_difference_and_no_further_than_allowed() {
    let mut shop = stocked(&[("A", 10), ("B", 10), ("C", 10)]).await;
    let figures = "sku,available\nA,7\nB,2\nC,12\n";
    let report = shop.compare(take_theirs(5, false), figures).await;
    assert_eq!((report.adjusted, report.not_adjusted), (1, 2), "too much, and upwards");
    assert_eq!((shop.units("A").await.0, shop.units("B").await.0, shop.units("C").await.0), (7, 10, 10));
    assert_eq!(shop.differences().await, ["B wms.available: 10, 2", "C wms.available: 10, 12"]);
    let movement = shop.store.movements(&StockKey::new("A", "default"), None, 1).await.unwrap().remove(0);
    assert_eq!((movement.kind.as_str(), movement.change.on_hand), ("adjust", -3));
    assert_eq!((movement.operator.as_deref(), movement.reason.as_deref()), (Some("ada"), Some("after the fire")));
    // A person may raise it.
    let report = shop.compare(take_theirs(8, true), figures).await;
    assert_eq!((report.adjusted, report.not_adjusted), (2, 0));
    assert_eq!((shop.units("B").await.0, shop.units("C").await.0), (2, 12));
    assert_eq!(shop.differences().await, [""; 0]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn theirs_is_not_taken_below_what_is_reserved_nor_above_what_the_row_may_have() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, sku("B", json!({"initial": 10, "max_stock": 11}))).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 8)])).await;
    let report = shop.compare(take_theirs(100, true), "sku,available\nA,-3\nB,15\n").await;
    let why: Vec<&str> = report.unadjusted.iter().map(|(_, why)| *why).collect();
    assert_eq!(why, ["insufficient_stock", "over_max"]);
    assert_eq!((shop.units("A").await.0, shop.units("B").await.0), (10, 10));
    shop.assert_sound().await;
}

#[tokio::test]
async fn theirs_is_taken_only_while_row_and_difference_are_as_they_were_recorded() {
    let mut shop = stocked(&[("A", 10)]).await;
    shop.compare(terms(Fix::None), "sku,available\nA,7\n").await;
    let taking = Taking {
        source: "wms".into(),
        ours: 10,
        theirs: 7,
        version: 1,
        max_amount: 5,
        may_raise: false,
        decision: by_hand(),
    };
    let take = |taking: Taking| command("A", ReconciliationTask::TakeTheirs(taking));
    let wrong = [
        Taking { theirs: 8, ..taking.clone() },
        Taking { version: 2, ..taking.clone() },
        Taking { source: "other".into(), ..taking.clone() },
    ];
    let refused = super::words(&shop.deliver(wrong.into_iter().map(take).collect()).await);
    assert_eq!(refused, ["refused version_mismatch"; 3]);
    // The same batch sells one before.
    let sale = record(ordered("O-1", &[("A", 1)]).to_string().into_bytes());
    let outcomes = shop.deliver(vec![sale, take(taking)]).await;
    assert_eq!(super::words(&outcomes), ["applied", "refused version_mismatch"]);
    assert_eq!(shop.units("A").await.0, 9);
    assert_eq!(shop.differences().await, ["A wms.available: 10, 7"], "the next comparison looks again");
    assert_eq!(drifts(&shop).await.len(), 1);
    shop.assert_sound().await;
}

#[tokio::test]
async fn what_one_look_settles_leaves_what_others_differ_in() {
    let mut shop = stocked(&[("A", 10)]).await;
    let of = |source: &str| Terms { source: source.into(), ..terms(Fix::None) };
    shop.compare(of("erp"), "sku,available\nA,6\n").await;
    shop.compare(of("wms"), "sku,available\nA,7\n").await;
    assert_eq!(super::words(&shop.deliver(vec![command("A", ReconciliationTask::CompareBooks)]).await), ["ignored"]);
    assert_eq!(shop.differences().await, ["A erp.available: 10, 6", "A wms.available: 10, 7"]);
    shop.compare(of("wms"), "sku,available\nA,10\n").await;
    assert_eq!(shop.differences().await, ["A erp.available: 10, 6"]);
}

#[tokio::test]
async fn theirs_is_taken_up_to_every_limit_and_not_beyond_whoever_asks_for_it() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, sku("B", json!({"initial": 10, "max_stock": 12}))).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 6)])).await;
    shop.compare(terms(Fix::None), "sku,available\nA,0\nB,12\n").await;
    let take = |sku: &str, ours, theirs, version, max_amount, may_raise| {
        let source = "wms".into();
        let taking = Taking { source, ours, theirs, version, max_amount, may_raise, decision: by_hand() };
        command(sku, ReconciliationTask::TakeTheirs(taking))
    };
    let outcomes = shop
        .deliver(vec![
            take("A", 4, 0, 2, 3, true),
            take("B", 10, 12, 1, 1, true),
            take("B", 10, 12, 1, 2, false),
            take("A", 4, 0, 2, 4, false),
            take("B", 10, 12, 1, 2, true),
        ])
        .await;
    assert_eq!(super::words(&outcomes), ["refused", "refused", "refused", "applied", "applied"]);
    assert_eq!((shop.units("A").await, shop.units("B").await.0), ((6, 6, 0, 0), 12));
}
