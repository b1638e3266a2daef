//! Figures of another system: what can be read of a file or of a list are figures within their limits, and they are the
//! same figures when they are written down again in any of the forms.

use std::fmt::Write;

use holdfast::domain::words::{MAX_SKU_CHARACTERS, StockKey};
use holdfast::reconcile::{Figures, FiguresError, List, MAX_FIGURES, read_snapshot};
use serde_json::{Value, json};

/// The contract's limit for a figure of either sign.
const MAX_UNITS: i64 = 1_000_000_000_000_000;
/// Longest text that may say where a list goes on, in bytes.
const MAX_CURSOR_BYTES: usize = 4_096;
/// Stands between the pages of a list.
const NEXT_PAGE: &[u8] = b"\n---\n";

/// A row with its figure.
type Rows = Vec<(StockKey, Option<i64>)>;

/// A file, a JSON object a line or CSV with a head.
pub fn snapshot(input: &[u8]) -> bool {
    match read_snapshot(input) {
        Ok(figures) => {
            assert_same(&rows(&figures));
            true
        }
        Err(FiguresError::Wrong(said)) => {
            assert!(!said.is_empty());
            false
        }
        Err(FiguresError::Away(said)) => panic!("memory can always be read: {said}"),
    }
}

/// The pages of a list, with a line of `---` between them.
pub fn list(input: &[u8]) -> bool {
    let mut list = List::default();
    let mut rest = Some(input);
    let mut cursors = Vec::new();
    while let Some(open) = rest {
        let end = open.windows(NEXT_PAGE.len()).position(|window| window == NEXT_PAGE);
        let page = end.map_or(open, |end| &open[..end]);
        rest = end.map(|end| &open[end + NEXT_PAGE.len()..]);
        match list.page(page) {
            Ok(Some(cursor)) => {
                assert!(cursor.len() <= MAX_CURSOR_BYTES && !cursors.contains(&cursor), "{cursor:?}");
                cursors.push(cursor);
            }
            Ok(None) => break,
            Err(said) => {
                assert!(!said.is_empty());
                return false;
            }
        }
    }
    // Each page that has a next one has an item, so that no list is endless.
    let Ok(figures) = list.figures() else {
        assert!(cursors.is_empty());
        return false;
    };
    assert!(figures.count() >= cursors.len());
    assert_same(&rows(&figures));
    true
}

/// The rows in order, after a look at their limits.
fn rows(figures: &Figures) -> Rows {
    let keys = figures.left();
    assert!((1..=MAX_FIGURES).contains(&keys.len()));
    assert_eq!(keys.len(), figures.count(), "each row has one figure");
    let row = |key: StockKey| {
        for name in [key.sku.as_str(), key.location.as_str()] {
            assert!((1..=MAX_SKU_CHARACTERS).contains(&name.chars().count()) && !name.contains('\0'), "{name:?}");
        }
        assert!(figures.covers(&key.location));
        let available = figures.get(&key);
        assert!(available.is_none_or(|units| (-MAX_UNITS..=MAX_UNITS).contains(&units)), "{available:?}");
        (key, available)
    };
    keys.into_iter().map(row).collect()
}

/// Written down in each form, the figures are read as the same ones; with one of them twice, none is read.
fn assert_same(expected: &Rows) {
    let objects: Vec<Value> = expected.iter().map(|(key, available)| object(key, *available)).collect();
    let lines: String = objects.iter().map(|object| format!("{object}\n")).collect();
    assert_eq!(rows(&read_snapshot(lines.as_bytes()).expect("each line is a figure")), *expected);
    let twice = format!("{lines}{}\n", objects[0]);
    assert!(matches!(read_snapshot(twice.as_bytes()), Err(FiguresError::Wrong(said)) if said.contains("twice")));
    // A field of a line of CSV has no line break.
    let has_break =
        |key: &StockKey| [&key.sku.as_str(), &key.location.as_str()].iter().any(|it| it.contains(['\n', '\r']));
    if !expected.iter().any(|(key, _)| has_break(key)) {
        let table = table(expected);
        assert_eq!(rows(&read_snapshot(table.as_bytes()).expect("each line is a figure")), *expected);
    }
    let mut list = List::default();
    let (first, others) = objects.split_at(objects.len().div_ceil(2));
    let pages = [json!({"items": first, "next": "2"}), json!({"items": others})];
    let next = pages.map(|page| list.page(page.to_string().as_bytes()).expect("each item is a figure"));
    assert_eq!(next, [Some("2".to_owned()), None]);
    assert_eq!(rows(&list.figures().expect("there are figures")), *expected);
}

fn object(key: &StockKey, available: Option<i64>) -> Value {
    json!({"sku": key.sku.as_str(), "location": key.location.as_str(), "available": available})
}

/// The figures as CSV with every field in quotes, between columns that mean nothing.
fn table(rows: &Rows) -> String {
    let mut table = "name,available,SKU,\" location \",note\r\n".to_owned();
    let quoted = |text: &str| text.replace('"', "\"\"");
    for (key, available) in rows {
        let available = available.map_or(String::new(), |units| units.to_string());
        let (sku, location) = (quoted(key.sku.as_str()), quoted(key.location.as_str()));
        write!(table, "\"a, \"\"b\"\"\",{available},\"{sku}\",\"{location}\",\r\n").expect("memory takes it");
    }
    table
}
