//! The simulation itself: that a seed is one run, that every checker can fail, that every planted bug is found, and that a
//! fixed set of seeds holds.

use std::ops::RangeInclusive;

use holdfast::planted_bug::{self, PlantedBug};
use holdfast::ports::Position;

use super::case::{Case, Guarantee};
use super::faults::{Fault, Hits};
use super::invariants::{self, Evidence, Invariant, Left};
use super::run::Simulator;
use super::{case_of, reference, shrink};
use crate::model::SetAside;

/// Within how many seeds every planted bug must be found.
const SEEDS_FOR_A_BUG: u64 = 300;

fn simulator() -> Simulator {
    Simulator::new(reference::same_core)
}

fn assert_holds(seeds: RangeInclusive<u64>) -> Hits {
    let simulator = simulator();
    let mut hits = Hits::default();
    for seed in seeds {
        let report = simulator.run(&case_of(seed));
        let told: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
        assert_eq!(told, Vec::<String>::new(), "seed {seed}; all of it: make simulate ARGS=--seed={seed}");
        hits.add(&report.hits);
    }
    hits
}

#[test]
fn every_invariant_holds_over_the_first_seeds() {
    assert_holds(1..=70);
}

#[test]
fn every_invariant_holds_over_further_seeds() {
    assert_holds(1_001..=1_070);
}

#[test]
fn every_invariant_holds_over_the_last_seeds_and_every_fault_happens() {
    let hits = assert_holds(2_001..=2_070);
    let never: Vec<Fault> = hits.each().filter(|(_, count)| *count == 0).map(|(fault, _)| fault).collect();
    assert_eq!(never, []);
}

#[test]
fn a_seed_is_the_same_run_every_time_and_another_seed_another_one() {
    let mut digests = Vec::new();
    for seed in 1..=12 {
        // Nothing is carried over from one run to the next, nor from whoever made it.
        let first = simulator().run(&case_of(seed));
        let again = simulator().run_with(&case_of(seed), true);
        assert_eq!((first.digest, first.steps, &first.hits), (again.digest, again.steps, &again.hits), "seed {seed}");
        assert!(first.lines.is_empty() && again.lines.len() > 10, "seed {seed}");
        digests.push(first.digest);
    }
    let different: std::collections::BTreeSet<u64> = digests.iter().copied().collect();
    assert_eq!(different.len(), digests.len(), "{digests:x?}");
}

#[test]
fn another_schedule_is_another_run_of_the_same_events() {
    let case = case_of(3);
    let other = Case { schedule_seed: case.schedule_seed.wrapping_add(1), ..case.clone() };
    let (one, other) = (simulator().run(&case), simulator().run(&other));
    assert_ne!(one.digest, other.digest);
}

/// What a run has left behind in which there is something to break.
fn rich() -> Evidence {
    let simulator = simulator();
    let cases = (1..=400).map(case_of);
    let mut cases = cases.filter(|case| case.settings.guarantee == Guarantee::Transactions && case.settings.ages);
    let is_rich = |evidence: &Evidence| {
        let has = |event_type| evidence.announced.iter().filter(|it| it.event_type == event_type).count() > 2;
        has("stock-changed") && has("low-stock") && evidence.published.1.len() > 1 && !evidence.acknowledged.is_empty()
    };
    let found = cases.find_map(|case| Some(simulator.leave_behind(&case)).filter(is_rich));
    found.expect("some seed leaves enough behind")
}

type Break = fn(&mut Evidence);

fn without<T>(all: &mut Vec<T>, is_meant: impl Fn(&T) -> bool) -> T {
    let index = all.iter().rposition(is_meant).expect("there is such a one");
    all.remove(index)
}

fn first_row(evidence: &mut Evidence) -> &mut holdfast::domain::stock::StockRow {
    evidence.tables.stock.values_mut().next().expect("there is a row")
}

