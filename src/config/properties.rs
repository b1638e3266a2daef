//! librdkafka properties that pass through.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::secret::{HIDDEN, names_a_secret};

/// Properties handed to librdkafka as they are. `Debug` and serialization hide those that hold a secret.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Properties(BTreeMap<String, String>);

/// Properties that Holdfast sets itself, with what to use instead. Another value would lose or repeat events.
const OWN: [(&str, &str); 9] = [
    ("bootstrap.servers", "write the brokers into the url"),
    ("metadata.broker.list", "write the brokers into the url"),
    ("group.id", "use source.group"),
    ("enable.auto.commit", "offsets are committed after the database"),
    ("enable.auto.offset.store", "offsets are stored after the database has committed"),
    ("auto.offset.reset", "a group without offsets starts at the beginning; holdfast replay moves it"),
    ("enable.idempotence", "it is always on"),
    ("transactional.id", "use sink.guarantee"),
    ("partitioner", "records are spread as every Java client does"),
];

/// What to use instead of a property that is not free to set; `None` for every other property.
pub(super) fn reserved(name: &str) -> Option<&'static str> {
    OWN.iter().find(|(own, _)| *own == name).map(|(_, instead)| *instead)
}

/// Whether a property is about reaching the broker, so that a sink on the source's address shares it.
pub(super) fn is_about_the_connection(name: &str) -> bool {
    const FAMILIES: [&str; 6] = ["security.", "sasl.", "ssl.", "enable.ssl.", "broker.", "socket."];
    FAMILIES.iter().any(|family| name.starts_with(family)) || name == "client.dns.lookup"
}

impl Properties {
    /// No properties.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of one property, which may be a secret.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Every property by name with its value, which may be a secret.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Every property with secrets hidden.
    fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().map(|(name, value)| (name, if names_a_secret(name) { HIDDEN } else { value }))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Properties {
    /// A later value of the same name goes over an earlier one.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(properties: I) -> Self {
        Self(properties.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.shown()).finish()
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.shown())
    }
}
