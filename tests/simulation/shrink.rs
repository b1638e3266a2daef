//! Leaves out of a case what its violation does not need.

use super::case::Case;
use super::invariants::Invariant;
use super::run::Simulator;

/// How many runs are spent on it.
const MOST_RUNS: usize = 600;
/// With fewer things happening others come first, so that a few schedules are tried before something counts as needed.
const SCHEDULES: u64 = 3;

/// The smallest case found that violates the same invariant, and how many runs that took. `tell` hears of each run.
pub fn shrink(
    simulator: &Simulator,
    case: &Case,
    invariant: Invariant,
    mut tell: impl FnMut(usize, &Case),
) -> (Case, usize) {
    let (mut smallest, mut runs) = (case.clone(), 0);
    let mut size = smallest.items.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let before = smallest.items.len();
        while at < smallest.items.len() && runs < MOST_RUNS {
            let mut items = smallest.items.clone();
            items.drain(at..(at + size).min(items.len()));
            match still(simulator, &Case { items, ..smallest.clone() }, invariant, &mut runs) {
                Some(smaller) => smallest = smaller,
                None => at += size,
            }
            tell(runs, &smallest);
        }
        // What was needed before may not be any more.
        if size > 1 || smallest.items.len() == before || runs >= MOST_RUNS {
            size /= 2;
        }
    }
    for workers in 1..smallest.settings.workers {
        let mut fewer = smallest.clone();
        fewer.settings.workers = workers;
        let is_about_fewer = fewer.workers_named() <= workers;
        if is_about_fewer && let Some(smaller) = still(simulator, &fewer, invariant, &mut runs) {
            smallest = smaller;
            break;
        }
    }
    (smallest, runs)
}

fn still(simulator: &Simulator, case: &Case, invariant: Invariant, runs: &mut usize) -> Option<Case> {
    for other in 0..SCHEDULES {
        let case = Case { schedule_seed: case.schedule_seed.wrapping_add(other), ..case.clone() };
        *runs += 1;
        if simulator.run(&case).violations.iter().any(|violation| violation.invariant == invariant) {
            return Some(case);
        }
    }
    None
}