const BREAKS: [(Invariant, &str, Break); 27] = [
    (Invariant::I1, "a negative counter", |it| first_row(it).counters.cart_held = -1),
    (Invariant::I1, "more reserved than on hand", |it| first_row(it).counters.order_reserved += 1_000),
    (Invariant::I1, "a negative counter in the past", |it| {
        it.tables.movements.values_mut().next().expect("a movement").after.on_hand = -1;
    }),
    (Invariant::I2, "a lost movement", |it| {
        let place = it.tables.movements.keys().next().expect("a movement").clone();
        it.tables.movements.remove(&place);
    }),
    (Invariant::I2, "a unit that no movement brought", |it| first_row(it).counters.on_hand += 1),
    (Invariant::I2, "a version that no movement reached", |it| first_row(it).version += 1),
    (Invariant::I3, "a row that holds what no cart has", |it| first_row(it).counters.cart_held += 1),
    (Invariant::I3, "a line that no claim has", |it| {
        let row = first_row(it).key.clone();
        let claim = it.tables.claims.keys().next().expect("a claim").clone();
        let held = it.tables.set_aside.entry((row, claim)).or_insert(SetAside { units: 0, since: None });
        held.units += 1;
    }),
    (Invariant::I4, "an event that took effect twice", |it| {
        let twice = it.journal.iter().find(|transaction| !transaction.fresh.is_empty()).expect("an event").clone();
        it.journal.push(twice);
    }),
    (Invariant::I4, "an event that never ended", |it| {
        it.told.push(Position { topic: "order-created".into(), partition: 0, offset: 9_999 });
    }),
    (Invariant::I4, "an answer to what was never committed", |it| {
        it.answers.insert(9_999, Vec::new());
    }),
    (Invariant::I4, "a record that was not buried", |it| {
        it.journal.iter_mut().flat_map(|it| &mut it.outbox).for_each(|batch| batch.dead_letters.clear());
    }),
    (Invariant::I5, "an announcement that is missing", |it| drop(it.published.0.remove(1))),
    (Invariant::I5, "an announcement twice", |it| {
        let twice = it.published.0[1].clone();
        it.published.0.insert(2, twice);
    }),
    (Invariant::I5, "two announcements in the other order", |it| it.published.0.swap(1, 2)),
    (Invariant::I5, "an announcement that nobody committed", |it| {
        let mut other = it.published.0[0].clone();
        other.record.as_mut().expect("a record").payload = None;
        it.published.0.push(other);
    }),
    (Invariant::I5, "a dead letter twice", |it| {
        let twice = it.published.1[0].clone();
        it.published.1.push(twice);
    }),
    (Invariant::I5, "a number that was never used", |it| {
        let later = it.journal.iter_mut().flat_map(|it| &mut it.outbox).skip(1);
        later.for_each(|batch| (batch.number, batch.first_seq) = (batch.number + 1, batch.first_seq + 2));
    }),
    (Invariant::I6, "a change that is missing", |it| {
        let of = |version: i64| {
            move |announced: &invariants::Announced| {
                announced.event_type == "stock-changed" && announced.body["version"] == version
            }
        };
        let second = it.announced.iter().find(|announced| of(2)(announced)).expect("a second change").clone();
        let is_first = |announced: &invariants::Announced| {
            of(1)(announced) && ["sku", "location"].iter().all(|name| announced.body[*name] == second.body[*name])
        };
        without(&mut it.announced, is_first);
    }),
    (Invariant::I7, "a row that the stream does not tell of", |it| {
        without(&mut it.announced, |announced| announced.event_type == "stock-changed");
    }),
    (Invariant::I8, "a claim in another state", |it| {
        let claim = it.tables.claims.values_mut().next().expect("a claim");
        claim.claim.version = Some(4_711);
    }),
    (Invariant::I8, "another verdict", |it| {
        let fresh = it.journal.iter_mut().find_map(|it| it.fresh.first_mut()).expect("an event");
        fresh.1 = holdfast::domain::verdict::Verdict::Refused(None);
    }),
    (Invariant::I9, "a crossing that nothing tells of", |it| {
        without(&mut it.announced, |announced| announced.event_type == "low-stock");
    }),
    (Invariant::I9, "a crossing that is told twice", |it| {
        let low = it.announced.iter().find(|announced| announced.event_type == "low-stock").expect("one").clone();
        it.announced.push(low);
    }),
    (Invariant::I10, "an acknowledged record that the database does not know", |it| {
        it.acknowledged.push(Position { topic: "order-created".into(), partition: 0, offset: 9_999 });
    }),
    (Invariant::I11, "a record that is left", |it| it.lag = 1),
    (Invariant::I12, "a key that is kept for ever", |it| {
        it.left = Some(Left { keys: 1, batches: 1, letters: 0, deadlines: 0 });
    }),
];

#[test]
fn every_invariant_is_noticed_when_it_does_not_hold() {
    let whole = rich();
    for invariant in Invariant::ALL {
        assert_eq!(invariants::check(invariant, &whole, reference::same_core), Ok(()), "{invariant}");
        assert!(BREAKS.iter().any(|(breaks, _, _)| *breaks == invariant), "nothing breaks {invariant}");
    }
    for (invariant, what, break_it) in BREAKS {
        let mut broken = whole.clone();
        break_it(&mut broken);
        let noticed = invariants::check(invariant, &broken, reference::same_core);
        assert!(noticed.is_err(), "{invariant}: {what} is not noticed");
    }
}

#[test]
fn every_planted_bug_is_found() {
    let simulator = simulator();
    for bug in PlantedBug::ALL {
        planted_bug::plant(Some(bug));
        let found = (1..=SEEDS_FOR_A_BUG).find_map(|seed| {
            let violations = simulator.run(&case_of(seed)).violations;
            violations.into_iter().next().map(|violation| (seed, violation.invariant))
        });
        planted_bug::plant(None);
        let Some((seed, invariant)) = found else { panic!("{} is not found", bug.as_str()) };
        println!("{}: seed {seed} violates {invariant}", bug.as_str());
    }
}

#[test]
fn a_violation_is_shrunk_to_what_it_needs() {
    let simulator = simulator();
    planted_bug::plant(Some(PlantedBug::TombstoneForgotten));
    let (case, invariant) = (1..=SEEDS_FOR_A_BUG)
        .map(case_of)
        .find_map(|case| Some((simulator.run(&case).violations.first()?.invariant, case)).map(|(it, case)| (case, it)))
        .expect("it is found");
    let (shrunk, _) = shrink::shrink(&simulator, &case, invariant, |_, _| {});
    let again = simulator.run(&shrunk);
    planted_bug::plant(None);
    assert!(
        shrunk.items.len() <= 3 && case.items.len() > 20,
        "{} of {} are left",
        shrunk.items.len(),
        case.items.len()
    );
    assert!(again.violations.iter().any(|violation| violation.invariant == invariant), "{:?}", again.violations);
}

#[test]
fn every_bug_and_every_fault_has_a_name_of_its_own() {
    for bug in PlantedBug::ALL {
        assert_eq!(PlantedBug::parse(bug.as_str()), Some(bug));
    }
    let names: std::collections::BTreeSet<&str> = Fault::ALL.into_iter().map(Fault::as_str).collect();
    assert_eq!(names.len(), Fault::ALL.len());
    for (place, fault) in Fault::ALL.into_iter().enumerate() {
        assert_eq!(fault as usize, place);
    }
}
