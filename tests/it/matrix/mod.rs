//! The matrix of `docs/semantics.md`, section 10: each row a test with its sentence for a name, through a whole worker
//! on every store and bus: this module stands below each of them.

mod bad_input;
mod changes;
mod overtaken;
mod races;
mod rows;
mod same_events;
mod starts;

use serde_json::{Value, json};

use crate::market::{EventRecord, of};
use crate::shop::{event, fresh, lines};

/// Events on the topics of their types.
fn all(events: &[Value]) -> Vec<EventRecord> {
    events.iter().map(of).collect()
}

/// An event with another id: the same fact, told again.
fn retold(event: &Value) -> Value {
    let mut again = event.clone();
    again["id"] = json!(uuid::Uuid::now_v7().to_string());
    again
}

/// `order-created` with a version.
fn version(order: &str, version: i64, wanted: &[(&str, i64)]) -> Value {
    fresh("order-created", json!({"order_id": order, "order_version": version, "lines": lines(wanted)}))
}

/// `cart-updated` with a version.
fn cart(cart: &str, version: i64, wanted: &[(&str, i64)]) -> Value {
    fresh("cart-updated", json!({"cart_id": cart, "cart_version": version, "lines": lines(wanted)}))
}

/// `order-created` that takes a cart over.
fn of_cart(order: &str, cart: &str, wanted: &[(&str, i64)]) -> Value {
    fresh("order-created", json!({"order_id": order, "cart_id": cart, "lines": lines(wanted)}))
}

/// `order-created` that waits for what is missing.
fn backordered(order: &str, wanted: &[(&str, i64)]) -> Value {
    fresh("order-created", json!({"order_id": order, "policy": "backorder", "lines": lines(wanted)}))
}

/// `order-confirmed`.
fn confirmed(order: &str) -> Value {
    fresh("order-confirmed", json!({"order_id": order}))
}

/// `order-cancelled` of the whole order.
fn cancelled(order: &str) -> Value {
    fresh("order-cancelled", json!({"order_id": order}))
}

/// `order-cancelled` of some quantities.
fn cancelled_part(order: &str, parts: &[(&str, i64)]) -> Value {
    fresh("order-cancelled", json!({"order_id": order, "lines": lines(parts)}))
}

/// `order-shipped` of everything that is left.
fn shipped(order: &str, shipment: &str) -> Value {
    fresh("order-shipped", json!({"order_id": order, "shipment_id": shipment}))
}

/// `stock-received`.
fn received(receipt: &str, units: &[(&str, i64)]) -> Value {
    fresh("stock-received", json!({"receipt_id": receipt, "lines": lines(units)}))
}

/// An order under an id of the test's own, told at some time.
fn told_at(id: &str, time: &str, order: &str, wanted: &[(&str, i64)]) -> Value {
    let mut told = event("order-created", id, json!({"order_id": order, "lines": lines(wanted)}));
    told["time"] = json!(time);
    told
}
