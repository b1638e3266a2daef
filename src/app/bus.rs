//! The buses that the settings name, and the embedded log that needs nobody to prepare it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Failure, build, streams};
use crate::bus::TopicOutcome;
use crate::bus::any::{AnyPublisher, AnySink, AnySource, AnyTail};
use crate::bus::kafka::{
    KafkaAdmin, KafkaConnection, KafkaPublisher, KafkaSink, KafkaSinkSettings, KafkaSource, KafkaSourceSettings,
    KafkaTail, KafkaTailSettings, SinkGuarantee, TailOrder,
};
use crate::bus::local::{
    LocalAdmin, LocalLog, LocalPublisher, LocalSink, LocalSinkSettings, LocalSource, LocalSourceSettings, LocalTail,
    LocalTailSettings,
};
use crate::bus::nats::{
    NatsAdmin, NatsConnection, NatsPublisher, NatsSink, NatsSinkSettings, NatsSource, NatsSourceSettings, NatsTail,
    NatsTailSettings, StreamSpec,
};
use crate::bus::tail::TailStart;
use crate::config::{BusAddress, Guarantee, KafkaAddress, NatsAddress, Settings, SettingsError};
use crate::metrics::Metrics;
use crate::store::sqlite::AnnouncementLog;
use crate::store::{AnyStore, Migration, Upkeep};
use crate::sweeper::OWN_SOURCE;
use crate::wire::encode::Encoder;
use crate::wire::sequence::sequence_number;
use crate::wire::topics::Topics;

/// How a Kafka cluster is reached.
///
/// # Errors
/// [`Failure::Settings`] for an address or property that cannot be.
pub fn kafka_connection(address: KafkaAddress) -> Result<KafkaConnection, Failure> {
    KafkaConnection::new(&address.url, OWN_SOURCE, address.properties.to_map())
        .map_err(|error| Failure::Settings(error.to_string()))
}

/// How NATS servers are reached.
///
/// # Errors
/// [`Failure::Settings`] for an address or property that cannot be.
pub fn nats_connection(address: NatsAddress) -> Result<NatsConnection, Failure> {
    NatsConnection::new(address.url.expose(), OWN_SOURCE, address.properties.to_map())
        .map_err(|error| Failure::Settings(error.to_string()))
}

/// The embedded log in the store's file.
///
/// # Errors
/// [`Failure`] with what to do about it.
pub async fn local_log(file: &Path) -> Result<LocalLog, Failure> {
    LocalLog::open(file).await.map_err(Failure::failed)
}

/// A publisher of events to a bus on which these topics exist.
///
/// # Errors
/// [`Failure`] with what to do about it.
pub async fn publisher(address: BusAddress, topics: &[String]) -> Result<AnyPublisher, Failure> {
    Ok(match address {
        BusAddress::Kafka(address) => {
            let opened = KafkaPublisher::open(&kafka_connection(address)?, topics).await;
            AnyPublisher::Kafka(opened.map_err(Failure::failed)?)
        }
        BusAddress::Nats(address) => {
            let opened = NatsPublisher::open(&nats_connection(address)?, topics).await;
            AnyPublisher::Nats(opened.map_err(Failure::failed)?)
        }
        BusAddress::Local(file) => {
            let opened = LocalPublisher::open(&local_log(&file).await?, topics).await;
            AnyPublisher::Local(opened.map_err(Failure::failed)?)
        }
    })
}

/// What to read of what is published.
pub struct TailWish {
    /// The topics as the bus names them.
    pub topics: Vec<String>,
    /// Where to begin.
    pub from: TailStart,
    /// Whether to end at what was there at the beginning.
    pub until_end: bool,
    /// What the numbers are like, for a bus that has to put topics into one order.
    pub order: TailOrder,
}

/// A reader of what is published on a bus.
///
/// # Errors
/// [`Failure`] with what to do about it.
pub async fn tail(address: BusAddress, wish: TailWish) -> Result<AnyTail, Failure> {
    let TailWish { topics, from, until_end, order } = wish;
    Ok(match address {
        BusAddress::Kafka(address) => {
            let connection = kafka_connection(address)?;
            let number = sequence_number;
            let settings = KafkaTailSettings { connection, topics, from, until_end, order, number };
            AnyTail::Kafka(KafkaTail::open(settings).await.map_err(Failure::failed)?)
        }
        BusAddress::Nats(address) => {
            let connection = nats_connection(address)?;
            let settings = NatsTailSettings { connection, topics, from, until_end };
            AnyTail::Nats(NatsTail::open(settings).await.map_err(Failure::failed)?)
        }
        BusAddress::Local(file) => {
            let log = local_log(&file).await?;
            let settings = LocalTailSettings { log, topics, from, until_end };
            AnyTail::Local(LocalTail::open(settings).await.map_err(Failure::failed)?)
        }
    })
}

/// The buses of a worker, judged and not connected to.
pub(super) struct Buses {
    source: SourceBus,
    sink: SinkBus,
}

enum SourceBus {
    Kafka(KafkaSourceSettings),
    Nats(NatsSourceSettings),
    Local(PathBuf),
}

