//! Judging what was written: every leaf of a layer against the table of keys.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::error::{Origin, SettingsError};
use super::keys::{self, KEYS, Key, Kind, TOPIC_KEYS};
use super::rules;
use super::secret::{HIDDEN, redact};

/// Values by key (and by entry, in tables that are open), each with its origin.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    values: BTreeMap<(&'static str, Option<String>), (Value, Origin)>,
}

impl Leaves {
    /// Where a key's value was written.
    pub(super) fn origin(&self, key: &'static str) -> Origin {
        self.values.get(&(key, None)).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// The values as a tree.
    pub(super) fn into_tree(self) -> Value {
        let mut tree = Map::new();
        for ((key, entry), (value, _)) in self.values {
            let mut table = &mut tree;
            let (sections, name) = key.rsplit_once('.').unwrap_or(("", key));
            for section in sections.split('.').filter(|section| !section.is_empty()) {
                table = below(table, section);
            }
            match entry {
                Some(entry) if is_table_of_sections(key) => {
                    let (section, field) = entry.rsplit_once('.').unwrap_or(("", &entry));
                    below(below(table, name), section).insert(field.to_owned(), value)
                }
                Some(entry) => below(table, name).insert(entry, value),
                None => table.insert(name.to_owned(), value),
            };
        }
        Value::Object(tree)
    }
}

fn is_table_of_sections(key: &str) -> bool {
    keys::find(key).is_some_and(|key| matches!(key.kind, Kind::Sections { .. }))
}

fn below<'a>(table: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = table.entry(name).or_insert_with(|| Value::Object(Map::new()));
    value.as_object_mut().expect("no key of the table is both a value and a section")
}

/// Reads one layer.
pub(super) struct Reader<'a> {
    /// Where a key of this layer was written.
    pub(super) origin: &'a dyn Fn(&str) -> Origin,
    /// Whether every value is text, as in the environment and in flags.
    pub(super) textual: bool,
}

