//! Parts made from settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Failure;
use crate::bus::TopicSpec;
use crate::config::{
    DeductOn as DeductOnSetting, Encoding, FixSetting, OutsideSettings, ReconcileSettings, Settings, StoreAddress,
};
use crate::domain::reconciliation::Decision;
use crate::domain::rules::{DeductOn, Rules};
use crate::engine::judge::Bench;
use crate::ports::{BatchLimit, StoreError};
use crate::reconcile::{Fix, Job, Place, Terms};
use crate::store::postgres::{PostgresSettings, PostgresStore};
use crate::store::sqlite::{SqliteSettings, SqliteStore};
use crate::store::{AnyStore, Migration, Retention, Upkeep};
use crate::wire::encode::Encoder;
use crate::wire::identity::OWN_SOURCE;
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
pub async fn connect_store(settings: &Settings, connections: u32) -> Result<AnyStore, Failure> {
    open_store(settings, connections, false).await
}

/// A connection to the database as [`connect_store`] makes it; a file that is not there is made.
///
/// # Errors
/// [`Failure`] with what to do about it.
pub async fn connect_new_store(settings: &Settings) -> Result<AnyStore, Failure> {
    let store = open_store(settings, 1, true).await?;
    proved(settings, store).await
}

async fn open_store(settings: &Settings, connections: u32, create: bool) -> Result<AnyStore, Failure> {
    let retention = Retention {
        inbox_keep_days: settings.inbox.keep_days,
        inbox_max_days: i64::from(settings.inbox.max_days),
        dead_letter_keep_days: settings.dead_letters.keep_days,
        keep_published_seconds: settings.relay.keep_published_s,
        alert_keep_days: settings.alerts.keep_days,
    };
    let acquire_timeout_ms = ACQUIRE_TIMEOUT_MS;
    let opened = match settings.store_address() {
        StoreAddress::Postgres(url) => {
            let url = url.expose().to_owned().into();
            let settings = PostgresSettings { url, connections, acquire_timeout_ms, retention };
            PostgresStore::connect(settings).await.map(AnyStore::Postgres)
        }
        StoreAddress::Sqlite(file) => {
            let settings = SqliteSettings { file, create, readers: connections, acquire_timeout_ms, retention };
            SqliteStore::connect(settings).await.map(AnyStore::Sqlite)
        }
    };
    opened.map_err(|error| match error {
        StoreError::Transient(error) => Failure::Failed(format!(
            "the database at {} does not answer: {error}; start it or correct store.url",
            settings.store.url
        )),
        StoreError::Fatal(error) => of_database(settings, &error),
    })
}

async fn proved(settings: &Settings, store: AnyStore) -> Result<AnyStore, Failure> {
    store.check_integrity().await.map_err(|error| of_database(settings, &error.to_string()))?;
    Ok(store)
}

fn of_database(settings: &Settings, error: &str) -> Failure {
    Failure::Failed(format!("the database at {}: {error}", settings.store.url))
}

/// A connection to a database that is whole and whose schema is current.
///
/// # Errors
/// [`Failure`] that names the damage or the missing migrations.
pub async fn migrated_store(settings: &Settings, connections: u32) -> Result<AnyStore, Failure> {
    worker_store(settings, connections, Integrity::Unknown).await
}

/// Whether this process has read the whole database and found it sound. That takes as long as reading a file takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Integrity {
    Unknown,
    Proved,
}

/// [`migrated_store`], which is not proved again where it was just now.
pub(super) async fn worker_store(
    settings: &Settings,
    connections: u32,
    integrity: Integrity,
) -> Result<AnyStore, Failure> {
    let store = connect_store(settings, connections).await?;
    let store = match integrity {
        Integrity::Unknown => proved(settings, store).await?,
        Integrity::Proved => store,
    };
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

/// The schema registry, when there is one.
///
/// # Errors
/// [`Failure::Settings`] for an address that cannot be.
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
            order_max_waiting: settings.orders.max_waiting,
            carts_hold: settings.carts.hold,
            cart_ttl_seconds: settings.carts.ttl_s,
            cart_max_hold_seconds: settings.carts.max_hold_s,
            cart_max_per_sku: settings.carts.max_per_sku,
            ignore_cart_holds: settings.alerts.ignore_cart_holds,
        },
        max_clock_skew_seconds: settings.max_clock_skew_s,
        count_max_age_seconds: settings.counts.max_age_s,
        buries,
    }
}

/// What is compared at intervals.
pub(super) fn reconciliations(settings: &ReconcileSettings) -> Vec<Job> {
    let books = Job::Books { interval_s: settings.interval_s };
    let outside = settings.outside.iter().filter_map(|(name, outside)| {
        let place = match (&outside.file, &outside.url) {
            (Some(file), _) => Place::File(file.into()),
            (None, Some(url)) => Place::Url(url.expose().into()),
            (None, None) => return None,
        };
        Some(Job::Outside { interval_s: outside.interval_s, place, terms: terms(name, outside) })
    });
    std::iter::once(books).chain(outside).filter(|job| job.interval_s() > 0).collect()
}

/// How another system is compared when nobody looks. Stock is never raised then.
fn terms(name: &str, outside: &OutsideSettings) -> Terms {
    let decision = || Decision { operator: None, reason: format!("reconciled with {name}").into() };
    let fix = match (outside.fix, outside.max_fix_amount) {
        (FixSetting::UseOurs, _) => Fix::UseOurs(decision()),
        (FixSetting::UseTheirs, Some(max_amount)) => {
            Fix::UseTheirs { max_amount, may_raise: false, decision: decision() }
        }
        (FixSetting::None, _) | (FixSetting::UseTheirs, None) => Fix::None,
    };
    Terms { source: name.into(), tolerance: outside.tolerance, alert_threshold: outside.alert_threshold, fix }
}

pub(super) fn batch_limit(settings: &Settings) -> BatchLimit {
    BatchLimit { deliveries: settings.engine.batch_events, bytes: settings.engine.batch_bytes }
}
