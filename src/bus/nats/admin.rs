//! Streams and consumers: made where they are missing, compared where they exist, never altered.

use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy};
use async_nats::jetstream::context::{ConsumerInfoErrorKind, GetStreamByNameErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{self, RetentionPolicy, StorageType};
use async_nats::jetstream::{Context, ErrorCode};
use tokio::sync::watch;

use crate::bus::TopicOutcome;
use crate::wire::nats_names as names;

use super::connection::{Link, NatsConnection};
use super::error::NatsFailure;
use super::layout::{ConsumerSpec, NatsDifference, SettingDifference, StreamRole, StreamSpec};

/// How long the server is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages that the workers of a group may hold together without having acknowledged them.
const MOST_UNACKNOWLEDGED: i64 = 50_000;
/// The server of this version takes several messages as one.
const ATOMIC_SINCE: (i64, i64, i64) = (2, 12, 0);

/// Makes and compares streams and consumers.
#[derive(Clone, Debug)]
pub struct NatsAdmin {
    connection: NatsConnection,
}

impl NatsAdmin {
    /// Connects to nothing yet.
    pub fn new(connection: NatsConnection) -> Self {
        Self { connection }
    }

    /// Makes the streams and consumers that are missing, and says of each whether it was made. Those that exist are
    /// left as they are. Fails at the first that could not be made; others may have been. Safe to repeat.
    pub async fn apply(&self, specs: &[StreamSpec]) -> Result<Vec<(String, TopicOutcome)>, NatsFailure> {
        let context = self.context(specs).await?;
        let mut outcomes = Vec::new();
        for spec in specs {
            let (stream, outcome) = match find_stream(&context, spec).await? {
                Some(found) => (found.name, TopicOutcome::Existed),
                None => (make_stream(&context, spec).await?, TopicOutcome::Created),
            };
            outcomes.push((format!("stream {stream}"), outcome));
            if let StreamRole::In { consumer: Some(wanted), .. } = &spec.role {
                let outcome = match find_consumer(&context, &stream, &wanted.name).await? {
                    Some(_) => TopicOutcome::Existed,
                    None => {
                        make_consumer(&context, &stream, consumer_config(wanted)).await?;
                        TopicOutcome::Created
                    }
                };
                outcomes.push((format!("consumer {} of stream {stream}", wanted.name), outcome));
            }
        }
        Ok(outcomes)
    }

    /// Looks whether the streams and consumers are there, and returns the streams that take too small messages. Other
    /// settings do not matter.
    ///
    /// # Errors
    /// [`NatsFailure::Missing`] with the names of those that are not.
    pub async fn require(&self, specs: &[StreamSpec]) -> Result<Vec<NatsDifference>, NatsFailure> {
        let (small, others): (Vec<_>, Vec<_>) =
            self.check(specs).await?.into_iter().partition(NatsDifference::is_limit);
        let missing = others.into_iter().filter_map(|difference| match difference {
            NatsDifference::StreamMissing { stream } => Some(format!("stream {stream}")),
            NatsDifference::ConsumerMissing { stream, consumer } => {
                Some(format!("consumer {consumer} of stream {stream}"))
            }
            NatsDifference::StreamSetting { .. }
            | NatsDifference::ConsumerSetting { .. }
            | NatsDifference::TooSmall { .. } => None,
        });
        let missing: Vec<String> = missing.collect();
        if missing.is_empty() {
            return Ok(small);
        }
        Err(NatsFailure::Missing { servers: self.connection.servers().to_owned(), missing })
    }

    /// Every way in which streams and consumers are not as specified. Of a stream that others made for the subject of a
    /// topic only the consumer is compared.
    pub async fn check(&self, specs: &[StreamSpec]) -> Result<Vec<NatsDifference>, NatsFailure> {
        let context = self.context(specs).await?;
        let mut differences = Vec::new();
        for spec in specs {
            let Some(found) = find_stream(&context, spec).await? else {
                differences.push(NatsDifference::StreamMissing { stream: spec.name.clone() });
                continue;
            };
            let stream = found.name.clone();
            if stream == spec.name {
                let settings = stream_differences(&stream_config(&context, spec), &found);
                let difference = |setting| NatsDifference::StreamSetting { stream: stream.clone(), setting };
                differences.extend(settings.into_iter().map(difference));
            }
            let largest = largest_message(&context, &found);
            if let Some(wanted) = spec.largest.filter(|wanted| *wanted > largest) {
                differences.push(NatsDifference::TooSmall { stream: stream.clone(), wanted, found: largest });
            }
            let StreamRole::In { consumer: Some(wanted), .. } = &spec.role else { continue };
            let consumer = wanted.name.clone();
            match find_consumer(&context, &stream, &consumer).await? {
                None => differences.push(NatsDifference::ConsumerMissing { stream, consumer }),
                Some(found) => {
                    let settings = consumer_differences(&consumer_config(wanted), &found.config);
                    let difference = |setting| NatsDifference::ConsumerSetting {
                        stream: stream.clone(),
                        consumer: consumer.clone(),
                        setting,
                    };
                    differences.extend(settings.into_iter().map(difference));
                }
            }
        }
        Ok(differences)
    }

    async fn context(&self, specs: &[StreamSpec]) -> Result<Context, NatsFailure> {
        let subjects = specs.iter().flat_map(|spec| &spec.subjects).map(|subject| subject.trim_end_matches(".>"));
        if let Some(wrong) = subjects.into_iter().find(|subject| !names::is_subject(subject)) {
            return Err(NatsFailure::NoSubject(wrong.to_owned()));
        }
        let client = self.connection.connect(PATIENCE, watch::Sender::new(Link::default())).await?;
        let context = async_nats::jetstream::new(client);
        // Asked first, because every other call says no more than that nobody answers.
        match context.query_account().await {
            Ok(_) => Ok(context),
            Err(_) => Err(NatsFailure::NoJetStream { servers: self.connection.servers().to_owned() }),
        }
    }
}

/// The stream of a specification. One that is read may be another's.
async fn find_stream(context: &Context, spec: &StreamSpec) -> Result<Option<stream::Config>, NatsFailure> {
    if let Some(found) = stream_named(context, &spec.name).await? {
        return Ok(Some(found));
    }
    let StreamRole::In { topic, .. } = &spec.role else { return Ok(None) };
    match stream_of(context, topic).await? {
        Some(name) => stream_named(context, &name).await,
        None => Ok(None),
    }
}

/// The largest message that a stream takes, in bytes with headers.
pub(super) fn largest_message(context: &Context, stream: &stream::Config) -> usize {
    // A stream without a limit of its own says that as -1.
    let own = usize::try_from(stream.max_message_size).ok().filter(|most| *most > 0);
    own.unwrap_or(usize::MAX).min(context.client().max_payload())
}

async fn stream_named(context: &Context, name: &str) -> Result<Option<stream::Config>, NatsFailure> {
    match context.get_stream(name).await {
        Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            _ => Err(NatsFailure::client(format!("looking for stream {name}"))(error)),
        },
    }
}

