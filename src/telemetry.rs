//! Log lines on standard error.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogSettings};

/// What says at level info that nothing happened; a level for it in the settings goes over this.
const QUIET: &str = "sqlx::postgres::notice=warn";

/// Why log lines cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is none.
    #[error("log.level {level:?} is not right: {cause}")]
    Level {
        /// What was set.
        level: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Something in this process writes log lines already.
    #[error("log lines are set up already: {0}")]
    Twice(String),
}

/// Sends log lines to standard error from now on, for the whole process. Standard output stays free for what commands
/// print.
pub fn start(settings: &LogSettings) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder()
        .parse(format!("{QUIET},{}", settings.level))
        .map_err(|error| TelemetryError::Level { level: settings.level.clone(), cause: error.to_string() })?;
    let lines = fmt().with_env_filter(filter).with_writer(stderr);
    let started = match settings.format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).finish().try_init(),
        LogFormat::Text => lines.with_ansi(wants_colour()).finish().try_init(),
    };
    started.map_err(|error| TelemetryError::Twice(error.to_string()))
}

/// Colour is for people: on a terminal, unless they said no (<https://no-color.org>).
fn wants_colour() -> bool {
    stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
