//! How a Kafka cluster is reached: what each kind of client is told, and the properties that nobody may change.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::config::ClientConfig;

/// Properties of librdkafka that are set here and nowhere else. Exactly-once, order and the choice of partition
/// rest on them, so a setting that names one of them is refused instead of being overruled in silence.
const FIXED_PROPERTIES: [(&str, &str); 28] = [
    ("bootstrap.servers", "it is taken from the url"),
    ("metadata.broker.list", "the servers are taken from the url"),
    ("client.id", "it names the worker"),
    ("group.id", "it is the setting source.group"),
    ("group.instance.id", "members of the group are not static"),
    ("group.protocol", "the group's protocol is the classic one"),
    ("enable.auto.commit", "stored offsets are committed, and offsets are stored only after a commit"),
    ("enable.auto.offset.store", "an offset is stored only after its event is committed"),
    ("auto.offset.reset", "anything but earliest skips records in silence"),
    ("partition.assignment.strategy", "revoked partitions are drained one by one, which needs cooperative-sticky"),
    ("isolation.level", "an event of an aborted transaction must not count"),
    ("enable.partition.eof", "the order of a catching-up worker needs to know the ends of partitions"),
    ("statistics.interval.ms", "the lag is read from the statistics"),
    ("queued.max.messages.kbytes", "memory is bounded"),
    ("queued.min.messages", "memory is bounded"),
    ("fetch.wait.max.ms", "the ends of partitions must be known soon"),
    ("enable.idempotence", "without it a retry can repeat or reorder records"),
    ("enable.gapless.guarantee", "it ends a producer that could have been opened again"),
    ("transactional.id", "it fences every earlier relay"),
    ("acks", "a record counts when all replicas have it"),
    ("request.required.acks", "a record counts when all replicas have it"),
    ("partitioner", "a key must meet the partition that other clients would choose"),
    ("max.in.flight", "more requests in flight can reorder records"),
    ("max.in.flight.requests.per.connection", "more requests in flight can reorder records"),
    ("retries", "a record that is not retried is lost"),
    ("message.send.max.retries", "a record that is not retried is lost"),
    ("queuing.strategy", "queues are first in, first out"),
    ("allow.auto.create.topics", "topics are created by holdfast topics apply"),
];

/// Defaults that step back when the user has set the other name of the same thing, or a limit that they must not
/// fall below.
const OTHER_NAMES: [(&str, &str); 4] = [
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
    ("fetch.max.bytes", "message.max.bytes"),
    ("linger.ms", "queue.buffering.max.ms"),
    ("compression.type", "compression.codec"),
];

/// Largest record that is produced where nobody says otherwise, in bytes. The broker's own limit for a topic (about 1 MB
/// unless raised) is smaller; this one only keeps the client from refusing what the broker would take.
pub(super) const LARGEST_RECORD_BYTES: usize = 10_000_000;
/// What the client may fetch ahead of the worker, over all partitions: each has a queue of its own, so each gets its
/// part of it. A partition is fetched again when its queue is below its part, so twice as much may wait.
const PREFETCH_RECORDS: usize = 32 * 1024;
/// The same in bytes as they come from the broker; unpacked they may be several times as many.
const PREFETCH_BYTES: usize = 2 * 1024 * 1024;
/// The least parts that a partition gets.
const PREFETCH_LEAST_RECORDS: usize = 256;
const PREFETCH_LEAST_BYTES: usize = 32 * 1024;

/// A wrong setting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A property that may not be set.
    #[error("the Kafka property {name} cannot be set, because {reason}; leave it out")]
    Fixed {
        /// The property.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// A property that the client does not know, or a value that it does not take.
    #[error(
        "the Kafka property {name} is unknown or has a value that is not allowed; see librdkafka's CONFIGURATION.md"
    )]
    Property {
        /// The property. Its value is not shown, because it may be a secret.
        name: String,
    },
    /// No address.
    #[error("the Kafka address {url:?} names no server; right would be kafka://host:port,host:port")]
    Address {
        /// What was given.
        url: String,
    },
}

/// How a Kafka cluster is reached.
#[derive(Clone)]
pub struct KafkaConnection {
    servers: String,
    client_id: String,
    properties: BTreeMap<String, String>,
}

