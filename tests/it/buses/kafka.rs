//! Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast::bus::any::{AnyPublisher, AnySink, AnySource, AnyTail, BusFailure};
use holdfast::bus::kafka::{
    KafkaAdmin, KafkaConnection, KafkaPublisher, KafkaSink, KafkaSinkSettings, KafkaSource, KafkaSourceSettings,
    KafkaTail, KafkaTailSettings, ReplayError, TailOrder, apply_replay, plan_replay,
};
use holdfast::bus::replay::{ReplayPlan, ReplayTarget};
use holdfast::bus::tail::TailStart;
use holdfast::bus::{TopicOutcome, TopicSpec};
use holdfast::ports::{OutputRecord, Progress, Sink, SinkError};
use holdfast::wire::sequence::sequence_number;

use super::kinds::{BusKind, Fencing, Members, Refusal};
use super::lossy::{LossyLine, kafka_commits};
use super::{open_again, wait_for_status};
use crate::kafka_support::Ground;
use crate::servers::{Action, KafkaAddress, Servers};

/// A part of a cluster.
pub struct OnKafka {
    ground: Ground,
    /// A broker of its own, which tells its clients to come over the line.
    own: Option<(Servers, LossyLine)>,
}

impl OnKafka {
    fn connection(&self) -> KafkaConnection {
        self.ground.connection()
    }

    async fn sink_settings(&self) -> KafkaSinkSettings {
        let topics = vec![self.name("stock"), self.name("dead")];
        self.make_topics(&topics, 2).await.expect("topics");
        KafkaSinkSettings { topics, ..self.ground.exactly_once().await }
    }
}

/// As large as the contract's own topics.
fn specs(topics: &[String], partitions: i32) -> Vec<TopicSpec> {
    let config = BTreeMap::from([("max.message.bytes".to_owned(), "16777216".to_owned())]);
    let spec = |name: &String| TopicSpec { name: name.clone(), partitions, replication: None, config: config.clone() };
    topics.iter().map(spec).collect()
}

impl BusKind for OnKafka {
    const FIRST_OFFSET: i64 = 0;
    const KEEPS_TIME: bool = true;
    const MEMBERS: Members = Members::Together;
    const FENCING: Fencing = Fencing::Opening;

    async fn shared() -> Self {
        let ground = tokio::task::spawn_blocking(Ground::shared).await.expect("Kafka should start");
        Self { ground, own: None }
    }

    async fn alone() -> Self {
        let mut line = LossyLine::new();
        let listeners = format!("--kafka-option=advertised.listeners=PLAINTEXT://127.0.0.1:{}", line.port);
        let start = move || Servers::start_with(&["kafka"], &[listeners]);
        // The broker talks to itself over the line while it starts.
        let servers = tokio::task::spawn_blocking(start).await.expect("Kafka should start");
        let direct: KafkaAddress = servers.address("kafka");
        line.lead_to(&direct.bootstrap, kafka_commits);
        let address = KafkaAddress { bootstrap: format!("127.0.0.1:{}", line.port) };
        Self { ground: Ground::on(address), own: Some((servers, line)) }
    }

    async fn restart(&mut self) {
        let (servers, _) = self.own.as_ref().expect("a broker of its own");
        tokio::task::block_in_place(|| servers.act(Action::Restart, "kafka"));
    }

    fn name(&self, topic: &str) -> String {
        self.ground.name(topic)
    }

    async fn make_topics(&self, topics: &[String], partitions: i32) -> Result<Vec<TopicOutcome>, String> {
        let made = KafkaAdmin::new(self.connection()).apply(&specs(topics, partitions)).await;
        made.map_err(|error| error.to_string())
    }

    async fn differences(&self, topics: &[String], partitions: i32) -> Vec<String> {
        let differences = KafkaAdmin::new(self.connection()).check(&specs(topics, partitions)).await;
        differences.expect("the broker should answer").iter().map(ToString::to_string).collect()
    }

