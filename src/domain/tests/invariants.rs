//! What must hold of the rows, the ledger and the announcements after any history.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::shelf::Shelf;
use crate::domain::announce::{AnnouncementBody, AnswerKind, AnswerOutcome, MovementKind};
use crate::domain::claim::{Claim, ClaimKind, ClaimState};
use crate::domain::event::{Cause, Event, EventType};
use crate::domain::rules::Rules;
use crate::domain::stock::{Counters, Level, Snapshot, Status};
use crate::domain::words::{Reference, StockKey};

/// Panics with what does not hold.
pub(super) fn assert_sound(shelf: &Shelf, rules: &Rules) {
    assert_counters(shelf);
    assert_ledger(shelf);
    assert_stream(shelf);
    assert_levels(shelf, rules);
    for claim in shelf.claims.values() {
        assert_claim(claim);
    }
    assert_shortages(shelf);
    assert_answers(shelf);
    assert_waiting(shelf, rules);
}

fn sums(shelf: &Shelf, kind: ClaimKind, key: &StockKey) -> (i64, i64) {
    let claims = shelf.claims.values().filter(|claim| claim.key.kind == kind);
    let lines = claims.filter_map(|claim| claim.lines.get(key));
    lines.fold((0, 0), |(reserved, deducted), line| (reserved + line.reserved, deducted + line.deducted))
}

/// No unit is lost or made: what came in is on hand or went out with an order.
fn assert_counters(shelf: &Shelf) {
    for (key, row) in &shelf.stock {
        let counters = row.counters;
        let Counters { on_hand, cart_held, order_reserved, safety_stock } = counters;
        assert!(on_hand >= 0 && cart_held >= 0 && order_reserved >= 0 && safety_stock >= 0, "{row:?}");
        assert!(
            counters.reserved() <= on_hand || is_known_short(shelf, key),
            "more is reserved than there is: {row:?}"
        );
        let (carts, orders) = (sums(shelf, ClaimKind::Cart, key), sums(shelf, ClaimKind::Order, key));
        assert_eq!((cart_held, order_reserved), (carts.0, orders.0), "what claims hold of {key}");
        let received = |claim: &Claim| claim.lines.get(key).map_or(0, |line| line.requested);
        let receipts = shelf.claims.values().filter(|claim| claim.key.kind == ClaimKind::Receipt);
        let initial = shelf.movements.iter().find(|movement| movement.key == *key).map_or(0, |m| m.change.on_hand);
        let corrections = || shelf.movements.iter().filter(|it| it.key == *key && is_correction(it.kind));
        // What goes on to an order in the same event shows in no number of the ledger's.
        if corrections().any(|movement| served_an_order(shelf, &movement.cause)) {
            continue;
        }
        let corrected: i64 = corrections().map(|movement| movement.change.on_hand).sum();
        let came_in = initial + receipts.map(received).sum::<i64>() + corrected;
        assert_eq!(on_hand + orders.1, came_in, "where the units of {key} are");
    }
}

/// What comes back of an order is still counted as deducted for it.
fn is_correction(kind: MovementKind) -> bool {
    matches!(kind, MovementKind::Adjust | MovementKind::Count | MovementKind::Return)
}

/// Whether an order that waited was answered by an event that is no order's.
fn served_an_order(shelf: &Shelf, cause: &Cause) -> bool {
    shelf.announcements.iter().any(|announcement| match &announcement.body {
        AnnouncementBody::ReservationResult(answer) => {
            *announcement.cause == *cause && answer.kind == AnswerKind::Order
        }
        AnnouncementBody::StockChanged { .. }
        | AnnouncementBody::LowStock { .. }
        | AnnouncementBody::StockShortage { .. }
        | AnnouncementBody::StockDrift { .. } => false,
    })
}

/// Whether what last made a row shorter was told by somebody who looked.
fn is_known_short(shelf: &Shelf, key: &StockKey) -> bool {
    let mut newest_first = shelf.movements.iter().rev().filter(|movement| movement.key == *key);
    newest_first
        .find(|movement| movement.change.reserved() > movement.change.on_hand)
        .is_some_and(|it| matches!(it.cause.event_type, EventType::StockCounted | EventType::StockSynced))
}

