//! What every event does: the rules of `docs/semantics.md`, one promise a test, through the engine on
//! every store: this module stands below each of them. Deliveries arrive twice by default.

mod alerts;
mod backorders;
mod carts;
mod corrections;
mod counts;
mod days;
mod delivery;
mod expiry;
mod given_on;
mod goods;
mod instants;
mod levels;
mod limits;
mod matrix;
mod orders_cancelled;
mod orders_created;
mod orders_fulfilled;
mod orders_overtaken;
mod races;
mod reconciliation;
mod reconciliation_outside;
mod returns;
mod shortages;
mod syncs;
mod waiting_orders;

use holdfast::domain::announce::{AnnouncementBody, Answer, AnswerLine, Holder};
use holdfast::domain::claim::ClaimKind;
use holdfast::domain::rules::{DeductOn, Rules};
use holdfast::domain::words::StockKey;
use holdfast::ports::{MovementView, Outcome, Queries, Store};
use serde_json::{Value, json};

use super::Shop;
use crate::shop::{Tampering, fresh, lines, registered};

/// A shop that keeps these SKUs at the default location.
pub async fn stocked(units: &[(&str, i64)]) -> Shop {
    stocked_with(Rules::default(), units).await
}

/// A shop under other rules that keeps these SKUs at the default location.
pub async fn stocked_with(rules: Rules, units: &[(&str, i64)]) -> Shop {
    let mut shop = Shop::with_rules(rules).await;
    if !units.is_empty() {
        send(&mut shop, units.iter().map(|(sku, initial)| registered(sku, *initial)).collect()).await;
    }
    shop
}

/// Rules under which orders reserve first.
pub fn deducting_on(deduct_on: DeductOn) -> Rules {
    Rules { deduct_on, ..Rules::default() }
}

/// Sends a batch, and then the same batch again: the repetition must find duplicates only, or bury what it buried.
/// Returns how each event ended the first time.
pub async fn send(shop: &mut Shop, events: Vec<Value>) -> Vec<String> {
    let first = words(&shop.send(events.clone()).await);
    for (first, again) in first.iter().zip(words(&shop.send(events).await)) {
        let buried = first.starts_with("dead_lettered").then_some(first.as_str());
        assert_eq!(again, buried.unwrap_or("duplicate"), "a repetition of what was {first}");
    }
    first
}

/// Sends one event twice. Returns how it ended the first time.
pub async fn send_one(shop: &mut Shop, event: Value) -> String {
    send(shop, vec![event]).await.remove(0)
}

/// Outcomes in words, with their reason.
pub fn words(outcomes: &[Outcome]) -> Vec<String> {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Refused(Some(reason)) => format!("refused {}", reason.as_str()),
        Outcome::DeadLettered { reason, .. } => format!("dead_lettered {}", reason.as_str()),
        other => other.as_str().to_owned(),
    };
    outcomes.iter().map(word).collect()
}

/// The answers to a reference so far, each as a sentence: `outcome, state (reason): lines`, a line as
/// `sku requested -> granted of available (reason), units wait`.
pub async fn told(shop: &Shop, reference: &str) -> Vec<String> {
    shop.answers(reference).await.iter().map(sentence).collect()
}

/// The last answer to a reference.
pub async fn last_told(shop: &Shop, reference: &str) -> String {
    told(shop, reference).await.pop().unwrap_or_else(|| panic!("{reference} should have been answered"))
}

/// An answer as a sentence.
pub fn sentence(answer: &Answer) -> String {
    let state = answer.state.map_or("-", |state| state.as_str());
    let reason = answer.reason.map_or_else(String::new, |reason| format!(" ({})", reason.as_str()));
    let lines: Vec<String> = answer.lines.iter().map(line_sentence).collect();
    format!("{}, {state}{reason}: {}", answer.outcome.as_str(), lines.join("; "))
}

fn line_sentence(line: &AnswerLine) -> String {
    let place = if line.key.location.as_str() == "default" { line.key.sku.to_string() } else { line.key.to_string() };
    let reason = line.reason.map_or_else(String::new, |reason| format!(" ({})", reason.as_str()));
    let waiting = if line.waiting > 0 { format!(", {} wait", line.waiting) } else { String::new() };
    format!("{place} {} -> {} of {}{reason}{waiting}", line.requested, line.granted, line.available)
}

/// The announcements of levels so far, each as `sku previous -> level at available`.
pub async fn levels(shop: &Shop) -> Vec<String> {
    let level = |body: AnnouncementBody| match body {
        AnnouncementBody::LowStock { key, level, previous_level, available, .. } => {
            Some(format!("{} {} -> {} at {available}", key.sku, previous_level.as_str(), level.as_str()))
        }
        AnnouncementBody::StockChanged { .. }
        | AnnouncementBody::ReservationResult(_)
        | AnnouncementBody::StockShortage { .. }
        | AnnouncementBody::StockDrift { .. } => None,
    };
    shop.announcements().await.into_iter().filter_map(|announcement| level(announcement.body)).collect()
}

/// The shortages told so far, each as `sku on_hand of reserved, short: claims`, a claim as `kind reference units`.
pub async fn shortages(shop: &Shop) -> Vec<String> {
    let shortage = |body: AnnouncementBody| match body {
        AnnouncementBody::StockShortage { key, on_hand, reserved, short, claims } => {
            let claim = |it: &Holder| format!("{} {} {}", it.claim.kind.as_str(), it.claim.reference, it.reserved);
            let claims: Vec<String> = claims.iter().map(claim).collect();
            Some(format!("{} {on_hand} of {reserved}, {short} short: {}", key.sku, claims.join("; ")))
        }
        AnnouncementBody::StockChanged { .. }
        | AnnouncementBody::LowStock { .. }
        | AnnouncementBody::StockDrift { .. }
        | AnnouncementBody::ReservationResult(_) => None,
    };
    shop.announcements().await.into_iter().filter_map(|announcement| shortage(announcement.body)).collect()
}

