//! What happened, as a digest and, where somebody wants to read it, as lines.

use std::fmt::{self, Write};

/// Of FNV-1a, 64 bits.
const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// Everything that happened so far. Two runs are the same when their digests are.
#[derive(Debug)]
pub struct Trace {
    digest: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// Nothing yet. Lines are kept only on demand: they cost more than the run.
    pub fn new(keeps_lines: bool) -> Self {
        Self { digest: OFFSET_BASIS, lines: keeps_lines.then(Vec::new) }
    }

    /// Notes which task goes on. Never a line: there are thousands.
    pub fn step(&mut self, task: u64) {
        self.feed(&task.to_be_bytes());
    }

    /// Notes that something happened.
    pub fn note(&mut self, what: fmt::Arguments<'_>) {
        // Feeding cannot fail.
        let _ = self.write_fmt(what);
        self.feed(b"\n");
        if let Some(lines) = &mut self.lines {
            lines.push(what.to_string());
        }
    }

    /// What is the same in runs that are the same, and else differs.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The lines, where they are kept.
    pub fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }

    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.feed(text.as_bytes());
        Ok(())
    }
}