/// A shortage is told by each count and each sync that leaves one and by nothing else, with everybody who holds units.
fn assert_shortages(shelf: &Shelf) {
    let mut expected = Vec::new();
    let mut announced = Vec::new();
    for announcement in &shelf.announcements {
        let by = announcement.cause.event_type;
        match &announcement.body {
            AnnouncementBody::StockChanged { key, after: Snapshot { counters, .. }, .. } => {
                let looked = matches!(by, EventType::StockCounted | EventType::StockSynced);
                if looked && counters.reserved() > counters.on_hand {
                    expected.push((&announcement.cause.id, key, counters.on_hand, counters.reserved()));
                }
            }
            AnnouncementBody::StockShortage { key, on_hand, reserved, short, claims } => {
                announced.push((&announcement.cause.id, key, *on_hand, *reserved));
                assert_eq!(*short, reserved - on_hand);
                assert_eq!(claims.iter().map(|holder| holder.reserved).sum::<i64>(), *reserved, "{claims:?}");
            }
            AnnouncementBody::LowStock { .. }
            | AnnouncementBody::ReservationResult(_)
            | AnnouncementBody::StockDrift { .. } => {}
        }
    }
    assert_eq!(announced, expected);
}

fn assert_ledger(shelf: &Shelf) {
    let mut last: BTreeMap<&StockKey, (i64, Counters)> = BTreeMap::new();
    for movement in &shelf.movements {
        let (version, counters) = last.entry(&movement.key).or_default();
        *version += 1;
        assert_eq!(movement.version, *version, "versions of {} have no hole", movement.key);
        assert_eq!(movement.change, movement.after.since(counters), "{movement:?}");
        *counters = movement.after;
    }
    for (key, row) in &shelf.stock {
        assert_eq!(last.remove(key), Some((row.version, row.counters)), "the ledger of {key} ends at its row");
    }
    assert!(last.is_empty(), "{last:?}");
}

/// A subscriber who has only the stream knows every row.
fn assert_stream(shelf: &Shelf) {
    let mut rows: BTreeMap<&StockKey, (i64, Snapshot)> = BTreeMap::new();
    for announcement in &shelf.announcements {
        let AnnouncementBody::StockChanged { key, version, before, after } = &announcement.body else { continue };
        let (last_version, last) = rows.get(key).copied().unwrap_or((0, Snapshot::NOTHING));
        assert_eq!((last_version + 1, last), (*version, *before), "{key} goes on where it was");
        rows.insert(key, (*version, *after));
    }
    for (key, row) in &shelf.stock {
        assert_eq!(rows.remove(key), Some((row.version, row.snapshot())), "{key} as the stream knows it");
    }
    assert!(rows.is_empty(), "{rows:?}");
}

/// `low-stock` is announced when the level changes and never else, except for the first `normal`.
fn assert_levels(shelf: &Shelf, rules: &Rules) {
    let mut expected = Vec::new();
    let mut announced = Vec::new();
    for announcement in &shelf.announcements {
        match &announcement.body {
            AnnouncementBody::StockChanged { key, version, before, after } => {
                let first_units = before.level == Level::Unstocked && after.level == Level::Normal;
                if before.level != after.level && !first_units {
                    let carts = if rules.ignore_cart_holds { after.counters.cart_held } else { 0 };
                    expected.push((key, *version, before.level, after.level, after.counters.available() + carts));
                }
            }
            AnnouncementBody::LowStock { key, version, level, previous_level, available, .. } => {
                announced.push((key, *version, *previous_level, *level, *available));
            }
            AnnouncementBody::ReservationResult(_)
            | AnnouncementBody::StockShortage { .. }
            | AnnouncementBody::StockDrift { .. } => {}
        }
    }
    assert_eq!(announced, expected);
    for row in shelf.stock.values() {
        let carts = if rules.ignore_cart_holds { row.counters.cart_held } else { 0 };
        let available = row.counters.available() + carts;
        assert_eq!(row.next_level(available), row.level, "a level that is asked again stays: {row:?}");
        assert!(row.level <= row.plain_level(available) || row.level == Level::Unstocked, "{row:?}");
    }
}

