//! The embedded log.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use holdfast::bus::TopicOutcome;
use holdfast::bus::any::{AnyPublisher, AnySink, AnySource, AnyTail, BusFailure};
use holdfast::bus::local::{
    LocalAdmin, LocalLog, LocalPublisher, LocalSink, LocalSinkSettings, LocalSource, LocalSourceSettings, LocalTail,
    LocalTailSettings, ReplayError, apply_replay, plan_replay,
};
use holdfast::bus::replay::{ReplayPlan, ReplayTarget};
use holdfast::bus::tail::TailStart;
use holdfast::ports::{OutputRecord, Progress, Sink, SinkError};

use super::kinds::{BusKind, Fencing, Members, Refusal};
use super::wait_for_status;
use crate::local_support::{GROUP, LocalGround, spec};

/// A log in a file of its own.
pub struct OnLocal {
    ground: LocalGround,
    log: LocalLog,
}

impl OnLocal {
    fn sink_of(&self, topics: &[&str]) -> AnySink {
        AnySink::Local(LocalSink::new(LocalSinkSettings {
            log: self.log.clone(),
            progress: "progress".to_owned(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        }))
    }
}

impl BusKind for OnLocal {
    const FIRST_OFFSET: i64 = 0;
    const KEEPS_TIME: bool = true;
    const MEMBERS: Members = Members::OneAtATime;
    const FENCING: Fencing = Fencing::Opening;

    async fn shared() -> Self {
        let ground = LocalGround::new(&[]).await;
        let log = ground.log.clone();
        Self { ground, log }
    }

    async fn alone() -> Self {
        Self::shared().await
    }

    /// The file is opened anew, as by the next process.
    async fn restart(&mut self) {
        self.log.close().await;
        self.log = self.ground.elsewhere().await;
    }

    fn name(&self, topic: &str) -> String {
        topic.to_owned()
    }

    async fn make_topics(&self, topics: &[String], _partitions: i32) -> Result<Vec<TopicOutcome>, String> {
        let specs: Vec<_> = topics.iter().map(|topic| spec(topic, -1)).collect();
        LocalAdmin::new(self.log.clone()).apply(&specs).await.map_err(|error| error.to_string())
    }

    async fn differences(&self, topics: &[String], _partitions: i32) -> Vec<String> {
        let specs: Vec<_> = topics.iter().map(|topic| spec(topic, -1)).collect();
        let differences = LocalAdmin::new(self.log.clone()).check(&specs).await.expect("the log should answer");
        differences.iter().map(ToString::to_string).collect()
    }

    async fn source(&self, topics: &[String]) -> Result<AnySource, BusFailure> {
        let usual = LocalSourceSettings::new(self.log.clone(), GROUP, topics.to_vec());
        let settings = LocalSourceSettings { statistics_interval: std::time::Duration::from_millis(20), ..usual };
        Ok(AnySource::Local(LocalSource::open(settings).await?))
    }

    async fn wait_for_two(one: &AnySource, other: &AnySource) {
        wait_for_status(one, "it reads", |status| status.rebalances == 1).await;
        wait_for_status(other, "it stands by", |status| status.connected).await;
        assert_eq!(other.status().borrow().rebalances, 0);
    }

    async fn wait_until_active(source: &AnySource) {
        wait_for_status(source, "it reads", |status| status.rebalances > 0).await;
    }

    async fn publisher(&self, topics: &[String]) -> Result<AnyPublisher, BusFailure> {
        Ok(AnyPublisher::Local(LocalPublisher::open(&self.log, topics).await?))
    }

    async fn sink(&self) -> AnySink {
        let topics = ["stock", "dead"];
        self.make_topics(&topics.map(str::to_owned), 1).await.expect("topics");
        self.sink_of(&topics)
    }

    async fn sink_to_nowhere(&self) -> AnySink {
        self.sink_of(&["stock"])
    }

    /// The call is dropped once another reader of the file sees the change.
    async fn publish_unheard(&self, records: Vec<OutputRecord>, progress: Progress) -> AnySink {
        let mut sink = self.sink().await;
        sink.open().await.expect("a sink");
        let there = "select coalesce(max(batch), 0) from log_progress";
        {
            let mut publishing = pin!(sink.publish(records, progress));
            while self.ground.number(there).await < progress.batch {
                // Its end, where it comes to that, is heard by nobody.
                if let Poll::Ready(ended) = publishing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    ended.expect("it should be taken");
                    break;
                }
            }
        }
        let unclear = sink.publish(Vec::new(), progress).await;
        assert!(matches!(unclear, Err(SinkError::Unclear(_)) | Ok(())), "{unclear:?}");
        sink
    }

    async fn tail(
        &self,
        topics: &[String],
        from: TailStart,
        until_end: bool,
        _are_numbered: bool,
    ) -> Result<AnyTail, BusFailure> {
        let settings = LocalTailSettings { log: self.log.clone(), topics: topics.to_vec(), from, until_end };
        Ok(AnyTail::Local(LocalTail::open(settings).await?))
    }

    async fn plan(&self, topics: &[String], target: ReplayTarget) -> Result<ReplayPlan, Refusal> {
        plan_replay(&self.log, GROUP, topics, &target).await.map_err(refusal)
    }

    async fn replay(&self, plan: &ReplayPlan) -> Result<(), Refusal> {
        apply_replay(&self.log, plan).await.map_err(refusal)
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
