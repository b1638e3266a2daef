//! Another system's figures of what is available: bounded in number, each row once.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::domain::words::{DEFAULT_LOCATION, Location, MAX_SKU_CHARACTERS, Sku, StockKey};

/// Most figures of one snapshot: some hundred megabytes in memory.
pub const MAX_FIGURES: usize = 1_000_000;
/// The largest figure of either sign: above every stock, and far enough from the end of 64 bits to be subtracted.
const MAX_UNITS: i64 = 1_000_000_000_000_000;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum FiguresError {
    /// They may be had later.
    #[error("{0}")]
    Away(String),
    /// What was read are no figures: nothing of it is compared.
    #[error("{0}")]
    Wrong(String),
}

/// The figures of one snapshot.
#[derive(Debug, Default)]
pub struct Figures {
    /// `None` where the system names a row and has no figure for it.
    by_row: HashMap<StockKey, Option<i64>>,
    locations: HashSet<Location>,
    count: usize,
}

impl Figures {
    /// How many there were.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether the system keeps anything at a location: what it does not name there is missing. Of other locations it
    /// says nothing.
    pub fn covers(&self, location: &Location) -> bool {
        self.locations.contains(location)
    }

    /// The figure of a row; `None` where there is none, whether the row is named or not.
    pub fn get(&self, key: &StockKey) -> Option<i64> {
        self.by_row.get(key).copied().flatten()
    }

    /// Notes that a row was compared.
    pub(super) fn mark(&mut self, key: &StockKey) {
        self.by_row.remove(key);
    }

    /// The rows that were not compared, in order.
    pub fn left(&self) -> Vec<StockKey> {
        let mut left: Vec<StockKey> = self.by_row.keys().cloned().collect();
        left.sort_unstable();
        left
    }

    /// Adds a figure.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(super) fn add(&mut self, key: StockKey, available: Option<i64>) -> Result<(), String> {
        if self.count == MAX_FIGURES {
            return Err(format!("there are more than {MAX_FIGURES} figures; split the snapshot by location"));
        }
        self.locations.insert(key.location.clone());
        if self.by_row.contains_key(&key) {
            return Err(format!("{key} stands there twice; each row may have one figure"));
        }
        self.by_row.insert(key, available);
        self.count += 1;
        Ok(())
    }

    /// Adds the figure of a JSON object with `sku`, `location` and `available`; other fields are passed over.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(super) fn add_object(&mut self, object: &Value) -> Result<(), String> {
        if !object.is_object() {
            return Err("it is no JSON object".to_owned());
        }
        let sku = match &object["sku"] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Null => return Err("sku is missing".to_owned()),
            other => return Err(format!("sku is {other}, but must be a text")),
        };
        let location = match &object["location"] {
            Value::Null => None,
            Value::String(text) => Some(text.as_str()),
            other => return Err(format!("location is {other}, but must be a text")),
        };
        let available = match object.get("available") {
            None => return Err("available is missing; null says that there is no figure".to_owned()),
            Some(Value::Null) => None,
            Some(Value::String(text)) => Some(units(text)?),
            Some(other) => Some(units(&other.to_string())?),
        };
        self.add(row(&sku, location)?, available)
    }
}

/// A row by its names.
pub(super) fn row(sku: &str, location: Option<&str>) -> Result<StockKey, String> {
    let location = location.filter(|location| !location.is_empty()).unwrap_or(DEFAULT_LOCATION);
    for (name, text) in [("sku", sku), ("location", location)] {
        if !(1..=MAX_SKU_CHARACTERS).contains(&text.chars().count()) || text.contains('\0') {
            return Err(format!("{name} must have 1 to {MAX_SKU_CHARACTERS} characters and no NUL"));
        }
    }
    Ok(StockKey { sku: Sku::from(sku), location: Location::from(location) })
}

/// A number of units: what is available may be negative while a row is short.
pub(super) fn units(text: &str) -> Result<i64, String> {
    let units = text.trim().parse().ok().filter(|units| (-MAX_UNITS..=MAX_UNITS).contains(units));
    units.ok_or_else(|| {
        let shown: String = text.chars().take(50).collect();
        format!("available is {shown:?}, but must be a whole number from -{MAX_UNITS} to {MAX_UNITS}, or nothing")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_read_and_wrong_ones_refused_by_what_is_wrong() {
        let mut figures = Figures::default();
        for object in [
            json!({"sku": "A", "available": 5, "more": 1}),
            json!({"sku": 7, "location": "north", "available": "-3"}),
            json!({"sku": "B", "location": null, "available": null}),
        ] {
            figures.add_object(&object).unwrap();
        }
        for (sku, location, theirs) in [("A", "default", Some(5)), ("7", "north", Some(-3)), ("B", "default", None)] {
            let key = StockKey::new(sku, location);
            assert_eq!(figures.get(&key), theirs);
            figures.mark(&key);
        }
        assert!(figures.covers(&"north".into()) && !figures.covers(&"south".into()));
        assert_eq!((figures.count(), figures.left().len()), (3, 0));
        for (wrong, said) in [
            (json!({"available": 5}), "sku is missing"),
            (json!({"sku": "", "available": 5}), "1 to 100"),
            (json!({"sku": "C"}), "available is missing"),
            (json!({"sku": "C", "available": 1.5}), "whole number"),
            (json!({"sku": "C", "available": 9_000_000_000_000_000_i64}), "whole number"),
            (json!({"sku": "C", "location": 1, "available": 1}), "location is 1"),
            (json!([]), "no JSON object"),
        ] {
            let refused = figures.add_object(&wrong).unwrap_err();
            assert!(refused.contains(said), "{wrong}: {refused}");
        }
        figures.add_object(&json!({"sku": "C", "available": 1})).unwrap();
        assert!(figures.add_object(&json!({"sku": "C", "available": 2})).unwrap_err().contains("twice"));
    }
}
