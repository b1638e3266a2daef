//! The topics of the contract: their definitions, which stand in `topics/`, and their names in one installation.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::domain::announce::AnnouncementBody;
use crate::domain::event::EventType;

/// The topic that takes what cannot be understood.
pub const DEAD_LETTERS: &str = "inventory-dead-letters";
/// The topic that holds how far publishing has come.
pub const PROGRESS: &str = "holdfast-progress";
/// Longest name that Kafka gives a topic, in characters.
const MAX_TOPIC_CHARACTERS: usize = 249;
/// What the frame of a batch adds to its only record, in bytes, with room to spare.
const BATCH_FRAME_BYTES: usize = 1_024;

const SOURCES: [&str; 18] = [
    include_str!("../../topics/order-created.toml"),
    include_str!("../../topics/cart-updated.toml"),
    include_str!("../../topics/order-cancelled.toml"),
    include_str!("../../topics/order-confirmed.toml"),
    include_str!("../../topics/order-shipped.toml"),
    include_str!("../../topics/return-received.toml"),
    include_str!("../../topics/sku-registered.toml"),
    include_str!("../../topics/stock-received.toml"),
    include_str!("../../topics/stock-adjusted.toml"),
    include_str!("../../topics/stock-synced.toml"),
    include_str!("../../topics/stock-counted.toml"),
    include_str!("../../topics/stock-changed.toml"),
    include_str!("../../topics/low-stock.toml"),
    include_str!("../../topics/reservation-result.toml"),
    include_str!("../../topics/stock-shortage.toml"),
    include_str!("../../topics/stock-drift.toml"),
    include_str!("../../topics/inventory-dead-letters.toml"),
    include_str!("../../topics/holdfast-progress.toml"),
];

/// Which way a topic goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Others write it, this worker reads it.
    In,
    /// This worker writes it, others read it.
    Out,
    /// It takes records that could not be understood.
    DeadLetters,
    /// This worker writes and reads it.
    Internal,
}

/// What the broker does with old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CleanupPolicy {
    /// Records are dropped when they are older than the retention.
    Delete,
    /// The newest record of each key stays.
    Compact,
}

impl CleanupPolicy {
    /// The broker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
        }
    }
}

/// One topic as `topics/` defines it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicDefinition {
    /// The name in the contract, which is also the type of its events.
    pub name: String,
    /// Which way it goes.
    pub direction: Direction,
    /// The field whose text is the record key.
    pub key: String,
    /// How many partitions it is made with.
    pub partitions: i32,
    /// How long records are kept, in milliseconds; -1 for ever.
    pub retention_ms: i64,
    /// What happens to old records.
    pub cleanup_policy: CleanupPolicy,
    /// The largest batch of records that the broker takes, in bytes; its default where there is none. Every topic that
    /// this worker announces or buries on has one.
    pub max_message_bytes: Option<u32>,
    /// The file of its schema.
    pub schema: Option<String>,
    /// Who writes it, for people.
    pub written_by: String,
    /// Who reads it, for people.
    pub read_by: String,
}

impl TopicDefinition {
    /// The record key of a JSON body on this topic; `None` when the field that it is taken from is no text or number.
    pub fn record_key(&self, body: &Value) -> Option<String> {
        let field = match self.key.as_str() {
            "lines[0].sku" => &body["lines"][0]["sku"],
            // A system that syncs may know the SKU as a number only, under another name.
            "sku" if body["sku"].is_null() => &body["product_id"],
            name => &body[name],
        };
        match field {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Its settings by the broker's names.
    pub fn config(&self) -> BTreeMap<String, String> {
        let mut config = BTreeMap::from([
            ("cleanup.policy".to_owned(), self.cleanup_policy.as_str().to_owned()),
            ("retention.ms".to_owned(), self.retention_ms.to_string()),
        ]);
        config.extend(self.max_message_bytes.map(|bytes| ("max.message.bytes".to_owned(), bytes.to_string())));
        config
    }
}

/// Every topic of the contract, in its order.
pub fn definitions() -> Vec<TopicDefinition> {
    SOURCES.iter().map(|source| toml::from_str(source).expect("a test parses every embedded definition")).collect()
}

/// What this worker publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputType {
    /// A row moved from one version to the next.
    StockChanged,
    /// The level of a row changed.
    LowStock,
    /// The answer to a request.
    ReservationResult,
    /// Less is on hand than is reserved.
    StockShortage,
}

impl OutputType {
    /// Every type, in the order of the contract.
    pub const ALL: [Self; 4] = [Self::StockChanged, Self::LowStock, Self::ReservationResult, Self::StockShortage];

    /// The name on the wire, which is the unmapped name of its topic.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StockChanged => "stock-changed",
            Self::LowStock => "low-stock",
            Self::ReservationResult => "reservation-result",
            Self::StockShortage => "stock-shortage",
        }
    }

    /// The type of an announcement.
    pub fn of(body: &AnnouncementBody) -> Self {
        match body {
            AnnouncementBody::StockChanged { .. } => Self::StockChanged,
            AnnouncementBody::LowStock { .. } => Self::LowStock,
            AnnouncementBody::ReservationResult(_) => Self::ReservationResult,
            AnnouncementBody::StockShortage { .. } => Self::StockShortage,
        }
    }
}

