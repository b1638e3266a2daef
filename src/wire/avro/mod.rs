//! The Avro binary encoding, read and written directly.
//!
//! Schemas are parsed by `apache-avro`; its datum reader is not used, because at the end of the input it takes a
//! missing text, truth value or union for null. A truncated partial cancellation would cancel the whole order.
//! Here what is missing is an error, no length is believed before its bytes are seen, and schemas are resolved once.

pub(crate) mod layout;
pub(crate) mod read;
pub(crate) mod write;