enum SinkBus {
    Kafka(KafkaSinkSettings),
    Nats(NatsSinkSettings),
    Local(PathBuf),
}

impl Buses {
    /// Judges what the settings say of them.
    pub(super) fn of(settings: &Settings, topics: &Topics) -> Result<Self, Failure> {
        let wrong = |error: SettingsError| Failure::Settings(error.to_string());
        let source = match settings.source_bus().map_err(wrong)? {
            BusAddress::Kafka(address) => {
                SourceBus::Kafka(kafka_source(settings, topics, address)?)
            }
            BusAddress::Nats(address) => {
                let connection = nats_connection(address)?;
                SourceBus::Nats(NatsSourceSettings::new(connection, &settings.source.group, names(&topics.inputs())))
            }
            BusAddress::Local(file) => SourceBus::Local(file),
        };
        let sink = match settings.sink_bus().map_err(wrong)? {
            BusAddress::Kafka(address) => SinkBus::Kafka(kafka_sink(settings, topics, address)?),
            BusAddress::Nats(address) => SinkBus::Nats(nats_sink(settings, topics, address)?),
            BusAddress::Local(file) => SinkBus::Local(file),
        };
        Ok(Self { source, sink })
    }

    /// Makes what an embedded worker needs and nobody else makes: the file, its schema, its topics.
    pub(super) async fn prepare(&self, settings: &Settings, topics: &Topics) -> Result<(), Failure> {
        let SourceBus::Local(file) = &self.source else { return Ok(()) };
        let store = build::connect_new_store(settings).await?;
        let migrations = match store.migration().await.map_err(Failure::failed)? {
            Migration::Missing(missing) => {
                store.migrate().await.map_err(Failure::failed)?;
                missing.len()
            }
            // The start says what to do about a schema that it does not know.
            Migration::Foreign(_) => return Ok(()),
            Migration::Current => 0,
        };
        store.close().await;
        let log = local_log(file).await?;
        let specs = build::topic_specs(settings, topics);
        let outcomes = LocalAdmin::new(log.clone()).apply(&specs).await.map_err(Failure::failed)?;
        log.close().await;
        let made = outcomes.iter().filter(|outcome| **outcome == TopicOutcome::Created).count();
        tracing::info!(
            file = %file.display(),
            migrations_applied = migrations,
            topics_made = made,
            "embedded: store and bus are one file, which this worker migrates and gives its topics by itself"
        );
        Ok(())
    }

    /// Opens the embedded log, when one of the buses is that.
    pub(super) async fn open_log(&self) -> Result<Option<LocalLog>, Failure> {
        match (&self.source, &self.sink) {
            (SourceBus::Local(file), _) | (_, SinkBus::Local(file)) => local_log(file).await.map(Some),
            (SourceBus::Kafka(_) | SourceBus::Nats(_), SinkBus::Kafka(_) | SinkBus::Nats(_)) => Ok(None),
        }
    }

    /// Looks whether every topic is there: what is read on the source's bus, what is written on the sink's.
    ///
    /// # Errors
    /// [`Failure`] that names every missing topic, or the cluster that does not answer.
    pub(super) async fn require_topics(
        &self,
        settings: &Settings,
        topics: &Topics,
        log: Option<&LocalLog>,
    ) -> Result<(), Failure> {
        let mut failures = Vec::new();
        for (connection, wanted) in self.on_clusters() {
            let missing = KafkaAdmin::new(connection.clone()).require(&wanted).await.err();
            failures.extend(missing.map(|error| error.to_string()));
        }
        for (connection, wanted) in self.on_nats(settings, topics)? {
            let missing = NatsAdmin::new(connection.clone()).require(&wanted).await.err();
            failures.extend(missing.map(|error| error.to_string()));
        }
        if let Some(log) = log {
            let missing = LocalAdmin::new(log.clone()).require(&self.in_log(topics)).await.err();
            failures.extend(missing.map(|error| error.to_string()));
        }
        if failures.is_empty() { Ok(()) } else { Err(Failure::Failed(failures.join("; "))) }
    }

    /// The topics of each Kafka cluster.
    fn on_clusters(&self) -> Vec<(&KafkaConnection, Vec<String>)> {
        let read = match &self.source {
            SourceBus::Kafka(source) => Some((&source.connection, source.topics.clone())),
            SourceBus::Nats(_) | SourceBus::Local(_) => None,
        };
        let written = match &self.sink {
            SinkBus::Kafka(sink) => {
                let topics = [sink.topics.as_slice(), std::slice::from_ref(&sink.progress_topic)].concat();
                Some((&sink.connection, topics))
            }
            SinkBus::Nats(_) | SinkBus::Local(_) => None,
        };
        match (read, written) {
            (Some((connection, read)), Some((sink, written))) if connection.servers() == sink.servers() => {
                vec![(connection, [read, written].concat())]
            }
            (read, written) => read.into_iter().chain(written).collect(),
        }
    }

