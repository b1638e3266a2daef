//! Written histories, for rules of the contract that no random history comes to, the orders that wait among them, and for
//! identities.

use std::sync::Arc;

use holdfast::domain::event::{Cause, Envelope, Event, EventKey, EventType, Fingerprint, ToldAt, Trace};
use holdfast::domain::rules::Rules;
use holdfast::domain::words::Timestamp;

use super::convert;
use super::generate::START;
use super::inputs::{self, Adjusted, Created, Input, Lines, Place, Registered, SECOND, Told};
use super::model::World;
use super::outputs::{Announcement, Answer, Body, Ended, Outcome};

/// A shop with a clock that tells everything under a new id.
struct Shop {
    world: World,
    now: i64,
    told: usize,
}

fn at(sku: &str) -> Place {
    (sku.to_owned(), "default".to_owned())
}

fn lines(lines: &[(&str, i64)]) -> Lines {
    lines.iter().map(|(sku, units)| (at(sku), *units)).collect()
}

impl Shop {
    /// With 10 of A and 5 of B.
    fn with(rules: &Rules) -> Self {
        let mut shop = Self { world: World::new(convert::settings(rules)), now: START, told: 0 };
        for (sku, initial) in [("A", 10), ("B", 5)] {
            shop.tell(Input::Registered(Registered {
                place: at(sku),
                name: None,
                safety_stock: None,
                warning: None,
                critical: None,
                max_stock: Some(20),
                status: None,
                initial: Some(initial),
                version: None,
            }));
        }
        shop
    }

    fn tell(&mut self, input: Input) -> Outcome {
        self.told += 1;
        let id = self.told.to_string();
        let (kind, source) = ("event".to_owned(), "/shop".to_owned());
        let cause = inputs::Cause { kind, id, source, reference: None, trace: (None, None) };
        self.now += SECOND;
        self.world.apply(&Told { cause, time: Some(self.now), own_time: true, input }, self.now)
    }

    fn order(&mut self, order: &str, policy: &'static str, wanted: &[(&str, i64)]) -> Outcome {
        let (order, lines) = (order.to_owned(), lines(wanted));
        self.tell(Input::Created(Created { order, version: None, cart: None, policy, ttl: None, lines }))
    }

    fn adjust(&mut self, key: &str, mode: &'static str, quantity: i64, expected_version: Option<i64>) -> Outcome {
        let adjustment = key.to_owned();
        let reason = Some("broken".to_owned());
        self.tell(Input::Adjusted(Adjusted {
            adjustment,
            place: at("A"),
            mode,
            quantity,
            expected_version,
            reason,
            operator: None,
        }))
    }

    fn receive(&mut self, receipt: &str, wanted: &[(&str, i64)]) -> Outcome {
        self.tell(Input::Received { receipt: receipt.to_owned(), lines: lines(wanted) })
    }

    fn on_hand(&self, sku: &str) -> i64 {
        self.world.rows[&at(sku)].numbers.on_hand
    }
}

fn answers<'a>(outcome: &'a Outcome) -> Vec<&'a Answer> {
    let answer = |told: &'a Announcement| match told {
        Announcement { body: Body::Answer(answer), .. } => Some(answer),
        Announcement { body: Body::Changed { .. } | Body::Low { .. } | Body::Shortage { .. }, .. } => None,
    };
    outcome.announcements.iter().filter_map(answer).collect()
}

/// Outcome and granted units of each answer.
fn answered(outcome: &Outcome) -> Vec<(&str, &'static str, i64)> {
    let granted = |answer: &Answer| answer.lines.iter().map(|line| line.granted).sum();
    answers(outcome).into_iter().map(|it| (it.reference.as_str(), it.outcome, granted(it))).collect()
}

