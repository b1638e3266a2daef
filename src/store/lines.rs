//! The lines of a claim as its row keeps them: JSON, so that people can read them in SQL.

use std::borrow::Cow;
use std::collections::BTreeMap;

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
pub(super) fn write(lines: &BTreeMap<StockKey, ClaimLine>) -> String {
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
pub(super) fn read(text: &str) -> Result<BTreeMap<StockKey, ClaimLine>, serde_json::Error> {
    let lines: Vec<Line<'_>> = serde_json::from_str(text)?;
    let line = |line: Line<'_>| {
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
        (key, line)
    };
    Ok(lines.into_iter().map(line).collect())
}
