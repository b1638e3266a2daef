//! The table of order states, read from the page a second time: each state, each event, and what must come of it.

use holdfast::domain::rules::DeductOn;
use serde_json::{Value, json};

use super::{
    Shop, cancelled, cancelled_part, confirmed, created, deducting_on, make_one_due, send_one, shipped, shipped_part,
    stocked_with,
};
use crate::shop::ordered;

use DeductOn::{Confirmed, Created, Shipped};

/// One cell: under these settings an order in this state meets this event. `outcome` and `state` are those of the one
/// answer; `-` where there is none, and then the state is the claim's.
struct Cell {
    deduct_on: DeductOn,
    state: &'static str,
    event: &'static str,
    outcome: &'static str,
    after: &'static str,
    /// Units of the order's SKU, of which there were 10: on_hand and order_reserved.
    units: (i64, i64),
}

const fn cell(
    deduct_on: DeductOn,
    state: &'static str,
    event: &'static str,
    outcome: &'static str,
    after: &'static str,
    units: (i64, i64),
) -> Cell {
    Cell { deduct_on, state, event, outcome, after, units }
}

/// Every order is for 4 of 10 units.
const CELLS: [Cell; 95] = [
    // none
    cell(Created, "none", "created", "granted", "deducted", (6, 0)),
    cell(Confirmed, "none", "created", "granted", "reserved", (10, 4)),
    cell(Shipped, "none", "created", "granted", "reserved", (10, 4)),
    cell(Created, "none", "created too many", "refused", "refused", (10, 0)),
    cell(Created, "none", "confirmed", "-", "awaited", (10, 0)),
    cell(Created, "none", "shipped", "-", "awaited", (10, 0)),
    cell(Created, "none", "cancelled", "-", "cancelled", (10, 0)),
    cell(Created, "none", "cancelled in part", "-", "awaited", (10, 0)),
    // reserved
    cell(Confirmed, "reserved", "created", "-", "reserved", (10, 4)),
    cell(Confirmed, "reserved", "created lower", "-", "reserved", (10, 4)),
    cell(Confirmed, "reserved", "created other", "conflict", "reserved", (10, 4)),
    cell(Confirmed, "reserved", "created higher", "-", "reserved", (10, 4)),
    cell(Confirmed, "reserved", "created higher other", "granted", "reserved", (10, 6)),
    cell(Confirmed, "reserved", "created too many", "refused", "reserved", (10, 4)),
    cell(Confirmed, "reserved", "confirmed", "confirmed", "deducted", (6, 0)),
    cell(Shipped, "reserved", "confirmed", "confirmed", "confirmed", (10, 4)),
    cell(Confirmed, "reserved", "shipped", "shipped", "shipped", (6, 0)),
    cell(Shipped, "reserved", "shipped", "shipped", "shipped", (6, 0)),
    cell(Confirmed, "reserved", "shipped in part", "shipped", "deducted", (9, 3)),
    cell(Shipped, "reserved", "shipped in part", "shipped", "deducted", (9, 3)),
    cell(Confirmed, "reserved", "cancelled", "cancelled", "cancelled", (10, 0)),
    cell(Confirmed, "reserved", "cancelled in part", "released", "reserved", (10, 3)),
    cell(Confirmed, "reserved", "cancelled lower", "-", "reserved", (10, 4)),
    cell(Confirmed, "reserved", "expiry", "expired", "expired", (10, 0)),
    cell(Shipped, "reserved", "expiry", "expired", "expired", (10, 0)),
    // confirmed
    cell(Shipped, "confirmed", "created", "-", "confirmed", (10, 4)),
    cell(Shipped, "confirmed", "created lower", "-", "confirmed", (10, 4)),
    cell(Shipped, "confirmed", "created other", "conflict", "confirmed", (10, 4)),
    cell(Shipped, "confirmed", "created higher", "-", "confirmed", (10, 4)),
    cell(Shipped, "confirmed", "created higher other", "granted", "confirmed", (10, 6)),
    cell(Shipped, "confirmed", "created too many", "refused", "confirmed", (10, 4)),
    cell(Shipped, "confirmed", "confirmed", "-", "confirmed", (10, 4)),
    cell(Shipped, "confirmed", "shipped", "shipped", "shipped", (6, 0)),
    cell(Shipped, "confirmed", "shipped in part", "shipped", "deducted", (9, 3)),
    cell(Shipped, "confirmed", "cancelled", "cancelled", "cancelled", (10, 0)),
    cell(Shipped, "confirmed", "cancelled in part", "released", "confirmed", (10, 3)),
    cell(Shipped, "confirmed", "expiry", "-", "confirmed", (10, 4)),
    // deducted
    cell(Created, "deducted", "created", "-", "deducted", (6, 0)),
    cell(Created, "deducted", "created lower", "-", "deducted", (6, 0)),
    cell(Created, "deducted", "created other", "conflict", "deducted", (6, 0)),
    cell(Created, "deducted", "created higher", "-", "deducted", (6, 0)),
    cell(Created, "deducted", "created higher other", "granted", "deducted", (4, 0)),
    cell(Confirmed, "deducted", "created higher other", "granted", "deducted", (4, 0)),
    cell(Created, "deducted", "created too many", "refused", "deducted", (6, 0)),
    cell(Created, "deducted", "confirmed", "confirmed", "deducted", (6, 0)),
    cell(Confirmed, "deducted", "confirmed", "-", "deducted", (6, 0)),
    cell(Created, "deducted", "shipped", "shipped", "shipped", (6, 0)),
    cell(Confirmed, "deducted", "shipped", "shipped", "shipped", (6, 0)),
    cell(Created, "deducted", "shipped in part", "shipped", "deducted", (6, 0)),
    cell(Created, "deducted", "cancelled", "cancelled", "cancelled", (10, 0)),
    cell(Created, "deducted", "cancelled in part", "released", "deducted", (7, 0)),
    cell(Confirmed, "deducted", "cancelled", "cancelled", "cancelled", (10, 0)),
    cell(Created, "deducted", "expiry", "-", "deducted", (6, 0)),
    // shipped
    cell(Created, "shipped", "created", "-", "shipped", (6, 0)),
    cell(Created, "shipped", "created lower", "-", "shipped", (6, 0)),
    cell(Created, "shipped", "created other", "conflict", "shipped", (6, 0)),
    cell(Created, "shipped", "created higher", "-", "shipped", (6, 0)),
    cell(Created, "shipped", "created higher other", "conflict", "shipped", (6, 0)),
    cell(Created, "shipped", "confirmed", "confirmed", "shipped", (6, 0)),
    cell(Created, "shipped", "shipped", "conflict", "shipped", (6, 0)),
    cell(Created, "shipped", "shipped again", "-", "shipped", (6, 0)),
    cell(Created, "shipped", "cancelled", "conflict", "shipped", (6, 0)),
    cell(Created, "shipped", "cancelled in part", "conflict", "shipped", (6, 0)),
    cell(Created, "shipped", "expiry", "-", "shipped", (6, 0)),
    // expired
    cell(Confirmed, "expired", "created", "-", "expired", (10, 0)),
    cell(Confirmed, "expired", "created lower", "-", "expired", (10, 0)),
    cell(Confirmed, "expired", "created other", "conflict", "expired", (10, 0)),
    cell(Confirmed, "expired", "created higher", "granted", "reserved", (10, 4)),
    cell(Confirmed, "expired", "created higher other", "granted", "reserved", (10, 6)),
    cell(Confirmed, "expired", "created too many", "refused", "refused", (10, 0)),
    cell(Confirmed, "expired", "confirmed", "confirmed", "deducted", (6, 0)),
    cell(Shipped, "expired", "confirmed", "confirmed", "confirmed", (10, 4)),
    cell(Confirmed, "expired and sold", "confirmed", "lost", "expired", (10, 8)),
    cell(Shipped, "expired", "shipped", "shipped", "shipped", (6, 0)),
    cell(Confirmed, "expired", "shipped", "shipped", "shipped", (6, 0)),
    cell(Shipped, "expired and sold", "shipped", "lost", "expired", (10, 8)),
    cell(Confirmed, "expired", "cancelled", "cancelled", "cancelled", (10, 0)),
    cell(Confirmed, "expired", "cancelled in part", "released", "expired", (10, 0)),
    cell(Confirmed, "expired", "expiry", "-", "expired", (10, 0)),
    // refused
    cell(Created, "refused", "created too many", "-", "refused", (10, 0)),
    cell(Created, "refused", "created", "conflict", "refused", (10, 0)),
    cell(Created, "refused", "created lower", "-", "refused", (10, 0)),
    cell(Created, "refused", "created higher other", "granted", "deducted", (4, 0)),
    cell(Created, "refused", "confirmed", "conflict", "refused", (10, 0)),
    cell(Created, "refused", "shipped", "conflict", "refused", (10, 0)),
    cell(Created, "refused", "cancelled", "cancelled", "cancelled", (10, 0)),
    cell(Created, "refused", "cancelled in part", "released", "refused", (10, 0)),
    // cancelled
    cell(Created, "cancelled", "created", "-", "cancelled", (10, 0)),
    cell(Created, "cancelled", "created lower", "-", "cancelled", (10, 0)),
    cell(Created, "cancelled", "created higher", "-", "cancelled", (10, 0)),
    cell(Created, "cancelled", "created other", "conflict", "cancelled", (10, 0)),
    cell(Created, "cancelled", "created higher other", "conflict", "cancelled", (10, 0)),
    cell(Created, "cancelled", "confirmed", "conflict", "cancelled", (10, 0)),
    cell(Created, "cancelled", "shipped", "conflict", "cancelled", (10, 0)),
    cell(Created, "cancelled", "cancelled in part", "-", "cancelled", (10, 0)),
];

