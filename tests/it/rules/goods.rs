//! `sku-registered` and `stock-received`, and what a change of a stock row leaves behind.

use holdfast::domain::announce::AnnouncementBody;
use holdfast::domain::rules::DeductOn;
use holdfast::domain::stock::{Counters, Snapshot, Status, StockRow};
use serde_json::{Value, json};

use super::{
    Shop, cancelled, cart, confirmed, created, last_told, received, retold, send, send_one, sku, stocked, told,
};
use crate::shop::{fresh, ordered};

#[tokio::test]
async fn a_registration_creates_the_row_at_version_1_from_nothing() {
    let mut shop = Shop::open().await;
    let fields = json!({"name": "Apple", "initial": 9, "safety_stock": 2, "warning_threshold": 4,
        "critical_threshold": 1, "max_stock": 100, "sku_version": 7});
    assert_eq!(send_one(&mut shop, sku("A", fields)).await, "applied");
    let row = shop.stock("A").await;
    assert_eq!((row.version, row.sku_version, row.status, row.max_stock), (1, Some(7), Status::Active, Some(100)));
    assert_eq!((row.warning_threshold, row.critical_threshold, row.name.as_deref()), (4, 1, Some("Apple")));
    let announced = shop.announcements().await;
    assert_eq!(announced.len(), 1, "an applied stock event is answered by its change");
    let AnnouncementBody::StockChanged { version, before, after, .. } = &announced[0].body else {
        panic!("{announced:?}");
    };
    assert_eq!((*version, *before), (1, Snapshot::NOTHING));
    let counters = Counters { on_hand: 9, safety_stock: 2, ..Counters::default() };
    assert_eq!((after.counters, after.counters.available()), (counters, 7));
    // The initial units stand in the same movement.
    let movements = shop.kept().await.movements;
    assert_eq!(movements.iter().map(|movement| movement.change.on_hand).collect::<Vec<_>>(), [9]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_registration_changes_the_fields_that_it_names_and_no_other() {
    let mut shop = Shop::open().await;
    let all = json!({"name": "Apple", "initial": 9, "safety_stock": 2, "warning_threshold": 4, "critical_threshold": 1,
        "max_stock": 100, "status": "inactive"});
    send_one(&mut shop, sku("A", all)).await;
    let mut expected = shop.stock("A").await;
    type Change = fn(&mut StockRow);
    let changes: [(Value, Change); 7] = [
        (json!({"name": "Pear"}), |row| row.name = Some("Pear".into())),
        (json!({"warning_threshold": 5}), |row| row.warning_threshold = 5),
        (json!({"critical_threshold": 3}), |row| row.critical_threshold = 3),
        (json!({"max_stock": 50}), |row| row.max_stock = Some(50)),
        (json!({"status": "locked"}), |row| row.status = Status::Locked),
        (json!({"safety_stock": 0}), |row| row.counters.safety_stock = 0),
        (json!({"status": "active", "initial": 500}), |row| row.status = Status::Active),
    ];
    for (fields, change) in changes {
        assert_eq!(send_one(&mut shop, sku("A", fields.clone())).await, "applied", "{fields}");
        change(&mut expected);
        let row = shop.stock("A").await;
        (expected.version, expected.updated_at, expected.level) = (expected.version + 1, row.updated_at, row.level);
        assert_eq!(row, expected, "{fields}");
    }
    // Settings are movements without deltas; the safety stock is a number of the row.
    let movements = shop.kept().await.movements;
    assert_eq!(movements.iter().filter(|movement| movement.change == Counters::default()).count(), 6);
    assert!(told(&shop, "A").await.is_empty());
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_registration_that_changes_nothing_raises_nothing() {
    let mut shop = Shop::open().await;
    send_one(&mut shop, sku("A", json!({"initial": 9, "name": "Apple"}))).await;
    assert_eq!(send_one(&mut shop, sku("A", json!({"initial": 70, "name": "Apple"}))).await, "ignored");
    assert_eq!(send_one(&mut shop, sku("A", json!({}))).await, "ignored");
    // Only its version is news, and that is nobody's concern.
    send_one(&mut shop, sku("A", json!({"sku_version": 3}))).await;
    assert_eq!((shop.stock("A").await.version, shop.stock("A").await.sku_version), (1, Some(3)));
    assert_eq!(shop.announcements().await.len(), 1);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_registration_whose_version_is_not_above_the_last_is_stale() {
    let mut shop = Shop::open().await;
    let steps = [
        (json!({"sku_version": 5, "warning_threshold": 5}), "applied", 5),
        (json!({"sku_version": 4, "warning_threshold": 4}), "ignored", 5),
        (json!({"sku_version": 5, "warning_threshold": 6}), "ignored", 5),
        // One without a version is never stale, and does not lower the bar.
        (json!({"warning_threshold": 7}), "applied", 7),
        (json!({"sku_version": 5, "warning_threshold": 8}), "ignored", 7),
        (json!({"sku_version": 6, "warning_threshold": 9}), "applied", 9),
    ];
    for (fields, expected, threshold) in steps {
        assert_eq!(send_one(&mut shop, sku("A", fields.clone())).await, expected, "{fields}");
        assert_eq!(shop.stock("A").await.warning_threshold, threshold, "{fields}");
    }
    // Stale is judged before anything else.
    let stale = sku("A", json!({"sku_version": 1, "critical_threshold": 50}));
    assert_eq!(send_one(&mut shop, stale).await, "ignored");
    // Each location has its own versions.
    let elsewhere = sku("A", json!({"location": "north", "sku_version": 1}));
    assert_eq!(send_one(&mut shop, elsewhere).await, "applied");
}

#[tokio::test]
async fn a_critical_threshold_above_the_warning_threshold_is_refused() {
    let mut shop = Shop::open().await;
    let crossed = sku("A", json!({"warning_threshold": 1, "critical_threshold": 2, "sku_version": 3}));
    assert_eq!(send_one(&mut shop, crossed).await, "refused invalid_thresholds");
    assert!(shop.kept().await.stock.is_empty());
    let answer = shop.answers("A").await.remove(0);
    assert_eq!((answer.kind.as_str(), answer.request_version), ("stock", Some(3)));
    assert_eq!(told(&shop, "A").await, ["refused, - (invalid_thresholds): "]);
    // Also when it becomes so together with what stands; equal ones are fine.
    send_one(&mut shop, sku("A", json!({"warning_threshold": 5, "critical_threshold": 5}))).await;
    for fields in [json!({"warning_threshold": 4}), json!({"critical_threshold": 6})] {
        assert_eq!(send_one(&mut shop, sku("A", fields)).await, "refused invalid_thresholds");
    }
    assert_eq!(shop.stock("A").await.version, 1);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_receipt_is_applied_line_by_line_and_unknown_skus_are_named() {
    let mut shop = stocked(&[("A", 1), ("B", 1)]).await;
    assert_eq!(send_one(&mut shop, received("R-1", &[("A", 5), ("B", 2), ("A", 1)])).await, "applied");
    assert!(told(&shop, "R-1").await.is_empty());
    assert_eq!((shop.units("A").await.0, shop.units("B").await.0), (7, 3));
    assert_eq!(send_one(&mut shop, received("R-2", &[("A", 5), ("X", 2)])).await, "applied");
    assert_eq!(told(&shop, "R-2").await, ["partial, - (unknown_sku): A 5 -> 5 of 12; X 2 -> 0 of 0 (unknown_sku)"]);
    assert_eq!(shop.answers("R-2").await[0].kind.as_str(), "stock");
    assert_eq!(send_one(&mut shop, received("R-3", &[("X", 2), ("Y", 1)])).await, "refused unknown_sku");
    assert_eq!(
        told(&shop, "R-3").await,
        ["refused, - (unknown_sku): X 2 -> 0 of 0 (unknown_sku); Y 1 -> 0 of 0 (unknown_sku)"]
    );
    assert_eq!(shop.kept().await.stock.len(), 2);
    shop.assert_sound().await;
}

#[tokio::test]
async fn the_same_receipt_again_applies_only_lines_that_are_not_applied_yet() {
    let mut shop = stocked(&[("A", 0)]).await;
    let receipt = received("R-1", &[("A", 5), ("X", 2), ("Y", 1)]);
    send_one(&mut shop, receipt.clone()).await;
    // Nothing new can be applied.
    assert_eq!(send_one(&mut shop, retold(&receipt)).await, "refused unknown_sku");
    assert_eq!(
        last_told(&shop, "R-1").await,
        "refused, - (unknown_sku): X 2 -> 0 of 0 (unknown_sku); Y 1 -> 0 of 0 (unknown_sku)"
    );
    send_one(&mut shop, sku("X", json!({}))).await;
    assert_eq!(send_one(&mut shop, retold(&receipt)).await, "applied");
    assert_eq!(last_told(&shop, "R-1").await, "partial, - (unknown_sku): X 2 -> 2 of 2; Y 1 -> 0 of 0 (unknown_sku)");
    send_one(&mut shop, sku("Y", json!({}))).await;
    // Another quantity of a line that counted does not count again.
    assert_eq!(send_one(&mut shop, received("R-1", &[("A", 50), ("X", 2), ("Y", 1)])).await, "applied");
    assert_eq!(send_one(&mut shop, received("R-1", &[("A", 50)])).await, "ignored");
    assert_eq!(told(&shop, "R-1").await.len(), 3, "an applied receipt is answered by its changes");
    assert_eq!((shop.units("A").await.0, shop.units("X").await.0, shop.units("Y").await.0), (5, 2, 1));
    // A line is a SKU at a location.
    let north = json!({"sku": "A", "location": "north", "initial": 1});
    send_one(&mut shop, fresh("sku-registered", north)).await;
    let line = json!({"receipt_id": "R-1", "lines": [{"sku": "A", "location": "north", "quantity": 2}]});
    assert_eq!(send_one(&mut shop, fresh("stock-received", line)).await, "applied");
    shop.assert_sound().await;
}

#[tokio::test]
async fn goods_arrive_whatever_the_status_and_the_maximum() {
    let mut shop = Shop::open().await;
    for status in ["inactive", "locked"] {
        let fields = json!({"initial": 1, "max_stock": 2, "status": status});
        send_one(&mut shop, sku(status, fields)).await;
        assert_eq!(send_one(&mut shop, received(&format!("R-{status}"), &[(status, 100)])).await, "applied");
        assert_eq!(shop.units(status).await.0, 101);
        assert_eq!(send_one(&mut shop, ordered(&format!("O-{status}"), &[(status, 1)])).await, "refused not_sellable");
        assert_eq!(send_one(&mut shop, cart(&format!("C-{status}"), 1, &[(status, 1)])).await, "refused not_sellable");
    }
    shop.assert_sound().await;
}

#[tokio::test]
async fn every_change_is_one_version_one_movement_and_one_announcement_that_follow_from_each_other() {
    let mut shop = stocked(&[("A", 10), ("B", 10)]).await;
    let script = vec![
        cart("C-1", 1, &[("A", 4), ("B", 1)]),
        created("O-1", &[("A", 3)], json!({"cart_id": "C-1"})),
        sku("A", json!({"safety_stock": 1})),
        sku("A", json!({"name": "Apple"})),
        received("R-1", &[("A", 5), ("B", 5)]),
        ordered("O-2", &[("A", 50)]),
        confirmed("O-1"),
        cancelled("O-1"),
        cart("C-1", 1, &[("A", 4)]),
    ];
    send(&mut shop, script).await;
    assert_eq!((shop.stock("A").await.version, shop.stock("B").await.version), (7, 4));
    for name in ["A", "B"] {
        let mut last = Snapshot::NOTHING;
        let mut versions = Vec::new();
        for announcement in shop.announcements().await {
            let AnnouncementBody::StockChanged { key, version, before, after } = announcement.body else { continue };
            if key.sku.as_str() != name {
                continue;
            }
            assert_eq!(before, last, "{name} version {version}");
            last = after;
            versions.push(version);
        }
        let row = shop.stock(name).await;
        assert_eq!(versions, (1..=row.version).collect::<Vec<_>>());
        assert_eq!(last, row.snapshot());
    }
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_status_holds_from_its_change_on_and_what_was_set_aside_before_goes_on() {
    let mut shop = super::stocked_with(super::deducting_on(DeductOn::Shipped), &[("A", 10)]).await;
    send(&mut shop, vec![ordered("O-1", &[("A", 3)]), cart("C-1", 1, &[("A", 2)])]).await;
    for status in ["locked", "inactive"] {
        assert_eq!(send_one(&mut shop, sku("A", json!({"status": status}))).await, "applied");
        let AnnouncementBody::StockChanged { before, after, .. } = &shop.announcements().await.pop().unwrap().body
        else {
            panic!("a status is a change of the row")
        };
        assert_eq!((after.status.as_str(), before.counters), (status, after.counters));
        assert_ne!(before.status, after.status);
        let name = format!("O-{status}");
        assert_eq!(send_one(&mut shop, ordered(&name, &[("A", 1)])).await, "refused not_sellable");
        assert_eq!(send_one(&mut shop, cart(&format!("C-{status}"), 1, &[("A", 1)])).await, "refused not_sellable");
        // A cart keeps what it holds, and gets no more of it.
        assert_eq!(shop.units("A").await, (10, 2, 3, 5));
    }
    assert_eq!(send_one(&mut shop, cart("C-1", 2, &[("A", 3)])).await, "applied");
    assert_eq!(last_told(&shop, "C-1").await, "partial, held (not_sellable): A 3 -> 2 of 7 (not_sellable)");
    send(&mut shop, vec![confirmed("O-1"), super::shipped("O-1", "S-1"), cart("C-1", 3, &[("A", 1)])]).await;
    assert_eq!(shop.units("A").await, (7, 1, 0, 6));
    send_one(&mut shop, sku("A", json!({"status": "active"}))).await;
    assert_eq!(send_one(&mut shop, ordered("O-2", &[("A", 6)])).await, "applied");
    shop.assert_sound().await;
}

#[tokio::test]
async fn what_is_kept_back_from_sale_is_sold_to_nobody_and_may_be_more_than_there_is() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, sku("A", json!({"safety_stock": 4}))).await;
    assert_eq!(send_one(&mut shop, ordered("O-1", &[("A", 7)])).await, "refused insufficient_stock");
    assert_eq!(told(&shop, "O-1").await, ["refused, refused (insufficient_stock): A 7 -> 0 of 6 (insufficient_stock)"]);
    assert_eq!(send_one(&mut shop, ordered("O-2", &[("A", 6)])).await, "applied");
    assert_eq!(send_one(&mut shop, cart("C-1", 1, &[("A", 1)])).await, "refused insufficient_stock");
    assert_eq!(send_one(&mut shop, sku("A", json!({"safety_stock": 9}))).await, "applied");
    assert_eq!(shop.units("A").await, (4, 0, 0, -5));
    assert_eq!(send_one(&mut shop, sku("A", json!({"safety_stock": 1}))).await, "applied");
    assert_eq!(send_one(&mut shop, ordered("O-3", &[("A", 3)])).await, "applied");
    assert_eq!(shop.units("A").await, (1, 0, 0, 0));
    shop.assert_sound().await;
}
