//! The table of keys: what each setting may be. Everything that judges a key or a value reads this table.

use super::rules;

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its name, with dots.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
}

/// What a setting may be. A rule returns what would be right.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// An address that may hold credentials; `{name}_file` names a file that holds it.
    Address(Rule),
    /// A text.
    Text(Rule),
    /// A whole number in a range, both ends included.
    Number {
        /// The least.
        least: i64,
        /// The most.
        most: i64,
        /// What is counted.
        unit: &'static str,
    },
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A table from event types to topic names.
    Names,
    /// A table of the properties of a client; `{name}_files` is a table of files that hold them.
    Properties,
}

/// Judges a text; the error says what would be right.
pub type Rule = fn(&str) -> Result<(), String>;

/// Every topic under the name of the contract: what `topics.names` may map.
pub const TOPIC_KEYS: [&str; 18] = [
    "order-created",
    "cart-updated",
    "order-cancelled",
    "order-confirmed",
    "order-shipped",
    "return-received",
    "sku-registered",
    "stock-received",
    "stock-adjusted",
    "stock-synced",
    "stock-counted",
    "stock-changed",
    "low-stock",
    "reservation-result",
    "stock-shortage",
    "stock-drift",
    "inventory-dead-letters",
    "holdfast-progress",
];

const YEAR_S: i64 = 366 * 86_400;
const MEBIBYTE: i64 = 1024 * 1024;

/// Every key, in the order in which it is printed.
pub const KEYS: &[Key] = &[
    // Kubernetes and init systems kill after some minutes at most; more than an hour is a slip of the unit.
    number("drain_timeout_ms", 1, 3_600_000, "milliseconds"),
    number("max_clock_skew_s", 0, 86_400, "seconds"),
    number("max_event_bytes", 1_024, 64 * MEBIBYTE, "bytes"),
    address("store.url", rules::store_address),
    number("store.engine_connections", 1, 64, "connections"),
    number("store.http_connections", 1, 64, "connections"),
    address("source.url", rules::bus_address),
    text("source.group", rules::group),
    properties("source.kafka"),
    properties("source.nats"),
    address("sink.url", rules::bus_address),
    choice("sink.guarantee", &["exactly-once", "at-least-once"]),
    choice("sink.encoding", &["avro", "json"]),
    properties("sink.kafka"),
    properties("sink.nats"),
    text("topics.prefix", rules::prefix),
    text("topics.type_prefix", rules::prefix),
    number("topics.replication", 1, 32_767, "replicas"),
    number("topics.partitions", 1, 10_000, "partitions"),
    Key { name: "topics.names", kind: Kind::Names },
    address("registry.url", rules::registry_address),
    text("http.listen", rules::listen),
    number("http.max_body_bytes", 1_024, 64 * MEBIBYTE, "bytes"),
    number("http.request_timeout_ms", 100, 300_000, "milliseconds"),
    number("http.max_connections", 1, 65_536, "connections"),
    choice("orders.deduct_on", &["created", "confirmed", "shipped"]),
    number("orders.ttl_s", 1, YEAR_S, "seconds"),
    // A batch that gives units to those who wait loads all of them.
    number("orders.max_waiting", 0, 10_000, "orders"),
    Key { name: "carts.hold", kind: Kind::Flag },
    number("carts.ttl_s", 1, YEAR_S, "seconds"),
    number("carts.max_hold_s", 1, YEAR_S, "seconds"),
    number("carts.max_per_sku", 1, i32::MAX as i64, "units"),
    number("counts.max_age_s", 1, YEAR_S, "seconds"),
    Key { name: "alerts.ignore_cart_holds", kind: Kind::Flag },
    number("inbox.keep_days", 1, 3_660, "days"),
    // Each day is a partition of its own; PostgreSQL plans well up to a few thousand.
    number("inbox.max_days", 2, 3_660, "days"),
    number("dead_letters.keep_days", 1, 3_660, "days"),
    number("engine.batch_events", 1, 10_000, "events"),
    number("engine.batch_bytes", 1_024, 256 * MEBIBYTE, "bytes"),
    number("relay.lease_s", 2, 600, "seconds"),
    number("relay.keep_published_s", 0, YEAR_S, "seconds"),
    text("log.level", rules::log_level),
    choice("log.format", &["text", "json"]),
];

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether some key lies below this name.
pub fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The name among `candidates` that is closest to `name`, if one is close enough to be what was meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Below it two names share little more than their section.
    const ALIKE: f64 = 0.75;
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

const fn address(name: &'static str, rule: Rule) -> Key {
    Key { name, kind: Kind::Address(rule) }
}

const fn text(name: &'static str, rule: Rule) -> Key {
    Key { name, kind: Kind::Text(rule) }
}

const fn number(name: &'static str, least: i64, most: i64, unit: &'static str) -> Key {
    Key { name, kind: Kind::Number { least, most, unit } }
}

const fn choice(name: &'static str, words: &'static [&'static str]) -> Key {
    Key { name, kind: Kind::Choice(words) }
}

const fn properties(name: &'static str) -> Key {
    Key { name, kind: Kind::Properties }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::config::Settings;

    #[test]
    fn the_table_names_exactly_the_fields_of_the_settings() {
        let tree = serde_json::to_value(Settings::default()).unwrap();
        let mut fields = Vec::new();
        collect("", &tree, &mut fields);
        fields.sort();
        let mut names: Vec<String> = KEYS.iter().map(|key| key.name.to_owned()).collect();
        names.sort();
        assert_eq!(names, fields);
    }

    fn collect(path: &str, tree: &Value, fields: &mut Vec<String>) {
        match tree {
            Value::Object(table) if find(path).is_none() => {
                for (name, value) in table {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    collect(&path, value, fields);
                }
            }
            _ => fields.push(path.to_owned()),
        }
    }

    #[test]
    fn a_slip_of_the_pen_finds_what_was_meant() {
        let names = || KEYS.iter().map(|key| key.name);
        assert_eq!(nearest("carts.tll_s", names()), Some("carts.ttl_s"));
        assert_eq!(nearest("order.ttl_s", names()), Some("orders.ttl_s"));
        assert_eq!(nearest("zzz", names()), None);
    }
}