/// What is wrong with the names that the settings give to topics.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicsError {
    /// A name is mapped that no topic has.
    #[error("topics.names.{0} names no topic of the contract; topics are: {1}")]
    Unknown(String, String),
    /// A broker would refuse the name.
    #[error("{1:?} cannot be the name of topic {0}: use 1 to 249 letters, digits, dots, dashes and underscores")]
    Illegal(String, String),
    /// Two topics that must be apart share a name.
    #[error("topics {0} and {1} are both named {2:?}: only topics of one direction may share a name")]
    Shared(String, String, String),
}

/// The topics of one installation, by the names that its broker knows.
#[derive(Clone, Debug)]
pub struct Topics {
    entries: Vec<(TopicDefinition, Arc<str>)>,
    by_topic: HashMap<Arc<str>, Held>,
    type_prefix: String,
}

/// What one publisher writes within one tick of the broker's clock comes in the order of its causes.
const MET_IN_ORDER: [EventType; EventType::INPUT.len()] = [
    EventType::SkuRegistered,
    EventType::StockReceived,
    EventType::StockAdjusted,
    EventType::StockSynced,
    EventType::StockCounted,
    EventType::CartUpdated,
    EventType::OrderCreated,
    EventType::OrderConfirmed,
    EventType::OrderShipped,
    EventType::OrderCancelled,
    EventType::ReturnReceived,
];

/// What a topic of the broker holds.
#[derive(Clone, Copy, Debug)]
enum Held {
    One(usize),
    Several,
}

impl Topics {
    /// Names every topic: `names` maps a name of the contract to the broker's, and `prefix` is put before all of
    /// them. `type_prefix` stands before the type of what is published, with a dot between.
    pub fn new(prefix: &str, names: &BTreeMap<String, String>, type_prefix: &str) -> Result<Self, TopicsError> {
        let definitions = definitions();
        if let Some(unknown) = names.keys().find(|name| !definitions.iter().any(|topic| &topic.name == *name)) {
            let known: Vec<&str> = definitions.iter().map(|topic| topic.name.as_str()).collect();
            return Err(TopicsError::Unknown(unknown.clone(), known.join(", ")));
        }
        let mut entries: Vec<(TopicDefinition, Arc<str>)> = Vec::with_capacity(definitions.len());
        let mut by_topic: HashMap<Arc<str>, Held> = HashMap::new();
        for definition in definitions {
            let name: Arc<str> = format!("{prefix}{}", names.get(&definition.name).unwrap_or(&definition.name)).into();
            if !is_legal(&name) {
                return Err(TopicsError::Illegal(definition.name, name.to_string()));
            }
            if let Some((other, _)) =
                entries.iter().find(|(other, taken)| *taken == name && !may_share(other, &definition))
            {
                return Err(TopicsError::Shared(other.name.clone(), definition.name, name.to_string()));
            }
            let index = entries.len();
            by_topic.entry(name.clone()).and_modify(|held| *held = Held::Several).or_insert(Held::One(index));
            entries.push((definition, name));
        }
        let needs_dot = type_prefix.ends_with(|last: char| last.is_alphanumeric());
        let type_prefix = if needs_dot { format!("{type_prefix}.") } else { type_prefix.to_owned() };
        Ok(Self { entries, by_topic, type_prefix })
    }

    /// The broker's name for a topic of the contract.
    pub fn name_of(&self, name: &str) -> Option<&Arc<str>> {
        self.entries.iter().find(|(definition, _)| definition.name == name).map(|(_, topic)| topic)
    }

    /// The type of events on a topic of the broker; `None` where there are several, or when it is no topic of ours.
    pub fn event_type_of(&self, topic: &str) -> Option<&str> {
        match self.by_topic.get(topic)? {
            Held::One(index) => self.entries.get(*index).map(|(definition, _)| definition.name.as_str()),
            Held::Several => None,
        }
    }

    /// The type that a published event carries: its unmapped name behind the prefix of the settings.
    pub fn published_type(&self, output: OutputType) -> String {
        format!("{}{}", self.type_prefix, output.as_str())
    }

    /// The broker's topics whose events have rules: what a worker subscribes to, each once. Events of one moment are
    /// met in this order: goods, then carts and orders, then what follows an order.
    pub fn inputs(&self) -> Vec<Arc<str>> {
        self.named(MET_IN_ORDER.iter().map(|input| input.as_str()))
    }

    /// The broker's topics that this worker announces on, each once.
    pub fn outputs(&self) -> Vec<Arc<str>> {
        self.named(OutputType::ALL.iter().map(|output| output.as_str()))
    }

    /// The broker's dead-letter topic.
    pub fn dead_letters(&self) -> &Arc<str> {
        self.name_of(DEAD_LETTERS).expect("the contract defines the dead-letter topic")
    }

