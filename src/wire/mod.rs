//! Bytes to domain and back: topics, schemas, envelopes, encodings, and the forms in which outbox and
//! embedded log are stored.

mod avro;
mod bodies;
mod burial;
pub mod cloudevents;
pub mod decode;
pub mod encode;
mod events;
mod fields;
pub mod identity;
pub mod instant;
mod json;
pub mod nats_names;
pub mod packed;
pub mod progress;
pub mod registry;
mod registry_answer;
pub mod schemas;
pub mod sequence;
pub mod shown;
pub mod stored;
mod structured;
pub mod topics;
mod tree;

pub use fields::{MAX_TEXT_CHARACTERS, Malformed};