/// What the ledger says of a SKU, newest first, each as `kind on_hand -> on_hand`.
pub async fn ledger(shop: &Shop, sku: &str) -> Vec<String> {
    let movements = shop.store.movements(&StockKey::new(sku, "default"), None, 1_000).await.expect("a history");
    let sentence = |it: &MovementView| {
        format!("{} {} -> {}", it.kind.as_str(), it.after.on_hand - it.change.on_hand, it.after.on_hand)
    };
    movements.iter().map(sentence).collect()
}

/// Now by the database's clock, as an event says it; what is recorded after this comes later by that clock.
pub async fn moment(shop: &Shop) -> String {
    let now = shop.store.outbox_status().await.expect("the store should answer").now;
    shop.pass(1).await;
    holdfast::wire::instant::format(now)
}

/// Puts the deadlines of claims a second into the past, of all that have one.
pub async fn make_due(shop: &Shop) {
    shop.tamper(Tampering::Deadline { of: None, seconds: -1 }).await;
}

/// Puts the deadline of one reference a second into the past.
pub async fn make_one_due(shop: &Shop, reference: &str) {
    shop.tamper(Tampering::Deadline { of: Some(reference), seconds: -1 }).await;
}

/// How long a claim still lives, in seconds, by the database's clock.
pub async fn lives_for(shop: &Shop, kind: ClaimKind, reference: &str) -> i64 {
    let claim = shop.claim(kind, reference).await.unwrap_or_else(|| panic!("{reference} should be known"));
    let deadline = claim.expires_at.unwrap_or_else(|| panic!("{reference} should have a deadline"));
    let now = shop.store.outbox_status().await.expect("the store should answer").now;
    (deadline.0 - now.0 + 500_000).div_euclid(1_000_000)
}

/// `order-created` with more fields than the lines.
pub fn created(order: &str, wanted: &[(&str, i64)], fields: Value) -> Value {
    fresh("order-created", with(json!({"order_id": order, "lines": lines(wanted)}), fields))
}

/// `cart-updated` with a version.
pub fn cart(cart: &str, version: i64, wanted: &[(&str, i64)]) -> Value {
    fresh("cart-updated", json!({"cart_id": cart, "cart_version": version, "lines": lines(wanted)}))
}

/// `order-cancelled` of the whole order.
pub fn cancelled(order: &str) -> Value {
    fresh("order-cancelled", json!({"order_id": order}))
}

/// `order-cancelled` of some quantities, which are cumulative.
pub fn cancelled_part(order: &str, parts: &[(&str, i64)]) -> Value {
    fresh("order-cancelled", json!({"order_id": order, "lines": lines(parts)}))
}

/// `order-confirmed`.
pub fn confirmed(order: &str) -> Value {
    fresh("order-confirmed", json!({"order_id": order}))
}

/// `order-shipped` of everything that is left.
pub fn shipped(order: &str, shipment: &str) -> Value {
    fresh("order-shipped", json!({"order_id": order, "shipment_id": shipment}))
}

/// `order-shipped` of some quantities.
pub fn shipped_part(order: &str, shipment: &str, parts: &[(&str, i64)]) -> Value {
    fresh("order-shipped", json!({"order_id": order, "shipment_id": shipment, "lines": lines(parts)}))
}

/// `sku-registered` with more fields than the SKU.
pub fn sku(sku: &str, fields: Value) -> Value {
    fresh("sku-registered", with(json!({"sku": sku}), fields))
}

/// `stock-received`.
pub fn received(receipt: &str, units: &[(&str, i64)]) -> Value {
    fresh("stock-received", json!({"receipt_id": receipt, "lines": lines(units)}))
}

/// `stock-adjusted`.
pub fn adjusted(adjustment: &str, sku: &str, mode: &str, quantity: i64, fields: Value) -> Value {
    let data = json!({"adjustment_id": adjustment, "sku": sku, "mode": mode, "quantity": quantity, "reason": "found"});
    fresh("stock-adjusted", with(data, fields))
}

/// `stock-synced`.
pub fn synced(trace: &str, sku: &str, delta: i64) -> Value {
    fresh("stock-synced", json!({"trace_id": trace, "sku": sku, "delta": delta}))
}

/// `stock-counted`.
pub fn counted(count: &str, sku: &str, quantity: i64, counted_at: &str) -> Value {
    fresh("stock-counted", json!({"count_id": count, "sku": sku, "quantity": quantity, "counted_at": counted_at}))
}

/// `return-received`.
pub fn returned(id: &str, order: &str, units: &[(&str, i64)]) -> Value {
    fresh("return-received", json!({"return_id": id, "order_id": order, "lines": lines(units)}))
}

/// An event with another id: the same fact, told again.
pub fn retold(event: &Value) -> Value {
    with(event.clone(), json!({"id": uuid::Uuid::now_v7().to_string()}))
}

/// An object with more fields, or other values of the same.
pub fn with(mut object: Value, fields: Value) -> Value {
    let (Some(into), Value::Object(fields)) = (object.as_object_mut(), fields) else { panic!("both must be objects") };
    into.extend(fields);
    object
}
