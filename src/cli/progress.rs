//! Progress bars for work in steps. They go to standard error and are hidden unless that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for this many steps; its message says what is being done.
pub(super) fn steps(count: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len}  {msg}");
    ProgressBar::new(count).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
