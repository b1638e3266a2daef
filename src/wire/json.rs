//! JSON text to a tree.
//!
//! The grammar is serde_json's; values are looked at in their written form, because the contract tells 2 from 2.0,
//! takes any number for the text of a SKU, and wants to know a lone surrogate from a text that is no JSON.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::tree::{MAX_DEPTH, MAX_VALUES, Tree};

/// Reads one JSON value that fills the text. The error says what is wrong, for people.
pub(crate) fn read(text: &str) -> Result<Tree<'_>, String> {
    let raw: &RawValue = serde_json::from_str(text).map_err(not_json)?;
    Reader { values_left: MAX_VALUES }.value(raw.get(), 0)
}

fn not_json(error: serde_json::Error) -> String {
    format!("is not JSON: {error}")
}

struct Reader {
    values_left: usize,
}

impl Reader {
    fn value<'a>(&mut self, text: &'a str, depth: usize) -> Result<Tree<'a>, String> {
        if depth > MAX_DEPTH {
            return Err(format!("the JSON nests deeper than {MAX_DEPTH} levels"));
        }
        self.values_left =
            self.values_left.checked_sub(1).ok_or_else(|| format!("there are more than {MAX_VALUES} values"))?;
        match text.as_bytes() {
            [b'{', ..] => {
                let Entries(entries) = serde_json::from_str(text).map_err(not_json)?;
                let mut record = Vec::with_capacity(entries.len());
                for (name, value) in entries {
                    record.push((name, self.value(value.get(), depth + 1)?));
                }
                Ok(Tree::Record(record))
            }
            [b'[', ..] => {
                let items: Vec<&RawValue> = serde_json::from_str(text).map_err(not_json)?;
                let items: Result<Vec<Tree<'a>>, String> =
                    items.into_iter().map(|item| self.value(item.get(), depth + 1)).collect();
                Ok(Tree::List(items?))
            }
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                Ok(Tree::Text(Cow::Borrowed(&text[1..text.len() - 1])))
            }
            // The escapes were checked when the text was found; only a surrogate without its other half is left.
            [b'"', ..] => Ok(serde_json::from_str(text).map_or(Tree::BrokenText, |text| Tree::Text(Cow::Owned(text)))),
            b"null" => Ok(Tree::Null),
            b"true" => Ok(Tree::Boolean(true)),
            b"false" => Ok(Tree::Boolean(false)),
            _ => Ok(Tree::Number(text)),
        }
    }
}

/// The entries of an object in the order in which they stand, repeated names included.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            entries.push((entry.0.0, entry.1));
        }
        Ok(Entries(entries))
    }
}

/// A name that borrows where it has no escapes; `Cow` alone would always copy.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_written_form() {
        let tree = read(r#" {"a":2.0,"b":[1e3,-7,null,true],"c":"x\ty","a":"z"} "#).unwrap();
        assert_eq!(
            tree,
            Tree::Record(vec![
                ("a".into(), Tree::Number("2.0")),
                (
                    "b".into(),
                    Tree::List(vec![Tree::Number("1e3"), Tree::Number("-7"), Tree::Null, Tree::Boolean(true)])
                ),
                ("c".into(), Tree::Text("x\ty".into())),
                ("a".into(), Tree::Text("z".into())),
            ])
        );
    }

    #[test]
    fn a_lone_surrogate_is_told_apart_from_what_is_no_json() {
        assert_eq!(read(r#""\ud800""#).unwrap(), Tree::BrokenText);
        assert_eq!(read(r#""\udc00x""#).unwrap(), Tree::BrokenText);
        assert_eq!(read(r#""\ud83d\ude00""#).unwrap(), Tree::Text("\u{1f600}".into()));
        for broken in ["", "{", "{\"a\":}", "nul", "01", "1.", "\"\\x\"", "\"\\u12\"", "{} {}", "\"a\u{1}\"", "[1,]"] {
            assert!(read(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(&deep).unwrap_err().contains("deeper"));
        let many = format!("[{}1]", "1,".repeat(MAX_VALUES));
        assert!(read(&many).unwrap_err().contains("more than"));
    }
}
