//! What a history reaches, in words: so that a generator that never comes to a rule is noticed.

use std::collections::BTreeMap;

use super::inputs::{Input, Told};
use super::model::World;
use super::outputs::{Body, Ended, Outcome};

/// How often each thing was met.
pub type Tally = BTreeMap<String, usize>;

/// The state that an event finds, and how: before it is applied.
pub fn meeting(world: &World, told: &Told) -> Option<String> {
    let (claim, how) = match &told.input {
        Input::Created(event) => {
            let order = world.orders.get(&event.order);
            let order_of = |known: i64| event.version.unwrap_or(0).cmp(&known);
            let how = match order.and_then(|order| order.version).map(order_of) {
                None => "created first",
                Some(std::cmp::Ordering::Less) => "created lower",
                Some(std::cmp::Ordering::Equal) => "created equal",
                Some(std::cmp::Ordering::Greater) => "created higher",
            };
            (order, how)
        }
        Input::Cancelled { order, lines: None, .. } => (world.orders.get(order), "cancelled"),
        Input::Cancelled { order, lines: Some(_), .. } => (world.orders.get(order), "cancelled in part"),
        Input::Confirmed { order } => (world.orders.get(order), "confirmed"),
        Input::Shipped { order, .. } => (world.orders.get(order), "shipped"),
        Input::Returned { order, .. } => (world.orders.get(order), "returned"),
        Input::CartUpdated { cart, .. } => (world.carts.get(cart), "cart updated"),
        Input::Expired { kind: "cart", reference, .. } => (world.carts.get(reference), "cart expired"),
        Input::Expired { reference, .. } => (world.orders.get(reference), "order expired"),
        Input::Registered(_)
        | Input::Received { .. }
        | Input::Adjusted(_)
        | Input::Synced { .. }
        | Input::Counted { .. } => return None,
    };
    Some(format!("{how} meets {}", claim.map_or("none", |claim| claim.state)))
}

/// What came of an event.
pub fn count(tally: &mut Tally, told: &Told, outcome: &Outcome) {
    let kind = &told.cause.kind;
    let mut met = |what: String| *tally.entry(what).or_default() += 1;
    let mut answered = false;
    for announcement in &outcome.announcements {
        match &announcement.body {
            Body::Changed { .. } => {}
            Body::Low { from, to, .. } => met(format!("level {from} to {to}")),
            Body::Answer(answer) => {
                let of_another = announcement.cause.reference.as_ref() != Some(&answer.reference);
                if answer.kind == "order" && of_another {
                    met(format!("{} serves who waits: {}", announcement.cause.kind, answer.outcome));
                    continue;
                }
                let told_before = if announcement.cause == told.cause { "" } else { " that waited" };
                answered |= told_before.is_empty();
                met(format!("{}{told_before}: {}", announcement.cause.kind, answer.outcome));
                for reason in answer.reason.iter().chain(answer.lines.iter().filter_map(|line| line.reason.as_ref())) {
                    met(format!("{}: {reason}", announcement.cause.kind));
                }
            }
            Body::Shortage { .. } => met(format!("{kind}: shortage")),
        }
    }
    match &outcome.ended {
        Ended::Ignored => met(format!("{kind}: nothing")),
        Ended::DeadLettered(reason) => met(format!("{kind}: {reason}")),
        Ended::Applied if !answered => met(format!("{kind}: silently")),
        Ended::Applied | Ended::Refused(_) => {}
    }
    for movement in &outcome.movements {
        met(format!("{} moves {}", movement.cause.kind, movement.kind));
    }
}

/// States in which an order can be found.
const ORDER_STATES: [&str; 9] =
    ["none", "awaited", "reserved", "confirmed", "deducted", "shipped", "refused", "expired", "cancelled"];
const CART_STATES: [&str; 5] = ["none", "held", "released", "converted", "expired"];

