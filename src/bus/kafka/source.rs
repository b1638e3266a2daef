//! Events from Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::ports::{BatchLimit, Delivery, Outcome, Source, SourceError, SourceStatus};

use super::backlog::Assignment;
use super::error::KafkaFailure;
use super::handover::{Handover, Ready};
use super::offset::NextOffset;
use super::polling;
use super::settings::KafkaSourceSettings;

/// A member of a consumer group.
///
/// A batch that is not settled is not given again by this source: fetching goes on where it stands (traps: dropping a
/// failed batch and polling on skips it). Whoever takes a batch must commit it, however often that is tried; after a
/// restart everything that was not settled comes again.
#[derive(Debug)]
pub struct KafkaSource {
    handover: Arc<Handover>,
    status: watch::Receiver<SourceStatus>,
    thread: Option<JoinHandle<()>>,
    finished: oneshot::Receiver<()>,
    close_timeout: Duration,
}

/// What settles one batch: how far it reaches in each of its partitions.
#[derive(Debug)]
pub struct KafkaReceipt(BTreeMap<Assignment, NextOffset>);

impl KafkaSource {
    /// Looks whether the topics exist and joins the group; the first partitions are assigned later. Traps: a broker
    /// with the default `group.initial.rebalance.delay.ms` takes 3 s for that when the group is new. Fails with the
    /// names of missing topics, or with the address when no broker answers within the start timeout. Cancel-safe.
    pub async fn open(settings: KafkaSourceSettings) -> Result<Self, KafkaFailure> {
        let handover = Arc::new(Handover::new(
            settings.buffer,
            settings.topics.iter().map(|topic| topic.as_str().into()).collect(),
        ));
        let close_timeout = settings.close_timeout;
        let (status_writer, status) = watch::channel(SourceStatus::default());
        let (opened, outcome) = oneshot::channel();
        let (finish, finished) = oneshot::channel();
        let polled = handover.clone();
        let run = move || {
            // Dropped when the thread is over, which is what `close` waits for.
            let _finish: oneshot::Sender<()> = finish;
            polling::run(settings, polled, status_writer, opened);
        };
        let thread = thread::Builder::new().name("kafka-source".to_owned()).spawn(run)?;
        let source = Self { handover, status, thread: Some(thread), finished, close_timeout };
        outcome.await.map_err(|_| KafkaFailure::ThreadEnded)??;
        Ok(source)
    }

    /// Connection, lag and rebalances, as they change.
    pub fn status(&self) -> watch::Receiver<SourceStatus> {
        self.status.clone()
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Source for KafkaSource {
    type Receipt = KafkaReceipt;

    async fn next_batch(&mut self, limit: BatchLimit) -> Result<Option<(Vec<Delivery>, Self::Receipt)>, SourceError> {
        loop {
            match self.handover.take(limit)? {
                Ready::Batch(taken, room_again) => {
                    if room_again {
                        self.wake();
                    }
                    let deliveries = taken.records.into_iter().map(Delivery::Record).collect();
                    return Ok(Some((deliveries, KafkaReceipt(taken.next))));
                }
                Ready::Wait => self.handover.changed().await,
                Ready::Closed => return Ok(None),
            }
        }
    }

    async fn settle(&mut self, receipt: Self::Receipt, _outcomes: &[Outcome]) -> Result<(), SourceError> {
        self.handover.settle(&receipt.0);
        Ok(())
    }

    /// Waits for the client to commit and leave the group, at most for the close timeout. When that passes, the
    /// client is left to itself: nothing is lost, what it did not commit comes again.
    async fn close(mut self) -> Result<(), SourceError> {
        self.handover.close();
        self.wake();
        // Traps: dropping a consumer blocks, so it is dropped by its own thread and waited for with a deadline.
        if timeout(self.close_timeout, &mut self.finished).await.is_err() {
            let waited_ms = self.close_timeout.as_millis();
            tracing::warn!(waited_ms, "the Kafka consumer did not leave its group in time");
            return Ok(());
        }
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(KafkaFailure::ThreadEnded.into()),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

impl Drop for KafkaSource {
    /// The thread ends by itself; see [`close`](Source::close) for waiting until it has.
    fn drop(&mut self) {
        self.handover.close();
        self.wake();
    }
}