impl Reader<'_> {
    /// Judges every leaf of the layer and adds it to `leaves`, over what is there.
    pub(super) fn read(&self, tree: Map<String, Value>, leaves: &mut Leaves) -> Result<(), SettingsError> {
        let mut layer = Leaves::default();
        self.section("", tree, &mut layer)?;
        leaves.values.extend(layer.values);
        Ok(())
    }

    fn section(&self, path: &str, table: Map<String, Value>, layer: &mut Leaves) -> Result<(), SettingsError> {
        for (name, value) in table {
            let path = if path.is_empty() { name } else { format!("{path}.{name}") };
            if let Some(key) = keys::find(&path) {
                self.key(key, value, layer)?;
            } else if let Some(key) = path.strip_suffix("_file").and_then(keys::find)
                && let Kind::Address(rule) = key.kind
            {
                let text = self.file_content(&path, &value)?;
                rule(&text).map_err(|expected| {
                    self.wrong(&path, &redact(&text), &format!("names a file whose content {expected}"))
                })?;
                self.add(key, None, Value::String(text), &path, layer)?;
            } else if let Some(key) = path.strip_suffix("_files").and_then(keys::find)
                && matches!(key.kind, Kind::Properties)
            {
                self.property_files(key, &path, value, layer)?;
            } else if keys::is_section(&path) {
                match value {
                    Value::Object(table) => self.section(&path, table, layer)?,
                    value => return Err(self.wrong(&path, &shown(&value), "must be a table of settings")),
                }
            } else {
                return Err(self.unknown(&path));
            }
        }
        Ok(())
    }

    fn key(&self, key: &'static Key, value: Value, layer: &mut Leaves) -> Result<(), SettingsError> {
        match key.kind {
            Kind::Names => self.names(key, value, layer),
            Kind::Sections { keys, name } => self.sections(key, keys, name, value, layer),
            Kind::Properties => self.properties(key, value, layer),
            Kind::Address(rule) => {
                let Value::String(text) = &value else {
                    return Err(self.wrong(key.name, HIDDEN, "must be an address in quotes"));
                };
                rule(text).map_err(|expected| self.wrong(key.name, &redact(text), &expected))?;
                self.add(key, None, value, key.name, layer)
            }
            Kind::Text(rule) => {
                let Value::String(text) = &value else {
                    return Err(self.wrong(key.name, &shown(&value), "must be a text in quotes"));
                };
                rule(text).map_err(|expected| self.wrong(key.name, &shown(&value), &expected))?;
                self.add(key, None, value, key.name, layer)
            }
            Kind::Number { least, most, unit } => {
                let number = self.number(&value).filter(|number| (least..=most).contains(number));
                let expected = || format!("must be a whole number of {unit} from {least} to {most}");
                let number = number.ok_or_else(|| self.wrong(key.name, &shown(&value), &expected()))?;
                self.add(key, None, Value::from(number), key.name, layer)
            }
            Kind::Flag => {
                let flag =
                    self.flag(&value).ok_or_else(|| self.wrong(key.name, &shown(&value), "must be true or false"))?;
                self.add(key, None, Value::Bool(flag), key.name, layer)
            }
            Kind::Choice(words) => {
                if !value.as_str().is_some_and(|word| words.contains(&word)) {
                    return Err(self.wrong(key.name, &shown(&value), &format!("must be {}", words.join(" or "))));
                }
                self.add(key, None, value, key.name, layer)
            }
        }
    }

    /// Sections by their names, each with the same keys.
    fn sections(
        &self,
        key: &'static Key,
        keys: &'static [Key],
        judge: keys::Rule,
        value: Value,
        layer: &mut Leaves,
    ) -> Result<(), SettingsError> {
        let Value::Object(table) = value else {
            return Err(self.wrong(key.name, &shown(&value), "must be a table from names to tables of settings"));
        };
        for (name, value) in table {
            let path = format!("{}.{name}", key.name);
            judge(&name).map_err(|expected| self.wrong(&path, &format!("{name:?}"), &expected))?;
            let Value::Object(fields) = value else {
                return Err(self.wrong(&path, &shown(&value), "must be a table of settings"));
            };
            if fields.is_empty() {
                return Err(self.wrong(&path, "{}", "must hold file or url"));
            }
            // Judged as other keys are, then moved below the section.
            let mut judged = Leaves::default();
            for (field, value) in fields {
                let generic = format!("{}.{}.{field}", key.name, keys::SECTION);
                self.section_key(keys, &generic, &format!("{path}.{field}"), value, &mut judged)?;
            }
            for ((field, _), (value, origin)) in judged.values {
                let field = field.rsplit('.').next().unwrap_or(field);
                layer.values.insert((key.name, Some(format!("{name}.{field}"))), (value, origin));
            }
        }
        Ok(())
    }

    /// One key of a section. Errors name it as it was written.
    fn section_key(
        &self,
        keys: &'static [Key],
        generic: &str,
        path: &str,
        value: Value,
        judged: &mut Leaves,
    ) -> Result<(), SettingsError> {
        let origin = |_: &str| (self.origin)(path);
        let named = Reader { origin: &origin, textual: self.textual };
        let of = |name: &str| keys.iter().find(|key| key.name == name);
        let as_written = |error: SettingsError| match error {
            SettingsError::WrongValue { shown, origin, expected, .. } => {
                SettingsError::WrongValue { key: path.to_owned(), shown, origin, expected }
            }
            other => other,
        };
        if let Some(key) = of(generic) {
            named.key(key, value, judged).map_err(as_written)
        } else if let Some(key) = generic.strip_suffix("_file").and_then(of)
            && let Kind::Address(rule) = key.kind
        {
            let text = self.file_content(path, &value)?;
            rule(&text).map_err(|expected| {
                self.wrong(path, &redact(&text), &format!("names a file whose content {expected}"))
            })?;
            named.add(key, None, Value::String(text), key.name, judged).map_err(as_written)
        } else {
            let nearest = keys::nearest(generic, keys.iter().map(|key| key.name)).map(str::to_owned);
            Err(SettingsError::UnknownKey { key: path.to_owned(), origin: (self.origin)(path), nearest })
        }
    }

    fn number(&self, value: &Value) -> Option<i64> {
        match value {
            Value::String(text) if self.textual => text.trim().parse().ok(),
            value => value.as_i64(),
        }
    }

    fn flag(&self, value: &Value) -> Option<bool> {
        match value {
            Value::String(text) if self.textual => text.trim().parse().ok(),
            value => value.as_bool(),
        }
    }

    fn names(&self, key: &'static Key, value: Value, layer: &mut Leaves) -> Result<(), SettingsError> {
        let Value::Object(table) = value else {
            return Err(self.wrong(key.name, &shown(&value), "must be a table from event types to topic names"));
        };
        for (name, value) in table {
            // Shells cannot export a variable with a dash, so an underscore stands for one; no type has both.
            let event_type = name.replace('_', "-");
            let path = format!("{}.{name}", key.name);
            if !TOPIC_KEYS.contains(&event_type.as_str()) {
                let nearest = keys::nearest(&event_type, TOPIC_KEYS).map(|nearest| format!("{}.{nearest}", key.name));
                return Err(SettingsError::UnknownKey { origin: (self.origin)(&path), key: path, nearest });
            }
            let judged = value.as_str().map_or_else(|| Err("must be a text in quotes".to_owned()), rules::topic_name);
            judged.map_err(|expected| self.wrong(&path, &shown(&value), &expected))?;
            self.add(key, Some(event_type), value, &path, layer)?;
        }
        Ok(())
    }

    fn properties(&self, key: &'static Key, value: Value, layer: &mut Leaves) -> Result<(), SettingsError> {
        let Value::Object(table) = value else {
            return Err(self.wrong(key.name, HIDDEN, "must be a table of the client's properties"));
        };
        let mut flat = Vec::new();
        flatten("", table, &mut flat);
        for (name, value) in flat {
            let path = format!("{}.{name}", key.name);
            let text = match value {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                _ => return Err(self.wrong(&path, HIDDEN, "must be a text, a number, true or false")),
            };
            self.property(key, &name, text, &path, layer)?;
        }
        Ok(())
    }

    fn property_files(
        &self,
        key: &'static Key,
        path: &str,
        value: Value,
        layer: &mut Leaves,
    ) -> Result<(), SettingsError> {
        let Value::Object(table) = value else {
            return Err(self.wrong(path, &shown(&value), "must be a table from the client's properties to files"));
        };
        let mut flat = Vec::new();
        flatten("", table, &mut flat);
        for (name, value) in flat {
            let path = format!("{path}.{name}");
            let text = self.file_content(&path, &value)?;
            self.property(key, &name, text, &path, layer)?;
        }
        Ok(())
    }

    fn property(
        &self,
        key: &'static Key,
        name: &str,
        text: String,
        path: &str,
        layer: &mut Leaves,
    ) -> Result<(), SettingsError> {
        // Shells cannot export a variable with a dot; no property that passes through has an underscore.
        let property = name.replace('_', ".");
        self.add(key, Some(property), Value::String(text), path, layer)
    }

    /// The text of the file that a setting names, without the line end that editors leave.
    fn file_content(&self, path: &str, value: &Value) -> Result<String, SettingsError> {
        let Value::String(file) = value else {
            return Err(self.wrong(path, &shown(value), "must be the path of a file in quotes"));
        };
        let file = PathBuf::from(file);
        match std::fs::read_to_string(&file) {
            Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(cause) => Err(SettingsError::SecretFile {
                key: path.to_owned(),
                origin: (self.origin)(path),
                path: file,
                cause: cause.to_string(),
            }),
        }
    }

    fn add(
        &self,
        key: &'static Key,
        entry: Option<String>,
        value: Value,
        path: &str,
        layer: &mut Leaves,
    ) -> Result<(), SettingsError> {
        let earlier = layer.values.insert((key.name, entry), (value, (self.origin)(path)));
        if earlier.is_some() {
            return Err(self.wrong(
                path,
                HIDDEN,
                "is given twice in the same place: once itself and once by a file or by another spelling",
            ));
        }
        Ok(())
    }

    fn wrong(&self, path: &str, shown: &str, expected: &str) -> SettingsError {
        SettingsError::WrongValue {
            key: path.to_owned(),
            shown: shown.to_owned(),
            origin: (self.origin)(path),
            expected: expected.to_owned(),
        }
    }

    fn unknown(&self, path: &str) -> SettingsError {
        let nearest = keys::nearest(path, KEYS.iter().map(|key| key.name)).map(str::to_owned);
        SettingsError::UnknownKey { key: path.to_owned(), origin: (self.origin)(path), nearest }
    }
}

fn flatten(path: &str, table: Map<String, Value>, flat: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let path = if path.is_empty() { name } else { format!("{path}.{name}") };
        match value {
            Value::Object(table) => flatten(&path, table, flat),
            value => flat.push((path, value)),
        }
    }
}

/// A value as an error shows it, cut where it is long.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
