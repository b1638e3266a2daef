//! What came of many seeds, for people and as JSON.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::simulation::case::{Case, What};
use crate::simulation::faults::{Fault, Hits};
use crate::simulation::invariants::Violation;
use crate::simulation::run::Report;

/// A seed that violates something.
pub struct Finding {
    seed: u64,
    violations: Vec<Violation>,
    shrunk: Case,
    violations_of_shrunk: Vec<Violation>,
    lines: Vec<String>,
    runs: usize,
}

impl Finding {
    /// What a seed violates, and the smallest case found that does as well, with what happens in it.
    pub fn new(case: &Case, violations: &[Violation], shrunk: &Case, of_shrunk: Report, runs: usize) -> Self {
        Self {
            seed: case.seed,
            violations: violations.to_vec(),
            shrunk: shrunk.clone(),
            violations_of_shrunk: of_shrunk.violations,
            lines: of_shrunk.lines,
            runs,
        }
    }

    fn json(&self) -> Value {
        let told = |violations: &[Violation]| -> Value {
            violations
                .iter()
                .map(|it| json!({"invariant": format!("{:?}", it.invariant), "detail": it.detail}))
                .collect()
        };
        json!({
            "seed": self.seed, "violations": told(&self.violations),
            "shrunk": {
                "violations": told(&self.violations_of_shrunk),
                "settings": format!("{:?}", self.shrunk.settings), "schedule_seed": self.shrunk.schedule_seed,
                "items": self.shrunk.items.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "trace": self.lines, "runs": self.runs,
            },
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "\nseed {} violates:", self.seed)?;
        for violation in &self.violations {
            writeln!(formatter, "  {violation}")?;
        }
        writeln!(formatter, "shrunk in {} runs to {} items:", self.runs, self.shrunk.items.len())?;
        write!(formatter, "{}", self.shrunk)?;
        for line in &self.lines {
            writeln!(formatter, "    {line}")?;
        }
        for violation in &self.violations_of_shrunk {
            writeln!(formatter, "  {violation}")?;
        }
        writeln!(formatter, "again: simulate --seed {}", self.seed)
    }
}

/// What came of all of them.
pub struct Summary {
    /// What violates something.
    pub findings: Vec<Finding>,
    /// How long it took.
    pub took: Duration,
    /// What happened in the only seed.
    pub lines: Vec<String>,
    from: u64,
    seeds: u64,
    events: usize,
    faults: usize,
    steps: u64,
    hits: Hits,
    digest: u64,
}

impl Summary {
    /// Nothing yet.
    pub fn new(from: u64) -> Self {
        Self {
            findings: Vec::new(),
            took: Duration::ZERO,
            lines: Vec::new(),
            from,
            seeds: 0,
            events: 0,
            faults: 0,
            steps: 0,
            hits: Hits::default(),
            digest: 0,
        }
    }

    /// Adds what came of a case.
    pub fn add(&mut self, case: &Case, report: &Report) {
        self.seeds += 1;
        let faults = case.items.iter().filter(|item| matches!(item.what, What::Befalls(_))).count();
        self.events += case.items.len() - faults;
        self.faults += faults;
        self.steps += report.steps;
        self.hits.add(&report.hits);
        self.digest = self.digest.rotate_left(1) ^ report.digest;
    }

    /// Faults that did not happen once.
    pub fn never_hit(&self) -> Vec<Fault> {
        self.hits.each().filter(|(_, count)| *count == 0).map(|(fault, _)| fault).collect()
    }

    fn seeds_a_minute(&self) -> f64 {
        self.seeds as f64 * 60.0 / self.took.as_secs_f64().max(1e-9)
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let hits: serde_json::Map<String, Value> =
            self.hits.each().map(|(fault, count)| (fault.as_str().to_owned(), json!(count))).collect();
        let report = json!({
            "from": self.from, "seeds": self.seeds, "seconds": self.took.as_secs_f64(),
            "seeds_a_minute": self.seeds_a_minute(), "events": self.events, "planned_faults": self.faults,
            "steps": self.steps, "digest": format!("{:016x}", self.digest), "faults": hits,
            "findings": self.findings.iter().map(Finding::json).collect::<Vec<_>>(),
        });
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, format!("{report:#}\n"))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(formatter, "{line}")?;
        }
        for finding in &self.findings {
            write!(formatter, "{finding}")?;
        }
        writeln!(formatter, "\nhow often each fault happened:")?;
        for (fault, count) in self.hits.each() {
            writeln!(formatter, "  {:<22}{count:>10}", fault.as_str())?;
        }
        let (seconds, rate) = (self.took.as_secs_f64(), self.seeds_a_minute());
        let (seeds, events, faults, steps) = (self.seeds, self.events, self.faults, self.steps);
        writeln!(
            formatter,
            "{seeds} seeds from {} with {events} events and {faults} planned faults, {steps} steps, in {seconds:.1} s: \
             {rate:.0} seeds a minute, digest {:016x}",
            self.from, self.digest
        )?;
        let never: Vec<&str> = self.never_hit().into_iter().map(Fault::as_str).collect();
        if !never.is_empty() {
            writeln!(formatter, "never happened: {}", never.join(", "))?;
        }
        match self.findings.len() {
            0 => writeln!(formatter, "every invariant holds"),
            count => writeln!(formatter, "{count} seeds violate something"),
        }
    }
}