impl KafkaConnection {
    /// Takes `kafka://host:port,host:port`, the name under which the broker's logs and quotas know this process, and
    /// further properties of librdkafka (TLS, SASL, timeouts). Refuses properties that the promises of this module
    /// rest on, and unknown ones.
    pub fn new(url: &str, client_id: &str, properties: BTreeMap<String, String>) -> Result<Self, SettingsError> {
        let servers = url.strip_prefix("kafka://").unwrap_or_default();
        let servers: Vec<&str> = servers.split(',').map(str::trim).filter(|server| !server.is_empty()).collect();
        if servers.is_empty() {
            return Err(SettingsError::Address { url: url.to_owned() });
        }
        for name in properties.keys() {
            if let Some((_, reason)) = FIXED_PROPERTIES.iter().find(|(fixed, _)| fixed == name) {
                return Err(SettingsError::Fixed { name: name.clone(), reason });
            }
        }
        for (name, value) in &properties {
            let alone = ClientConfig::from_iter([(name.clone(), value.clone())]);
            alone.create_native_config().map_err(|_| SettingsError::Property { name: name.clone() })?;
        }
        Ok(Self { servers: servers.join(","), client_id: client_id.to_owned(), properties })
    }

    /// The servers, for messages.
    pub fn servers(&self) -> &str {
        &self.servers
    }