/// The version of every order that a cell starts with.
const VERSION: i64 = 5;

fn asked(order: &str, version: i64, sku: &str, units: i64) -> Value {
    created(order, &[(sku, units)], json!({"order_version": version}))
}

/// Brings an order into a state.
async fn bring(shop: &mut Shop, order: &str, sku: &str, state: &str) {
    if state == "none" {
        return;
    }
    let units = if state == "refused" { 11 } else { 4 };
    send_one(shop, asked(order, VERSION, sku, units)).await;
    match state {
        "confirmed" => drop(send_one(shop, confirmed(order)).await),
        // With deduct_on = created it is there already.
        "deducted" if shop.order(order).await.state.as_str() == "reserved" => {
            send_one(shop, confirmed(order)).await;
        }
        "shipped" => drop(send_one(shop, shipped(order, "S-0")).await),
        "cancelled" => drop(send_one(shop, cancelled(order)).await),
        "expired" | "expired and sold" => expire(shop, order).await,
        _ => {}
    }
    if state == "expired and sold" {
        send_one(shop, ordered(&format!("other-{order}"), &[(sku, 8)])).await;
    }
    let stands = shop.order(order).await.state.as_str();
    assert_eq!(stands, state.trim_end_matches(" and sold"), "the order should have been brought there");
}

