//! From the domain's types to the model's: the only file that knows both. A new event, policy or field is one more arm here.

use std::collections::{BTreeMap, BTreeSet};

use holdfast::domain::announce::{Announcement, AnnouncementBody, Answer, AnswerLine, Movement};
use holdfast::domain::claim::{Claim, ClaimKind, ClaimLine};
use holdfast::domain::event::{Cause, Envelope, Event, Policy, ToldAt, Trace};
use holdfast::domain::rules::{DeductOn, Rules};
use holdfast::domain::stock::{Counters, Snapshot, StockRow};
use holdfast::domain::verdict::Verdict;
use holdfast::domain::words::{Line, StockKey};

use super::inputs::{Adjusted, Created, Input, Lines, Place, Registered, Settings, Told};
use super::model::{self, Row};
use super::outputs::{self, Body, Ended, Numbers, Seen};
use super::{inputs, model::World};

/// The settings that the domain's rules know. Counts are believed for the contract's default, a week.
pub fn settings(rules: &Rules) -> Settings {
    Settings {
        deduct_on: match rules.deduct_on {
            DeductOn::Created => "created",
            DeductOn::Confirmed => "confirmed",
            DeductOn::Shipped => "shipped",
        },
        order_ttl: rules.order_ttl_seconds,
        max_waiting: rules.order_max_waiting,
        carts_hold: rules.carts_hold,
        cart_ttl: rules.cart_ttl_seconds,
        cart_max_hold: rules.cart_max_hold_seconds,
        cart_cap: rules.cart_max_per_sku,
        ignore_cart_holds: rules.ignore_cart_holds,
        count_max_age: 604_800,
        max_clock_skew: 300,
    }
}

/// A stock key.
pub fn place(key: &StockKey) -> Place {
    (key.sku.as_str().to_owned(), key.location.as_str().to_owned())
}

fn lines(lines: &[Line]) -> Lines {
    lines.iter().map(|line| (place(&line.key), line.quantity)).collect()
}

fn cause(cause: &Cause, trace: &Trace) -> inputs::Cause {
    let text = |text: &std::sync::Arc<str>| text.to_string();
    inputs::Cause {
        kind: cause.event_type.as_str().to_owned(),
        id: text(&cause.id),
        source: text(&cause.source),
        reference: cause.reference.as_ref().map(ToString::to_string),
        trace: (trace.parent.as_ref().map(text), trace.state.as_ref().map(text)),
    }
}

/// A decoded event.
pub fn told(envelope: &Envelope) -> Told {
    Told {
        cause: cause(&envelope.cause, &envelope.trace),
        time: envelope.told_at.time().map(|time| time.0),
        own_time: matches!(envelope.told_at, ToldAt::Publisher(_)),
        input: input(&envelope.event),
    }
}

fn input(event: &Event) -> Input {
    match event {
        Event::OrderCreated(event) => Input::Created(Created {
            order: event.order.to_string(),
            version: event.version,
            cart: event.cart.as_ref().map(ToString::to_string),
            policy: match event.policy {
                Policy::All => "all",
                Policy::Partial => "partial",
                Policy::Backorder => "backorder",
            },
            ttl: event.ttl_seconds,
            lines: lines(&event.lines),
        }),
        Event::CartUpdated(event) => Input::CartUpdated {
            cart: event.cart.to_string(),
            version: event.version,
            ttl: event.ttl_seconds,
            lines: lines(&event.lines),
        },
        Event::OrderCancelled(event) => Input::Cancelled {
            order: event.order.to_string(),
            version: event.version,
            reason: event.reason.as_ref().map(ToString::to_string),
            lines: event.lines.as_deref().map(lines),
        },
        Event::OrderConfirmed { order } => Input::Confirmed { order: order.to_string() },
        Event::OrderShipped(event) => Input::Shipped {
            order: event.order.to_string(),
            shipment: event.shipment.to_string(),
            lines: event.lines.as_deref().map(lines),
        },
        Event::SkuRegistered(event) => Input::Registered(Registered {
            place: place(&event.key),
            name: event.name.as_ref().map(ToString::to_string),
            safety_stock: event.safety_stock,
            warning: event.warning_threshold,
            critical: event.critical_threshold,
            max_stock: event.max_stock,
            status: event.status.map(|status| status.as_str()),
            initial: event.initial,
            version: event.version,
        }),
        Event::StockReceived(event) => {
            Input::Received { receipt: event.receipt.to_string(), lines: lines(&event.lines) }
        }
        Event::ReturnReceived(event) => Input::Returned {
            returned: event.id.to_string(),
            order: event.order.to_string(),
            lines: lines(&event.lines),
            resellable: event.resellable,
        },
        Event::StockAdjusted(event) => Input::Adjusted(Adjusted {
            adjustment: event.adjustment.to_string(),
            place: place(&event.key),
            mode: event.mode.as_str(),
            quantity: event.quantity,
            expected_version: event.expected_version,
            reason: Some(event.reason.to_string()),
            operator: event.operator.as_ref().map(ToString::to_string),
        }),
        Event::StockSynced(event) => Input::Synced {
            trace: event.trace.to_string(),
            place: place(&event.key),
            delta: event.delta,
            reason: event.reason.as_ref().map(ToString::to_string),
        },
        Event::StockCounted(event) => Input::Counted {
            count: event.count.to_string(),
            place: place(&event.key),
            quantity: event.quantity,
            counted_at: event.counted_at.0,
        },
        // Reconciliation mends what was changed behind the rules' back; nobody does that here.
        Event::Reconciliation(event) => panic!("{} was reconciled", event.key),
        Event::ClaimExpired(event) => Input::Expired {
            kind: event.claim.kind.as_str(),
            reference: event.claim.reference.to_string(),
            deadline: event.deadline.0,
        },
    }
}

