//! What must hold of any bytes from outside. A fuzz target and a test of the crate call the same function: what a
//! fuzzer found once is kept as a file, and the tests read it ever after.

mod buses;
mod events;
mod figures;
mod http;
mod settings;
mod shop;
mod stored;
mod worker;

/// Holds an input to what must hold of it, and panics otherwise. Says whether it was understood: of one that is only refused
/// less is known.
pub type Promise = fn(&[u8]) -> bool;

/// Every target with its promise.
pub const TARGETS: [(&str, Promise); 18] = [
    ("json_event", events::json),
    ("structured_event", events::structured),
    ("event_headers", events::headers),
    ("avro_event", events::avro),
    ("writer_schema", events::writer_schema),
    ("stored", stored::stored),
    ("settings", settings::settings),
    ("http_question", http::question),
    ("http_events", http::events),
    ("figures_file", figures::snapshot),
    ("figures_list", figures::list),
    ("registry_answer", events::registry_answer),
    ("progress", buses::progress),
    ("nats_names", buses::nats_names),
    ("published", events::published),
    ("claim_lines", stored::claim_lines),
    ("http_cursor", http::cursor),
    ("http_acknowledge", http::acknowledge),
];

/// Holds one target's promises against an input.
///
/// # Panics
/// When a promise is broken, or the code under test panics.
pub fn check(target: &str, input: &[u8]) {
    understands(target, input);
}

/// The same; says whether the input was understood.
///
/// # Panics
/// See [`check`].
pub fn understands(target: &str, input: &[u8]) -> bool {
    let known = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, held) = known.unwrap_or_else(|| panic!("{target} is no target"));
    held(input)
}
