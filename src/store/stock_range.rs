//! The span of keys that a page of stock is looked for in.

use crate::domain::words::StockKey;
use crate::ports::StockFilter;

/// Keys in the order of their bytes: those behind a place, up to a SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StockRange {
    /// Every key stands behind this SKU and location. An empty location stands before each location of its SKU, and an
    /// empty SKU before each SKU, since neither is ever empty.
    pub behind: (String, String),
    /// Every SKU stands before this one, when there is one.
    pub before: Option<String>,
}

impl StockRange {
    /// What the prefix of a filter and the cursor leave.
    pub fn of(filter: &StockFilter, after: Option<&StockKey>) -> Self {
        let prefix = filter.prefix.as_ref().map_or("", |prefix| prefix.as_str());
        let first = (prefix, "");
        let after = after.map_or(first, |key| (key.sku.as_str(), key.location.as_str()));
        let (sku, location) = after.max(first);
        Self { behind: (sku.to_owned(), location.to_owned()), before: end_of(prefix) }
    }
}

/// The first text behind all that begin with `prefix`: its last letter made the next one. A letter behind which there is
/// none is left out, with the one before it made the next. UTF-8 sorts by code point, so that this holds for bytes.
fn end_of(prefix: &str) -> Option<String> {
    let mut letters = prefix.chars();
    while let Some(last) = letters.next_back() {
        if let Some(next) = next_letter(last) {
            let mut end = letters.as_str().to_owned();
            end.push(next);
            return Some(end);
        }
    }
    None
}

fn next_letter(letter: char) -> Option<char> {
    // A range of letters steps over the code points that are none.
    (letter..=char::MAX).nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_stands_behind_all_that_begin_with_it_and_before_all_others() {
        for (prefix, end) in [
            ("", None),
            ("A", Some("B")),
            ("shoe-", Some("shoe.")),
            ("a\u{7f}", Some("a\u{80}")),
            ("a\u{7ff}", Some("a\u{800}")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{ffff}", Some("a\u{10000}")),
            ("a\u{10fffe}", Some("a\u{10ffff}")),
            ("a\u{10ffff}", Some("b")),
            ("a\u{d7ff}\u{10ffff}\u{10ffff}", Some("a\u{e000}")),
            ("\u{10ffff}\u{10ffff}", None),
        ] {
            let found = end_of(prefix);
            assert_eq!(found.as_deref(), end, "{prefix:?}");
            for longer in ["", "\0", "x", "\u{d7ff}", "\u{10ffff}\u{10ffff}"] {
                let text = format!("{prefix}{longer}");
                assert!(found.as_ref().is_none_or(|end| text.as_bytes() < end.as_bytes()), "{text:?}");
            }
            assert!(found.is_none_or(|end| !end.starts_with(prefix) && end.as_bytes() > prefix.as_bytes()));
        }
    }

    #[test]
    fn a_page_begins_behind_the_cursor_and_not_before_the_prefix() {
        let range = |prefix: Option<&str>, after: Option<(&str, &str)>| {
            let filter = StockFilter { prefix: prefix.map(Into::into), ..StockFilter::default() };
            let range = StockRange::of(&filter, after.map(|(sku, location)| StockKey::new(sku, location)).as_ref());
            (range.behind.0, range.behind.1, range.before)
        };
        let expected = |sku: &str, location: &str, before: Option<&str>| {
            (sku.to_owned(), location.to_owned(), before.map(str::to_owned))
        };
        assert_eq!(range(None, None), expected("", "", None));
        assert_eq!(range(None, Some(("A", "north"))), expected("A", "north", None));
        assert_eq!(range(Some("B"), None), expected("B", "", Some("C")));
        assert_eq!(range(Some("B"), Some(("A", "north"))), expected("B", "", Some("C")));
        assert_eq!(range(Some("B"), Some(("B", "north"))), expected("B", "north", Some("C")));
        assert_eq!(range(Some("B"), Some(("D", "north"))), expected("D", "north", Some("C")));
    }
}
