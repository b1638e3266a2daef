//! Reconciliation: differences are found, told once, settled and mended, each through the engine.

use std::sync::Arc;

use holdfast::domain::announce::AnnouncementBody;
use holdfast::domain::event::{Cause, Envelope, Event, Reconciliation, ReconciliationTask, ToldAt, Trace};
use holdfast::domain::reconciliation::Decision;
use holdfast::domain::rules::DeductOn;
use holdfast::domain::stock::{Counters, Level, Snapshot};
use holdfast::domain::words::StockKey;
use holdfast::ports::{Delivery, Queries};
use holdfast::reconcile::{BooksReport, Mended};
use holdfast::store::Upkeep;
use holdfast::wire::identity::{day_of_id, event_key, fingerprint};
use serde_json::json;

use super::{Shop, cart, created, deducting_on, received, send, send_one, sku, stocked, stocked_with};
use crate::shop::{Tampering, ordered, record};

/// What was told of differences so far, each as `sku source.field: ours, theirs`, with how it is settled.
pub async fn drifts(shop: &Shop) -> Vec<String> {
    let told = |body: AnnouncementBody| match body {
        AnnouncementBody::StockDrift { key, source, field, ours, theirs, resolution } => {
            let theirs = theirs.map_or_else(|| "missing".to_owned(), |theirs| theirs.to_string());
            let settled = resolution.map_or_else(String::new, |resolution| format!(" ({})", resolution.as_str()));
            Some(format!("{} {}.{}: {ours}, {theirs}{settled}", key.sku, source.as_str(), field.as_str()))
        }
        AnnouncementBody::StockChanged { .. }
        | AnnouncementBody::LowStock { .. }
        | AnnouncementBody::StockShortage { .. }
        | AnnouncementBody::ReservationResult(_) => None,
    };
    shop.announcements().await.into_iter().filter_map(|announcement| told(announcement.body)).collect()
}

/// What was told of changes of a SKU, in order.
async fn changes(shop: &Shop, sku: &str) -> Vec<(i64, Snapshot, Snapshot)> {
    let change = |body: AnnouncementBody| match body {
        AnnouncementBody::StockChanged { key, version, before, after } if key.sku.as_str() == sku => {
            Some((version, before, after))
        }
        _ => None,
    };
    shop.announcements().await.into_iter().filter_map(|announcement| change(announcement.body)).collect()
}

pub fn by_hand() -> Decision {
    Decision { operator: Some("ada".into()), reason: "after the fire".into() }
}

/// Repairs everything that can be.
async fn repair(shop: &mut Shop) -> Vec<(String, Mended)> {
    let mut mended = Vec::new();
    for planned in shop.survey().await {
        let name = planned.key.sku.to_string();
        mended.push((name, shop.mend(planned, by_hand()).await));
    }
    mended
}

/// How a rebuilding of A and a comparison of it in the same batch end.
async fn rebuilt_and_compared(shop: &mut Shop) -> Vec<String> {
    let version = shop.stock("A").await.version;
    let rebuild = ReconciliationTask::Rebuild { version, decision: by_hand() };
    super::words(&shop.deliver(vec![command("A", rebuild), command("A", ReconciliationTask::CompareBooks)]).await)
}

#[tokio::test]
async fn books_that_agree_are_silent() {
    let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 10), ("B", 5)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 2)])).await;
    send_one(&mut shop, ordered("O-1", &[("A", 3), ("B", 1)])).await;
    let before = shop.kept().await;
    assert_eq!(shop.reconcile().await, BooksReport { rows: 2, differing: 0, changed: 0 });
    assert_eq!(shop.kept().await, before, "nothing was written");
}