/// Units that are short, and who holds how many of the row.
type Shortage = (i64, Vec<(&'static str, String, i64)>);

fn shortages(outcome: &Outcome) -> Vec<Shortage> {
    let shortage = |body: &Body| match body {
        Body::Shortage { short, claims, .. } => Some((*short, claims.clone())),
        Body::Changed { .. } | Body::Low { .. } | Body::Answer(_) => None,
    };
    outcome.announcements.iter().filter_map(|told| shortage(&told.body)).collect()
}

fn reserving() -> Rules {
    Rules { deduct_on: holdfast::domain::rules::DeductOn::Shipped, ..Rules::default() }
}

#[test]
fn a_correction_counts_once_and_a_refused_one_may_be_told_again() {
    let mut shop = Shop::with(&reserving());
    shop.order("O-1", "all", &[("A", 6)]);
    assert_eq!(shop.adjust("J-1", "decrease", 5, None).ended, Ended::Refused(Some("insufficient_stock")));
    assert_eq!(shop.adjust("J-1", "decrease", 4, None).ended, Ended::Applied);
    assert_eq!(shop.adjust("J-1", "decrease", 4, None).ended, Ended::Ignored);
    assert_eq!(shop.adjust("J-2", "increase", 15, None).ended, Ended::Refused(Some("over_max")));
    assert_eq!(shop.adjust("J-3", "set", 8, None).ended, Ended::Refused(Some("version_mismatch")));
    assert_eq!(shop.adjust("J-4", "increase", 1, Some(1)).ended, Ended::Refused(Some("version_mismatch")));
    assert_eq!(shop.adjust("J-5", "set", 21, Some(3)).ended, Ended::Refused(Some("over_max")));
    assert_eq!(shop.adjust("J-6", "set", 5, Some(3)).ended, Ended::Refused(Some("insufficient_stock")));
    let set = shop.adjust("J-3", "set", 8, Some(3));
    assert_eq!((set.ended, set.movements[0].kind, shop.on_hand("A")), (Ended::Applied, "adjust", 8));
}

#[test]
fn a_count_is_right_while_selling_and_tells_who_is_short() {
    let mut shop = Shop::with(&reserving());
    let counted_at = shop.now;
    shop.receive("R-1", &[("A", 2)]);
    let count =
        |quantity, counted_at| Input::Counted { count: format!("{quantity}"), place: at("A"), quantity, counted_at };
    shop.tell(count(9, counted_at));
    assert_eq!(shop.on_hand("A"), 11, "9 were there, and 2 came since");
    shop.order("O-1", "all", &[("A", 4)]);
    shop.order("O-2", "all", &[("A", 5)]);
    let short = shop.tell(count(7, shop.now));
    let newest_first = vec![("order", "O-2".to_owned(), 5), ("order", "O-1".to_owned(), 4)];
    assert_eq!(shortages(&short), [(2, newest_first)]);
    assert_eq!(shop.tell(count(6, shop.now + 999 * SECOND)).ended, Ended::DeadLettered("impossible_time"));
    assert_eq!(shop.tell(count(6, shop.now - 604_802 * SECOND)).ended, Ended::DeadLettered("impossible_time"));
}

#[test]
fn a_sync_never_goes_below_nothing_and_tells_who_is_short() {
    let mut shop = Shop::with(&reserving());
    shop.order("O-1", "all", &[("A", 4)]);
    let sync = |trace: &str, delta| Input::Synced { trace: trace.to_owned(), place: at("A"), delta, reason: None };
    assert_eq!(shop.tell(sync("T-1", -11)).ended, Ended::Refused(Some("insufficient_stock")));
    assert_eq!(shortages(&shop.tell(sync("T-1", -8))), [(2, vec![("order", "O-1".to_owned(), 4)])]);
    assert_eq!(shop.tell(sync("T-1", -8)).ended, Ended::Ignored);
    assert_eq!(shop.on_hand("A"), 2);
}

#[test]
fn a_return_brings_at_most_what_was_shipped() {
    let mut shop = Shop::with(&Rules::default());
    let bring = |name: &str, order: &str, units, resellable| Input::Returned {
        returned: name.to_owned(),
        order: order.to_owned(),
        lines: lines(&[("A", units)]),
        resellable,
    };
    assert_eq!(answered(&shop.tell(bring("B-1", "O-1", 1, true))), [("B-1", "conflict", 0)]);
    shop.order("O-1", "all", &[("A", 5)]);
    shop.tell(Input::Shipped { order: "O-1".to_owned(), shipment: "S-1".to_owned(), lines: Some(lines(&[("A", 3)])) });
    assert_eq!(answered(&shop.tell(bring("B-2", "O-1", 2, true))), [("B-2", "returned", 2)]);
    assert_eq!(shop.tell(bring("B-2", "O-1", 2, true)).ended, Ended::Ignored);
    assert_eq!(shop.on_hand("A"), 7);
    assert_eq!(answered(&shop.tell(bring("B-3", "O-1", 2, false))), [("B-3", "returned", 1)]);
    assert_eq!(shop.on_hand("A"), 7, "what cannot be sold again moves no stock");
}

#[test]
fn who_waits_is_served_in_the_order_of_coming() {
    let mut shop = Shop::with(&Rules::default());
    assert_eq!(answered(&shop.order("O-1", "backorder", &[("A", 13)])), [("O-1", "partial", 10)]);
    assert_eq!(answered(&shop.order("O-2", "backorder", &[("A", 2), ("B", 5)])), [("O-2", "partial", 5)]);
    assert_eq!(answered(&shop.order("O-3", "backorder", &[("X", 1)])), [("O-3", "refused", 0)]);
    let filled = shop.receive("R-1", &[("A", 4)]);
    assert_eq!(answered(&filled), [("O-1", "granted", 13), ("O-2", "partial", 1)]);
    let movement = &filled.movements[0];
    assert_eq!((movement.kind, movement.change.on_hand), ("restock", 0), "what came and went is told all the same");
    let cancelled = Input::Cancelled {
        order: "O-2".to_owned(),
        version: None,
        reason: None,
        lines: Some(lines(&[("A", 1), ("B", 1)])),
    };
    assert_eq!(answered(&shop.tell(cancelled)), [("O-2", "released", 2)]);
    assert_eq!(answered(&shop.receive("R-2", &[("A", 1)])), [], "the part that waited was called off first");
    assert_eq!((shop.on_hand("A"), shop.on_hand("B")), (1, 1));
}

#[test]
fn a_deadline_ends_the_waiting_too() {
    let mut shop = Shop::with(&reserving());
    shop.order("O-1", "backorder", &[("A", 12)]);
    let deadline = shop.world.orders["O-1"].deadline.expect("it is reserved");
    shop.now = deadline;
    shop.tell(Input::Expired { kind: "order", reference: "O-1".to_owned(), deadline });
    assert_eq!(answered(&shop.receive("R-1", &[("A", 4)])), []);
    assert_eq!(shop.on_hand("A"), 14);
}

#[test]
fn what_was_committed_is_folded_in_its_order_and_told_again_changes_nothing() {
    let told = |order: &str| Envelope {
        cause: Arc::new(Cause {
            event_type: EventType::OrderConfirmed,
            id: "1".into(),
            source: "/shop".into(),
            reference: Some(order.into()),
        }),
        key: EventKey([0; 16]),
        told_at: ToldAt::Unknown,
        day: Timestamp(START).day(),
        fingerprint: Fingerprint(0),
        trace: Trace::default(),
        event: Event::OrderConfirmed { order: order.into() },
    };
    let (first, other) = (told("O-1"), told("O-2"));
    let committed = [&first, &first, &other].map(|envelope| (envelope, Timestamp(START)));
    let left = super::fold(&Rules::default(), committed);
    assert_eq!(left.ended, [Ended::Applied, Ended::Ignored, Ended::Applied]);
    assert_eq!(left.claims[&("order", "O-1".to_owned())].state, "awaited");
    assert!(left.stock.is_empty() && left.movements.is_empty() && left.announcements.is_empty());
}
