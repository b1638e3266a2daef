//! `simulate`: runs seeds until one of them violates something, and shows as little of it as possible.

#[path = "../model/mod.rs"]
#[allow(dead_code, unused_imports, reason = "tests ask more of the model than a simulation does")]
mod model;
#[path = "../reference/mod.rs"]
#[allow(dead_code, reason = "tests ask more of the reference than a simulation does")]
mod reference;
mod report;
#[path = "mod.rs"]
#[allow(dead_code, reason = "its tests stand in the integration tests")]
mod simulation;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use holdfast::planted_bug::{self, PlantedBug};
use indicatif::{ProgressBar, ProgressStyle};

use report::{Finding, Summary};
use simulation::reference::same_core;
use simulation::run::Simulator;
use simulation::{case_of, shrink};

/// From how many seeds on every fault must have happened.
const SEEDS_FOR_ALL_FAULTS: u64 = 1_000;
/// How many violations are shrunk and told; behind the first few the same one comes again.
const MOST_FINDINGS: usize = 3;

/// Runs the core over model stores and buses, seed by seed, with every fault that one thread can make.
#[derive(Parser)]
#[command(name = "simulate", version)]
struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Only this seed, with all that happens in it
    #[arg(long)]
    seed: Option<u64>,
    /// Where the report is written, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// A bug that is to be found: the exit code is 0 when it is
    #[arg(long, value_parser = bug)]
    bug: Option<PlantedBug>,
}

fn bug(name: &str) -> Result<PlantedBug, String> {
    PlantedBug::parse(name).ok_or_else(|| {
        let names: Vec<&str> = PlantedBug::ALL.into_iter().map(PlantedBug::as_str).collect();
        format!("there is no bug of this name; there are {}", names.join(", "))
    })
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    planted_bug::plant(arguments.bug);
    let (from, seeds) = arguments.seed.map_or((arguments.from, arguments.seeds), |seed| (seed, 1));
    let summary = run(from, seeds, arguments.seed.is_some());
    print!("{summary}");
    if let Some(file) = &arguments.json
        && let Err(error) = summary.write(file)
    {
        eprintln!("simulate: {} cannot be written: {error}", file.display());
        return ExitCode::FAILURE;
    }
    let as_wanted = match arguments.bug {
        Some(_) => !summary.findings.is_empty(),
        None => summary.findings.is_empty() && (seeds < SEEDS_FOR_ALL_FAULTS || summary.never_hit().is_empty()),
    };
    if as_wanted { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(from: u64, seeds: u64, keeps_lines: bool) -> Summary {
    let simulator = Simulator::new(same_core);
    let bar = ProgressBar::new(seeds);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}, {msg} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let started = Instant::now();
    let mut summary = Summary::new(from);
    for seed in from..from.saturating_add(seeds) {
        let case = case_of(seed);
        let report = simulator.run_with(&case, keeps_lines);
        summary.add(&case, &report);
        bar.inc(1);
        if keeps_lines {
            summary.lines = report.lines.clone();
        }
        let Some(violation) = report.violations.first() else { continue };
        bar.println(format!("seed {seed}: {violation}"));
        let (shrunk, runs) = shrink::shrink(&simulator, &case, violation.invariant, |runs, smaller| {
            bar.set_message(format!(
                "seed {seed}: {} of {} left after {runs} runs",
                smaller.items.len(),
                case.items.len()
            ));
        });
        bar.set_message("");
        let of_shrunk = simulator.run_with(&shrunk, true);
        summary.findings.push(Finding::new(&case, &report.violations, &shrunk, of_shrunk, runs));
        if summary.findings.len() == MOST_FINDINGS {
            break;
        }
    }
    bar.finish_and_clear();
    summary.took = started.elapsed();
    summary
}
