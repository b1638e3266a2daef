//! `holdfast verify`.

use std::fmt::Write;

use clap::Args;
use serde_json::{Value, json};

use super::{Ending, output, progress};
use crate::app::{self, Failure};
use crate::config::Settings;
use crate::store::{CHECKS, Upkeep, Verification};

/// Prove that the database keeps its promises
///
/// Compares counters with movements and claims, who waits with claims, levels with thresholds, and looks for holes in the
/// numbers, all on one snapshot while workers go on. Exit code 0 when everything holds, 3 when something differs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  holdfast verify
  holdfast verify --json | jq '.checks[] | select(.differing > 0)'")]
pub(super) struct VerifyArguments {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: VerifyArguments, settings: &Settings) -> Result<Ending, Failure> {
    let checks = checks(settings).await?;
    if arguments.json {
        output::print_json(&as_json(&checks))?;
    } else {
        output::print(&as_text(&checks))?;
    }
    Ok(if holds(&checks) { Ending::Done } else { Ending::Differences })
}

/// Runs every check, with a bar on a terminal.
pub(super) async fn checks(settings: &Settings) -> Result<Vec<Verification>, Failure> {
    let store = app::migrated_store(settings, 1).await?;
    let bar = progress::steps(CHECKS as u64);
    let begins = |number: usize, check: &'static str| {
        bar.set_message(check);
        bar.set_position(number as u64);
    };
    let checks = store.verify_with(settings.alerts.ignore_cart_holds, begins).await;
    bar.finish_and_clear();
    let checks = checks.map_err(Failure::failed)?;
    store.close().await;
    Ok(checks)
}

/// Whether nothing differs.
pub(super) fn holds(checks: &[Verification]) -> bool {
    checks.iter().all(|check| check.differing == 0)
}

/// The table for people.
pub(super) fn as_text(checks: &[Verification]) -> String {
    let mut text = String::new();
    for check in checks {
        let verdict = if check.differing == 0 { "holds  " } else { "DIFFERS" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{verdict}  {} ({} looked at)", check.check, check.looked_at);
        for difference in &check.differences {
            let (place, expected, found) = (&difference.place, &difference.expected, &difference.found);
            let _ = writeln!(text, "           {place}: expected {expected}, found {found}");
        }
        let untold = check.differing.saturating_sub(check.differences.len() as u64);
        if untold > 0 {
            let _ = writeln!(text, "           and {untold} more");
        }
    }
    let _ = match checks.iter().filter(|check| check.differing > 0).count() {
        0 => writeln!(text, "every invariant holds"),
        differing => writeln!(text, "{differing} of {} checks found differences", checks.len()),
    };
    text
}

fn as_json(checks: &[Verification]) -> Value {
    let shown: Vec<Value> = checks
        .iter()
        .map(|check| {
            let differences: Vec<Value> = check
                .differences
                .iter()
                .map(|it| json!({ "place": it.place, "expected": it.expected, "found": it.found }))
                .collect();
            json!({
                "check": check.check,
                "looked_at": check.looked_at,
                "differing": check.differing,
                "differences": differences,
            })
        })
        .collect();
    json!({ "holds": holds(checks), "checks": shown })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Difference;

    fn checks(differing: u64) -> Vec<Verification> {
        let difference = Difference {
            check: "numbers have no hole",
            place: "A@default".to_owned(),
            expected: "1".to_owned(),
            found: "2".to_owned(),
        };
        vec![Verification {
            check: "numbers have no hole",
            looked_at: 7,
            differing,
            differences: vec![difference; differing.min(1) as usize],
        }]
    }

    #[test]
    fn the_table_names_every_place_that_differs() {
        assert_eq!(as_text(&checks(0)), "holds    numbers have no hole (7 looked at)\nevery invariant holds\n");
        let expected = "DIFFERS  numbers have no hole (7 looked at)\n           A@default: expected 1, found 2\n           \
                        and 2 more\n1 of 1 checks found differences\n";
        assert_eq!(as_text(&checks(3)), expected);
    }

    #[test]
    fn the_object_says_whether_everything_holds() {
        assert_eq!(as_json(&checks(0))["holds"], true);
        let shown = as_json(&checks(1));
        assert_eq!((&shown["holds"], &shown["checks"][0]["differing"]), (&json!(false), &json!(1)));
        assert_eq!(shown["checks"][0]["differences"][0]["found"], "2");
    }
}
