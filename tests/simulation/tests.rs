//! The simulation itself: that a seed is one run, that every checker can fail, that every planted bug is found, and that a
//! fixed set of seeds holds.

use std::ops::RangeInclusive;

use holdfast::planted_bug::{self, PlantedBug};

use super::case::Case;
use super::faults::{Fault, Hits};
use super::run::Simulator;
use super::{case_of, reference, shrink};

mod breaks;
mod reach;

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
    assert_holds(1..=300);
}

#[test]
fn every_invariant_holds_over_further_seeds() {
    assert_holds(1_001..=1_300);
}

#[test]
fn every_invariant_holds_over_the_last_seeds_and_every_fault_happens() {
    let hits = assert_holds(2_001..=2_300);
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