/// How the domain says that an event ended.
pub fn ended(verdict: Verdict) -> Ended {
    match verdict {
        Verdict::Applied => Ended::Applied,
        Verdict::Refused(reason) => Ended::Refused(reason.map(|reason| reason.as_str())),
        Verdict::Ignored => Ended::Ignored,
    }
}

fn numbers(counters: &Counters) -> Numbers {
    let Counters { on_hand, cart_held, order_reserved, safety_stock } = *counters;
    Numbers { on_hand, cart_held, order_reserved, safety_stock }
}

/// A ledger entry.
pub fn movement(movement: &Movement) -> outputs::Movement {
    outputs::Movement {
        place: place(&movement.key),
        version: movement.version,
        kind: movement.kind.as_str(),
        change: numbers(&movement.change),
        after: numbers(&movement.after),
        cause: cause(&movement.cause, &movement.trace),
        reason: movement.reason.as_ref().map(ToString::to_string),
        operator: movement.operator.as_ref().map(ToString::to_string),
    }
}

/// An announcement.
pub fn announcement(announcement: &Announcement) -> outputs::Announcement {
    let body = match &announcement.body {
        AnnouncementBody::StockChanged { key, version, before, after } => {
            Body::Changed { place: place(key), version: *version, before: seen(before), after: seen(after) }
        }
        AnnouncementBody::LowStock {
            key,
            version,
            level,
            previous_level,
            available,
            warning_threshold,
            critical_threshold,
        } => Body::Low {
            place: place(key),
            version: *version,
            from: previous_level.as_str(),
            to: level.as_str(),
            available: *available,
            warning: *warning_threshold,
            critical: *critical_threshold,
        },
        AnnouncementBody::ReservationResult(given) => Body::Answer(answer(given)),
        AnnouncementBody::StockShortage { key, on_hand, reserved, short, claims } => Body::Shortage {
            place: place(key),
            on_hand: *on_hand,
            reserved: *reserved,
            short: *short,
            claims: claims
                .iter()
                .map(|holder| (holder.claim.kind.as_str(), holder.claim.reference.to_string(), holder.reserved))
                .collect(),
        },
        AnnouncementBody::StockDrift { key, .. } => panic!("{key} differs from its books"),
    };
    outputs::Announcement { cause: cause(&announcement.cause, &announcement.trace), body }
}

fn seen(snapshot: &Snapshot) -> Seen {
    Seen { numbers: numbers(&snapshot.counters), status: snapshot.status.as_str(), level: snapshot.level.as_str() }
}

fn answer(answer: &Answer) -> outputs::Answer {
    let line = |line: &AnswerLine| outputs::AnswerLine {
        place: place(&line.key),
        requested: line.requested,
        granted: line.granted,
        available: line.available,
        waiting: line.waiting,
        reason: line.reason.map(|reason| reason.as_str()),
    };
    outputs::Answer {
        kind: answer.kind.as_str(),
        reference: answer.reference.to_string(),
        request_version: answer.request_version,
        outcome: answer.outcome.as_str(),
        state: answer.state.map(|state| state.as_str()),
        reason: answer.reason.map(|reason| reason.as_str()),
        lines: answer.lines.iter().map(line).collect(),
        expires_at: answer.expires_at.map(|time| time.0),
    }
}

/// A stock row.
pub fn row(row: &StockRow) -> Row {
    Row {
        name: row.name.as_ref().map(ToString::to_string),
        numbers: numbers(&row.counters),
        warning: row.warning_threshold,
        critical: row.critical_threshold,
        max_stock: row.max_stock,
        status: row.status.as_str(),
        level: row.level.as_str(),
        version: row.version,
        sku_version: row.sku_version,
    }
}

