//! What must hold of any bytes from outside. A fuzz target and a test of the crate call the same function: what a
//! fuzzer found once is kept as a file, and the tests read it ever after.

mod events;
mod http;
mod settings;
mod shop;
mod stored;

/// Holds an input to what must hold of it, and panics otherwise.
pub type Promise = fn(&[u8]);

/// Every target with its promise.
pub const TARGETS: [(&str, Promise); 9] = [
    ("json_event", events::json),
    ("structured_event", events::structured),
    ("event_headers", events::headers),
    ("avro_event", events::avro),
    ("writer_schema", events::writer_schema),
    ("stored", stored::stored),
    ("settings", settings::settings),
    ("http_question", http::question),
    ("http_events", http::events),
];

/// Holds one target's promises against an input.
///
/// # Panics
/// When a promise is broken, or the code under test panics.
pub fn check(target: &str, input: &[u8]) {
    let known = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, held) = known.unwrap_or_else(|| panic!("{target} is no target"));
    held(input);
}
