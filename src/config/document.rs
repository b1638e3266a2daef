//! Holds the table of settings in docs/wire.md to the keys, their ranges and their defaults.

use serde_json::Value;

use super::OutsideSettings;
use super::Settings;
use super::keys::{KEYS, Key, Kind, OUTSIDE_KEYS};

const WIRE: &str = include_str!("../../docs/wire.md");

struct Row<'d> {
    key: &'d str,
    values: &'d str,
    default: &'d str,
    purpose: &'d str,
}

fn section() -> &'static str {
    WIRE.split("## 5. Settings").nth(1).unwrap().split("## 6.").next().unwrap()
}

fn rows() -> Vec<Row<'static>> {
    let lines = section().lines().filter(|line| line.starts_with("| `"));
    let row = |line: &'static str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [key, values, default, purpose] = cells[..] else { panic!("{line} has not four cells") };
        Row { key: key.trim_matches('`'), values, default, purpose }
    };
    lines.map(row).collect()
}

/// Every key, with those of sections behind the key of their table.
fn keys() -> Vec<&'static Key> {
    let mut keys = Vec::new();
    for key in KEYS {
        keys.push(key);
        if let Kind::Sections { keys: below, .. } = key.kind {
            keys.extend(below);
        }
    }
    keys
}

/// A default as the document writes it.
fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => format!("`{truth}`"),
        Value::String(text) if !text.is_empty() => format!("`{text}`"),
        Value::String(_) => "empty".to_owned(),
        Value::Object(table) if table.is_empty() => "empty".to_owned(),
        other => panic!("no default is like {other}"),
    }
}

#[test]
fn the_table_of_the_document_names_every_key_in_order() {
    let documented: Vec<&str> = rows().iter().map(|row| row.key).collect();
    let known: Vec<&str> = keys().iter().map(|key| key.name).collect();
    assert_eq!(documented, known);
}

#[test]
fn the_table_of_the_document_has_the_values_and_defaults_of_every_key() {
    let mut defaults = serde_json::to_value(Settings::default()).unwrap();
    let outside = serde_json::to_value(OutsideSettings::default()).unwrap();
    for (row, key) in rows().iter().zip(keys()) {
        if OUTSIDE_KEYS.iter().any(|known| known.name == key.name) {
            defaults["reconcile"]["outside"] = serde_json::json!({"NAME": outside});
        }
        let words = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        match key.kind {
            Kind::Number { least, most, unit } => {
                assert_eq!(row.values, format!("{least} to {most} {unit}"), "{}", row.key)
            }
            Kind::Flag => assert_eq!(row.values, words(&["true", "false"]), "{}", row.key),
            Kind::Choice(choices) => assert_eq!(row.values, words(choices), "{}", row.key),
            Kind::Address(_) | Kind::Text(_) | Kind::Names | Kind::Properties | Kind::Sections { .. } => {
                assert!(!row.values.is_empty(), "{}", row.key)
            }
        }
        match defaults.pointer(&format!("/{}", key.name.replace('.', "/"))) {
            Some(Value::Null) | None => assert!(row.default.starts_with("none"), "{}: {}", row.key, row.default),
            Some(default) => assert_eq!(row.default, shown(default), "{}", row.key),
        }
        assert!(!row.purpose.is_empty(), "{}", row.key);
    }
}

#[test]
fn the_document_names_the_files_that_secrets_may_stand_in() {
    for key in keys() {
        let file = match key.kind {
            Kind::Address(_) => format!("`{}_file`", key.name),
            Kind::Properties => format!("`{}_files`", key.name),
            _ => continue,
        };
        assert!(section().contains(&file), "{file}");
    }
}