    /// The largest record that every topic takes that this worker announces or buries on, in bytes with key and headers,
    /// uncompressed.
    pub fn largest_record_bytes(&self) -> usize {
        let limits = self.all().filter_map(|(definition, _)| definition.max_message_bytes);
        let smallest = limits.min().expect("the contract limits what the dead-letter topic takes");
        smallest as usize - BATCH_FRAME_BYTES
    }

    /// The broker's progress topic.
    pub fn progress(&self) -> &Arc<str> {
        self.name_of(PROGRESS).expect("the contract defines the progress topic")
    }

    /// Every topic with its definition and the broker's name for it, in the order of the contract.
    pub fn all(&self) -> impl Iterator<Item = (&TopicDefinition, &Arc<str>)> {
        self.entries.iter().map(|(definition, topic)| (definition, topic))
    }

    fn named<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<Arc<str>> {
        let mut topics: Vec<Arc<str>> = Vec::new();
        for topic in names.filter_map(|name| self.name_of(name)) {
            if !topics.contains(topic) {
                topics.push(topic.clone());
            }
        }
        topics
    }
}

fn is_legal(name: &str) -> bool {
    let legal = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
    (1..=MAX_TOPIC_CHARACTERS).contains(&name.len()) && name.chars().all(legal) && name != "." && name != ".."
}

/// Events carry their type, so that several types of one direction may stand on one topic. Everything else must be
/// apart: a worker that read what it publishes would bury its own announcements.
fn may_share(one: &TopicDefinition, other: &TopicDefinition) -> bool {
    one.direction == other.direction && matches!(one.direction, Direction::In | Direction::Out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
    }

    #[test]
    fn names_are_mapped_and_prefixed_and_found_back() {
        let topics = Topics::new("eu.", &names(&[("order-created", "shop.orders")]), "com.shop").unwrap();
        assert_eq!(topics.name_of("order-created").unwrap().as_ref(), "eu.shop.orders");
        assert_eq!(topics.event_type_of("eu.shop.orders"), Some("order-created"));
        assert_eq!(topics.event_type_of("eu.low-stock"), Some("low-stock"));
        assert_eq!(topics.event_type_of("order-created"), None);
        assert_eq!(topics.published_type(OutputType::LowStock), "com.shop.low-stock");
        assert_eq!(topics.dead_letters().as_ref(), "eu.inventory-dead-letters");
    }

    #[test]
    fn a_topic_of_several_types_has_none_of_its_own() {
        let topics =
            Topics::new("", &names(&[("order-created", "orders"), ("order-cancelled", "orders")]), "a.").unwrap();
        assert_eq!(topics.event_type_of("orders"), None);
        assert_eq!(topics.inputs().iter().filter(|topic| topic.as_ref() == "orders").count(), 1);
        assert_eq!(topics.published_type(OutputType::StockChanged), "a.stock-changed");
    }

    #[test]
    fn the_record_key_is_taken_from_the_body() {
        let key = |topic: &str, body: Value| {
            definitions().iter().find(|definition| definition.name == topic).unwrap().record_key(&body)
        };
        let body = json!({"order_id": "O-1", "sku": 7, "lines": [{"sku": "A"}, {"sku": "B"}]});
        assert_eq!(key("order-created", body.clone()).as_deref(), Some("O-1"));
        assert_eq!(key("return-received", body.clone()).as_deref(), Some("O-1"));
        assert_eq!(key("stock-received", body.clone()).as_deref(), Some("A"));
        assert_eq!(key("sku-registered", body.clone()).as_deref(), Some("7"));
        assert_eq!(key("stock-synced", json!({"trace_id": "T", "product_id": 12})).as_deref(), Some("12"));
        assert_eq!(key("stock-synced", json!({"sku": "A", "product_id": 12})).as_deref(), Some("A"));
        assert_eq!(key("cart-updated", body), None);
    }

    #[test]
    fn every_topic_that_is_written_takes_records_of_the_same_size() {
        for definition in definitions() {
            let is_written = matches!(definition.direction, Direction::Out | Direction::DeadLetters);
            let limit = definition.config().get("max.message.bytes").cloned();
            assert_eq!(limit.as_deref(), is_written.then_some("16777216"), "{}", definition.name);
        }
        let topics = Topics::new("", &BTreeMap::new(), "").unwrap();
        assert_eq!(topics.largest_record_bytes(), 16_777_216 - BATCH_FRAME_BYTES);
    }

    #[test]
    fn wrong_names_are_refused_by_name() {
        let unknown = Topics::new("", &names(&[("order-creatd", "x")]), "").unwrap_err();
        assert!(unknown.to_string().contains("order-creatd"), "{unknown}");
        let illegal = Topics::new("a b", &BTreeMap::new(), "").unwrap_err();
        assert!(illegal.to_string().contains("a border-created"), "{illegal}");
        let loops = Topics::new("", &names(&[("stock-changed", "order-created")]), "").unwrap_err();
        assert!(matches!(loops, TopicsError::Shared(..)), "{loops}");
    }
}
