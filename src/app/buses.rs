//! The buses that the settings name, and the embedded log that needs nobody to prepare it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::build::Integrity;
use super::clients::{kafka_connection, local_log, nats_connection};
use super::{Failure, build, streams};
use crate::bus::TopicOutcome;
use crate::bus::any::{AnySink, AnySource};
use crate::bus::kafka::{
    KafkaAdmin, KafkaConnection, KafkaSink, KafkaSinkSettings, KafkaSource, KafkaSourceSettings, SinkGuarantee,
};
use crate::bus::local::{LocalAdmin, LocalLog, LocalSink, LocalSinkSettings, LocalSource, LocalSourceSettings};
use crate::bus::nats::{
    NatsAdmin, NatsConnection, NatsSink, NatsSinkSettings, NatsSource, NatsSourceSettings, StreamSpec,
};
use crate::config::{BusAddress, Guarantee, KafkaAddress, NatsAddress, Settings, SettingsError};
use crate::metrics::Metrics;
use crate::store::sqlite::AnnouncementLog;
use crate::store::{AnyStore, Migration, Upkeep};
use crate::wire::encode::Encoder;
use crate::wire::topics::Topics;

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
            BusAddress::Kafka(address) => SourceBus::Kafka(kafka_source(settings, topics, address)?),
            BusAddress::Nats(address) => SourceBus::Nats(nats_source(settings, topics, address)?),
            BusAddress::Local(file) => SourceBus::Local(file),
        };
        let sink = match settings.sink_bus().map_err(wrong)? {
            BusAddress::Kafka(address) => SinkBus::Kafka(kafka_sink(settings, topics, address)?),
            BusAddress::Nats(address) => SinkBus::Nats(nats_sink(settings, topics, address)?),
            BusAddress::Local(file) => SinkBus::Local(file),
        };
        Ok(Self { source, sink })
    }

    /// Makes what an embedded worker needs and nobody else makes: the file, its schema, its topics. A file that is there
    /// is proved to be whole before it is written to.
    pub(super) async fn prepare(&self, settings: &Settings, topics: &Topics) -> Result<Integrity, Failure> {
        let SourceBus::Local(file) = &self.source else { return Ok(Integrity::Unknown) };
        let store = build::connect_new_store(settings).await?;
        let migrations = match store.migration().await.map_err(Failure::failed)? {
            Migration::Missing(missing) => {
                store.migrate().await.map_err(Failure::failed)?;
                missing.len()
            }
            // The start says what to do about a schema that it does not know.
            Migration::Foreign(_) => return Ok(Integrity::Proved),
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
        Ok(Integrity::Proved)
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
            match NatsAdmin::new(connection.clone()).require(&wanted).await {
                // It works for as long as nobody sends an event that large.
                Ok(small) => {
                    small.iter().for_each(|difference| tracing::warn!("publishing could stop: {difference}"));
                }
                Err(error) => failures.push(error.to_string()),
            }
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
                let source = LocalSourceSettings::new(log, &settings.source.group, names(&topics.inputs()));
                let source = LocalSourceSettings { close_timeout: leaving(settings, source.close_timeout), ..source };
                AnySource::Local(LocalSource::open(source).await.map_err(Failure::failed)?)
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
    Ok(KafkaSourceSettings { close_timeout: leaving(settings, source.close_timeout), ..source })
}

fn nats_source(settings: &Settings, topics: &Topics, address: NatsAddress) -> Result<NatsSourceSettings, Failure> {
    let connection = nats_connection(address)?;
    let source = NatsSourceSettings::new(connection, &settings.source.group, names(&topics.inputs()));
    Ok(NatsSourceSettings { close_timeout: leaving(settings, source.close_timeout), ..source })
}

/// How long a source may take to leave: a bus that is away must leave the rest of the drain its time.
fn leaving(settings: &Settings, usual: Duration) -> Duration {
    usual.min(settings.drain_timeout() / 4)
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
