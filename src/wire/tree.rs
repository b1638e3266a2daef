//! A body after its encoding was taken off: what Avro and JSON have in common.

use std::borrow::Cow;

/// Most values in one body. Far above what 10,000 lines need; it bounds the memory that a small body can claim,
/// because values of some Avro types take no bytes at all.
pub(crate) const MAX_VALUES: usize = 500_000;
/// Deepest nesting of one body. Events nest three levels; the bound keeps recursion off the end of the stack.
pub(crate) const MAX_DEPTH: usize = 32;

/// One value of a body. Texts borrow from the body where they can.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree<'a> {
    /// Nothing, also an absent optional field of Avro.
    Null,
    /// A truth value.
    Boolean(bool),
    /// An Avro integer.
    Integer(i64),
    /// A JSON number as it was written: its text says whether 2.0 was meant to be a fraction.
    Number(&'a str),
    /// An Avro floating-point number.
    Float(f64),
    /// An Avro timestamp, in microseconds since 1970 in UTC.
    Instant(i64),
    /// A text.
    Text(Cow<'a, str>),
    /// A JSON text with a lone surrogate, which no text of ours can hold.
    BrokenText,
    /// Avro bytes.
    Bytes(&'a [u8]),
    /// A list.
    List(Vec<Tree<'a>>),
    /// A record in the order in which it was written; JSON may repeat a name.
    Record(Vec<(Cow<'a, str>, Tree<'a>)>),
}

impl Tree<'_> {
    /// What it is, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean(truth) => truth.to_string(),
            Self::Integer(number) | Self::Instant(number) => number.to_string(),
            Self::Number(text) => shortened(text),
            Self::Float(number) => number.to_string(),
            Self::Text(text) => format!("{:?}", shortened(text)),
            Self::BrokenText => "a text with a lone surrogate".to_owned(),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Record(_) => "a record".to_owned(),
        }
    }
}

/// The first characters of a text that others wrote: enough to find it, too few to flood a log.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