/// The name of the stream that has the subject of a topic.
pub(super) async fn stream_of(context: &Context, topic: &str) -> Result<Option<String>, NatsFailure> {
    match context.stream_by_subject(topic).await {
        Ok(name) => Ok(Some(name)),
        Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => Ok(None),
        Err(error) => Err(NatsFailure::client(format!("looking for the stream of {topic}"))(error)),
    }
}

/// What the server knows of a consumer; `None` when there is none of this name.
pub(super) async fn find_consumer(
    context: &Context,
    stream: &str,
    consumer: &str,
) -> Result<Option<consumer::Info>, NatsFailure> {
    let doing = || format!("looking for consumer {consumer} of stream {stream}");
    let handle = context.get_stream_no_info(stream).await.map_err(NatsFailure::client(doing()))?;
    match handle.consumer_info(consumer).await {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(None),
        Err(error) => Err(NatsFailure::client(doing())(error)),
    }
}

async fn make_stream(context: &Context, spec: &StreamSpec) -> Result<String, NatsFailure> {
    let made = context.create_stream(stream_config(context, spec)).await;
    made.map_err(NatsFailure::client(format!("creating stream {}", spec.name)))?;
    Ok(spec.name.clone())
}

/// Makes a durable consumer.
pub(super) async fn make_consumer(
    context: &Context,
    stream: &str,
    config: consumer::pull::Config,
) -> Result<(), NatsFailure> {
    let name = config.durable_name.clone().unwrap_or_default();
    let made = context.create_consumer_on_stream(config, stream).await;
    made.map(drop).map_err(NatsFailure::client(format!("creating consumer {name} of stream {stream}")))
}