#[tokio::test]
async fn a_counter_that_differs_from_ledger_and_claims_is_told_once_and_settled_when_it_is_right_again() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 2)])).await;
    shop.tamper(Tampering::CartHeld { sku: "A", units: 5 }).await;
    let told = ["A ledger.cart_held: 5, 2", "A claims.cart_held: 5, 2"];
    assert_eq!(shop.reconcile().await.changed, 1);
    assert_eq!(drifts(&shop).await, told);
    let mut listed = told;
    listed.sort_unstable();
    assert_eq!(shop.differences().await, listed);
    // The next round finds it again and says nothing; nor when both sides moved together.
    assert_eq!(shop.reconcile().await, BooksReport { rows: 1, differing: 1, changed: 0 });
    send_one(&mut shop, cart("C-1", 2, &[("A", 3)])).await;
    assert_eq!(shop.reconcile().await.changed, 0);
    assert_eq!(drifts(&shop).await, told);
    assert_eq!(shop.differences().await, ["A claims.cart_held: 6, 3", "A ledger.cart_held: 6, 3"]);
    // Another difference is told again.
    shop.tamper(Tampering::CartHeld { sku: "A", units: 9 }).await;
    assert_eq!(shop.reconcile().await.changed, 1);
    assert_eq!(drifts(&shop).await[2..], ["A ledger.cart_held: 9, 3", "A claims.cart_held: 9, 3"]);
    shop.tamper(Tampering::CartHeld { sku: "A", units: 3 }).await;
    assert_eq!(shop.reconcile().await, BooksReport { rows: 1, differing: 0, changed: 1 });
    assert_eq!(shop.differences().await, [""; 0]);
    assert_eq!(drifts(&shop).await.len(), 4, "that it is gone is no difference");
    shop.assert_sound().await;
}

#[tokio::test]
async fn every_part_of_the_books_is_compared() {
    let mut shop = stocked(&[("A", 10), ("B", 10), ("C", 10), ("D", 10)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("C", 2)])).await;
    send_one(&mut shop, received("R-1", &[("D", 1)])).await;
    shop.tamper(Tampering::OnHand { sku: "A", units: 7 }).await;
    shop.tamper(Tampering::Level { sku: "B", level: Level::Critical }).await;
    shop.tamper(Tampering::SetAside { reference: "C-1", more: 1 }).await;
    shop.tamper(Tampering::MovementLost { sku: "D", version: 1 }).await;
    shop.reconcile().await;
    assert_eq!(
        shop.differences().await,
        [
            "A ledger.on_hand: 7, 10",
            "B thresholds.level: 1, 3",
            "C claims.cart_held: 2, 3",
            "D ledger.on_hand: 11, 1",
            "D ledger.version: 2, 1",
        ]
    );
    let counts = shop.store.difference_counts().await.unwrap();
    let counts: Vec<(&str, i64, i64)> =
        counts.iter().map(|count| (count.source.as_str(), count.open, count.alerts)).collect();
    assert_eq!(counts, [("claims", 1, 1), ("ledger", 3, 3), ("thresholds", 1, 1)], "every one is an alert");
}

#[tokio::test]
async fn two_reconcilers_tell_of_a_difference_once() {
    let mut shop = stocked(&[("A", 10)]).await;
    let mut other = Shop::at(shop.url.clone(), Default::default()).await;
    for units in 1..=10 {
        shop.tamper(Tampering::OnHand { sku: "A", units: 10 + units }).await;
        tokio::join!(shop.reconcile(), other.reconcile());
        assert_eq!(drifts(&shop).await.len(), usize::try_from(units).unwrap());
    }
}

#[tokio::test]
async fn orders_that_come_between_looking_and_locking_make_no_difference() {
    let mut shop = stocked(&[("A", 1_000)]).await;
    let mut other = Shop::at(shop.url.clone(), Default::default()).await;
    for round in 0..20 {
        let order = ordered(&format!("O-{round}"), &[("A", 1)]);
        tokio::join!(shop.send_one(order), other.reconcile());
    }
    assert_eq!(drifts(&shop).await, [""; 0]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_counter_that_was_changed_behind_our_back_is_set_back_by_a_movement_of_nothing() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 2)])).await;
    shop.tamper(Tampering::OnHand { sku: "A", units: 4 }).await;
    shop.reconcile().await;
    let planned = shop.survey().await;
    assert_eq!(planned.len(), 1);
    assert_eq!(planned[0].then.as_ref().unwrap().0.on_hand, 10);
    assert_eq!(shop.units("A").await.0, 4, "looking changes nothing");
    assert_eq!(repair(&mut shop).await, [("A".to_owned(), Mended::Done)]);
    assert_eq!(shop.units("A").await, (10, 2, 0, 8));
    assert_eq!(shop.differences().await, [""; 0]);
    // Subscribers saw 10 last: for them nothing has changed, and the ledger says who did it and why.
    let told = changes(&shop, "A").await;
    let [.., (_, _, last_seen), (version, before, after)] = told[..] else { panic!("{told:?}") };
    assert_eq!((version, before, after), (3, last_seen, last_seen));
    let movement = shop.store.movements(&StockKey::new("A", "default"), None, 1).await.unwrap().remove(0);
    assert_eq!((movement.kind.as_str(), movement.change), ("adjust", Counters::default()));
    assert_eq!((movement.operator.as_deref(), movement.reason.as_deref()), (Some("ada"), Some("after the fire")));
    assert_eq!(movement.cause.event_type.as_str(), "reconciliation");
    shop.assert_sound().await;
    assert_eq!(shop.survey().await, []);
}

