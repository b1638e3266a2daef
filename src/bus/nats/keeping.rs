//! What a source tells the server beside asking for more: acknowledgements, and that it still works on what it holds.
//! Also measures how far behind the group is.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::{Client, Subject};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::ports::SourceStatus;

use super::connection::Link;
use super::handover::Handover;

/// A word about some deliveries.
pub(super) enum Word {
    /// They are committed.
    Done(Vec<Subject>),
    /// They are worked on.
    InProgress(Vec<Subject>),
    /// They are to be given to somebody else after a while.
    GivenBack(Vec<Subject>, Duration),
}

/// Tells the server every word, in order, until nobody has any. While the connection is away, what is to be told waits;
/// that is never more than what is held, since nothing is delivered then.
pub(super) async fn tell(client: Client, mut words: mpsc::UnboundedReceiver<Word>) {
    while let Some(word) = words.recv().await {
        let (replies, kind) = match word {
            Word::Done(replies) => (replies, AckKind::Ack),
            Word::InProgress(replies) => (replies, AckKind::Progress),
            Word::GivenBack(replies, delay) => (replies, AckKind::Nak(Some(delay))),
        };
        for reply in replies {
            if let Err(error) = client.publish(reply, kind.into()).await {
                // The client is gone for good; what it did not tell comes again.
                tracing::debug!(%error, "an acknowledgement could not be sent");
                return;
            }
        }
    }
}

/// Looks after a source while it runs.
pub(super) struct Keeper {
    /// The topics with their consumers.
    pub consumers: Vec<(Arc<str>, PullConsumer)>,
    /// What is held.
    pub handover: Arc<Handover>,
    /// Where words go.
    pub words: mpsc::UnboundedSender<Word>,
    /// How long the server waits for an acknowledgement.
    pub ack_wait: Duration,
    /// How often the lag is measured.
    pub interval: Duration,
    /// What is known of the connection.
    pub link: watch::Receiver<Link>,
    /// What goes wrong with pulling, by topic.
    pub troubles: Vec<watch::Receiver<Option<Arc<str>>>>,
    /// Told to others.
    pub status: watch::Sender<SourceStatus>,
    /// Ends the task.
    pub closing: CancellationToken,
}

impl Keeper {
    /// Keeps until it is told to close.
    pub async fn run(mut self) {
        let closing = self.closing.clone();
        let mut ticks = interval(self.interval.min(self.ack_wait / 3));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked_for_time = Instant::now();
        let mut measured: Option<Instant> = None;
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                _ = ticks.tick() => {}
                // An outage is known at once.
                Ok(()) = self.link.changed() => measured = None,
            }
            if asked_for_time.elapsed() >= self.ack_wait / 3 {
                asked_for_time = Instant::now();
                self.ask_for_time();
            }
            if measured.is_none_or(|measured| measured.elapsed() >= self.interval) {
                measured = Some(Instant::now());
                tokio::select! {
                    () = closing.cancelled() => return,
                    status = self.measure() => { self.status.send_replace(status); }
                }
            }
        }
    }

    /// Everything that is held stays ours, however long the database is away.
    fn ask_for_time(&self) {
        let held = self.handover.replies();
        if !held.is_empty() && self.link.borrow().is_up {
            // Nobody listens any more only when the source is closed.
            let _ = self.words.send(Word::InProgress(held));
        }
    }

    async fn measure(&self) -> SourceStatus {
        let link = self.link.borrow().clone();
        let last = self.status.borrow().clone();
        if !link.is_up {
            return SourceStatus { connected: false, trouble: link.trouble, ..last };
        }
        let mut lag = Vec::with_capacity(self.consumers.len());
        for (topic, consumer) in &self.consumers {
            match consumer.get_info().await {
                Ok(info) => {
                    let behind = info.num_pending.saturating_add(info.num_ack_pending as u64);
                    lag.push((topic.clone(), 0, i64::try_from(behind).unwrap_or(i64::MAX)));
                }
                Err(error) => {
                    let trouble = format!("the consumer of {topic} cannot be looked at: {error}");
                    return SourceStatus { connected: false, trouble: Some(trouble.into()), ..last };
                }
            }
        }
        let trouble = self.troubles.iter().find_map(|trouble| trouble.borrow().clone()).or(link.trouble);
        SourceStatus { connected: true, lag, rebalances: link.made.saturating_sub(1), trouble }
    }
}
