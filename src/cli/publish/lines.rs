//! Lines of a file or of standard input, of bounded length, read on a thread of their own because reading blocks.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::Path;

use tokio::sync::mpsc;

use super::record::LineError;

/// Lines that wait to be sent.
const CHANNEL_LINES: usize = 1_024;

/// One line.
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: u64,
    /// How many bytes of the input are read with it.
    pub(super) end: u64,
    /// The line without its end, or why it cannot be had.
    pub(super) content: Result<Vec<u8>, LineError>,
}

/// The lines of an input.
pub(super) struct Lines {
    lines: mpsc::Receiver<Line>,
    bytes: Option<u64>,
}

impl Lines {
    /// Begins to read a file, or standard input for `-`. Lines above `most` bytes are passed over.
    pub(super) fn open(path: &Path, most: usize) -> Result<Self, String> {
        let (sender, lines) = mpsc::channel(CHANNEL_LINES);
        if path == Path::new("-") {
            tokio::task::spawn_blocking(move || read(stdin().lock(), most, &sender));
            return Ok(Self { lines, bytes: None });
        }
        let unreadable =
            |error| format!("{} cannot be read: {error}; name a file with a JSON object a line", path.display());
        let file = File::open(path).map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        let bytes = about.is_file().then_some(about.len());
        tokio::task::spawn_blocking(move || read(BufReader::with_capacity(256 * 1024, file), most, &sender));
        Ok(Self { lines, bytes })
    }

    /// The size of the input, where it is known.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// The next line; `None` at the end. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Line> {
        self.lines.recv().await
    }
}

/// Reads until the end, an error, or until nobody wants more.
fn read(mut input: impl BufRead, most: usize, lines: &mpsc::Sender<Line>) {
    let mut end = 0;
    for number in 1.. {
        let (content, more) = match next_line(&mut input, most, &mut end) {
            Ok(None) => return,
            Ok(Some(content)) => (content, true),
            Err(error) => (Err(LineError::Unreadable(format!("the input cannot be read: {error}"))), false),
        };
        if lines.blocking_send(Line { number, end, content }).is_err() || !more {
            return;
        }
    }
}

type Content = Result<Vec<u8>, LineError>;

fn next_line(input: &mut impl BufRead, most: usize, end: &mut u64) -> std::io::Result<Option<Content>> {
    let mut line = Vec::new();
    // One byte more than allowed tells a line that is too long, one more its end.
    let read = input.by_ref().take(most as u64 + 2).read_until(b'\n', &mut line)?;
    *end += read as u64;
    if read == 0 {
        return Ok(None);
    }
    let is_whole = line.last() == Some(&b'\n');
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    if line.len() <= most {
        return Ok(Some(Ok(line)));
    }
    if !is_whole {
        *end += skip_line(input)?;
    }
    let cause = format!("the line is longer than the {most} bytes that max_event_bytes and its envelope allow");
    Ok(Some(Err(LineError::Refused(cause))))
}

/// Reads to the end of the line without keeping it.
fn skip_line(input: &mut impl BufRead) -> std::io::Result<u64> {
    let mut skipped = 0;
    loop {
        let available = input.fill_buf()?;
        let (used, done) = match available.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (available.len(), available.is_empty()),
        };
        input.consume(used);
        skipped += used as u64;
        if done {
            return Ok(skipped);
        }
    }
}

/// Which line each sent record came from. Takes room only where lines are left out between.
#[derive(Debug, Default)]
pub(super) struct LineNumbers {
    sent: usize,
    /// The record from which on lines count up from this one.
    runs: Vec<(usize, u64)>,
}

impl LineNumbers {
    /// Nothing was sent yet.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Notes that the next record comes from this line.
    pub(super) fn sent(&mut self, line: u64) {
        if self.runs.is_empty() || self.line_of(self.sent) != line {
            self.runs.push((self.sent, line));
        }
        self.sent += 1;
    }

    /// The line of a record, counted from 0 in the order of sending.
    pub(super) fn line_of(&self, record: usize) -> u64 {
        let run = self.runs.partition_point(|(first, _)| *first <= record).checked_sub(1);
        run.and_then(|run| self.runs.get(run)).map_or(0, |(first, line)| line + (record - first) as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn all(input: &str, most: usize) -> Vec<(u64, u64, Option<String>)> {
        let (sender, mut receiver) = mpsc::channel(100);
        // A small buffer, so that lines are longer than it.
        read(BufReader::with_capacity(3, Cursor::new(input.to_owned())), most, &sender);
        drop(sender);
        let mut lines = Vec::new();
        while let Ok(Line { number, end, content }) = receiver.try_recv() {
            lines.push((number, end, content.ok().map(|content| String::from_utf8(content).unwrap())));
        }
        lines
    }

    #[test]
    fn lines_end_with_either_line_end_or_the_input() {
        let line = |number, end, text: &str| (number, end, Some(text.to_owned()));
        assert_eq!(all("ab\ncd\r\n\nef", 10), [line(1, 3, "ab"), line(2, 7, "cd"), line(3, 8, ""), line(4, 10, "ef")]);
        assert_eq!(all("", 10), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_next_is_read() {
        let shown = all("12345\n123456\n1234567890\nab\n", 5);
        let expected = [(1, 6, Some("12345".to_owned())), (2, 13, None), (3, 24, None), (4, 27, Some("ab".to_owned()))];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_record_is_traced_to_its_line() {
        let mut numbers = LineNumbers::new();
        for line in [1, 2, 5, 6, 9] {
            numbers.sent(line);
        }
        let lines: Vec<u64> = (0..5).map(|record| numbers.line_of(record)).collect();
        assert_eq!(lines, [1, 2, 5, 6, 9]);
        assert_eq!(numbers.runs.len(), 3);
    }
}
