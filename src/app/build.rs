//! Parts made from settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Failure;
use crate::bus::TopicSpec;
use crate::bus::kafka::{KafkaAdmin, KafkaConnection, KafkaSinkSettings, KafkaSourceSettings, SinkGuarantee};
use crate::config::{DeductOn as DeductOnSetting, Encoding, Guarantee, KafkaAddress, Settings};
use crate::domain::rules::{DeductOn, Rules};
use crate::engine::judge::Bench;
use crate::ports::{BatchLimit, StoreError};
use crate::store::postgres::{Migration, PostgresSettings, PostgresStore};
use crate::sweeper::OWN_SOURCE;
use crate::wire::encode::Encoder;
use crate::wire::registry::Registry;
use crate::wire::schemas::KnownSchemas;
use crate::wire::topics::Topics;

/// How long a connection is waited for, in milliseconds.
const ACQUIRE_TIMEOUT_MS: u64 = 10_000;

/// The topics of this installation.
///
/// # Errors
/// [`Failure::Settings`] for names that a broker would refuse or that clash.
pub fn topics(settings: &Settings) -> Result<Arc<Topics>, Failure> {
    let TopicsOf { prefix, names, type_prefix } = topics_of(settings);
    Topics::new(prefix, names, type_prefix).map(Arc::new).map_err(|error| Failure::Settings(error.to_string()))
}

struct TopicsOf<'a> {
    prefix: &'a str,
    names: &'a BTreeMap<String, String>,
    type_prefix: &'a str,
}

fn topics_of(settings: &Settings) -> TopicsOf<'_> {
    let topics = &settings.topics;
    TopicsOf { prefix: &topics.prefix, names: &topics.names, type_prefix: &topics.type_prefix }
}

/// What every topic of this installation should look like on the broker.
pub fn topic_specs(settings: &Settings, topics: &Topics) -> Vec<TopicSpec> {
    let mut specs: Vec<TopicSpec> = Vec::new();
    for (definition, name) in topics.all() {
        // Several input events may share a topic.
        if specs.iter().any(|spec| spec.name == **name) {
            continue;
        }
        specs.push(TopicSpec {
            name: name.to_string(),
            partitions: match (definition.partitions, settings.topics.partitions) {
                (1, _) | (_, None) => definition.partitions,
                (_, Some(partitions)) => partitions,
            },
            replication: settings.topics.replication,
            config: definition.config(),
        });
    }
    specs
}

/// A connection to the database, for `connections` at most.
///
/// # Errors
/// [`Failure`] with what to do about it.
pub async fn connect_store(settings: &Settings, connections: u32) -> Result<PostgresStore, Failure> {
    let url = settings.postgres().map_err(|error| Failure::Settings(error.to_string()))?;
    let store = PostgresStore::connect(PostgresSettings {
        url: url.expose().to_owned().into(),
        connections,
        acquire_timeout_ms: ACQUIRE_TIMEOUT_MS,
        inbox_keep_days: settings.inbox.keep_days,
        inbox_max_days: i64::from(settings.inbox.max_days),
        dead_letter_keep_days: settings.dead_letters.keep_days,
        keep_published_seconds: settings.relay.keep_published_s,
    });
    store.await.map_err(|error| match error {
        StoreError::Transient(error) => Failure::Failed(format!(
            "the database at {} does not answer: {error}; start it or correct store.url",
            url.redacted()
        )),
        StoreError::Fatal(error) => Failure::Failed(format!("the database at {}: {error}", url.redacted())),
    })
}

/// A connection to a database whose schema is current.
///
/// # Errors
/// [`Failure`] that names the missing migrations.
pub async fn migrated_store(settings: &Settings, connections: u32) -> Result<PostgresStore, Failure> {
    let store = connect_store(settings, connections).await?;
    let versions = |versions: &[i64]| versions.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    match store.migration().await.map_err(Failure::failed)? {
        Migration::Current => Ok(store),
        Migration::Missing(missing) => {
            Err(Failure::Failed(format!("the database lacks migration {}: run `holdfast migrate`", versions(&missing))))
        }
        Migration::Foreign(foreign) => Err(Failure::Failed(format!(
            "the database has migration {} which this version does not know or knows otherwise: run the version that \
             made it, or a newer one",
            versions(&foreign)
        ))),
    }
}

/// How a Kafka cluster is reached.
///
/// # Errors
/// [`Failure::Settings`] for an address or property that cannot be.
pub fn kafka_connection(address: KafkaAddress) -> Result<KafkaConnection, Failure> {
    KafkaConnection::new(&address.url, OWN_SOURCE, address.properties.to_map())
        .map_err(|error| Failure::Settings(error.to_string()))
}

