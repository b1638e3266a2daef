//! What comes in: every event of the contract as plain data.

use std::collections::BTreeMap;

/// SKU and location.
pub type Place = (String, String);

/// Units of several places, in the order in which an event names them.
pub type Lines = Vec<(Place, i64)>;

/// Microseconds in a second: instants are microseconds, times to live are seconds.
pub const SECOND: i64 = 1_000_000;

/// The settings that the contract's rules ask for. Times are seconds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `orders.deduct_on`: `created`, `confirmed` or `shipped`.
    pub deduct_on: &'static str,
    /// `orders.ttl_s`.
    pub order_ttl: i64,
    /// `orders.max_waiting`.
    pub max_waiting: i64,
    /// `carts.hold`.
    pub carts_hold: bool,
    /// `carts.ttl_s`.
    pub cart_ttl: i64,
    /// `carts.max_hold_s`.
    pub cart_max_hold: i64,
    /// `carts.max_per_sku`.
    pub cart_cap: Option<i64>,
    /// `alerts.ignore_cart_holds`.
    pub ignore_cart_holds: bool,
    /// `counts.max_age_s`.
    pub count_max_age: i64,
    /// `max_clock_skew_s`.
    pub max_clock_skew: i64,
}

/// What made something happen, as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The event's type.
    pub kind: String,
    /// The event's id.
    pub id: String,
    /// Who told it.
    pub source: String,
    /// The order, cart or receipt.
    pub reference: Option<String>,
    /// `traceparent` and `tracestate`.
    pub trace: (Option<String>, Option<String>),
}

/// One event with where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its identity.
    pub cause: Cause,
    /// The event's time, if anybody knows it.
    pub time: Option<i64>,
    /// Whether the event itself carries the time, and not only when it arrived.
    pub own_time: bool,
    /// The content.
    pub input: Input,
}

/// `order-created`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The order.
    pub order: String,
    /// 0 when absent.
    pub version: Option<i64>,
    /// The cart that becomes the order.
    pub cart: Option<String>,
    /// `all`, `partial` or `backorder`.
    pub policy: &'static str,
    /// Shortens the reservation.
    pub ttl: Option<i64>,
    /// Units wanted.
    pub lines: Lines,
}

/// `sku-registered`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The row.
    pub place: Place,
    /// For people.
    pub name: Option<String>,
    /// Units kept back.
    pub safety_stock: Option<i64>,
    /// Of `low`.
    pub warning: Option<i64>,
    /// Of `critical`.
    pub critical: Option<i64>,
    /// The most that corrections may reach.
    pub max_stock: Option<i64>,
    /// `active`, `inactive` or `locked`.
    pub status: Option<&'static str>,
    /// Units at creation.
    pub initial: Option<i64>,
    /// Not above the last one: stale.
    pub version: Option<i64>,
}

/// `stock-adjusted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjusted {
    /// Its key.
    pub adjustment: String,
    /// The row.
    pub place: Place,
    /// `increase`, `decrease` or `set`.
    pub mode: &'static str,
    /// Units.
    pub quantity: i64,
    /// The row's version that the corrector saw.
    pub expected_version: Option<i64>,
    /// For people.
    pub reason: Option<String>,
    /// For people.
    pub operator: Option<String>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// `order-created`.
    Created(Created),
    /// `cart-updated`.
    CartUpdated { cart: String, version: Option<i64>, ttl: Option<i64>, lines: Lines },
    /// `order-cancelled`.
    Cancelled { order: String, version: Option<i64>, reason: Option<String>, lines: Option<Lines> },
    /// `order-confirmed`.
    Confirmed { order: String },
    /// `order-shipped`.
    Shipped { order: String, shipment: String, lines: Option<Lines> },
    /// `return-received`.
    Returned { returned: String, order: String, lines: Lines, resellable: bool },
    /// `sku-registered`.
    Registered(Registered),
    /// `stock-received`.
    Received { receipt: String, lines: Lines },
    /// `stock-adjusted`.
    Adjusted(Adjusted),
    /// `stock-synced`.
    Synced { trace: String, place: Place, delta: i64, reason: Option<String> },
    /// `stock-counted`.
    Counted { count: String, place: Place, quantity: i64, counted_at: i64 },
    /// The sweeper's own: the claim was seen with this deadline.
    Expired { kind: &'static str, reference: String, deadline: i64 },
}

/// The lines as a set: what "same lines" means.
pub fn asked(lines: &[(Place, i64)]) -> BTreeMap<Place, i64> {
    lines.iter().cloned().collect()
}
