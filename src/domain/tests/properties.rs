//! What holds of every history.

use std::collections::BTreeSet;

use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::histories::{Told, envelopes, history, history_of_known_skus, rules};
use super::invariants::assert_sound;
use super::shelf::Shelf;
use crate::domain::announce::{AnnouncementBody, AnswerKind};
use crate::domain::claim::{ClaimKey, ClaimKind, ClaimState};
use crate::domain::event::{Envelope, Event};
use crate::domain::rules::Rules;
use crate::domain::stock::Counters;

/// Longest history.
const LENGTH: usize = 40;

fn one_by_one(rules: &Rules, events: &[Envelope]) -> Shelf {
    let mut shelf = Shelf::default();
    for event in events {
        shelf.deliver(rules, std::slice::from_ref(event));
    }
    shelf
}

/// Whether a shelf's ledger says that units moved since it had `known` movements.
fn moved_since(shelf: &Shelf, known: usize) -> bool {
    let units = |change: &Counters| (change.on_hand, change.cart_held, change.order_reserved);
    shelf.movements[known..].iter().any(|movement| units(&movement.change) != (0, 0, 0))
}

proptest! {
    #[test]
    fn a_batch_gives_what_its_events_give_one_by_one(
        rules in rules(), history in history(LENGTH), cuts in proptest::collection::vec(any::<Index>(), 0..4),
    ) {
        let events = envelopes(&history, "");
        let singly = one_by_one(&rules, &events).without_revisions();
        let mut at_once = Shelf::default();
        at_once.deliver(&rules, &events);
        prop_assert_eq!(&singly, &at_once.without_revisions());
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(events.len())).chain([events.len()]).collect();
        ends.sort_unstable();
        let (mut cut, mut start) = (Shelf::default(), 0);
        for end in ends {
            cut.deliver(&rules, &events[start..end]);
            start = end;
        }
        prop_assert_eq!(&singly, &cut.without_revisions());
    }

    #[test]
    fn every_invariant_holds_after_every_event(rules in rules(), history in history(LENGTH)) {
        let mut shelf = Shelf::default();
        for event in envelopes(&history, "") {
            shelf.deliver(&rules, &[event]);
            assert_sound(&shelf, &rules);
        }
    }

    #[test]
    fn nobody_gets_units_while_somebody_waits_who_came_before(
        rules in rules(), history in history_of_known_skus(2 * LENGTH),
    ) {
        let mut shelf = Shelf::default();
        for event in envelopes(&history, "") {
            let (own, before, known) = (event.event.claim_key(), shelf.waiting.clone(), shelf.announcements.len());
            shelf.deliver(&rules, &[event]);
            let filled = shelf.announcements[known..].iter().filter_map(|announcement| match &announcement.body {
                AnnouncementBody::ReservationResult(answer) if answer.kind == AnswerKind::Order => Some(answer),
                _ => None,
            });
            let filled = filled.filter(|answer| own.as_ref().is_none_or(|own| own.reference != answer.reference));
            for (answer, line) in filled.flat_map(|answer| answer.lines.iter().map(move |line| (answer, line))) {
                let of_row = || before.iter().filter(|((key, _), _)| *key == line.key);
                let waited = of_row().find(|(_, order)| **order == answer.reference);
                let ((_, ticket), _) = waited.expect("only who waited gets units of another event");
                for (place, _) in of_row().filter(|((_, earlier), _)| earlier < ticket) {
                    prop_assert_eq!(shelf.waiting.get(place), None, "{:?} was passed over", place);
                }
            }
        }
    }

    #[test]
    fn a_fact_that_moved_units_moves_none_when_it_is_told_again(
        rules in rules(), history in history_of_known_skus(LENGTH), until in any::<Index>(),
    ) {
        let mut shelf = Shelf::default();
        let mut moved: Vec<Told> = Vec::new();
        for (told, event) in history.iter().zip(envelopes(&history, "")) {
            let known = shelf.movements.len();
            shelf.deliver(&rules, &[event]);
            // Two deadlines are never the same instant but here, where the clock stands still.
            let is_always_new = match &told.0 {
                Event::ClaimExpired(_) => true,
                // Settings without a version are news whenever they come, and may free units for those who wait.
                Event::SkuRegistered(registered) => registered.version.is_none(),
                _ => false,
            };
            if moved_since(&shelf, known) && !is_always_new {
                moved.push(told.clone());
            }
        }
        moved.truncate(until.index(moved.len() + 1));
        for event in envelopes(&moved, "again-") {
            let known = shelf.movements.len();
            let name = format!("{:?}", event.event);
            shelf.deliver(&rules, &[event]);
            prop_assert_eq!(moved_since(&shelf, known), false, "{}", name);
        }
        assert_sound(&shelf, &rules);
    }
}

/// The state in which an order event finds its order, and what it is.
fn meeting(shelf: &Shelf, event: &Event) -> Option<(&'static str, &'static str)> {
    let key = event.claim_key().filter(|key: &ClaimKey| key.kind == ClaimKind::Order)?;
    let claim = shelf.claims.get(&key);
    let state = claim.map_or("none", |claim| claim.state.as_str());
    let known = claim.and_then(|claim| claim.version);
    let word = match event {
        Event::OrderCreated(event) => match known.map(|known| event.version.unwrap_or(0).cmp(&known)) {
            None => "created first",
            Some(std::cmp::Ordering::Less) => "created lower",
            Some(std::cmp::Ordering::Equal) => "created equal",
            Some(std::cmp::Ordering::Greater) => "created higher",
        },
        Event::OrderCancelled(event) if event.lines.is_some() => "cancelled in part",
        Event::OrderCancelled(_) => "cancelled",
        Event::OrderConfirmed { .. } => "confirmed",
        Event::OrderShipped(_) => "shipped",
        Event::ClaimExpired(_) => "expiry",
        Event::CartUpdated(_) | Event::SkuRegistered(_) | Event::StockReceived(_) => return None,
    };
    Some((state, word))
}

#[test]
fn random_histories_visit_every_state_with_every_event() {
    let mut runner = TestRunner::deterministic();
    let mut visited = BTreeSet::new();
    for _ in 0..1_500 {
        let (rules, history) =
            (rules(), history(LENGTH)).new_tree(&mut runner).expect("histories are never rejected").current();
        let mut shelf = Shelf::default();
        for event in envelopes(&history, "") {
            visited.extend(meeting(&shelf, &event.event));
            shelf.deliver(&rules, &[event]);
        }
    }
    let events = ["confirmed", "shipped", "cancelled", "cancelled in part", "expiry"];
    let creations = ["created lower", "created equal", "created higher"];
    let mut expected = BTreeSet::new();
    for state in ["none", "awaited"].into_iter().chain(ORDER_STATES.map(ClaimState::as_str)) {
        expected.extend(events.map(|event| (state, event)));
        match state {
            "none" | "awaited" => drop(expected.insert((state, "created first"))),
            _ => expected.extend(creations.map(|event| (state, event))),
        }
    }
    // Called off before it came.
    expected.insert(("cancelled", "created first"));
    assert_eq!(visited, expected);
}

/// The states of an order that has come.
const ORDER_STATES: [ClaimState; 7] = [
    ClaimState::Reserved,
    ClaimState::Confirmed,
    ClaimState::Deducted,
    ClaimState::Shipped,
    ClaimState::Refused,
    ClaimState::Expired,
    ClaimState::Cancelled,
];