    /// What all clients have in common: defaults, then the user's properties over them, then what is fixed.
    fn client(&self, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        // A broker that was away is found again within a second, not ten.
        config.set("reconnect.backoff.max.ms", "1000");
        for (name, value) in defaults {
            let other = OTHER_NAMES.iter().find(|(default, _)| default == name);
            if other.is_none_or(|(_, other)| !self.properties.contains_key(*other)) {
                config.set(*name, *value);
            }
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        config.set("bootstrap.servers", &self.servers);
        config.set("client.id", &self.client_id);
        config
    }

    /// A member of a consumer group. `partitions` is the number of partitions of the topics that it reads.
    pub(super) fn group_consumer(&self, group: &str, partitions: usize, statistics: Duration) -> ClientConfig {
        let part = |whole: usize, least: usize| (whole / partitions.max(1)).max(least).to_string();
        let prefetch_bytes = part(PREFETCH_BYTES, PREFETCH_LEAST_BYTES);
        let mut config = self.client(
            &[
                ("auto.commit.interval.ms", "1000"),
                // A crashed worker's partitions wait this long for another member.
                ("session.timeout.ms", "15000"),
                // Traps: one second by default, for which a partition whose small queue was full stands still.
                ("fetch.queue.backoff.ms", "20"),
                ("fetch.max.bytes", "4194304"),
                ("fetch.message.max.bytes", &prefetch_bytes),
            ],
            &[
                // Traps: with the defaults an offset counts as done when the record is handed over.
                ("enable.auto.commit", "true"),
                ("enable.auto.offset.store", "false"),
                // Traps: `largest` is the default and skips in silence.
                ("auto.offset.reset", "earliest"),
                ("partition.assignment.strategy", "cooperative-sticky"),
                ("isolation.level", "read_committed"),
                ("enable.partition.eof", "true"),
                // The end of a partition is reported by a fetch that waited this long in vain.
                ("fetch.wait.max.ms", "50"),
                ("allow.auto.create.topics", "false"),
            ],
        );
        config.set("group.id", group);
        // Traps: bound what is fetched ahead. The limit in bytes is for what comes unpacked and large.
        config.set("queued.min.messages", part(PREFETCH_RECORDS, PREFETCH_LEAST_RECORDS));
        config.set("queued.max.messages.kbytes", part(PREFETCH_BYTES * 8 / 1024, PREFETCH_LEAST_BYTES * 8 / 1024));
        config.set("statistics.interval.ms", statistics.as_millis().max(1).to_string());
        config
    }

    /// A consumer without a group, which asks for topics and for offsets of what is committed.
    pub(super) fn reader(&self) -> ClientConfig {
        let fixed = [("isolation.level", "read_committed"), ("allow.auto.create.topics", "false")];
        self.client(&[], &fixed)
    }

    /// A reader that also counts what is not committed yet.
    pub(super) fn uncommitted_reader(&self) -> ClientConfig {
        let mut config = self.reader();
        config.set("isolation.level", "read_uncommitted");
        config
    }

    /// A consumer that reads what is committed in partitions that it assigns to itself. `fetch_wait` is how long the
    /// broker waits before it says that the end is reached.
    pub(super) fn assigned_reader(&self, fetch_wait: Duration) -> ClientConfig {
        // The client assigns partitions only where there is a group. This one is never joined, and nothing is ever
        // committed to it.
        let mut config = self.group_observer("holdfast-reader");
        config.set("fetch.wait.max.ms", fetch_wait.as_millis().to_string());
        config
    }

    /// A consumer that speaks for a group without being a member of it.
    pub(super) fn group_observer(&self, group: &str) -> ClientConfig {
        let fixed = [
            ("group.id", group),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("queued.max.messages.kbytes", "1024"),
            ("allow.auto.create.topics", "false"),
        ];
        self.client(&[("fetch.queue.backoff.ms", "20")], &fixed)
    }

    /// A producer that neither repeats nor reorders, of records of at most `largest_record_bytes`.
    pub(super) fn producer(&self, linger_ms: u32, largest_record_bytes: usize) -> ClientConfig {
        let (largest_record, linger) = (largest_record_bytes.to_string(), linger_ms.to_string());
        self.client(
            &[
                ("message.max.bytes", &largest_record),
                ("linger.ms", &linger),
                ("compression.type", "lz4"),
                // Traps: `init_transactions` takes half a second with the default.
                ("retry.backoff.ms", "20"),
                ("queue.buffering.max.messages", "100000"),
                ("queue.buffering.max.kbytes", "65536"),
                ("transaction.timeout.ms", "60000"),
                // How long a topic may be unknown before its records fail; it may have been created just now.
                ("topic.metadata.propagation.max.ms", "5000"),
            ],
            &[
                // Traps: off by default.
                ("enable.idempotence", "true"),
                ("acks", "all"),
                // Traps: the default partitioner differs from the one of the Java clients; this is theirs.
                ("partitioner", "murmur2_random"),
            ],
        )
    }

    /// A producer whose records become visible together.
    pub(super) fn transactional_producer(&self, transactional_id: &str, largest_record_bytes: usize) -> ClientConfig {
        // Performance: inside transactions a linger of 0 halves the rate, 5 ms is right.
        let mut config = self.producer(5, largest_record_bytes);
        config.set("transactional.id", transactional_id);
        config
    }

    /// A client for topics and their settings.
    pub(super) fn administrator(&self) -> ClientConfig {
        self.client(&[], &[])
    }
}

impl fmt::Debug for KafkaConnection {
    /// Values of properties are left out, because some are secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KafkaConnection")
            .field("servers", &self.servers)
            .field("client_id", &self.client_id)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_property(name: &str, value: &str) -> Result<KafkaConnection, SettingsError> {
        KafkaConnection::new("kafka://127.0.0.1:9092", "test", BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn every_fixed_property_is_refused_by_name() {
        for (name, reason) in FIXED_PROPERTIES {
            assert_eq!(with_property(name, "1").unwrap_err(), SettingsError::Fixed { name: name.to_owned(), reason });
        }
    }

    fn every_client(connection: &KafkaConnection) -> [ClientConfig; 8] {
        [
            connection.group_consumer("group", 12, Duration::from_secs(1)),
            connection.reader(),
            connection.uncommitted_reader(),
            connection.assigned_reader(Duration::from_millis(10)),
            connection.group_observer("group"),
            connection.producer(1, LARGEST_RECORD_BYTES),
            connection.transactional_producer("id", LARGEST_RECORD_BYTES),
            connection.administrator(),
        ]
    }

    #[test]
    fn properties_for_tls_and_sasl_pass_through() {
        let properties = [
            ("security.protocol", "SASL_SSL"),
            ("ssl.ca.location", "/etc/ca.pem"),
            ("ssl.certificate.location", "/etc/client.pem"),
            ("ssl.key.location", "/etc/client.key"),
            ("ssl.key.password", "secret"),
            ("ssl.endpoint.identification.algorithm", "https"),
            ("enable.ssl.certificate.verification", "true"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "holdfast"),
            ("sasl.password", "secret"),
        ];
        let given = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let connection = KafkaConnection::new("kafka://127.0.0.1:9093", "test", given).unwrap();
        for client in every_client(&connection) {
            for (name, value) in properties {
                assert_eq!(client.get(name), Some(value), "{name}");
            }
        }
        assert!(!format!("{connection:?}").contains("secret"));
    }

    #[test]
    fn unknown_properties_are_refused_without_their_value() {
        let error = with_property("sasl.pasword", "secret").unwrap_err();
        assert_eq!(error, SettingsError::Property { name: "sasl.pasword".to_owned() });
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn an_address_without_a_server_is_refused() {
        for url in ["kafka://", "kafka://,", "127.0.0.1:9092", ""] {
            let error = KafkaConnection::new(url, "test", BTreeMap::new()).unwrap_err();
            assert_eq!(error, SettingsError::Address { url: url.to_owned() });
        }
    }

    #[test]
    fn every_client_configuration_is_understood() {
        let connection = with_property("security.protocol", "plaintext").unwrap();
        for config in every_client(&connection) {
            config.create_native_config().unwrap();
        }
    }
}
