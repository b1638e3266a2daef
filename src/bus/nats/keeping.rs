//! What a source tells the server beside asking for more: acknowledgements, and that it still works on what it holds.
//! Also measures how far behind the group is. These are tasks of their own, so that a server that is slow to answer
//! questions is still told.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::{Client, Subject};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
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

/// Tells the server now and then that everything that is held is worked on, so that it stays ours however long the
/// database is away. Ends when it is told to.
pub(super) async fn ask_for_time(
    handover: Arc<Handover>,
    words: mpsc::UnboundedSender<Word>,
    link: watch::Receiver<Link>,
    ack_wait: Duration,
    closing: CancellationToken,
) {
    let mut ticks = interval(ack_wait / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while closing.run_until_cancelled(ticks.tick()).await.is_some() {
        let held = handover.replies();
        if !held.is_empty() && link.borrow().is_up {
            // Nobody listens any more only when the source is closed.
            let _ = words.send(Word::InProgress(held));
        }
    }
}

/// Measures how far behind the group is while a source runs.
pub(super) struct Gauge {
    /// The topics with their consumers.
    pub consumers: Vec<(Arc<str>, PullConsumer)>,
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

impl Gauge {
    /// Measures until it is told to close.
    pub async fn run(mut self) {
        let closing = self.closing.clone();
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                _ = ticks.tick() => {}
                // An outage is known at once.
                Ok(()) = self.link.changed() => {}
            }
            self.link.mark_unchanged();
            let Some(status) = closing.run_until_cancelled(self.measure()).await else { return };
            self.status.send_replace(status);
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
