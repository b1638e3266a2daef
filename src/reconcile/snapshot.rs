//! Figures in a file: a JSON object a line, or CSV with a head. Read line by line, on a thread of its own because
//! reading blocks.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::figures::{Figures, FiguresError, row, units};

/// Longest line, in bytes: two names of the longest and a number have less, however they are escaped.
const MAX_LINE_BYTES: u64 = 16 * 1024;
/// Largest file, in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// Reads the figures of a file; `-` is standard input.
///
/// # Errors
/// [`FiguresError::Away`] when it cannot be read, [`FiguresError::Wrong`] with the line that is wrong.
pub async fn read_file(path: &Path) -> Result<Figures, FiguresError> {
    let path: PathBuf = path.to_owned();
    let shown = path.display().to_string();
    let reading = tokio::task::spawn_blocking(move || {
        if path == Path::new("-") {
            return read_snapshot(std::io::stdin().lock());
        }
        let file = File::open(&path).map_err(|error| FiguresError::Away(format!("it cannot be read: {error}")))?;
        read_snapshot(BufReader::with_capacity(256 * 1024, file))
    });
    let read = reading.await.map_err(|error| FiguresError::Away(format!("{shown}: {error}")))?;
    read.map_err(|error| match error {
        FiguresError::Away(said) => FiguresError::Away(format!("{shown}: {said}")),
        FiguresError::Wrong(said) => FiguresError::Wrong(format!("{shown}: {said}")),
    })
}

/// Which column holds what.
struct Head {
    columns: usize,
    sku: usize,
    location: Option<usize>,
    available: usize,
}

/// Reads the figures of a file that is open. Blocks as its input does.
///
/// # Errors
/// See [`read_file`].
pub fn read_snapshot(input: impl BufRead) -> Result<Figures, FiguresError> {
    let mut input = input.take(MAX_FILE_BYTES + 1);
    let mut figures = Figures::default();
    let mut head: Option<Head> = None;
    let mut is_json = None;
    for number in 1_u64.. {
        let wrong = |said: String| FiguresError::Wrong(format!("line {number}: {said}"));
        let Some(line) = next_line(&mut input).map_err(|error| match error {
            Ok(said) => wrong(said),
            Err(error) => FiguresError::Away(format!("it cannot be read: {error}")),
        })?
        else {
            break;
        };
        if input.limit() == 0 {
            return Err(FiguresError::Wrong(format!("it is larger than {MAX_FILE_BYTES} bytes")));
        }
        let line = if number == 1 { line.trim_start_matches('\u{feff}') } else { &line };
        if line.trim().is_empty() {
            continue;
        }
        match (*is_json.get_or_insert_with(|| line.trim_start().starts_with('{')), &head) {
            (true, _) => {
                let object = serde_json::from_str(line).map_err(|error| wrong(format!("it is not JSON: {error}")))?;
                figures.add_object(&object).map_err(wrong)?;
            }
            (false, None) => head = Some(Head::read(line).map_err(wrong)?),
            (false, Some(head)) => head.figure(line, &mut figures).map_err(wrong)?,
        }
    }
    if figures.count() == 0 {
        return Err(FiguresError::Wrong("it holds no figure; an empty snapshot is not compared".to_owned()));
    }
    Ok(figures)
}

/// The next line without its end. The inner error is what is wrong with it, for people.
fn next_line(input: &mut impl BufRead) -> Result<Option<String>, Result<String, std::io::Error>> {
    let mut line = Vec::new();
    let read = input.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line).map_err(Err)?;
    if read == 0 {
        return Ok(None);
    }
    if read as u64 > MAX_LINE_BYTES {
        return Err(Ok(format!("it is longer than {MAX_LINE_BYTES} bytes")));
    }
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    String::from_utf8(line).map(Some).map_err(|_| Ok("it is not UTF-8".to_owned()))
}

impl Head {
    fn read(line: &str) -> Result<Self, String> {
        let names = fields(line)?;
        let right = "the first line must name the columns: sku, available and, where there is one, location";
        let place = |name: &str| {
            let mut found = names.iter().enumerate().filter(|(_, known)| known.trim().eq_ignore_ascii_case(name));
            match (found.next(), found.next()) {
                (Some(_), Some(_)) => Err(format!("the column {name} stands there twice")),
                (found, _) => Ok(found.map(|(place, _)| place)),
            }
        };
        let (sku, location, available) = (place("sku")?, place("location")?, place("available")?);
        match (sku, available) {
            (Some(sku), Some(available)) => Ok(Self { columns: names.len(), sku, location, available }),
            _ => Err(right.to_owned()),
        }
    }

    fn figure(&self, line: &str, figures: &mut Figures) -> Result<(), String> {
        let fields = fields(line)?;
        if fields.len() != self.columns {
            return Err(format!("it has {} fields, but the first line has {}", fields.len(), self.columns));
        }
        let key = row(&fields[self.sku], self.location.map(|place| fields[place].as_str()))?;
        let text = fields[self.available].trim();
        let available = if text.is_empty() { None } else { Some(units(text)?) };
        figures.add(key, available)
    }
}

/// The fields of a line, after RFC 4180 but for line breaks within a field: separated by commas; one in quotes may hold
/// commas, and quotes that are doubled.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err("a quoted field must end before a comma or the end of the line".to_owned()),
        }
    }
}

fn quoted_field(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"').ok_or("a quoted field has no end on its line")?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Ok((field, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::words::StockKey;

    fn refused(text: &str) -> String {
        read_snapshot(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn both_formats_give_the_same_figures() {
        let lines =
            "{\"sku\":\"A\",\"available\":5}\n\n{\"sku\":\"B, \\\"red\\\"\",\"location\":\"north\",\"available\":null}";
        let table = "\u{feff}name,SKU,available,location\r\nx,A,5,\r\n\"y,z\",\"B, \"\"red\"\"\",,north\r\n";
        for text in [lines, table] {
            let mut figures = read_snapshot(text.as_bytes()).unwrap();
            assert_eq!(figures.count(), 2);
            assert!(figures.covers(&"north".into()));
            assert_eq!(figures.get(&StockKey::new("A", "default")), Some(5));
            figures.mark(&StockKey::new("A", "default"));
            assert_eq!(figures.left(), [StockKey::new("B, \"red\"", "north")]);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert_eq!(
            refused("sku,available\nA,5\nA,6\n"),
            "line 3: A@default stands there twice; each row may have one figure"
        );
        assert!(refused("sku,units\n").starts_with("line 1: the first line must name the columns"));
        assert!(refused("sku,available,sku\n").contains("stands there twice"));
        assert_eq!(refused("sku,available\nA\n"), "line 2: it has 1 fields, but the first line has 2");
        assert!(refused("sku,available\n\"A,5\n").contains("no end on its line"));
        assert!(refused("sku,available\n\"A\"x,5\n").contains("must end before"));
        assert!(refused("{\"sku\":\"A\"").starts_with("line 1: it is not JSON"));
        assert!(refused("sku,available\nA,five\n").starts_with("line 2: available is \"five\""));
        assert!(refused(&format!("sku,available\n{},5\n", "A".repeat(20_000))).contains("longer than 16384 bytes"));
        for empty in ["", "\n\n", "sku,available\n"] {
            assert!(refused(empty).contains("no figure"), "{empty:?}");
        }
        assert!(read_snapshot(&b"sku,available\n\xff,1\n"[..]).unwrap_err().to_string().contains("UTF-8"));
    }
}
