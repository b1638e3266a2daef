//! The contract stands in four places: documents, schemas, topics and Rust types. These tests hold them together.

use std::collections::BTreeSet;

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use holdfast::domain::announce::{AnswerKind, AnswerOutcome, Reason};
use holdfast::domain::event::EventType;
use holdfast::domain::stock::{Level, Status};
use holdfast::ports::DeadLetterReason;
use holdfast::wire::schemas::SOURCES;
use holdfast::wire::topics::{DEAD_LETTERS, Direction, OutputType, PROGRESS, definitions};
use serde_json::Value;

const WIRE: &str = include_str!("../../docs/wire.md");

/// One row of the table of topics.
struct Row {
    topic: String,
    direction: String,
    key: String,
    fields: Vec<Field>,
}

#[derive(Debug, PartialEq, Eq)]
struct Field {
    name: String,
    optional: bool,
    /// The fields of a record or of the records of a list, where the document spells them out.
    inner: Vec<Field>,
}

fn rows() -> Vec<Row> {
    let table = WIRE.split("## 1. Topics").nth(1).unwrap().split("## 2.").next().unwrap();
    let lines = table.lines().filter(|line| line.starts_with("| `"));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let topic = cells[0].trim_matches('`').to_owned();
            let fields = if topic == DEAD_LETTERS { Vec::new() } else { parse_fields(cells[3]) };
            Row { topic, direction: cells[1].to_owned(), key: cells[2].to_owned(), fields }
        })
        .collect()
}

