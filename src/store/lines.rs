//! The lines of a claim as its row keeps them: JSON, so that people can read them in SQL.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::de::Error;
use serde::{Deserialize, Serialize};

use crate::domain::claim::ClaimLine;
use crate::domain::words::{DEFAULT_LOCATION, StockKey};

/// One line. What is 0 is not written: most lines have one or two numbers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    sku: Cow<'a, str>,
    #[serde(borrow, default = "default_location", skip_serializing_if = "is_default_location")]
    location: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_zero")]
    requested: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    reserved: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    deducted: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    released: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    shipped: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    returned: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    too_late: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    lapsed: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    refused: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    lost: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    waiting: i64,
}

fn default_location<'a>() -> Cow<'a, str> {
    DEFAULT_LOCATION.into()
}

fn is_default_location(location: &str) -> bool {
    location == DEFAULT_LOCATION
}

// The form of the predicate is serde's.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_zero(units: &i64) -> bool {
    *units == 0
}

/// Lines as text. A line of which nothing is left is not kept: a cart that lives long meets many SKUs.
pub fn write(lines: &BTreeMap<StockKey, ClaimLine>) -> String {
    let lines: Vec<Line<'_>> = lines
        .iter()
        .filter(|(_, line)| **line != ClaimLine::default())
        .map(|(key, line)| Line {
            sku: key.sku.as_str().into(),
            location: key.location.as_str().into(),
            requested: line.requested,
            reserved: line.reserved,
            deducted: line.deducted,
            released: line.released,
            shipped: line.shipped,
            returned: line.returned,
            too_late: line.too_late,
            lapsed: line.lapsed,
            refused: line.refused,
            lost: line.lost,
            waiting: line.waiting,
        })
        .collect();
    serde_json::to_string(&lines).expect("texts and numbers are always valid JSON")
}

/// Lines from text.
///
/// # Errors
/// When it is none that [`write`] wrote; a row that stands there twice would lose what one of its lines has.
pub fn read(text: &str) -> Result<BTreeMap<StockKey, ClaimLine>, serde_json::Error> {
    let lines: Vec<Line<'_>> = serde_json::from_str(text)?;
    let mut by_row = BTreeMap::new();
    for line in lines {
        let key = StockKey::new(&*line.sku, &*line.location);
        let line = ClaimLine {
            requested: line.requested,
            reserved: line.reserved,
            deducted: line.deducted,
            released: line.released,
            shipped: line.shipped,
            returned: line.returned,
            too_late: line.too_late,
            lapsed: line.lapsed,
            refused: line.refused,
            lost: line.lost,
            waiting: line.waiting,
        };
        match by_row.entry(key) {
            Entry::Vacant(free) => free.insert(line),
            Entry::Occupied(taken) => return Err(Error::custom(format!("{} stands there twice", taken.key()))),
        };
    }
    Ok(by_row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written_and_none_is_lost() {
        let line = |reserved| ClaimLine { requested: 3, reserved, ..ClaimLine::default() };
        let empty = (StockKey::new("C", "default"), ClaimLine::default());
        let kept = BTreeMap::from([(StockKey::new("A", "default"), line(3)), (StockKey::new("A", "north"), line(0))]);
        let all = kept.clone().into_iter().chain([empty]).collect();
        let text = write(&all);
        assert_eq!(text, r#"[{"sku":"A","requested":3,"reserved":3},{"sku":"A","location":"north","requested":3}]"#);
        assert_eq!(read(&text).unwrap(), kept);
        let twice = read(r#"[{"sku":"A","reserved":3},{"sku":"A","location":"default","reserved":2}]"#);
        assert_eq!(twice.unwrap_err().to_string(), "A@default stands there twice");
        assert!(read(r#"[{"sku":"A","held":3}]"#).is_err());
    }
}
