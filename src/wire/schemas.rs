//! The schemas of the contract, which stand in `schemas/`: the current ones and those of the last release.

use std::collections::HashMap;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::rabin::Rabin;

use super::avro::layout::Layout;

macro_rules! schema_sources {
    ($($name:literal),* $(,)?) => {
        [$(SchemaSource {
            name: $name,
            current: include_str!(concat!("../../schemas/", $name, ".avsc")),
            released: include_str!(concat!("../../schemas/released/", $name, ".avsc")),
        }),*]
    };
}

/// Every schema, in the order of the contract.
pub const SOURCES: [SchemaSource; 16] = schema_sources![
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
];

/// The text of one schema, as it stands in its file.
#[derive(Clone, Copy, Debug)]
pub struct SchemaSource {
    /// The type of the events that it describes.
    pub name: &'static str,
    /// The schema.
    pub current: &'static str,
    /// The schema of the last release.
    pub released: &'static str,
}

/// The CRC-64-AVRO fingerprint of a schema's canonical form, in the byte order of single-object encoding.
pub type SchemaFingerprint = [u8; 8];

/// The schemas that single-object encoding may name, made ready to read with.
#[derive(Debug)]
pub struct KnownSchemas {
    layouts: HashMap<SchemaFingerprint, Arc<Layout>>,
    current: HashMap<&'static str, SchemaFingerprint>,
}

impl KnownSchemas {
    /// Parses every embedded schema. Takes some milliseconds: once at start.
    pub fn load() -> Self {
        let mut known = Self { layouts: HashMap::new(), current: HashMap::new() };
        for source in SOURCES {
            // The current one comes last: of two with the same canonical form it is the one that knows more.
            known.add(source.released);
            let fingerprint = known.add(source.current);
            known.current.insert(source.name, fingerprint);
        }
        known
    }

    pub(crate) fn layout(&self, fingerprint: SchemaFingerprint) -> Option<&Arc<Layout>> {
        self.layouts.get(&fingerprint)
    }

    /// The fingerprint of the current schema of an event, by the name of its type.
    pub fn fingerprint(&self, name: &str) -> Option<SchemaFingerprint> {
        self.current.get(name).copied()
    }

    fn add(&mut self, text: &str) -> SchemaFingerprint {
        let schema = Schema::parse_str(text).expect("a test parses every embedded schema");
        let layout = Layout::parse(text, &[]).expect("a test parses every embedded schema");
        let digest = schema.fingerprint::<Rabin>();
        let mut fingerprint = SchemaFingerprint::default();
        fingerprint.copy_from_slice(&digest.bytes);
        self.layouts.insert(fingerprint, Arc::new(layout));
        fingerprint
    }
}
