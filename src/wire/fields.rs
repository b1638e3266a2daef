//! Fields out of a tree, with the precise reason when one is not what the contract asks for.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::tree::{Tree, shortened};
use crate::domain::words::{
    Location, MAX_LINE_QUANTITY, MAX_REFERENCE_CHARACTERS, MAX_SKU_CHARACTERS, Reference, Sku, Timestamp,
};
use crate::ports::DeadLetterReason;
use crate::wire::instant;

/// Longest free text (a name, a reason), in characters: some of them are written once a line into the ledger.
pub const MAX_TEXT_CHARACTERS: usize = 1_000;

/// Why something cannot be taken as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The code.
    pub reason: DeadLetterReason,
    /// What is wrong, for people.
    pub detail: String,
}

impl Malformed {
    pub(crate) fn new(reason: DeadLetterReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    pub(crate) fn undecodable(detail: impl Into<String>) -> Self {
        Self::new(DeadLetterReason::Undecodable, detail)
    }

    pub(crate) fn invalid_field(detail: impl Into<String>) -> Self {
        Self::new(DeadLetterReason::InvalidField, detail)
    }
}

/// The fields of one record.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'t, 'a> {
    entries: &'t [(Cow<'a, str>, Tree<'a>)],
    /// The position of the line that the record is, for people.
    line: Option<usize>,
}

impl<'t, 'a> Fields<'t, 'a> {
    /// The fields of a body.
    pub(crate) fn of(tree: &'t Tree<'a>) -> Result<Self, Malformed> {
        match tree {
            Tree::Record(entries) => Ok(Self { entries, line: None }),
            other => Err(Malformed::undecodable(format!("the body is {}, but must be a record", other.describe()))),
        }
    }

    /// The fields of line number `line` of a body.
    pub(crate) fn of_line(tree: &'t Tree<'a>, line: usize) -> Result<Self, Malformed> {
        match tree {
            Tree::Record(entries) => Ok(Self { entries, line: Some(line) }),
            other => {
                Err(Malformed::invalid_field(format!("lines[{line}] is {}, but must be a record", other.describe())))
            }
        }
    }

    /// A field; `None` when it is absent or null. A name that stands there twice is refused: which of the two was
    /// meant is anybody's guess.
    pub(crate) fn get(&self, name: &str) -> Result<Option<&'t Tree<'a>>, Malformed> {
        let mut found = self.entries.iter().filter(|(entry, _)| entry == name).map(|(_, value)| value);
        let first = found.next();
        if found.next().is_some() {
            return Err(Malformed::invalid_field(format!("{} is given twice", self.path(name))));
        }
        Ok(first.filter(|value| **value != Tree::Null))
    }

    /// The reference that names what the event is about.
    pub(crate) fn key(&self, name: &str) -> Result<Reference, Malformed> {
        self.reference(name)?.ok_or_else(|| self.missing_key(name))
    }

    /// Another reference.
    pub(crate) fn reference(&self, name: &str) -> Result<Option<Reference>, Malformed> {
        Ok(self.text(name, 1..=MAX_REFERENCE_CHARACTERS)?.map(Reference::new))
    }

    /// The SKU, also when it was written as a number.
    pub(crate) fn sku(&self, name: &str) -> Result<Sku, Malformed> {
        let text = match self.get(name)? {
            None => return Err(self.missing_key(name)),
            Some(Tree::Integer(number)) => Cow::Owned(number.to_string()),
            Some(Tree::Number(text)) => Cow::Borrowed(*text),
            Some(Tree::Float(number)) if number.is_finite() => Cow::Owned(number.to_string()),
            Some(tree) => Cow::Borrowed(self.as_text(name, tree, &(1..=MAX_SKU_CHARACTERS))?),
        };
        if text.len() > MAX_SKU_CHARACTERS && text.chars().count() > MAX_SKU_CHARACTERS {
            return Err(self.invalid(name, &shortened(&text), &text_limit(&(1..=MAX_SKU_CHARACTERS))));
        }
        Ok(Sku::new(text))
    }

    /// The location, if there is one.
    pub(crate) fn location(&self, name: &str) -> Result<Option<Location>, Malformed> {
        Ok(self.text(name, 1..=MAX_SKU_CHARACTERS)?.map(Location::new))
    }

    /// A free text.
    pub(crate) fn free_text(&self, name: &str) -> Result<Option<Arc<str>>, Malformed> {
        Ok(self.text(name, 0..=MAX_TEXT_CHARACTERS)?.map(Arc::from))
    }

