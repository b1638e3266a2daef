//! `holdfast reconcile`.

use std::fmt::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::decision::DecisionArguments;
use super::{Ending, output};
use crate::app::{Counter, Failure};
use crate::config::{Settings, outside_name};
use crate::domain::reconciliation::{Difference, DifferenceKey, FigureSource};
use crate::domain::words::StockKey;
use crate::ports::{DifferenceFilter, Queries, Store};
use crate::reconcile::{Fix, OutsideReport, OutsideRound, Place, Terms, takable};

/// How many differences are listed; all are counted.
const MOST_LISTED: u32 = 1_000;

/// Compare stock with another system's figures
///
/// Compares what is available with a file or a list over HTTP, records each difference as a row and announces it once on
/// stock-drift. A file holds a JSON object a line, or CSV with a head: sku, available, and location where there is one; an
/// empty or null figure is missing, and so is a row that the file does not name at a location that it names. Without
/// --apply, --fix only shows what it would do. Exit code 0 when nothing differs, 3 when something does.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  holdfast reconcile --source wms figures.csv --tolerance 2
  holdfast reconcile --source north --url http://north:8080/api/v1/stock --json
  holdfast reconcile --source wms figures.csv --fix use_theirs --max-fix-amount 20 --apply --operator ada --reason 'recount'")]
pub(super) struct ReconcileArguments {
    /// The other system's name, for rows and announcements
    #[arg(long, value_name = "NAME", value_parser = source)]
    source: String,
    /// The file with its figures; - is standard input
    #[arg(value_name = "FILE", required_unless_present = "url", conflicts_with = "url")]
    file: Option<PathBuf>,
    /// The list with its figures: {"items":[{"sku","location","available"}],"next":…}
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Up to this many units of difference are none
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..=i64::from(i32::MAX)))]
    tolerance: i64,
    /// From this many units of difference on people should look at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=i64::from(i32::MAX)))]
    alert_threshold: Option<i64>,
    /// Settle differences: announce ours again, or adjust by the recorded difference
    #[arg(long, value_name = "HOW")]
    fix: Option<FixArgument>,
    /// The most units that are adjusted at once
    #[arg(long, value_name = "N", required_if_eq("fix", "use_theirs"),
          value_parser = clap::value_parser!(i64).range(1..=i64::from(i32::MAX)))]
    max_fix_amount: Option<i64>,
    #[command(flatten)]
    decision: DecisionArguments,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum FixArgument {
    /// Ours counts: it is announced again for the other system to take
    UseOurs,
    /// Theirs counts: stock is adjusted by the recorded difference
    UseTheirs,
}

fn source(text: &str) -> Result<String, String> {
    outside_name(text).map(|()| text.to_owned())
}

/// What a round has left open.
struct Outcome {
    report: OutsideReport,
    open: Vec<(DifferenceKey, Difference)>,
    /// What a fix would adjust, as (row, units, why not).
    planned: Vec<(StockKey, Option<i64>, Option<&'static str>)>,
}

pub(super) async fn run(arguments: ReconcileArguments, settings: &Settings) -> Result<Ending, Failure> {
    let place = match (&arguments.file, &arguments.url) {
        (Some(file), _) => Place::File(file.clone()),
        (None, Some(url)) => Place::Url(url.as_str().into()),
        (None, None) => {
            return Err(Failure::Settings("name a file or --url with the other system's figures".to_owned()));
        }
    };
    if arguments.fix.is_none() && arguments.decision.decision().is_some() {
        return Err(Failure::Settings("--apply needs --fix: without it nothing is changed".to_owned()));
    }
    let figures = place.read().await.map_err(Failure::failed)?;
    let counter = Counter::open(settings).await?;
    let outcome = compare(&counter, &arguments, figures).await;
    counter.close().await?;
    let outcome = outcome?;
    if arguments.json {
        output::print_json(&outcome.as_json(&arguments.source))?;
    } else {
        output::print(&outcome.as_text(&arguments.source))?;
    }
    Ok(if outcome.is_settled() { Ending::Done } else { Ending::Differences })
}

async fn compare(
    counter: &Counter,
    arguments: &ReconcileArguments,
    figures: crate::reconcile::Figures,
) -> Result<Outcome, Failure> {
    let Counter { store, submitter, pulse, .. } = counter;
    let started = store.outbox_status().await.map_err(Failure::failed)?.now;
    let max_amount = arguments.max_fix_amount.unwrap_or_default();
    let fix = match (arguments.fix, arguments.decision.decision()) {
        (Some(FixArgument::UseOurs), Some(decision)) => Fix::UseOurs(decision),
        (Some(FixArgument::UseTheirs), Some(decision)) => Fix::UseTheirs { max_amount, may_raise: true, decision },
        (None, _) | (Some(_), None) => Fix::None,
    };
    let is_dry = arguments.fix == Some(FixArgument::UseTheirs) && fix == Fix::None;
    let terms = Terms {
        source: arguments.source.as_str().into(),
        tolerance: arguments.tolerance,
        alert_threshold: arguments.alert_threshold,
        fix,
    };
    let mut round = OutsideRound::new(started, terms, figures);
    while round.step(store, submitter, pulse).await.map_err(Failure::failed)? {}
    let source = Some(FigureSource::Outside(arguments.source.as_str().into()));
    let filter = DifferenceFilter { source, sku: None };
    let open = store.differences(&filter, None, MOST_LISTED).await.map_err(Failure::failed)?;
    let plan = |(key, difference): &(DifferenceKey, Difference)| match takable(difference, max_amount, true) {
        Ok(theirs) => (key.key.clone(), Some(theirs - difference.ours), None),
        Err(why) => (key.key.clone(), None, Some(why)),
    };
    let planned = if is_dry { open.iter().map(plan).collect() } else { Vec::new() };
    Ok(Outcome { report: round.report, open, planned })
}

impl Outcome {
    /// Whether nothing is left that somebody has to decide.
    fn is_settled(&self) -> bool {
        self.open.iter().all(|(_, difference)| difference.settled.is_some()) && self.report.not_known == 0
    }

