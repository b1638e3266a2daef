//! The places that settings come from, each read into the same form: judged leaves with their origin.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config::{Environment, File, FileFormat, Source, Value as ConfigValue};
use serde_json::{Map, Value};

use super::error::{Origin, SettingsError};
use super::leaves::{Leaves, Reader};

/// The file that is read when none is named and it exists.
pub const DEFAULT_FILE: &str = "holdfast.toml";
const PREFIX: &str = "HOLDFAST__";

/// Where to look for settings, the weakest first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was named; it must exist.
    pub file: Option<PathBuf>,
    /// A file that is read if it exists.
    pub optional_file: Option<PathBuf>,
    /// Environment variables; those of other programs are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// Settings from flags, in order.
    pub flags: Vec<FlagSetting>,
}

/// One setting from the command line.
#[derive(Clone, Debug)]
pub struct FlagSetting {
    /// The flag as errors name it, without its value.
    pub flag: String,
    /// The key.
    pub key: String,
    /// The value as text.
    pub value: String,
}

impl FlagSetting {
    /// Reads `section.key=value`.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                let key = key.trim().to_owned();
                Ok(Self { flag: format!("--set {key}"), key, value: value.to_owned() })
            }
            // Without a `=` all of it may be a secret.
            Some(_) | None => Err(SettingsError::Flag("<text>".to_owned())),
        }
    }
}

/// Reads every source; a later one overrides an earlier one key by key.
pub(super) fn read(sources: &Sources) -> Result<Leaves, SettingsError> {
    let mut leaves = Leaves::default();
    if let Some(path) = file_to_read(sources) {
        let origin = |_: &str| Origin::File(path.to_owned());
        Reader { origin: &origin, textual: false }.read(file_tree(path)?, &mut leaves)?;
    }
    let origin = |key: &str| Origin::Environment(format!("{PREFIX}{}", key.to_uppercase().replace('.', "__")));
    Reader { origin: &origin, textual: true }.read(environment_tree(&sources.environment)?, &mut leaves)?;
    for setting in &sources.flags {
        let origin = |_: &str| Origin::Flag(setting.flag.clone());
        let tree = nested(&setting.key, Value::String(setting.value.clone()));
        Reader { origin: &origin, textual: true }.read(tree, &mut leaves)?;
    }
    Ok(leaves)
}

fn file_to_read(sources: &Sources) -> Option<&Path> {
    let optional = sources.optional_file.as_deref().filter(|path| path.exists());
    sources.file.as_deref().or(optional)
}

fn file_tree(path: &Path) -> Result<Map<String, Value>, SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|cause| SettingsError::File { path: path.to_owned(), cause })?;
    let table = File::from_str(&text, FileFormat::Toml)
        .collect()
        .map_err(|error| SettingsError::Syntax { path: path.to_owned(), cause: syntax_cause(&error) })?;
    Ok(table.into_iter().map(|(key, value)| (key, plain(value))).collect())
}

/// The parser's words without the line of text that it quotes, which may hold a secret.
fn syntax_cause(error: &config::ConfigError) -> String {
    let text = error.to_string();
    let kept: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains('|')).collect();
    kept.join(": ")
}

fn environment_tree(variables: &[(OsString, OsString)]) -> Result<Map<String, Value>, SettingsError> {
    let mut ours = config::Map::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let value = value.to_str().ok_or_else(|| SettingsError::NotText(name.to_owned()))?;
        ours.insert(name.to_owned(), value.to_owned());
    }
    // An empty variable counts as unset: that is what an unfilled `${NAME:-}` of a compose file gives.
    let flat: BTreeMap<String, ConfigValue> = Environment::with_prefix("HOLDFAST")
        .prefix_separator("__")
        .separator("__")
        .ignore_empty(true)
        .source(Some(ours))
        .collect()
        .map_err(|error| SettingsError::NotText(error.to_string()))?
        .into_iter()
        .collect();
    let mut tree = Map::new();
    for (key, value) in flat {
        merge(&mut tree, nested(&key, plain(value)));
    }
    Ok(tree)
}

fn nested(key: &str, value: Value) -> Map<String, Value> {
    let (head, rest) = match key.split_once('.') {
        Some((head, rest)) => (head, Some(rest)),
        None => (key, None),
    };
    let value = match rest {
        Some(rest) => Value::Object(nested(rest, value)),
        None => value,
    };
    Map::from_iter([(head.to_owned(), value)])
}

fn merge(tree: &mut Map<String, Value>, overlay: Map<String, Value>) {
    for (key, value) in overlay {
        match (tree.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(overlay)) => merge(below, overlay),
            (_, value) => {
                tree.insert(key, value);
            }
        }
    }
}

fn plain(value: ConfigValue) -> Value {
    use config::ValueKind;
    match value.kind {
        ValueKind::Nil => Value::Null,
        ValueKind::Boolean(flag) => Value::Bool(flag),
        ValueKind::I64(number) => Value::from(number),
        ValueKind::U64(number) => Value::from(number),
        ValueKind::I128(number) => Value::String(number.to_string()),
        ValueKind::U128(number) => Value::String(number.to_string()),
        ValueKind::Float(number) => Value::from(number),
        ValueKind::String(text) => Value::String(text),
        ValueKind::Table(table) => Value::Object(table.into_iter().map(|(key, value)| (key, plain(value))).collect()),
        ValueKind::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
    }
}