    async fn source(&self, topics: &[String]) -> Result<AnySource, BusFailure> {
        let usual = KafkaSourceSettings::new(self.connection(), &self.name("group"), topics.to_vec());
        let settings = KafkaSourceSettings {
            statistics_interval: Duration::from_millis(100),
            rebalance_drain: Duration::from_secs(1),
            ..usual
        };
        Ok(AnySource::Kafka(KafkaSource::open(settings).await?))
    }

    async fn wait_for_two(one: &AnySource, other: &AnySource) {
        for source in [one, other] {
            wait_for_status(source, "it has two partitions", |status| status.lag.len() == 2).await;
        }
    }

    async fn wait_until_active(source: &AnySource) {
        wait_for_status(source, "it is a member", |status| status.rebalances > 0).await;
    }

    async fn publisher(&self, topics: &[String]) -> Result<AnyPublisher, BusFailure> {
        Ok(AnyPublisher::Kafka(KafkaPublisher::open(&self.connection(), topics).await?))
    }

    async fn sink(&self) -> AnySink {
        AnySink::Kafka(KafkaSink::new(self.sink_settings().await))
    }

    async fn sink_to_nowhere(&self) -> AnySink {
        let settings = self.ground.exactly_once().await;
        AnySink::Kafka(KafkaSink::new(KafkaSinkSettings { topics: vec![self.name("stock")], ..settings }))
    }

    async fn publish_unheard(&self, records: Vec<OutputRecord>, progress: Progress) -> AnySink {
        let (_, line) = self.own.as_ref().expect("a broker of its own");
        let settings = KafkaSinkSettings { publish_timeout: Duration::from_secs(3), ..self.sink_settings().await };
        let mut sink = AnySink::Kafka(KafkaSink::new(settings));
        open_again(&mut sink).await;
        line.arm();
        let unheard = sink.publish(records, progress).await.expect_err("nobody answers");
        assert!(matches!(unheard, SinkError::Unclear(_)), "{unheard}");
        assert!(line.mend() > 0, "no answer was lost");
        sink
    }

    async fn tail(
        &self,
        topics: &[String],
        from: TailStart,
        until_end: bool,
        are_numbered: bool,
    ) -> Result<AnyTail, BusFailure> {
        let first = (from == TailStart::Start).then_some(1);
        let order = if are_numbered { TailOrder::Gapless { first } } else { TailOrder::Growing };
        let (connection, topics, number) = (self.connection(), topics.to_vec(), sequence_number);
        let settings = KafkaTailSettings { connection, topics, from, until_end, order, number };
        Ok(AnyTail::Kafka(KafkaTail::open(settings).await?))
    }

    async fn plan(&self, topics: &[String], target: ReplayTarget) -> Result<ReplayPlan, Refusal> {
        let (connection, group, topics) = (self.connection(), self.name("group"), topics.to_vec());
        let planning = move || plan_replay(&connection, &group, &topics, &target, |_, _| {});
        tokio::task::spawn_blocking(planning).await.expect("no panic").map_err(refusal)
    }

    async fn replay(&self, plan: &ReplayPlan) -> Result<(), Refusal> {
        let (connection, plan) = (self.connection(), plan.clone());
        tokio::task::spawn_blocking(move || apply_replay(&connection, &plan)).await.expect("no panic").map_err(refusal)
    }

    /// As it is.
    fn carried(record: OutputRecord) -> OutputRecord {
        record
    }
}

fn refusal(error: ReplayError) -> Refusal {
    match error {
        ReplayError::GroupActive { .. } => Refusal::Active,
        ReplayError::UnknownPartition { .. } => Refusal::UnknownPartition,
        ReplayError::OffsetOutOfRange { first, end, .. } => Refusal::OutOfRange { first, end },
        ReplayError::Bus(failure) => Refusal::other(failure),
    }
}
