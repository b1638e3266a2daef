//! What commands print on standard output. Log lines and progress go to standard error.

use std::io::{ErrorKind, Write};

use crate::app::Failure;

/// Prints a text as it is.
///
/// # Errors
/// [`Failure`] when standard output takes nothing more, also because its reader has gone away.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::Failed("standard output was closed".to_owned()),
        _ => Failure::Failed(format!("standard output cannot be written: {error}")),
    })
}

/// Prints one JSON value on a line of its own.
///
/// # Errors
/// As [`print`].
pub(super) fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value}\n"))
}

/// Tells people something on standard error, beside what is printed. It is lost when nobody is there to read it.
pub(super) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