/// Administration of the cluster that events come from.
///
/// # Errors
/// See [`kafka_connection`].
pub fn kafka_admin(settings: &Settings) -> Result<KafkaAdmin, Failure> {
    let address = settings.kafka_source().map_err(|error| Failure::Settings(error.to_string()))?;
    Ok(KafkaAdmin::new(kafka_connection(address)?))
}

pub(super) fn kafka_source_settings(settings: &Settings, topics: &Topics) -> Result<KafkaSourceSettings, Failure> {
    let address = settings.kafka_source().map_err(|error| Failure::Settings(error.to_string()))?;
    let inputs = topics.inputs().iter().map(ToString::to_string).collect();
    let source = KafkaSourceSettings::new(kafka_connection(address)?, &settings.source.group, inputs);
    // A broker that is away must leave the rest of the drain its time.
    Ok(KafkaSourceSettings { close_timeout: source.close_timeout.min(settings.drain_timeout() / 4), ..source })
}

pub(super) fn kafka_sink_settings(settings: &Settings, topics: &Topics) -> Result<KafkaSinkSettings, Failure> {
    let address = settings.kafka_sink().map_err(|error| Failure::Settings(error.to_string()))?;
    let guarantee = match settings.sink.guarantee {
        Guarantee::ExactlyOnce => {
            SinkGuarantee::ExactlyOnce { transactional_id: format!("{}holdfast-relay", settings.topics.prefix) }
        }
        Guarantee::AtLeastOnce => SinkGuarantee::AtLeastOnce,
    };
    let mut outputs: Vec<String> = topics.outputs().iter().map(ToString::to_string).collect();
    outputs.push(topics.dead_letters().to_string());
    let connection = kafka_connection(address)?;
    Ok(KafkaSinkSettings {
        // What the topics take, the client must not refuse.
        largest_record_bytes: topics.largest_record_bytes(),
        ..KafkaSinkSettings::new(connection, guarantee, topics.progress().to_string(), outputs)
    })
}

/// Looks whether every topic is there: what is read on the source's cluster, what is written on the sink's.
///
/// # Errors
/// [`Failure`] that names every missing topic, or the cluster that does not answer.
pub(super) async fn require_topics(source: &KafkaSourceSettings, sink: &KafkaSinkSettings) -> Result<(), Failure> {
    let written = [sink.topics.as_slice(), std::slice::from_ref(&sink.progress_topic)].concat();
    let clusters = if source.connection.servers() == sink.connection.servers() {
        vec![(&source.connection, [source.topics.as_slice(), &written].concat())]
    } else {
        vec![(&source.connection, source.topics.clone()), (&sink.connection, written)]
    };
    let mut failures = Vec::new();
    for (connection, topics) in clusters {
        failures
            .extend(KafkaAdmin::new(connection.clone()).require(&topics).await.err().map(|error| error.to_string()));
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::Failed(failures.join("; "))) }
}

pub fn registry(settings: &Settings) -> Result<Option<Arc<Registry>>, Failure> {
    let Some(url) = &settings.registry.url else { return Ok(None) };
    Registry::new(url.expose())
        .map(|registry| Some(Arc::new(registry)))
        .map_err(|error| Failure::Settings(error.to_string()))
}

pub(super) async fn encoder(
    settings: &Settings,
    topics: &Arc<Topics>,
    registry: Option<&Registry>,
    schemas: &KnownSchemas,
) -> Result<Encoder, Failure> {
    Ok(match (settings.encoding(), registry) {
        (Encoding::Json, _) => Encoder::json(topics.clone(), OWN_SOURCE),
        (Encoding::Avro, None) => Encoder::avro(topics.clone(), OWN_SOURCE, schemas),
        (Encoding::Avro, Some(registry)) => {
            Encoder::registered(topics.clone(), OWN_SOURCE, registry).await.map_err(Failure::failed)?
        }
    })
}

pub(super) fn bench(settings: &Settings, buries: bool) -> Bench {
    Bench {
        rules: Rules {
            deduct_on: match settings.orders.deduct_on {
                DeductOnSetting::Created => DeductOn::Created,
                DeductOnSetting::Confirmed => DeductOn::Confirmed,
                DeductOnSetting::Shipped => DeductOn::Shipped,
            },
            order_ttl_seconds: settings.orders.ttl_s,
            carts_hold: settings.carts.hold,
            cart_ttl_seconds: settings.carts.ttl_s,
            cart_max_hold_seconds: settings.carts.max_hold_s,
            cart_max_per_sku: settings.carts.max_per_sku,
            ignore_cart_holds: settings.alerts.ignore_cart_holds,
        },
        max_clock_skew_seconds: settings.max_clock_skew_s,
        buries,
    }
}

pub(super) fn batch_limit(settings: &Settings) -> BatchLimit {
    BatchLimit { deliveries: settings.engine.batch_events, bytes: settings.engine.batch_bytes }
}