    fn as_text(&self, source: &str) -> String {
        let report = &self.report;
        // Writing to a String cannot fail.
        let mut text = String::new();
        let _ = writeln!(
            text,
            "compared {} rows with {} figures of {source}: {} differ ({} missing), {} at once to be looked at",
            report.rows, report.figures, report.differing, report.missing, report.alerts
        );
        for (key, difference) in &self.open {
            let theirs = difference.theirs.map_or_else(|| "missing".to_owned(), |theirs| theirs.to_string());
            let alert = if difference.is_alert { "ALERT " } else { "" };
            let settled = difference.settled.as_ref().map_or("", |(how, _)| how.as_str());
            let _ = writeln!(text, "  {alert}{}: ours {}, theirs {theirs} {settled}", key.key, difference.ours);
        }
        for (key, units, why) in &self.planned {
            let _ = match (units, why) {
                (Some(units), _) => writeln!(text, "  would adjust {key} by {units}"),
                (None, why) => writeln!(text, "  would not adjust {key}: {}", why.unwrap_or_default()),
            };
        }
        if report.adjusted > 0 {
            let _ = writeln!(text, "adjusted {} rows; workers announce it", report.adjusted);
        }
        for (key, why) in &report.unadjusted {
            let _ = writeln!(text, "  not adjusted {key}: {why}");
        }
        if report.not_known > 0 {
            let named: Vec<String> = report.unknown.iter().map(ToString::to_string).collect();
            let _ = writeln!(
                text,
                "{} figures are of rows that are not registered: {}",
                report.not_known,
                named.join(", ")
            );
        }
        text
    }

    fn as_json(&self, source: &str) -> Value {
        let report = &self.report;
        let row = |key: &StockKey| json!({ "sku": key.sku.as_str(), "location": key.location.as_str() });
        let difference = |(key, open): &(DifferenceKey, Difference)| {
            json!({
                "sku": key.key.sku.as_str(),
                "location": key.key.location.as_str(),
                "field": key.field.as_str(),
                "ours": open.ours,
                "theirs": open.theirs,
                "missing": open.theirs.is_none(),
                "alert": open.is_alert,
                "version": open.version,
                "resolution": open.settled.as_ref().map(|(how, _)| how.as_str()),
            })
        };
        let planned = |(key, units, why): &(StockKey, Option<i64>, Option<&str>)| json!({ "sku": key.sku.as_str(), "location": key.location.as_str(), "units": units, "why_not": why });
        let unadjusted = |(key, why): &(StockKey, &str)| json!({ "sku": key.sku.as_str(), "location": key.location.as_str(), "why_not": why });
        json!({
            "source": source,
            "settled": self.is_settled(),
            "figures": report.figures,
            "rows": report.rows,
            "differing": report.differing,
            "missing": report.missing,
            "alerts": report.alerts,
            "announced": report.changed,
            "adjusted": report.adjusted,
            "not_adjusted": report.not_adjusted,
            "not_known": report.not_known,
            "differences": self.open.iter().map(difference).collect::<Vec<_>>(),
            "planned": self.planned.iter().map(planned).collect::<Vec<_>>(),
            "unadjusted": report.unadjusted.iter().map(unadjusted).collect::<Vec<_>>(),
            "unknown": report.unknown.iter().map(row).collect::<Vec<_>>(),
        })
    }
}
