//! The Avro binary encoding, read and written directly. Schemas are parsed by `apache-avro`, which the tests also use
//! as an independent reader and writer.
//!
//! Its datum reader is not used: at the end of the input it takes a missing text, truth value or union for null, so
//! that a truncated partial cancellation would cancel the whole order, and how much it allocates is a setting of the
//! whole process. Here what is missing is an error, no length is believed before its bytes are seen, and schemas are
//! resolved once. Its serde writer is not used either: it does not find a type that its schema names twice, and what
//! it makes of an instant is again a setting of the whole process.

pub(crate) mod layout;
pub(crate) mod read;
mod schema_text;
pub(crate) mod write;
