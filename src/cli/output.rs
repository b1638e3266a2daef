//! What commands print on standard output. Log lines and progress go to standard error.

use std::io::{ErrorKind, Write};

use crate::app::Failure;

/// Whether anybody still reads what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Standard output took the text.
    There,
    /// Standard output was closed by whoever read it, as `head` does: printing more is of no use.
    Gone,
}

/// Prints a text as it is.
///
/// # Errors
/// [`Failure`] when standard output cannot be written, as on a full disk.
pub(super) fn print(text: &str) -> Result<Reader, Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::Failed(format!("standard output cannot be written: {error}"))),
    }
}

/// Prints one JSON value on a line of its own.
///
/// # Errors
/// As [`print`].
pub(super) fn print_json(value: &serde_json::Value) -> Result<Reader, Failure> {
    print(&format!("{value}\n"))
}

/// Tells people something on standard error, beside what is printed. It is lost when nobody is there to read it.
pub(super) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