    /// The streams of each NATS server.
    fn on_nats(
        &self,
        settings: &Settings,
        topics: &Topics,
    ) -> Result<Vec<(&NatsConnection, Vec<StreamSpec>)>, Failure> {
        let mut servers = Vec::new();
        if let SourceBus::Nats(source) = &self.source {
            servers.push((&source.connection, streams::read(settings, topics)?));
        }
        if let SinkBus::Nats(sink) = &self.sink {
            servers.push((&sink.connection, streams::written(settings, topics)));
        }
        Ok(servers)
    }

    /// The topics of the embedded log. It keeps progress beside its topics.
    fn in_log(&self, topics: &Topics) -> Vec<String> {
        let read = match &self.source {
            SourceBus::Local(_) => names(&topics.inputs()),
            SourceBus::Kafka(_) | SourceBus::Nats(_) => Vec::new(),
        };
        let written = match &self.sink {
            SinkBus::Local(_) => written(topics),
            SinkBus::Kafka(_) | SinkBus::Nats(_) => Vec::new(),
        };
        [read, written].concat()
    }

    /// The store, announcing by itself where the sink is the log in its file.
    pub(super) fn announcing(
        &self,
        store: AnyStore,
        log: Option<&LocalLog>,
        topics: &Topics,
        encoder: &Encoder,
        metrics: &Metrics,
    ) -> AnyStore {
        let (SinkBus::Local(_), Some(log)) = (&self.sink, log) else { return store };
        let (hint, metrics) = (log.hint(), metrics.clone());
        store.announcing(AnnouncementLog {
            encoder: Arc::new(encoder.clone()),
            progress: topics.progress().to_string(),
            appended: Arc::new(move |announcements, took| {
                metrics.published(announcements as u64, took);
                hint.appended();
            }),
        })
    }

    /// Connects to both.
    pub(super) async fn connect(
        self,
        settings: &Settings,
        topics: &Topics,
        log: Option<LocalLog>,
    ) -> Result<(AnySource, AnySink), Failure> {
        let no_log = || Failure::Failed("the embedded log is not open".to_owned());
        let source = match self.source {
            SourceBus::Kafka(settings) => AnySource::Kafka(KafkaSource::open(settings).await.map_err(Failure::failed)?),
            SourceBus::Nats(settings) => {
                AnySource::Nats(Box::new(NatsSource::open(settings).await.map_err(Failure::failed)?))
            }
            SourceBus::Local(_) => {
                let log = log.clone().ok_or_else(no_log)?;
                let settings = LocalSourceSettings::new(log, &settings.source.group, names(&topics.inputs()));
                AnySource::Local(LocalSource::open(settings).await.map_err(Failure::failed)?)
            }
        };
        let sink = match self.sink {
            SinkBus::Kafka(settings) => AnySink::Kafka(KafkaSink::new(settings)),
            SinkBus::Nats(settings) => AnySink::Nats(Box::new(NatsSink::new(settings))),
            SinkBus::Local(_) => AnySink::Local(LocalSink::new(LocalSinkSettings {
                log: log.ok_or_else(no_log)?,
                progress: topics.progress().to_string(),
                topics: written(topics),
            })),
        };
        Ok((source, sink))
    }
}

fn kafka_source(settings: &Settings, topics: &Topics, address: KafkaAddress) -> Result<KafkaSourceSettings, Failure> {
    let connection = kafka_connection(address)?;
    let source = KafkaSourceSettings::new(connection, &settings.source.group, names(&topics.inputs()));
    // A broker that is away must leave the rest of the drain its time.
    Ok(KafkaSourceSettings { close_timeout: source.close_timeout.min(settings.drain_timeout() / 4), ..source })
}

fn kafka_sink(settings: &Settings, topics: &Topics, address: KafkaAddress) -> Result<KafkaSinkSettings, Failure> {
    let guarantee = match settings.sink.guarantee {
        Guarantee::ExactlyOnce => {
            SinkGuarantee::ExactlyOnce { transactional_id: format!("{}holdfast-relay", settings.topics.prefix) }
        }
        Guarantee::AtLeastOnce => SinkGuarantee::AtLeastOnce,
    };
    let connection = kafka_connection(address)?;
    Ok(KafkaSinkSettings {
        // What the topics take, the client must not refuse.
        largest_record_bytes: topics.largest_record_bytes(),
        ..KafkaSinkSettings::new(connection, guarantee, topics.progress().to_string(), written(topics))
    })
}

fn nats_sink(settings: &Settings, topics: &Topics, address: NatsAddress) -> Result<NatsSinkSettings, Failure> {
    let out = streams::announcements(settings);
    let usual = NatsSinkSettings::new(nats_connection(address)?, &out, topics.dead_letters(), topics.progress());
    Ok(NatsSinkSettings { at_least_once: settings.sink.guarantee == Guarantee::AtLeastOnce, ..usual })
}

/// The topics that a worker writes to.
fn written(topics: &Topics) -> Vec<String> {
    let mut written = names(&topics.outputs());
    written.push(topics.dead_letters().to_string());
    written
}

fn names(topics: &[Arc<str>]) -> Vec<String> {
    topics.iter().map(ToString::to_string).collect()
}