fn stream_config(context: &Context, spec: &StreamSpec) -> stream::Config {
    let (major, minor, patch) = ATOMIC_SINCE;
    stream::Config {
        name: spec.name.clone(),
        subjects: spec.subjects.clone(),
        max_age: spec.max_age.unwrap_or_default(),
        num_replicas: spec.replicas.unwrap_or(1),
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        allow_atomic_publish: spec.role == StreamRole::Out
            && context.client().is_server_compatible(major, minor, patch),
        ..Default::default()
    }
}

/// The configuration of a durable consumer that begins at the first message.
pub(super) fn consumer_config(spec: &ConsumerSpec) -> consumer::pull::Config {
    consumer::pull::Config {
        durable_name: Some(spec.name.clone()),
        filter_subjects: names::subjects(&spec.topic).to_vec(),
        ack_policy: AckPolicy::Explicit,
        ack_wait: spec.ack_wait,
        // Traps: a limit of deliveries drops an event that a database was away for.
        max_deliver: -1,
        max_ack_pending: MOST_UNACKNOWLEDGED,
        ..Default::default()
    }
}

fn stream_differences(wanted: &stream::Config, found: &stream::Config) -> Vec<SettingDifference> {
    let sorted = |subjects: &[String]| {
        let mut subjects = subjects.to_vec();
        subjects.sort();
        subjects.join(",")
    };
    let mut differences = vec![
        difference("subjects", sorted(&wanted.subjects), sorted(&found.subjects)),
        difference("max_age", age(wanted.max_age), age(found.max_age)),
        difference("retention", format!("{:?}", wanted.retention), format!("{:?}", found.retention)),
        difference("num_replicas", wanted.num_replicas.to_string(), found.num_replicas.to_string()),
    ];
    // A stream of an older server has it not and works; one that has it more than wanted works, too.
    if wanted.allow_atomic_publish {
        differences.push(difference("allow_atomic", "true".to_owned(), found.allow_atomic_publish.to_string()));
    }
    differences.into_iter().flatten().collect()
}

fn consumer_differences(wanted: &consumer::pull::Config, found: &consumer::Config) -> Vec<SettingDifference> {
    let mut subjects = found.filter_subjects.clone();
    subjects.extend((!found.filter_subject.is_empty()).then(|| found.filter_subject.clone()));
    let limit = |limit: i64| if limit <= 0 { "none".to_owned() } else { limit.to_string() };
    let differences = [
        difference("filter_subjects", wanted.filter_subjects.join(","), subjects.join(",")),
        difference("ack_policy", format!("{:?}", wanted.ack_policy), format!("{:?}", found.ack_policy)),
        difference("ack_wait", age(wanted.ack_wait), age(found.ack_wait)),
        difference("max_deliver", limit(wanted.max_deliver), limit(found.max_deliver)),
        difference("max_ack_pending", limit(wanted.max_ack_pending), limit(found.max_ack_pending)),
    ];
    differences.into_iter().flatten().collect()
}

fn difference(name: &'static str, wanted: String, found: String) -> Option<SettingDifference> {
    (wanted != found).then_some(SettingDifference { name, wanted, found })
}

/// A length of time as the server's own tools write it; no limit is 0.
fn age(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 { format!("{}s", duration.as_secs()) } else { format!("{duration:?}") }
}
