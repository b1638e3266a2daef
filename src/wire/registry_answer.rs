//! What a schema registry says of schemas, taken for what it is: no request is made here.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::avro::layout::Layout;
use super::fields::Malformed;
use crate::ports::DeadLetterReason;

/// Most schemas that are asked for because one schema refers to them, directly or not.
pub(super) const MAX_REFERENCES: usize = 64;

/// What is said of one schema.
#[derive(Deserialize)]
pub(super) struct SchemaAnswer {
    schema: String,
    #[serde(rename = "schemaType", default)]
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<SchemaReference>,
}

/// A schema by its place in the registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub(super) struct SchemaReference {
    pub(super) subject: String,
    pub(super) version: i64,
}

impl SchemaAnswer {
    /// Reads an answer; `None` when it is an object that holds no schema.
    ///
    /// # Errors
    /// When it is anything but an object: that comes from something else than a registry, a proxy with a page of its own
    /// for one, and passes.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        let answer: Map<String, Value> = serde_json::from_slice(bytes)?;
        Ok(serde_json::from_value(Value::Object(answer)).ok())
    }
}

/// A schema that was found under an id, and those that it refers to as they are found.
pub(super) struct FoundSchema {
    id: u32,
    text: String,
    open: Vec<SchemaReference>,
    asked: HashSet<SchemaReference>,
    references: Vec<String>,
}

impl FoundSchema {
    /// Takes the answer to an id.
    ///
    /// # Errors
    /// When it holds no schema or one that is not Avro.
    pub(super) fn of(id: u32, answer: Option<SchemaAnswer>) -> Result<Self, Malformed> {
        let Some(SchemaAnswer { schema, schema_type, references }) = answer else {
            return Err(unknown_schema(format!("the schema registry gives no schema for {id}")));
        };
        match schema_type.filter(|kind| !kind.eq_ignore_ascii_case("avro")) {
            Some(other) => Err(unknown_schema(format!("schema {id} of the registry is {other}, but must be AVRO"))),
            None => Ok(Self { id, text: schema, open: references, asked: HashSet::new(), references: Vec::new() }),
        }
    }

    /// The next schema to be asked for; `None` when there is none, or as many were asked for as may be. What stays
    /// undefined by that is told when the schema is parsed.
    pub(super) fn next_reference(&mut self) -> Option<SchemaReference> {
        while self.asked.len() < MAX_REFERENCES {
            let reference = self.open.pop()?;
            if self.asked.insert(reference.clone()) {
                return Some(reference);
            }
        }
        None
    }

    /// Takes the answer to a reference.
    pub(super) fn refers_to(&mut self, answer: Option<SchemaAnswer>) {
        if let Some(SchemaAnswer { schema, references, schema_type: _ }) = answer {
            self.open.extend(references);
            self.references.push(schema);
        }
    }

    /// Reads the schema with those that it refers to.
    pub(super) fn layout(&self) -> Result<Layout, Malformed> {
        read_schema(self.id, &self.text, &self.references)
    }
}

/// Reads a schema with those that it refers to.
pub(super) fn read_schema(id: u32, schema: &str, references: &[String]) -> Result<Layout, Malformed> {
    Layout::parse(schema, references)
        .map_err(|error| unknown_schema(format!("schema {id} of the registry cannot be read: {error}")))
}

pub(super) fn unknown_schema(detail: String) -> Malformed {
    Malformed::new(DeadLetterReason::UnknownSchema, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_refers_without_end_is_not_followed_without_end() {
        let references: Vec<String> =
            (0..1_000).map(|version| format!(r#"{{"subject":"s","version":{version}}}"#)).collect();
        let answer = format!(r#"{{"schema":"\"int\"","references":[{}]}}"#, references.join(","));
        let mut found = FoundSchema::of(7, SchemaAnswer::read(answer.as_bytes()).unwrap()).unwrap();
        let asked = std::iter::from_fn(|| {
            let next = found.next_reference();
            // The registry knows none of them.
            found.refers_to(None);
            next
        });
        assert_eq!(asked.count(), MAX_REFERENCES);
    }
}