#[tokio::test]
async fn a_counter_that_claims_say_otherwise_is_corrected_by_a_real_movement() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 2)])).await;
    // What the claim itself says is another check, which a person has to look at.
    shop.tamper(Tampering::SetAside { reference: "C-1", more: 3 }).await;
    repair(&mut shop).await;
    assert_eq!(shop.units("A").await, (10, 5, 0, 5));
    let (_, before, after) = *changes(&shop, "A").await.last().unwrap();
    assert_eq!(after.counters.since(&before.counters), Counters { cart_held: 3, ..Counters::default() });
    let checks = shop.store.verify(false).await.unwrap();
    let differing: Vec<&str> = checks.iter().filter(|check| check.differing > 0).map(|check| check.check).collect();
    assert_eq!(differing, ["what claim lines set aside is what their claims say"]);
}

#[tokio::test]
async fn what_a_repair_makes_available_goes_to_who_waits_and_is_in_the_books_behind_it() {
    let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 5)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 2)])).await;
    send_one(&mut shop, created("O-1", &[("A", 6)], json!({"policy": "backorder"}))).await;
    assert_eq!(shop.units("A").await, (5, 2, 3, 0));
    // The cart holds one less than the row and the ledger say.
    shop.tamper(Tampering::SetAside { reference: "C-1", more: -1 }).await;
    assert_eq!(rebuilt_and_compared(&mut shop).await, ["applied", "ignored"]);
    assert_eq!(shop.units("A").await, (5, 1, 4, 0));
    assert_eq!(shop.stock("A").await.waiting, 2);
    assert_eq!(drifts(&shop).await, [""; 0]);
}

#[tokio::test]
async fn a_repair_that_follows_the_claims_is_right_for_a_look_in_the_same_batch() {
    let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 10)]).await;
    send(&mut shop, vec![cart("C-1", 1, &[("A", 2)]), ordered("O-1", &[("A", 3)])]).await;
    shop.tamper(Tampering::SetAside { reference: "C-1", more: 1 }).await;
    shop.tamper(Tampering::SetAside { reference: "O-1", more: 2 }).await;
    assert_eq!(rebuilt_and_compared(&mut shop).await, ["applied", "ignored"]);
    assert_eq!(shop.units("A").await, (10, 3, 5, 2));
}

#[tokio::test]
async fn a_row_that_is_short_after_a_repair_is_no_fault() {
    let mut shop = stocked(&[("A", 5)]).await;
    send_one(&mut shop, cart("C-1", 1, &[("A", 5)])).await;
    shop.tamper(Tampering::SetAside { reference: "C-1", more: 3 }).await;
    assert_eq!(repair(&mut shop).await, [("A".to_owned(), Mended::Done)]);
    assert_eq!(shop.units("A").await, (5, 8, 0, -3));
    let checks = shop.store.verify(false).await.expect("the checks should run");
    let differing = |name: &str| checks.iter().find(|check| check.check == name).map(|check| check.differing);
    assert_eq!(differing("what is reserved is on hand"), Some(0));
    assert_eq!(super::shortages(&shop).await, [""; 0], "only counts and syncs tell of shortages");
}

