//! The core and the model over random histories.

use proptest::prelude::{ProptestConfig, TestCaseError, proptest};
use proptest::test_runner::FileFailurePersistence;

use super::compare::Race;
use super::generate::{Batch, START, history, rules};
use super::inputs::SECOND;

/// Most batches of a history.
const LENGTH: usize = 14;
/// Histories of a usual run; `PROPTEST_CASES` asks for more.
const CASES: u32 = 3_000;

fn config() -> ProptestConfig {
    let cases = std::env::var_os("PROPTEST_CASES").map_or(CASES, |_| ProptestConfig::default().cases);
    let failures = FileFailurePersistence::Direct("proptest-regressions/reference/equality.txt");
    ProptestConfig { cases, failure_persistence: Some(Box::new(failures)), ..ProptestConfig::default() }
}

/// Runs a history on the model and both cores.
fn race(race: &mut Race, history: &[Batch]) -> Result<(), String> {
    let mut now = START;
    for (number, batch) in history.iter().enumerate() {
        now += batch.later * SECOND;
        let envelopes = batch.envelopes(&race.world, now, number);
        race.run(now, &envelopes)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_core_and_the_model_agree_after_every_event(rules in rules(), history in history(LENGTH)) {
        race(&mut Race::new(rules), &history).map_err(TestCaseError::fail)?;
    }
}
