//! NATS JetStream.

use std::time::Duration;

use holdfast::bus::TopicOutcome;
use holdfast::bus::any::{AnyPublisher, AnySink, AnySource, AnyTail, BusFailure};
use holdfast::bus::nats::{
    ConsumerSpec, NatsAdmin, NatsPublisher, NatsSink, NatsSinkSettings, NatsSource, NatsTail, NatsTailSettings,
    ReplayError, StreamSpec, apply_replay, plan_replay,
};
use holdfast::bus::replay::{ReplayPlan, ReplayTarget};
use holdfast::bus::tail::TailStart;
use holdfast::ports::{Header, OutputRecord, Progress, Sink, SinkError};

use super::kinds::{BusKind, Fencing, Members, Refusal};
use super::lossy::{LossyLine, nats_publications};
use super::{open_again, wait_for_status};
use crate::nats_support::{ACK_WAIT, Ground};
use crate::servers::{Action, NatsAddress, Servers};

/// A part of a server.
pub struct OnNats {
    ground: Ground,
    /// A server of its own behind a line.
    own: Option<(Servers, LossyLine)>,
}

impl OnNats {
    fn specs(&self, topics: &[String]) -> Vec<StreamSpec> {
        let consumer = |topic| ConsumerSpec::new(&self.ground.name("group"), topic, ACK_WAIT);
        topics.iter().map(|topic| StreamSpec::read(topic, Some(consumer(topic)), None)).collect()
    }
}

impl BusKind for OnNats {
    const FIRST_OFFSET: i64 = 1;
    const KEEPS_TIME: bool = false;
    const MEMBERS: Members = Members::Together;
    const FENCING: Fencing = Fencing::Publishing;

    async fn shared() -> Self {
        Self { ground: Ground::shared().await, own: None }
    }

    async fn alone() -> Self {
        let servers = tokio::task::spawn_blocking(|| Servers::start(&["nats"])).await.expect("NATS should start");
        let mut line = LossyLine::new();
        line.lead_to(&servers.address::<NatsAddress>("nats").address, nats_publications);
        let address = NatsAddress { address: format!("127.0.0.1:{}", line.port) };
        Self { ground: Ground::on(address), own: Some((servers, line)) }
    }

    async fn restart(&mut self) {
        let (servers, _) = self.own.as_ref().expect("a server of its own");
        tokio::task::block_in_place(|| servers.act(Action::Restart, "nats"));
    }

    fn name(&self, topic: &str) -> String {
        self.ground.name(topic)
    }

    /// Says of each topic what became of its stream.
    async fn make_topics(&self, topics: &[String], _partitions: i32) -> Result<Vec<TopicOutcome>, String> {
        let made = NatsAdmin::new(self.ground.connection()).apply(&self.specs(topics)).await;
        let made = made.map_err(|error| error.to_string())?;
        Ok(made.into_iter().filter(|(name, _)| name.starts_with("stream ")).map(|(_, outcome)| outcome).collect())
    }

    async fn differences(&self, topics: &[String], _partitions: i32) -> Vec<String> {
        let differences = NatsAdmin::new(self.ground.connection()).check(&self.specs(topics)).await;
        differences.expect("the server should answer").iter().map(ToString::to_string).collect()
    }

    async fn source(&self, topics: &[String]) -> Result<AnySource, BusFailure> {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        Ok(AnySource::Nats(Box::new(NatsSource::open(self.ground.source_settings(&topics)).await?)))
    }

    /// Each must have asked before anything comes, or the first takes all.
    async fn wait_for_two(one: &AnySource, other: &AnySource) {
        for source in [one, other] {
            Self::wait_until_active(source).await;
        }
    }

    async fn wait_until_active(source: &AnySource) {
        wait_for_status(source, "it is measured", |status| !status.lag.is_empty()).await;
    }

    async fn publisher(&self, topics: &[String]) -> Result<AnyPublisher, BusFailure> {
        Ok(AnyPublisher::Nats(NatsPublisher::open(&self.ground.connection(), topics).await?))
    }

    async fn sink(&self) -> AnySink {
        AnySink::Nats(Box::new(NatsSink::new(self.ground.sink_settings().await)))
    }

    async fn sink_to_nowhere(&self) -> AnySink {
        let (out, dead, progress) = (self.name("stock"), self.name("dead"), self.name("progress"));
        AnySink::Nats(Box::new(NatsSink::new(NatsSinkSettings::new(self.ground.connection(), &out, &dead, &progress))))
    }

    async fn publish_unheard(&self, records: Vec<OutputRecord>, progress: Progress) -> AnySink {
        let (_, line) = self.own.as_ref().expect("a server of its own");
        let usual = self.ground.sink_settings().await;
        let settings = NatsSinkSettings { publish_timeout: Duration::from_secs(2), ..usual };
        let mut sink = AnySink::Nats(Box::new(NatsSink::new(settings)));
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
        _are_numbered: bool,
    ) -> Result<AnyTail, BusFailure> {
        let (connection, topics) = (self.ground.connection(), topics.to_vec());
        Ok(AnyTail::Nats(NatsTail::open(NatsTailSettings { connection, topics, from, until_end }).await?))
    }

    async fn plan(&self, topics: &[String], target: ReplayTarget) -> Result<ReplayPlan, Refusal> {
        plan_replay(&self.ground.connection(), &self.name("group"), topics, &target).await.map_err(refusal)
    }

    async fn replay(&self, plan: &ReplayPlan) -> Result<(), Refusal> {
        apply_replay(&self.ground.connection(), plan).await.map_err(refusal)
    }

    /// Attributes have a dash; what is missing is empty; what is no line of text is percent-encoded; headers stand in the
    /// order of their names.
    fn carried(record: OutputRecord) -> OutputRecord {
        let header = |(name, value): Header| {
            let value = value.unwrap_or_default();
            let is_line = std::str::from_utf8(&value).is_ok_and(|text| !text.contains(char::is_control));
            let encoded = || value.iter().map(|byte| format!("%{byte:02X}")).collect::<String>().into_bytes();
            let name = name.strip_prefix("ce_").map(|name| format!("ce-{name}")).unwrap_or(name);
            (name, Some(if is_line { value } else { encoded() }))
        };
        let mut headers: Vec<Header> = record.headers.into_iter().map(header).collect();
        headers.sort_by(|(one, _), (other, _)| one.cmp(other));
        let key = record.key.filter(|key| !key.is_empty());
        OutputRecord { key, headers, payload: Some(record.payload.unwrap_or_default()), ..record }
    }
}

fn refusal(error: ReplayError) -> Refusal {
    match error {
        ReplayError::GroupActive { .. } => Refusal::Active,
        ReplayError::UnknownPartition { .. } => Refusal::UnknownPartition,
        ReplayError::OffsetOutOfRange { first, end, .. } => Refusal::OutOfRange { first, end },
        ReplayError::Nats(failure) => Refusal::other(failure),
    }
}
