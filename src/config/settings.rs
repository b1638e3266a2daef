//! The settings as they are written: one field a key, with the contract's defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::properties::Properties;
use super::secret::SecretUrl;

/// Every setting. Ranges, choices and the meaning of each key stand in [`super::keys::KEYS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long a drain may take, in milliseconds.
    pub drain_timeout_ms: u64,
    /// How far ahead of the database's clock an event's time may be, in seconds.
    pub max_clock_skew_s: i64,
    /// The largest event, in bytes.
    pub max_event_bytes: usize,
    /// The database.
    pub store: StoreSettings,
    /// Where events come from.
    pub source: SourceSettings,
    /// Where announcements go.
    pub sink: SinkSettings,
    /// Names of topics.
    pub topics: TopicSettings,
    /// The schema registry.
    pub registry: RegistrySettings,
    /// The sidecar.
    pub http: HttpSettings,
    /// Rules of orders.
    pub orders: OrderSettings,
    /// Rules of carts.
    pub carts: CartSettings,
    /// Rules of stock counts.
    pub counts: CountSettings,
    /// Rules of low stock.
    pub alerts: AlertSettings,
    /// The dedup table.
    pub inbox: InboxSettings,
    /// What could not be understood.
    pub dead_letters: DeadLetterSettings,
    /// The batch.
    pub engine: EngineSettings,
    /// The publisher.
    pub relay: RelaySettings,
    /// Figures compared with what others say of them.
    pub reconcile: ReconcileSettings,
    /// Log lines.
    pub log: LogSettings,
}

/// `store`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// The database's address.
    pub url: SecretUrl,
    /// Connections that commit batches.
    pub engine_connections: u32,
    /// Connections that serve the sidecar.
    pub http_connections: u32,
}

/// `source`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceSettings {
    /// The broker's address.
    pub url: SecretUrl,
    /// Consumer group or durable name.
    pub group: String,
    /// Properties handed to librdkafka as they are.
    pub kafka: Properties,
    /// Properties of the NATS client.
    pub nats: Properties,
}

/// `sink`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SinkSettings {
    /// The broker's address; the source's when absent.
    pub url: Option<SecretUrl>,
    /// How often a subscriber may see an announcement.
    pub guarantee: Guarantee,
    /// How bodies are written; `avro` on brokers when absent.
    pub encoding: Option<Encoding>,
    /// Properties handed to librdkafka as they are.
    pub kafka: Properties,
    /// Properties of the NATS client.
    pub nats: Properties,
}

/// How often a subscriber that reads committed records may see one announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// Once.
    ExactlyOnce,
    /// Once or, after a fault, again.
    AtLeastOnce,
}

/// How bodies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Avro, framed for the registry when there is one.
    Avro,
    /// JSON.
    Json,
}

/// `topics`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicSettings {
    /// Text before every topic's name.
    pub prefix: String,
    /// Text before the type of what is published.
    pub type_prefix: String,
    /// Replicas of a topic that `topics apply` creates; the broker's default when absent.
    pub replication: Option<i32>,
    /// Partitions of a topic that `topics apply` creates; what its definition says when absent. A topic that must
    /// have one partition has one.
    pub partitions: Option<i32>,
    /// Topic names by event type, where they differ.
    pub names: BTreeMap<String, String>,
}

/// `registry`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySettings {
    /// The address of a schema registry with the usual REST interface.
    pub url: Option<SecretUrl>,
}

/// `http`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Address and port.
    pub listen: String,
    /// The largest request body, in bytes.
    pub max_body_bytes: usize,
    /// How long a request may take, in milliseconds.
    pub request_timeout_ms: u64,
    /// Connections at a time.
    pub max_connections: usize,
}

/// `orders`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrderSettings {
    /// When units leave on_hand.
    pub deduct_on: DeductOn,
    /// How long a reservation lives, in seconds.
    pub ttl_s: i64,
    /// The most orders that may wait for one stock row; 0 where none may.
    pub max_waiting: i64,
}

/// The event with which an order's units leave on_hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeductOn {
    /// `order-created`.
    Created,
    /// `order-confirmed`.
    Confirmed,
    /// `order-shipped`.
    Shipped,
}

/// `carts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CartSettings {
    /// Whether carts hold units.
    pub hold: bool,
    /// How long a hold lives after the last update, in seconds.
    pub ttl_s: i64,
    /// How long a hold lives after the first, in seconds.
    pub max_hold_s: i64,
    /// The most units of one SKU that a cart may hold.
    pub max_per_sku: Option<i64>,
}

/// `counts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CountSettings {
    /// The oldest count that is believed, in seconds.
    pub max_age_s: i64,
}

/// `alerts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertSettings {
    /// Whether what carts hold counts as available when the level is judged.
    pub ignore_cart_holds: bool,
    /// Days for which resolved alerts are kept.
    pub keep_days: i32,
}

/// `inbox`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InboxSettings {
    /// Days for which the keys of seen events are kept.
    pub keep_days: i32,
    /// Days that may be open at a time.
    pub max_days: i32,
}

/// `dead_letters`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetterSettings {
    /// Days for which the positions of dead letters are kept.
    pub keep_days: i32,
}

/// `engine`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSettings {
    /// Events in one transaction.
    pub batch_events: usize,
    /// Payload bytes in one transaction.
    pub batch_bytes: usize,
}

/// `relay`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelaySettings {
    /// How long the lease holds without renewal, in seconds.
    pub lease_s: u64,
    /// How long published batches are kept, in seconds.
    pub keep_published_s: i64,
}

/// `reconcile`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReconcileSettings {
    /// Seconds from one comparison with our own books to the next, over all workers; 0 for none.
    pub interval_s: i64,
    /// Other systems by their names.
    pub outside: BTreeMap<String, OutsideSettings>,
}

/// `reconcile.outside.NAME`. Ranges, choices and the meaning of each key stand in [`super::keys::OUTSIDE_KEYS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutsideSettings {
    /// The file that holds its figures.
    pub file: Option<String>,
    /// The list over HTTP that holds them.
    pub url: Option<SecretUrl>,
    /// Seconds from one comparison to the next, over all workers; 0 for none.
    pub interval_s: i64,
    /// Up to this many units of difference are none.
    pub tolerance: i64,
    /// From this many units of difference on people should look at once.
    pub alert_threshold: Option<i64>,
    /// What is done about differences.
    pub fix: FixSetting,
    /// The most units by which stock is adjusted at once.
    pub max_fix_amount: Option<i64>,
}

/// What is done about differences with another system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FixSetting {
    /// They are told.
    None,
    /// Our figure counts and is announced again.
    UseOurs,
    /// Stock is lowered to theirs.
    UseTheirs,
}

/// `log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// A level, or levels by module.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Settings {
    /// How long a drain may take.
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }
}

impl HttpSettings {
    /// How long a request may take.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}

impl RelaySettings {
    /// How long the lease holds without renewal.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_s)
    }
}