async fn expire(shop: &mut Shop, order: &str) {
    make_one_due(shop, order).await;
    shop.sweep().await;
}

async fn meet(shop: &mut Shop, order: &str, sku: &str, event: &str) {
    let event = match event {
        "created" => asked(order, VERSION, sku, 4),
        "created lower" => asked(order, VERSION - 1, sku, 4),
        "created other" => asked(order, VERSION, sku, 6),
        "created higher" => asked(order, VERSION + 1, sku, 4),
        "created higher other" => asked(order, VERSION + 1, sku, 6),
        // Of a refused order it is the same again.
        "created too many" if shop.claim_state(order).await.as_deref() == Some("refused") => {
            asked(order, VERSION, sku, 11)
        }
        "created too many" => asked(order, VERSION + 1, sku, 11),
        "confirmed" => confirmed(order),
        "shipped" => shipped(order, "S-1"),
        "shipped again" => shipped(order, "S-0"),
        "shipped in part" => shipped_part(order, "S-1", &[(sku, 1)]),
        "cancelled" => cancelled(order),
        "cancelled lower" => {
            super::with(cancelled(order), json!({"data": {"order_id": order, "order_version": VERSION - 1}}))
        }
        "cancelled in part" => cancelled_part(order, &[(sku, 1)]),
        "expiry" => return expire(shop, order).await,
        other => panic!("no event {other:?}"),
    };
    send_one(shop, event).await;
}

async fn check(shop: &mut Shop, number: usize, cell: &Cell) {
    let (order, sku) = (format!("O-{number}"), format!("SKU-{number}"));
    let place = format!("deduct_on {:?}: {} meets {}", cell.deduct_on, cell.state, cell.event);
    bring(shop, &order, &sku, cell.state).await;
    let before = shop.answers(&order).await.len();
    meet(shop, &order, &sku, cell.event).await;
    let answers = shop.answers(&order).await.split_off(before);
    let counters = shop.stock(&sku).await.counters;
    let (outcome, state) = match &answers[..] {
        [] => ("-", shop.order(&order).await.state.as_str()),
        [answer] => (answer.outcome.as_str(), answer.state.map_or("-", |state| state.as_str())),
        more => panic!("{place}: {more:?}"),
    };
    assert_eq!((outcome, state), (cell.outcome, cell.after), "{place}");
    assert_eq!(shop.order(&order).await.state.as_str(), cell.after, "{place}");
    assert_eq!((counters.on_hand, counters.order_reserved), cell.units, "{place}");
}

#[tokio::test]
async fn every_state_meets_every_event_as_the_table_says() {
    for deduct_on in [Created, Confirmed, Shipped] {
        let cells: Vec<(usize, &Cell)> =
            CELLS.iter().enumerate().filter(|(_, cell)| cell.deduct_on == deduct_on).collect();
        let names: Vec<String> = cells.iter().map(|(number, _)| format!("SKU-{number}")).collect();
        let units: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 10)).collect();
        let mut shop = stocked_with(deducting_on(deduct_on), &units).await;
        for (number, cell) in cells {
            check(&mut shop, number, cell).await;
        }
        shop.assert_sound().await;
    }
}