/// What every event that the core reads can come to, besides the states that it meets.
const ENDS: [(&str, &[&str]); 12] = [
    (
        "order-created",
        &[
            "granted",
            "partial",
            "refused",
            "cancelled",
            "conflict",
            "nothing",
            "unknown_sku",
            "not_sellable",
            "insufficient_stock",
            "closed",
        ],
    ),
    (
        "cart-updated",
        &[
            "granted",
            "partial",
            "refused",
            "released",
            "conflict",
            "nothing",
            "unknown_sku",
            "not_sellable",
            "too_old",
            "over_cap",
            "insufficient_stock",
            "closed",
        ],
    ),
    ("order-cancelled", &["cancelled", "released", "conflict", "nothing", "silently"]),
    (
        "order-confirmed",
        &["confirmed", "lost", "conflict", "nothing", "silently", "closed", "insufficient_stock", "not_sellable"],
    ),
    ("order-shipped", &["shipped", "lost", "conflict", "nothing", "silently", "closed", "insufficient_stock"]),
    ("sku-registered", &["refused", "nothing", "silently", "invalid_thresholds"]),
    ("stock-received", &["partial", "refused", "nothing", "silently", "unknown_sku"]),
    ("return-received", &["returned", "conflict", "nothing"]),
    (
        "stock-adjusted",
        &["refused", "nothing", "silently", "unknown_sku", "version_mismatch", "insufficient_stock", "over_max"],
    ),
    ("stock-synced", &["refused", "nothing", "silently", "shortage", "unknown_sku", "insufficient_stock"]),
    ("stock-counted", &["refused", "nothing", "silently", "shortage", "unknown_sku", "insufficient_stock"]),
    ("claim-expired", &["expired", "nothing"]),
];

/// Answers to what overtook its order.
const WAITED: [(&str, &[&str]); 3] = [
    ("order-cancelled", &["cancelled", "released", "conflict"]),
    ("order-confirmed", &["confirmed", "conflict"]),
    ("order-shipped", &["shipped", "conflict"]),
];

/// Kinds of movement. A change of `order-created` and a converted cart release.
const MOVEMENTS: [(&str, &[&str]); 12] = [
    ("order-created", &["reserve", "release", "deduct"]),
    ("cart-updated", &["reserve", "release"]),
    ("order-cancelled", &["release"]),
    ("order-confirmed", &["reserve", "deduct"]),
    ("order-shipped", &["reserve", "deduct"]),
    ("sku-registered", &["register"]),
    ("stock-received", &["restock"]),
    ("return-received", &["return"]),
    ("stock-adjusted", &["adjust"]),
    ("stock-synced", &["adjust"]),
    ("stock-counted", &["count"]),
    ("claim-expired", &["release"]),
];

/// What brings units that go to who waits.
const SERVE: [&str; 10] = [
    "stock-received",
    "stock-adjusted",
    "stock-synced",
    "stock-counted",
    "return-received",
    "sku-registered",
    "cart-updated",
    "order-created",
    "order-cancelled",
    "claim-expired",
];

/// Everything that random histories must come to.
pub fn expected() -> Vec<String> {
    let mut expected = Vec::new();
    for state in ORDER_STATES {
        let events = ["confirmed", "shipped", "cancelled", "cancelled in part", "returned", "order expired"];
        expected.extend(events.map(|event| format!("{event} meets {state}")));
        match state {
            "none" | "awaited" => expected.push(format!("created first meets {state}")),
            _ => expected.extend(["lower", "equal", "higher"].map(|how| format!("created {how} meets {state}"))),
        }
    }
    expected.push("created first meets cancelled".to_owned());
    for state in CART_STATES {
        expected.extend([format!("cart updated meets {state}"), format!("cart expired meets {state}")]);
    }
    let all = |table: &[(&str, &[&str])], between: &str| -> Vec<String> {
        table.iter().flat_map(|(kind, ends)| ends.iter().map(move |end| format!("{kind}{between}{end}"))).collect()
    };
    expected.extend(all(&ENDS, ": "));
    expected.extend(all(&WAITED, " that waited: "));
    expected.extend(all(&MOVEMENTS, " moves "));
    for kind in SERVE {
        expected.extend(["granted", "partial"].map(|outcome| format!("{kind} serves who waits: {outcome}")));
    }
    for from in ["normal", "low", "critical", "out"] {
        let others = ["normal", "low", "critical", "out"].into_iter().filter(|to| *to != from);
        expected.extend(others.map(|to| format!("level {from} to {to}")));
    }
    expected.extend(["low", "critical", "out"].map(|to| format!("level unstocked to {to}")));
    expected
}
