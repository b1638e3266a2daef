//! Topics: made where they are missing, compared where they exist, never altered.

use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::bus::{TopicDifference, TopicDifferenceKind, TopicOutcome, TopicSpec};

use super::connection::KafkaConnection;
use super::error::KafkaFailure;
use super::reader;
use super::topics;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long brokers may take to learn of topics that the controller has made: a busy one takes its time for hundreds of
/// partitions.
const MADE_WITHIN: Duration = Duration::from_secs(60);
/// Stands for the broker's default.
const DEFAULT_REPLICATION: i32 = -1;

/// Makes and compares topics.
#[derive(Clone, Debug)]
pub struct KafkaAdmin {
    connection: KafkaConnection,
}

impl KafkaAdmin {
    /// Connects to nothing yet.
    pub fn new(connection: KafkaConnection) -> Self {
        Self { connection }
    }

    /// Makes the topics that are missing, with their partitions, copies and settings, and says of each, in the same
    /// order, whether it was made. Topics that exist are left as they are. Fails at the first topic that could not
    /// be made; others may have been. Safe to repeat.
    pub async fn apply(&self, specs: &[TopicSpec]) -> Result<Vec<TopicOutcome>, KafkaFailure> {
        let found = self.describe(specs).await?;
        let missing: Vec<&TopicSpec> =
            specs.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(spec, _)| spec).collect();
        if !missing.is_empty() {
            self.create(&missing).await?;
        }
        Ok(found.iter().map(|found| found.as_ref().map_or(TopicOutcome::Created, |_| TopicOutcome::Existed)).collect())
    }

    /// Every way in which the topics are not as specified; settings that a specification does not name may be
    /// anything.
    pub async fn check(&self, specs: &[TopicSpec]) -> Result<Vec<TopicDifference>, KafkaFailure> {
        let shapes = self.describe(specs).await?;
        let existing = specs.iter().zip(&shapes).filter(|(_, shape)| shape.is_some()).map(|(spec, _)| spec);
        let settings = self.settings_of(existing.filter(|spec| !spec.config.is_empty())).await?;
        let mut differences = Vec::new();
        for (spec, shape) in specs.iter().zip(&shapes) {
            let kinds = match shape {
                None => vec![TopicDifferenceKind::Missing],
                Some(shape) => [shape_differences(spec, shape), setting_differences(spec, &settings)].concat(),
            };
            differences.extend(kinds.into_iter().map(|kind| TopicDifference { topic: spec.name.clone(), kind }));
        }
        Ok(differences)
    }

    /// Fails when topics are missing, and names all that are.
    pub async fn require(&self, topics: &[String]) -> Result<(), KafkaFailure> {
        self.wait_until_known(topics.to_vec(), topics::UNKNOWN_FOR).await
    }

    async fn create(&self, specs: &[&TopicSpec]) -> Result<(), KafkaFailure> {
        let doing = "creating topics";
        let new_topics: Vec<NewTopic<'_>> = specs.iter().map(|spec| new_topic(spec)).collect();
        let client = self.client()?;
        let results = client.create_topics(&new_topics, &options()).await.map_err(KafkaFailure::client(doing))?;
        for result in results {
            match result {
                // Another process may have been quicker.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    let doing = format!("creating topic {topic}");
                    return Err(KafkaFailure::Client { doing, cause: KafkaError::AdminOp(code) });
                }
            }
        }
        // The controller answers before the brokers know the topics; whoever starts next asks a broker.
        self.wait_until_known(specs.iter().map(|spec| spec.name.clone()).collect(), MADE_WITHIN).await
    }

    async fn wait_until_known(&self, names: Vec<String>, at_most: Duration) -> Result<(), KafkaFailure> {
        let connection = self.connection.clone();
        let wait = move || {
            let doing = "looking for topics";
            let reader = reader::new(&connection.reader()).map_err(KafkaFailure::client(doing))?;
            topics::partitions(&reader, &connection, &names, REQUEST_TIMEOUT, at_most).map(drop)
        };
        tokio::task::spawn_blocking(wait).await.map_err(|_| KafkaFailure::ThreadEnded)?
    }

    /// The shapes of the topics, `None` for one that does not exist.
    async fn describe(&self, specs: &[TopicSpec]) -> Result<Vec<Option<topics::Shape>>, KafkaFailure> {
        let connection = self.connection.clone();
        let names: Vec<String> = specs.iter().map(|spec| spec.name.clone()).collect();
        let look = move || {
            let doing = "looking for topics";
            let reader = reader::new(&connection.reader()).map_err(KafkaFailure::client(doing))?;
            names.iter().map(|name| topics::shape(&reader, &connection, name, REQUEST_TIMEOUT)).collect()
        };
        tokio::task::spawn_blocking(look).await.map_err(|_| KafkaFailure::ThreadEnded)?
    }

    /// The settings of topics that exist.
    async fn settings_of<'s>(
        &self,
        specs: impl Iterator<Item = &'s TopicSpec>,
    ) -> Result<Vec<ConfigResource>, KafkaFailure> {
        let doing = "reading the settings of topics";
        let topics: Vec<ResourceSpecifier<'_>> = specs.map(|spec| ResourceSpecifier::Topic(&spec.name)).collect();
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let client = self.client()?;
        let described = client.describe_configs(&topics, &options()).await.map_err(KafkaFailure::client(doing))?;
        let described: Result<Vec<_>, _> = described.into_iter().collect();
        described.map_err(|code| KafkaFailure::Client { doing: doing.to_owned(), cause: KafkaError::AdminOp(code) })
    }

    fn client(&self) -> Result<AdminClient<DefaultClientContext>, KafkaFailure> {
        self.connection.administrator().create().map_err(KafkaFailure::client("making a client for topics"))
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT)).operation_timeout(Some(REQUEST_TIMEOUT))
}

fn new_topic(spec: &TopicSpec) -> NewTopic<'_> {
    let copies = TopicReplication::Fixed(spec.replication.unwrap_or(DEFAULT_REPLICATION));
    let topic = NewTopic::new(&spec.name, spec.partitions, copies);
    spec.config.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
}

fn shape_differences(spec: &TopicSpec, found: &topics::Shape) -> Vec<TopicDifferenceKind> {
    let mut kinds = Vec::new();
    if found.partitions != spec.partitions {
        kinds.push(TopicDifferenceKind::Partitions { wanted: spec.partitions, found: found.partitions });
    }
    if let Some(wanted) = spec.replication.filter(|wanted| *wanted != found.replication) {
        kinds.push(TopicDifferenceKind::Replication { wanted, found: found.replication });
    }
    kinds
}

fn setting_differences(spec: &TopicSpec, settings: &[ConfigResource]) -> Vec<TopicDifferenceKind> {
    let is_of_topic = |resource: &&ConfigResource| matches!(&resource.specifier, OwnedResourceSpecifier::Topic(name) if *name == spec.name);
    let resource = settings.iter().find(is_of_topic);
    let differs = |(name, wanted): (&String, &String)| {
        let found = resource.and_then(|resource| resource.get(name)).and_then(|entry| entry.value.clone());
        let (name, wanted) = (name.clone(), wanted.clone());
        (found.as_ref() != Some(&wanted)).then_some(TopicDifferenceKind::Setting { name, wanted, found })
    };
    spec.config.iter().filter_map(differs).collect()
}
