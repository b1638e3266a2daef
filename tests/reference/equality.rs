//! The core and the model over random histories.

use proptest::prelude::{ProptestConfig, TestCaseError, proptest};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{FileFailurePersistence, TestRunner};

use super::compare::Race;
use super::generate::{Batch, START, history, rules};
use super::inputs::SECOND;
use super::tally::{self, Tally};

/// Most batches of a history.
const LENGTH: usize = 24;
/// Histories of a usual run; `PROPTEST_CASES` asks for more.
const CASES: u32 = 1_000;

fn config() -> ProptestConfig {
    let cases = std::env::var_os("PROPTEST_CASES").map_or(CASES, |_| ProptestConfig::default().cases);
    let failures = FileFailurePersistence::Direct("proptest-regressions/reference/equality.txt");
    ProptestConfig { cases, failure_persistence: Some(Box::new(failures)), ..ProptestConfig::default() }
}

/// Runs a history on the model and both cores, and counts what it meets.
fn race(race: &mut Race, history: &[Batch], tally: &mut Tally) -> Result<(), String> {
    let mut now = START;
    for (number, batch) in history.iter().enumerate() {
        now += batch.later * SECOND;
        let envelopes = batch.envelopes(&race.world, now, number);
        race.run(now, &envelopes, tally)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_core_and_the_model_agree_after_every_event(rules in rules(), history in history(LENGTH)) {
        race(&mut Race::new(rules), &history, &mut Tally::new()).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn random_histories_come_to_every_rule() {
    let mut runner = TestRunner::deterministic();
    let mut tally = Tally::new();
    for _ in 0..2_000 {
        let tree = (rules(), history(LENGTH)).new_tree(&mut runner).expect("histories are never rejected");
        let (rules, history) = tree.current();
        race(&mut Race::new(rules), &history, &mut tally).unwrap_or_else(|difference| panic!("{difference}"));
    }
    let never: Vec<String> = tally::expected().into_iter().filter(|what| !tally.contains_key(what)).collect();
    assert!(
        never.is_empty(),
        "no history comes to {never:#?}
but to {tally:#?}"
    );
}