/// Reads `a, b? (prose), c [{d, e?}] prose`.
fn parse_fields(text: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    for part in split_outside_brackets(text) {
        let name: String =
            part.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect();
        let inner =
            part.find('{').map_or_else(Vec::new, |start| parse_fields(&part[start + 1..part.rfind('}').unwrap()]));
        let alternative = part.split("(or ").nth(1).map(|rest| rest.split(',').next().unwrap().to_owned());
        let optional = part[name.len()..].starts_with('?') || alternative.is_some();
        fields.push(Field { name, optional, inner });
        fields.extend(alternative.map(|name| Field { name, optional: true, inner: Vec::new() }));
    }
    fields
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (place, character) in text.char_indices() {
        match character {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..place].trim());
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

fn schema(name: &str) -> Value {
    let source = SOURCES.iter().find(|source| source.name == name).unwrap_or_else(|| panic!("no schema {name}"));
    serde_json::from_str(source.current).unwrap()
}

fn schema_fields(record: &Value) -> Vec<Field> {
    let fields = record["fields"].as_array().unwrap();
    fields
        .iter()
        .map(|field| {
            let kind = &field["type"];
            let optional = kind.as_array().is_some_and(|union| union[0] == "null");
            let kind = if optional { &kind[1] } else { kind };
            let kind = if kind["type"] == "array" { &kind["items"] } else { kind };
            let inner = if kind["type"] == "record" { schema_fields(kind) } else { Vec::new() };
            if optional {
                assert_eq!(field.get("default"), Some(&Value::Null), "{field}");
            }
            Field { name: field["name"].as_str().unwrap().to_owned(), optional, inner }
        })
        .collect()
}

/// The document spells inner fields out once; where it does, they must agree.
fn assert_same_fields(place: &str, document: &[Field], schema: &[Field]) {
    let names = |fields: &[Field]| -> Vec<(String, bool)> {
        fields.iter().map(|field| (field.name.clone(), field.optional)).collect()
    };
    assert_eq!(names(document), names(schema), "{place}");
    for (in_document, in_schema) in document.iter().zip(schema).filter(|(field, _)| !field.inner.is_empty()) {
        assert_same_fields(&format!("{place}.{}", in_document.name), &in_document.inner, &in_schema.inner);
    }
}

/// Every record in a schema, with what is in it.
fn visit<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(fields) => {
            found.push(value);
            fields.values().for_each(|value| visit(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| visit(item, found)),
        _ => {}
    }
}

fn words_in(name: &str, field: &str) -> Vec<BTreeSet<String>> {
    let schema = schema(name);
    let mut objects = Vec::new();
    visit(&schema, &mut objects);
    let set = |words: &Value| words.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect();
    let fields = objects.into_iter().filter(|object| object["name"] == field && object.get("type").is_some());
    let kinds = fields.map(|field| match &field["type"] {
        Value::Array(union) => &union[1],
        kind => kind,
    });
    kinds.filter_map(|kind| kind.get("words").or_else(|| kind.get("symbols"))).map(set).collect()
}

fn set<const N: usize>(words: [&str; N]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The words in backticks between two marks of the document.
fn document_words(from: &str, to: &str) -> BTreeSet<String> {
    let after = WIRE.split(from).nth(1).unwrap_or_else(|| panic!("the document has no {from:?}"));
    let text = after.split(to).next().unwrap();
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_topic_of_the_document_has_its_schema_and_its_definition() {
    let rows = rows();
    let topics: Vec<&str> = rows.iter().map(|row| row.topic.as_str()).collect();
    let schemas: Vec<&str> = SOURCES.iter().map(|source| source.name).collect();
    assert_eq!(topics[..topics.len() - 1], schemas, "the order of schemas is that of the document");
    let definitions = definitions();
    let defined: Vec<&str> = definitions.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!(defined, [&topics[..], &[PROGRESS]].concat());
    for (row, topic) in rows.iter().zip(&definitions) {
        let direction = match topic.direction {
            Direction::In => "in",
            Direction::Out | Direction::DeadLetters => "out",
            Direction::Internal => panic!("{} is in the document", topic.name),
        };
        assert_eq!(row.direction, direction, "{}", row.topic);
        let key = if topic.key == "lines[0].sku" { "sku of the first line" } else { &topic.key };
        assert_eq!(row.key, key, "{}", row.topic);
        let schema = (row.topic != DEAD_LETTERS).then(|| format!("schemas/{}.avsc", row.topic));
        assert_eq!(topic.schema, schema, "{}", row.topic);
        assert_eq!(topic.partitions, 12, "{}", row.topic);
    }
}

#[test]
fn every_schema_has_the_fields_of_the_document_in_order() {
    for row in rows().iter().filter(|row| row.topic != DEAD_LETTERS) {
        let schema = schema(&row.topic);
        let name: String = row.topic.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        assert_eq!(schema["name"], name.as_str());
        assert_eq!(schema["namespace"], "holdfast.v1");
        assert_same_fields(&row.topic, &row.fields, &schema_fields(&schema));
    }
}

#[test]
fn lines_snapshots_and_causes_are_the_same_everywhere() {
    let line = parse_fields("sku, location?, quantity");
    let snapshot = WIRE.split("`before` and `after` are {").nth(1).unwrap().split('}').next().unwrap();
    let cause = WIRE.split("`cause` is {").nth(1).unwrap().split('}').next().unwrap();
    let mut seen = (0, 0, 0);
    for source in SOURCES {
        for field in schema_fields(&schema(source.name)) {
            let place = format!("{}.{}", source.name, field.name);
            match field.name.as_str() {
                "lines" if source.name != "reservation-result" => {
                    seen.0 += 1;
                    assert_same_fields(&place, &line, &field.inner);
                }
                "before" => {
                    seen.1 += 1;
                    assert_same_fields(&place, &parse_fields(snapshot), &field.inner);
                }
                "cause" => {
                    seen.2 += 1;
                    assert_same_fields(&place, &parse_fields(cause), &field.inner);
                }
                _ => {}
            }
        }
    }
    assert_eq!(seen, (6, 1, 5));
    let changed = schema("stock-changed");
    let after = changed["fields"].as_array().unwrap().iter().find(|field| field["name"] == "after").unwrap();
    assert_eq!(after["type"], "holdfast.v1.StockChangedSnapshot");
}

#[test]
fn every_record_and_every_field_says_what_it_is() {
    for source in SOURCES {
        let schema = schema(source.name);
        let mut objects = Vec::new();
        visit(&schema, &mut objects);
        for object in objects.into_iter().filter(|object| object.get("name").is_some()) {
            let doc = object["doc"].as_str().unwrap_or_default();
            assert!(doc.ends_with('.') && doc.len() > 5, "{} lacks a doc: {object}", source.name);
        }
    }
}

#[test]
fn types_of_events_are_topics() {
    let rows = rows();
    let named = |direction: &str| -> Vec<&str> {
        rows.iter().filter(|row| row.direction == direction).map(|row| row.topic.as_str()).collect()
    };
    // Types whose rules come later have a topic already, so the types are a part of the topics in the same order.
    let inputs: Vec<&str> = EventType::INPUT.iter().map(|input| input.as_str()).collect();
    let outputs: Vec<&str> = OutputType::ALL.iter().map(|output| output.as_str()).collect();
    assert_eq!(named("in").into_iter().filter(|topic| inputs.contains(topic)).collect::<Vec<_>>(), inputs);
    assert_eq!(named("out").into_iter().filter(|topic| outputs.contains(topic)).collect::<Vec<_>>(), outputs);
    assert!(WIRE.contains(EventType::ClaimExpired.as_str()));
}

#[test]
fn words_are_the_same_in_document_schemas_and_types() {
    let levels = set(Level::ALL.map(Level::as_str));
    let statuses = set(Status::ALL.map(Status::as_str));
    let kinds = set(AnswerKind::ALL.map(AnswerKind::as_str));
    let outcomes = set(AnswerOutcome::ALL.map(AnswerOutcome::as_str));
    let reasons = set(Reason::ALL.map(Reason::as_str));
    assert_eq!(document_words("`level` is", ". `kind`"), levels);
    assert_eq!(document_words("`kind` is", "(a refused"), kinds);
    assert_eq!(document_words("`outcome` is", ". `reason`"), outcomes);
    assert_eq!(document_words("`reason` is", "; each line"), reasons);
    assert_eq!(words_in("low-stock", "level"), vec![levels.clone()]);
    assert_eq!(words_in("low-stock", "previous_level"), vec![levels.clone()]);
    assert_eq!(words_in("stock-changed", "level"), [levels]);
    assert_eq!(words_in("stock-changed", "status"), vec![statuses.clone()]);
    assert_eq!(words_in("sku-registered", "status"), [statuses]);
    assert_eq!(words_in("reservation-result", "kind"), [kinds]);
    assert_eq!(words_in("reservation-result", "outcome"), [outcomes]);
    assert_eq!(words_in("reservation-result", "reason"), [reasons.clone(), reasons]);
    assert_eq!(words_in("order-created", "policy"), [set(["all", "partial", "backorder"])]);
    assert_eq!(words_in("stock-adjusted", "mode"), [set(["increase", "decrease", "set"])]);
}

#[test]
fn reasons_of_dead_letters_are_those_of_the_document() {
    let reasons = set(DeadLetterReason::ALL.map(DeadLetterReason::as_str));
    assert_eq!(document_words("Reasons:", "## 5."), reasons);
}

#[test]
fn inputs_are_kept_shorter_than_the_keys_of_the_inbox() {
    const DAY_MS: i64 = 86_400_000;
    for topic in definitions().iter().filter(|topic| topic.direction == Direction::In) {
        assert!((DAY_MS..35 * DAY_MS).contains(&topic.retention_ms), "{}", topic.name);
    }
}

#[test]
fn schemas_read_what_the_last_release_wrote() {
    for source in SOURCES {
        let current = Schema::parse_str(source.current).unwrap();
        let released = Schema::parse_str(source.released).unwrap();
        let verdict = SchemaCompatibility::can_read(&released, &current);
        assert!(verdict.is_ok(), "{} no longer reads what its last release wrote: {verdict:?}", source.name);
    }
}

#[test]
fn a_change_that_is_not_backward_compatible_is_refused() {
    let source = SOURCES.iter().find(|source| source.name == "order-shipped").unwrap();
    let released = Schema::parse_str(source.released).unwrap();
    let changed = |change: fn(&mut Vec<Value>)| {
        let mut schema: Value = serde_json::from_str(source.current).unwrap();
        change(schema["fields"].as_array_mut().unwrap());
        Schema::parse(&schema).unwrap()
    };
    type Change = fn(&mut Vec<Value>);
    let breaking: [(&str, Change); 4] = [
        ("a new field without a default", |fields| {
            fields.push(serde_json::json!({"name": "carrier", "type": "string"}));
        }),
        ("a renamed field", |fields| fields[1]["name"] = "parcel_id".into()),
        ("another type", |fields| fields[0]["type"] = "long".into()),
        ("an optional field made mandatory", |fields| {
            let lines = fields[2]["type"][1].clone();
            fields[2] = serde_json::json!({"name": "lines", "type": lines});
        }),
    ];
    for (what, change) in breaking {
        assert!(SchemaCompatibility::can_read(&released, &changed(change)).is_err(), "{what} was let through");
    }
    let harmless = changed(|fields| {
        fields.push(serde_json::json!({"name": "carrier", "type": ["null", "string"], "default": null}));
    });
    assert!(SchemaCompatibility::can_read(&released, &harmless).is_ok());
}