fn assert_claim(claim: &Claim) {
    use ClaimState as S;
    let lines = || claim.lines.values();
    for line in lines() {
        let numbers =
            [line.requested, line.reserved, line.deducted, line.released, line.shipped, line.lapsed, line.waiting];
        assert!(numbers.iter().all(|number| *number >= 0), "{claim:?}");
        if claim.key.kind == ClaimKind::Order {
            assert!(line.shipped <= line.deducted, "more was shipped than taken: {claim:?}");
            assert!(line.returned <= line.shipped, "more came back than was shipped: {claim:?}");
        }
        let asked = line.standing() + line.released;
        assert!(line.waiting == 0 || asked <= line.requested, "it waits for more than it asked for: {claim:?}");
    }
    let reserved = lines().any(|line| line.reserved > 0);
    let deducted = lines().any(|line| line.deducted > 0);
    let unshipped = lines().any(|line| line.unshipped() > 0);
    let waits = claim.waits();
    let fits = match claim.state {
        S::Awaited => claim.lines.is_empty() && claim.version.is_none() && !claim.remembered.is_empty(),
        S::Held => reserved && !deducted,
        S::Released | S::Converted | S::Refused | S::Received | S::Expired => !reserved && !deducted,
        S::Reserved => (reserved || waits) && !deducted,
        // Deducted in part where a row is short.
        S::Confirmed => reserved || waits,
        S::Deducted => (deducted && unshipped) || waits,
        S::Shipped => deducted && !unshipped,
        S::Cancelled => !unshipped,
    };
    assert!(fits, "{claim:?}");
    assert!(!waits || matches!(claim.state, S::Reserved | S::Confirmed | S::Deducted), "{claim:?}");
    let kind = match claim.state {
        S::Held | S::Released | S::Converted => vec![ClaimKind::Cart],
        S::Expired => vec![ClaimKind::Cart, ClaimKind::Order],
        S::Received => {
            vec![ClaimKind::Receipt, ClaimKind::Return, ClaimKind::Adjustment, ClaimKind::Sync, ClaimKind::Count]
        }
        _ => vec![ClaimKind::Order],
    };
    assert!(kind.contains(&claim.key.kind), "{claim:?}");
    assert_eq!(claim.expires_at.is_some(), matches!(claim.state, S::Held | S::Reserved), "{claim:?}");
    assert!(claim.remembered.is_empty() || claim.version.is_none(), "{claim:?}");
    assert!(claim.remembered.iter().all(|kept| !matches!(kept.event, Event::OrderCreated(_))), "{claim:?}");
}

/// Rows, lists and lines say the same of who waits, and nobody does where there are units to be had.
fn assert_waiting(shelf: &Shelf, rules: &Rules) {
    let mut waiting: BTreeMap<&StockKey, i64> = BTreeMap::new();
    let mut waiters = BTreeSet::new();
    for claim in shelf.claims.values() {
        for (key, line) in claim.lines.iter().filter(|(_, line)| line.waiting > 0) {
            *waiting.entry(key).or_default() += line.waiting;
            waiters.insert((key, &claim.key.reference));
        }
    }
    for (key, row) in &shelf.stock {
        assert_eq!(row.waiting, waiting.remove(key).unwrap_or(0), "what is waited for of {key}");
        let to_be_had = row.status == Status::Active && row.counters.available() > 0;
        assert!(row.waiting == 0 || !to_be_had, "somebody waits for what is there: {row:?}");
        let orders = shelf.waiting.keys().filter(|(listed, _)| listed == key).count();
        assert!(orders as i64 <= rules.order_max_waiting, "too many wait for {key}");
    }
    assert!(waiting.is_empty(), "{waiting:?}");
    let listed: BTreeSet<_> = shelf.waiting.iter().map(|((key, _), order)| (key, order)).collect();
    assert_eq!(listed, waiters);
    assert_eq!(listed.len(), shelf.waiting.len(), "nobody has two places in one list");
}

/// One event changes a row at most once and answers an order, cart or stock event at most once.
fn assert_answers(shelf: &Shelf) {
    // The cause, the row or the reference, and what was told of it.
    type Place<'a> = (&'a str, Option<&'a StockKey>, Option<&'a Reference>, &'a str);
    let mut told: HashMap<Place<'_>, usize> = HashMap::new();
    for announcement in &shelf.announcements {
        let (key, reference, what) = match &announcement.body {
            AnnouncementBody::StockChanged { key, .. } => (Some(key), None, "change"),
            AnnouncementBody::LowStock { key, .. } => (Some(key), None, "level"),
            AnnouncementBody::StockShortage { key, .. } => (Some(key), None, "shortage"),
            AnnouncementBody::StockDrift { .. } => continue,
            AnnouncementBody::ReservationResult(answer) => {
                for line in &answer.lines {
                    assert!(line.granted >= 0 && line.granted <= line.requested && line.available >= 0, "{answer:?}");
                    let asks = matches!(answer.outcome, AnswerOutcome::Granted | AnswerOutcome::Partial);
                    let fits = !asks || line.granted + line.waiting <= line.requested;
                    assert!(line.waiting >= 0 && fits, "{answer:?}");
                }
                (None, Some(&answer.reference), "answer")
            }
        };
        *told.entry((&announcement.cause.id, key, reference, what)).or_default() += 1;
    }
    assert!(told.values().all(|times| *times == 1), "{told:?}");
}