#[tokio::test]
async fn a_level_is_set_to_what_thresholds_call_for_and_told() {
    let mut shop = stocked(&[]).await;
    send_one(&mut shop, sku("A", json!({"initial": 10, "warning_threshold": 5, "critical_threshold": 2}))).await;
    shop.tamper(Tampering::Level { sku: "A", level: Level::Critical }).await;
    assert_eq!(repair(&mut shop).await, [("A".to_owned(), Mended::Done)]);
    assert_eq!(shop.stock("A").await.level, Level::Normal);
    assert_eq!(super::levels(&shop).await, ["A critical -> normal at 10"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_version_that_the_ledger_does_not_know_goes_back_to_it() {
    for version in [1, 7] {
        let mut shop = stocked(&[("A", 10)]).await;
        send_one(&mut shop, received("R-1", &[("A", 1)])).await;
        send_one(&mut shop, received("R-2", &[("A", 1)])).await;
        shop.tamper(Tampering::Version { sku: "A", version }).await;
        assert_eq!(repair(&mut shop).await, [("A".to_owned(), Mended::Done)]);
        assert_eq!(shop.stock("A").await.version, 4);
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn a_ledger_with_gaps_is_said_to_be_beyond_repair() {
    let mut shop = stocked(&[("A", 10)]).await;
    send_one(&mut shop, received("R-1", &[("A", 1)])).await;
    shop.tamper(Tampering::MovementLost { sku: "A", version: 1 }).await;
    let planned = shop.survey().await;
    let why = planned[0].then.as_ref().unwrap_err().to_string();
    assert!(why.contains("has gaps") && why.contains("backup"), "{why}");
    let before = shop.kept().await;
    assert_eq!(repair(&mut shop).await, [("A".to_owned(), Mended::Irreparable)]);
    assert_eq!(shop.kept().await, before);
}

#[tokio::test]
async fn a_row_that_moved_since_it_was_seen_is_looked_at_again() {
    let mut shop = stocked(&[("A", 10)]).await;
    shop.tamper(Tampering::OnHand { sku: "A", units: 4 }).await;
    let planned = shop.survey().await.remove(0);
    send_one(&mut shop, received("R-1", &[("A", 5)])).await;
    assert_eq!(shop.mend(planned, by_hand()).await, Mended::Done);
    assert_eq!(shop.units("A").await.0, 15, "the receipt counts");
    shop.assert_sound().await;
    let planned = shop.survey().await;
    assert_eq!(planned, []);
}

/// A task of reconciliation as the engine gets it.
pub fn command(sku: &str, task: ReconciliationTask) -> Delivery {
    let event = Event::Reconciliation(Reconciliation { key: StockKey::new(sku, "default"), task });
    let id = uuid::Uuid::now_v7().to_string();
    Delivery::Command(Box::new(Envelope {
        cause: Arc::new(Cause {
            event_type: event.event_type(),
            id: id.as_str().into(),
            source: "holdfast".into(),
            reference: None,
        }),
        key: event_key(&id),
        told_at: ToldAt::Unknown,
        day: day_of_id(&id).unwrap(),
        fingerprint: fingerprint(&event),
        trace: Trace::default(),
        event,
    }))
}

#[tokio::test]
async fn what_the_same_batch_changes_before_is_in_the_books_that_it_is_compared_with() {
    let mut shop = stocked_with(deducting_on(DeductOn::Confirmed), &[("A", 10)]).await;
    let event = |event: serde_json::Value| record(event.to_string().into_bytes());
    let outcomes = shop
        .deliver(vec![
            event(cart("C-1", 1, &[("A", 2)])),
            event(ordered("O-1", &[("A", 3)])),
            command("A", ReconciliationTask::CompareBooks),
            event(received("R-1", &[("A", 5)])),
            command("A", ReconciliationTask::CompareBooks),
        ])
        .await;
    assert_eq!(super::words(&outcomes), ["applied", "applied", "ignored", "applied", "ignored"]);
    // A repair and what comes behind it in the same batch.
    shop.tamper(Tampering::OnHand { sku: "A", units: 40 }).await;
    let version = shop.stock("A").await.version;
    let outcomes = shop
        .deliver(vec![
            command("A", ReconciliationTask::CompareBooks),
            command("A", ReconciliationTask::Rebuild { version, decision: by_hand() }),
            event(received("R-2", &[("A", 1)])),
            command("A", ReconciliationTask::CompareBooks),
        ])
        .await;
    assert_eq!(super::words(&outcomes), ["applied", "applied", "applied", "ignored"]);
    assert_eq!(shop.units("A").await, (16, 2, 3, 11));
    assert_eq!(drifts(&shop).await, ["A ledger.on_hand: 40, 15"]);
    assert_eq!(shop.differences().await, [""; 0]);
    shop.assert_sound().await;
}
