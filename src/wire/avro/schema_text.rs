//! The text of a schema from outside, made fit for the library that parses it.

use serde_json::{Map, Value};

/// Longest name with its namespace, in characters.
const MAX_NAME_CHARACTERS: usize = 1_000;
/// What does not change how bytes are read: texts for people, and what a reader of another schema would need.
const UNREAD: [&str; 4] = ["aliases", "default", "doc", "order"];

/// The schema without what does not matter for reading, and without logical types but timestamps: a strange one should
/// not make a schema unreadable. Every name is one, since the library ends the process over one that is not.
///
/// # Errors
/// What is wrong, for people.
pub(super) fn prepared(text: &str) -> Result<String, String> {
    let mut value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    prepare(&mut value)?;
    Ok(value.to_string())
}

/// Prepares a type: its name, an object that defines it, or a list of those, which is a union.
fn prepare(schema: &mut Value) -> Result<(), String> {
    match schema {
        Value::String(name) => check_name("type", name),
        Value::Array(variants) => variants.iter_mut().try_for_each(prepare),
        Value::Object(definition) => prepare_definition(definition),
        Value::Null | Value::Bool(_) | Value::Number(_) => Err(format!("{schema} is no type")),
    }
}

fn prepare_definition(definition: &mut Map<String, Value>) -> Result<(), String> {
    definition.retain(|key, _| !UNREAD.contains(&key.as_str()));
    if definition.get("logicalType").is_some_and(|kind| !kind.as_str().unwrap_or("").starts_with("timestamp-")) {
        definition.remove("logicalType");
    }
    for key in ["name", "namespace"] {
        match definition.get(key) {
            None => {}
            Some(Value::String(namespace)) if key == "namespace" && namespace.is_empty() => {}
            Some(Value::String(name)) => check_name(key, name)?,
            Some(other) => return Err(format!("{key} is {other}, but must be a text")),
        }
    }
    if let Some(Value::Array(fields)) = definition.get_mut("fields") {
        for field in fields {
            match field {
                Value::Object(field) => prepare_definition(field)?,
                other => return Err(format!("the field {other} is no object")),
            }
        }
    }
    ["type", "items", "values"]
        .into_iter()
        .filter_map(|key| Some((key, definition.remove(key)?)))
        .collect::<Vec<_>>()
        .into_iter()
        .try_for_each(|(key, mut part)| {
            prepare(&mut part)?;
            definition.insert(key.to_owned(), part);
            Ok(())
        })
}

/// A name, perhaps behind its namespace: parts of letters, digits and underscores that begin with no digit.
fn check_name(what: &str, name: &str) -> Result<(), String> {
    let is_part = |part: &str| {
        let mut letters = part.chars();
        letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    // The names are quoted in what people read, so that they are cut.
    let shown: String = name.chars().take(40).collect();
    if name.len() > MAX_NAME_CHARACTERS {
        return Err(format!("the {what} {shown:?}... is longer than {MAX_NAME_CHARACTERS} characters"));
    }
    if name.split('.').all(is_part) {
        return Ok(());
    }
    Err(format!("the {what} {shown:?} must be letters, digits and underscores, with dots between"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reading_needs_stays_and_the_rest_goes() {
        let text = r#"{"type":"record","name":"a.B","doc":"x","fields":[
            {"name":"c","default":{"name":"not a name"},"type":["null",{"type":"string","logicalType":"uuid"}]},
            {"name":"d","type":{"type":"long","logicalType":"timestamp-micros"},"order":"ignore"}]}"#;
        let expected: Value = serde_json::from_str(
            r#"{"type":"record","name":"a.B","fields":[{"name":"c","type":["null",{"type":"string"}]},
                {"name":"d","type":{"type":"long","logicalType":"timestamp-micros"}}]}"#,
        )
        .unwrap();
        assert_eq!(serde_json::from_str::<Value>(&prepared(text).unwrap()).unwrap(), expected);
    }

    #[test]
    fn a_name_that_is_none_is_told_wherever_it_stands() {
        for text in [
            r#""a b""#,
            r#"["null","s]ring"]"#,
            r#"{"type":"record","name":"Order<onfirmed","fields":[]}"#,
            r#"{"type":"record","name":"A","namespace":"1","fields":[]}"#,
            r#"{"type":"record","name":"A","fields":[{"name":"","type":"int"}]}"#,
            r#"{"type":"record","name":"A","fields":[{"name":"b","type":"é"}]}"#,
            r#"{"type":"array","items":"."}"#,
            r#"{"type":"map","values":{"type":"fixed","name":"a..b","size":1}}"#,
        ] {
            let error = prepared(text).unwrap_err();
            assert!(error.contains("must be letters, digits and underscores"), "{text}: {error}");
        }
        assert_eq!(prepared(r#"{"type":"fixed","name":7}"#).unwrap_err(), "name is 7, but must be a text");
        assert_eq!(prepared("[3]").unwrap_err(), "3 is no type");
    }
}