/// A claim as anybody can see it: without what either side keeps for itself to tell repetitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenClaim {
    /// The word of the contract.
    pub state: &'static str,
    /// The newest version.
    pub version: Option<i64>,
    /// Confirmed at some time.
    pub confirmed: bool,
    /// When it is given back.
    pub deadline: Option<i64>,
    /// requested, reserved, deducted, released, shipped, returned, waiting; rows of nothing but 0 are left out.
    pub lines: BTreeMap<Place, [i64; 7]>,
    /// The shipments that count.
    pub shipments: BTreeSet<String>,
    /// How many events wait for the order.
    pub remembered: usize,
}

/// Every claim by kind and reference.
pub type SeenClaims = BTreeMap<(&'static str, String), SeenClaim>;

fn without_nothing(lines: impl Iterator<Item = (Place, [i64; 7])>) -> BTreeMap<Place, [i64; 7]> {
    lines.filter(|(_, numbers)| *numbers != [0; 7]).collect()
}

/// A claim of the domain. A receipt's state is that it is there.
pub fn claim(claim: &Claim) -> SeenClaim {
    let numbers = |line: &ClaimLine| match claim.key.kind {
        ClaimKind::Receipt => [line.requested, 0, 0, 0, 0, 0, 0],
        // That it is there says that it counted; how much came back of what stands on the order.
        ClaimKind::Return | ClaimKind::Adjustment | ClaimKind::Sync | ClaimKind::Count => [0; 7],
        ClaimKind::Cart | ClaimKind::Order => {
            [line.requested, line.reserved, line.deducted, line.released, line.shipped, line.returned, line.waiting]
        }
    };
    SeenClaim {
        state: claim.state.as_str(),
        version: claim.version,
        confirmed: claim.confirmed,
        deadline: claim.expires_at.map(|time| time.0),
        lines: without_nothing(claim.lines.iter().map(|(key, line)| (place(key), numbers(line)))),
        shipments: claim.shipments.iter().map(ToString::to_string).collect(),
        remembered: claim.remembered.len(),
    }
}

/// The claims of the model, in the same form.
pub fn claims(world: &World) -> SeenClaims {
    let numbers = |line: &model::Line| {
        [line.requested, line.reserved, line.deducted, line.released, line.shipped, line.returned, line.waiting]
    };
    let seen = |claim: &model::Claim| SeenClaim {
        state: claim.state,
        version: claim.version,
        confirmed: claim.confirmed,
        deadline: claim.deadline,
        lines: without_nothing(claim.lines.iter().map(|(place, line)| (place.clone(), numbers(line)))),
        shipments: claim.shipments.clone(),
        remembered: claim.remembered.len(),
    };
    let receipt = |lines: &BTreeMap<Place, i64>| SeenClaim {
        lines: lines.iter().map(|(place, units)| (place.clone(), [*units, 0, 0, 0, 0, 0, 0])).collect(),
        ..seen(&model::Claim::new("received"))
    };
    let carts = world.carts.iter().map(|(name, claim)| (("cart", name.clone()), seen(claim)));
    let orders = world.orders.iter().map(|(name, claim)| (("order", name.clone()), seen(claim)));
    let receipts = world.receipts.iter().map(|(name, lines)| (("receipt", name.clone()), receipt(lines)));
    let counted = || seen(&model::Claim::new("received"));
    let returns = world.returns.keys().map(|name| (("return", name.clone()), counted()));
    let corrections = world.corrections.iter().map(|(kind, key)| {
        let kind = match *kind {
            "stock-adjusted" => "adjustment",
            "stock-synced" => "sync",
            _ => "count",
        };
        ((kind, key.clone()), counted())
    });
    carts.chain(orders).chain(receipts).chain(returns).chain(corrections).collect()
}

/// Since when whoever holds units of a row does so, by row and claim.
pub fn held_since(world: &World) -> BTreeMap<(Place, (&'static str, String)), Option<i64>> {
    let carts = world.carts.iter().map(|(name, claim)| (("cart", name), claim));
    let orders = world.orders.iter().map(|(name, claim)| (("order", name), claim));
    let mut since = BTreeMap::new();
    for ((kind, name), claim) in carts.chain(orders) {
        for (place, line) in claim.lines.iter().filter(|(_, line)| line.reserved > 0) {
            since.insert((place.clone(), (kind, name.clone())), line.held_since);
        }
    }
    since
}

/// The orders that wait for units of each row, in the order in which they began to.
pub fn waiting(world: &World) -> BTreeMap<Place, Vec<String>> {
    let mut places: BTreeMap<Place, BTreeMap<u64, String>> = BTreeMap::new();
    for (name, order) in &world.orders {
        for (place, line) in order.lines.iter().filter(|(_, line)| line.waiting > 0) {
            places.entry(place.clone()).or_default().insert(line.waits_since, name.clone());
        }
    }
    places.into_iter().map(|(place, orders)| (place, orders.into_values().collect())).collect()
}