    /// A text with a length in characters.
    pub(crate) fn text(&self, name: &str, length: RangeInclusive<usize>) -> Result<Option<&'t str>, Malformed> {
        self.get(name)?.map(|tree| self.as_text(name, tree, &length)).transpose()
    }

    /// One of several words.
    pub(crate) fn word<T>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Malformed>
    where
        T: Copy,
    {
        let Some(tree) = self.get(name)? else { return Ok(None) };
        let known = match tree {
            Tree::Text(text) => words.iter().find(|(word, _)| word == text),
            _ => None,
        };
        known.map(|(_, value)| Some(*value)).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.invalid(name, &tree.describe(), &format!("one of {}", words.join(", ")))
        })
    }

    /// A version or a number of seconds: an integer of at least 0.
    pub(crate) fn count(&self, name: &str) -> Result<Option<i64>, Malformed> {
        let Some(tree) = self.get(name)? else { return Ok(None) };
        let number = match tree {
            Tree::Integer(number) => Some(*number),
            Tree::Number(text) => text.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if number >= 0 => Ok(Some(number)),
            _ => Err(self.invalid(name, &tree.describe(), &format!("an integer from 0 to {}", i64::MAX))),
        }
    }

    /// A number of units, as an integer or, in a text, as digits.
    pub(crate) fn quantity(&self, name: &str, least: i64) -> Result<Option<i64>, Malformed> {
        let Some(tree) = self.get(name)? else { return Ok(None) };
        let number: Option<i64> = match tree {
            Tree::Integer(number) => Some(*number),
            Tree::Number(text) => text.parse().ok(),
            Tree::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if (least..=MAX_LINE_QUANTITY).contains(&number) => Ok(Some(number)),
            _ => Err(self.invalid_quantity(name, &tree.describe(), least)),
        }
    }

    /// A number of units that must be there.
    pub(crate) fn required_quantity(&self, name: &str, least: i64) -> Result<i64, Malformed> {
        self.quantity(name, least)?.ok_or_else(|| self.invalid_quantity(name, "absent", least))
    }

    /// A signed number of units that must be there and is not 0.
    pub(crate) fn required_delta(&self, name: &str) -> Result<i64, Malformed> {
        let tree = self.get(name)?;
        let number: Option<i64> = match tree {
            Some(Tree::Integer(number)) => Some(*number),
            Some(Tree::Number(text)) => text.parse().ok(),
            Some(Tree::Text(text)) if is_signed_digits(text) => text.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if number != 0 && (-MAX_LINE_QUANTITY..=MAX_LINE_QUANTITY).contains(&number) => Ok(number),
            _ => {
                let (path, found) = (self.path(name), tree.map_or("absent".to_owned(), Tree::describe));
                let rule = format!("an integer from -{MAX_LINE_QUANTITY} to {MAX_LINE_QUANTITY} other than 0");
                let detail = format!("{path} is {found}, but must be {rule}");
                Err(Malformed::new(DeadLetterReason::InvalidQuantity, detail))
            }
        }
    }

    /// A truth value.
    pub(crate) fn truth(&self, name: &str) -> Result<Option<bool>, Malformed> {
        match self.get(name)? {
            None => Ok(None),
            Some(Tree::Boolean(truth)) => Ok(Some(*truth)),
            Some(other) => Err(self.invalid(name, &other.describe(), "true or false")),
        }
    }

    /// What must be there: `rule` says what it is, for people.
    pub(crate) fn required<T>(&self, name: &str, rule: &str, value: Option<T>) -> Result<T, Malformed> {
        value.ok_or_else(|| self.invalid(name, "absent", rule))
    }

    /// A list.
    pub(crate) fn list(&self, name: &str) -> Result<Option<&'t [Tree<'a>]>, Malformed> {
        match self.get(name)? {
            None => Ok(None),
            Some(Tree::List(items)) => Ok(Some(items)),
            Some(other) => Err(self.invalid(name, &other.describe(), "a list")),
        }
    }

    /// An instant, as RFC 3339 text or as an Avro timestamp.
    pub(crate) fn instant(&self, name: &str) -> Result<Option<Timestamp>, Malformed> {
        let Some(tree) = self.get(name)? else { return Ok(None) };
        let instant = match tree {
            Tree::Instant(microseconds) => Some(Timestamp(*microseconds)),
            Tree::Text(text) => instant::parse(text),
            _ => None,
        };
        instant
            .map(Some)
            .ok_or_else(|| self.invalid(name, &tree.describe(), "a time such as 2026-11-21T15:45:00.000000Z"))
    }

    fn as_text(&self, name: &str, tree: &'t Tree<'a>, length: &RangeInclusive<usize>) -> Result<&'t str, Malformed> {
        match tree {
            Tree::Text(text) => match check_text(text, length) {
                Ok(()) => Ok(text),
                Err(rule) => Err(self.invalid(name, &tree.describe(), &rule)),
            },
            other => Err(self.invalid(name, &other.describe(), &text_limit(length))),
        }
    }

    fn invalid(&self, name: &str, found: &str, rule: &str) -> Malformed {
        Malformed::invalid_field(format!("{} is {found}, but must be {rule}", self.path(name)))
    }

    fn invalid_quantity(&self, name: &str, found: &str, least: i64) -> Malformed {
        let path = self.path(name);
        Malformed::new(
            DeadLetterReason::InvalidQuantity,
            format!("{path} is {found}, but must be an integer from {least} to {MAX_LINE_QUANTITY}"),
        )
    }

    fn missing_key(&self, name: &str) -> Malformed {
        Malformed::new(DeadLetterReason::MissingKeyField, format!("{} is missing", self.path(name)))
    }

    fn path(&self, name: &str) -> String {
        match self.line {
            Some(line) => format!("lines[{line}].{name}"),
            None => name.to_owned(),
        }
    }
}

/// Whether a text keeps the contract's limits: a length in characters and no NUL, which no database text can hold.
/// The error is the rule that it breaks.
pub(crate) fn check_text(text: &str, length: &RangeInclusive<usize>) -> Result<(), String> {
    // A text never has more characters than bytes: most need no counting.
    let characters = if text.len() <= *length.end() { text.len() } else { text.chars().count() };
    if text.contains('\0') {
        return Err("a text without NUL".to_owned());
    }
    if characters < *length.start() || characters > *length.end() {
        return Err(text_limit(length));
    }
    Ok(())
}

fn is_signed_digits(text: &str) -> bool {
    text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit())
}

fn text_limit(length: &RangeInclusive<usize>) -> String {
    format!("a text of {} to {} characters", length.start(), length.end())
}
