//! `holdfast publish`.

mod lines;
mod record;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::lines::{Line, LineNumbers, Lines};
use self::record::{Destination, LineError, record};
use super::{Ending, output};
use crate::app::{self, Failure};
use crate::bus::any::AnyPublisher;
use crate::bus::publish::PublishReport;
use crate::config::Settings;
use crate::domain::words::Timestamp;
use crate::wire::topics::Topics;

/// How many refused lines are told of one by one; all are counted.
const MOST_TOLD: u64 = 20;
/// What an envelope adds to the largest body, in bytes.
const ENVELOPE_BYTES: usize = 64 * 1024;

/// Publish events from a file or standard input
///
/// Reads a JSON object a line: structured CloudEvents, or bodies with an `event_id`. Each goes to the topic of its
/// type, or to the one that is named, under the key that the contract gives it. Exit code 1 when a line was refused or
/// not acknowledged by the broker.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  holdfast publish events.jsonl
  holdfast publish --topic order-created orders.jsonl
  jq -c '.[]' export.json | holdfast publish -")]
pub(super) struct PublishArguments {
    /// Topic for every line, by the contract's name or the broker's; needed for bodies without an envelope
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Print one JSON object at the end instead of a sentence
    #[arg(long)]
    json: bool,
    /// File to read; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

pub(super) async fn run(
    arguments: PublishArguments,
    settings: &Settings,
    stop: CancellationToken,
) -> Result<Ending, Failure> {
    let topics = app::topics(settings)?;
    let destination = match &arguments.topic {
        None => Destination::ByType,
        Some(name) => Destination::named(name, &topics).map_err(Failure::Settings)?,
    };
    let address = settings.source_bus().map_err(|error| Failure::Settings(error.to_string()))?;
    let lines = Lines::open(&arguments.file, settings.max_event_bytes + ENVELOPE_BYTES).map_err(Failure::Failed)?;
    let needed: Vec<String> = destination.topics(&topics).iter().map(ToString::to_string).collect();
    let publisher = app::publisher(address, &needed).await?;
    let progress = progress_bar(lines.bytes());
    let mut publishing =
        Publishing { topics, destination, publisher, progress, numbers: LineNumbers::new(), refused: 0 };
    let stopped = publishing.take(lines, &stop).await?;
    publishing.finish(arguments.json, stopped).await
}

struct Publishing {
    topics: Arc<Topics>,
    destination: Destination,
    publisher: AnyPublisher,
    progress: ProgressBar,
    numbers: LineNumbers,
    refused: u64,
}

impl Publishing {
    /// Sends every line; says whether it was stopped before the last.
    async fn take(&mut self, mut lines: Lines, stop: &CancellationToken) -> Result<bool, Failure> {
        loop {
            let Some(line) = stop.run_until_cancelled(lines.next()).await else { return Ok(true) };
            let Some(line) = line else { return Ok(false) };
            self.progress.set_position(line.end);
            self.progress.set_message(self.publisher.acknowledged().to_string());
            self.take_line(line).await?;
        }
    }

    async fn take_line(&mut self, line: Line) -> Result<(), Failure> {
        let made = line.content.and_then(|content| record(&content, &self.topics, &self.destination, now()));
        match made {
            Err(LineError::Unreadable(cause)) => return Err(Failure::Failed(format!("line {}: {cause}", line.number))),
            Err(LineError::Blank) => {}
            Err(LineError::Refused(cause)) => {
                self.refused += 1;
                if self.refused <= MOST_TOLD {
                    self.progress.suspend(|| output::tell(&format!("line {}: {cause}", line.number)));
                }
            }
            Ok(record) => {
                self.numbers.sent(line.number);
                self.publisher.send(record).await.map_err(Failure::failed)?;
            }
        }
        Ok(())
    }

    async fn finish(self, json: bool, stopped: bool) -> Result<Ending, Failure> {
        let Self { publisher, progress, numbers, refused, .. } = self;
        let report = publisher.finish().await.map_err(Failure::failed)?;
        progress.finish_and_clear();
        for failure in &report.failures {
            let line = numbers.line_of(failure.number);
            output::tell(&format!("line {line}: not acknowledged on topic {}: {}", failure.topic, failure.cause));
        }
        if json {
            let PublishReport { acknowledged, failed, .. } = report;
            output::print_json(&json!({ "acknowledged": acknowledged, "failed": failed, "refused": refused }))?;
        } else {
            output::print(&format!("{} events acknowledged\n", report.acknowledged))?;
        }
        match complaint(&report, refused, stopped) {
            Some(complaint) => Err(Failure::Failed(complaint)),
            None => Ok(Ending::Done),
        }
    }
}

fn complaint(report: &PublishReport, refused: u64, stopped: bool) -> Option<String> {
    let mut said = Vec::new();
    if refused > 0 {
        said.push(format!("lines refused and not sent: {refused}"));
    }
    if report.failed > 0 {
        said.push(format!("events not acknowledged: {} (publish them again with the same ids)", report.failed));
    }
    if stopped {
        said.push("stopped before the last line".to_owned());
    }
    (!said.is_empty()).then(|| said.join("; "))
}

/// A bar for people: hidden unless standard error is a terminal.
fn progress_bar(bytes: Option<u64>) -> ProgressBar {
    match bytes {
        Some(bytes) => {
            let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}  {msg} acknowledged  {eta} left");
            ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        }
        None => {
            let style = ProgressStyle::with_template("{spinner} {bytes} read  {msg} acknowledged");
            ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        }
    }
}

fn now() -> Timestamp {
    // A clock before 1970 is no clock; the broker then sees the first moment of it.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_in_which_everything_was_acknowledged_is_a_success() {
        let report = |failed| PublishReport { acknowledged: 5, failed, failures: Vec::new() };
        assert_eq!(complaint(&report(0), 0, false), None);
        let expected = "lines refused and not sent: 1; events not acknowledged: 2 (publish them again with the same ids); \
                        stopped before the last line";
        assert_eq!(complaint(&report(2), 1, true).as_deref(), Some(expected));
    }
}
