//! Events from NATS JetStream.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::{self, AckPolicy, PullConsumer};
use async_nats::jetstream::{self, Context};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::ports::{BatchLimit, Delivery, Outcome, Source, SourceError, SourceStatus};
use crate::wire::nats_names as names;

use super::admin::{find_consumer, stream_of};
use super::connection::Link;
use super::error::NatsFailure;
use super::handover::{Handover, Taken};
use super::keeping::{self, Gauge, Word};
use super::pulling::Puller;
use super::settings::{NatsSourceSettings, USUAL_ACK_WAIT};
use super::tasks::Tasks;

/// A worker of a group: one durable consumer a topic, shared by all workers.
///
/// A batch that is not settled is not given again by this source: whoever takes a batch must commit it, however often
/// that is tried. Until then the server is told that it is worked on. When the source closes, what was not settled is
/// given back, in the order of the stream; after a crash the server gives it to somebody else when its wait is over.
#[derive(Debug)]
pub struct NatsSource {
    client: Client,
    handover: Arc<Handover>,
    words: mpsc::UnboundedSender<Word>,
    status: watch::Receiver<SourceStatus>,
    /// Tells the tasks to stop; dropping the source ends them where they are.
    closing: CancellationToken,
    /// Everything but the one that tells words.
    tasks: Tasks,
    telling: Tasks,
    /// Asked at the end whether the server has read everything.
    witness: Option<PullConsumer>,
    redelivery_delay: Duration,
    close_timeout: Duration,
}

/// What settles one batch.
#[derive(Debug)]
pub struct NatsReceipt(u64);

impl NatsSource {
    /// Connects and looks for the durable consumers. Fails with the names of those that are missing, or with the
    /// address when no server answers within the start timeout. Cancel-safe.
    pub async fn open(settings: NatsSourceSettings) -> Result<Self, NatsFailure> {
        let link = watch::Sender::new(Link::default());
        let client = settings.connection.connect(settings.start_timeout, link.clone()).await?;
        let context = jetstream::new(client.clone());
        let consumers = find_consumers(&context, &settings).await?;
        let at_end: Vec<bool> = consumers.iter().map(|(_, consumer)| consumer.cached_info().num_pending == 0).collect();
        let handover = Handover::new(&at_end);
        let closing = CancellationToken::new();
        let (words, heard) = mpsc::unbounded_channel();
        let (status_writer, status) = watch::channel(SourceStatus { connected: true, ..SourceStatus::default() });
        let mut tasks = Tasks::default();
        let mut troubles = Vec::new();
        for (index, (topic, consumer)) in consumers.iter().enumerate() {
            let (trouble, told) = watch::channel(None);
            troubles.push(told);
            let puller = Puller {
                topic: topic.clone(),
                index,
                consumer: consumer.clone(),
                context: context.clone(),
                most_waiting: settings.most_waiting,
                handover: handover.clone(),
                link: link.subscribe(),
                trouble,
                closing: closing.clone(),
            };
            tasks.spawn(format!("pulling from {topic}"), puller.run(client.clone()));
        }
        // Their lengths differ only where somebody made a consumer by hand.
        let shortest = consumers.iter().map(|(_, consumer)| consumer.cached_info().config.ack_wait).min();
        let witness = consumers.first().map(|(_, consumer)| consumer.clone());
        let ack_wait = shortest.filter(|wait| !wait.is_zero()).unwrap_or(USUAL_ACK_WAIT);
        let (held, told, link_is) = (handover.clone(), words.clone(), link.subscribe());
        let asking = keeping::ask_for_time(held, told, link_is, ack_wait, closing.clone());
        tasks.spawn("asking the server for time", endless(asking));
        let gauge = Gauge {
            consumers,
            interval: settings.status_interval,
            link: link.subscribe(),
            troubles,
            status: status_writer,
            closing: closing.clone(),
        };
        tasks.spawn("measuring the lag", endless(gauge.run()));
        let mut telling = Tasks::default();
        telling.spawn("acknowledging", endless(keeping::tell(client.clone(), heard)));
        let NatsSourceSettings { redelivery_delay, close_timeout, .. } = settings;
        Ok(Self { client, handover, words, status, closing, tasks, telling, witness, redelivery_delay, close_timeout })
    }

    /// Connection and lag, as they change.
    pub fn status(&self) -> watch::Receiver<SourceStatus> {
        self.status.clone()
    }

    /// Ends pulling, gives back what is held, and waits until the server was told everything.
    async fn leave(mut self) {
        self.closing.cancel();
        self.tasks.join().await;
        let held = self.handover.give_up();
        // It is there until `words` is dropped.
        let _ = self.words.send(Word::GivenBack(held, self.redelivery_delay));
        drop(self.words);
        self.telling.join().await;
        // Traps: an acknowledgement is only queued. The server reads in order, so an answer to what was asked after them
        // says that it has read them all.
        if let Err(error) = self.client.flush().await {
            tracing::warn!(%error, "the last acknowledgements may be lost; their events come again");
        }
        if let Some(Err(error)) = match &self.witness {
            Some(consumer) => Some(consumer.get_info().await),
            None => None,
        } {
            tracing::warn!(%error, "the last acknowledgements may be lost; their events come again");
        }
    }
}

/// The next batch, for as long as all that fill and settle it are at work.
async fn next(handover: &Handover, [tasks, telling]: [&mut Tasks; 2], limit: BatchLimit) -> Result<Taken, SourceError> {
    tokio::select! {
        biased;
        ended = tasks.ended() => Err(SourceError::Fatal(ended)),
        ended = telling.ended() => Err(SourceError::Fatal(ended)),
        taken = handover.take(limit) => Ok(taken),
    }
}

/// A task that cannot fail.
async fn endless(task: impl Future<Output = ()>) -> Result<(), NatsFailure> {
    task.await;
    Ok(())
}

/// What is wrong with a consumer that somebody made by hand; `None` when it loses nothing.
fn danger(config: &consumer::Config) -> Option<String> {
    if config.ack_policy != AckPolicy::Explicit {
        return Some(format!("has ack_policy={:?} instead of Explicit", config.ack_policy));
    }
    (config.max_deliver > 0).then(|| format!("has max_deliver={} instead of none", config.max_deliver))
}

/// The consumers of all topics; fails with the names of all that are missing, or with which events would be lost.
async fn find_consumers(
    context: &Context,
    settings: &NatsSourceSettings,
) -> Result<Vec<(Arc<str>, PullConsumer)>, NatsFailure> {
    let mut consumers = Vec::with_capacity(settings.topics.len());
    let (mut missing, mut broken) = (Vec::new(), Vec::new());
    for topic in &settings.topics {
        if !names::is_subject(topic) {
            return Err(NatsFailure::NoSubject(topic.clone()));
        }
        let Some(stream) = stream_of(context, topic).await? else {
            missing.push(format!("a stream with subject {topic}"));
            continue;
        };
        let name = names::durable(&settings.group, topic);
        let Some(found) = find_consumer(context, &stream, &name).await? else {
            missing.push(format!("consumer {name} of stream {stream}"));
            continue;
        };
        broken.extend(danger(&found.config).map(|danger| format!("consumer {name} of stream {stream} {danger}")));
        let doing = format!("looking for consumer {name} of stream {stream}");
        let consumer: PullConsumer =
            context.get_consumer_from_stream(name, stream).await.map_err(NatsFailure::client(doing))?;
        consumers.push((topic.as_str().into(), consumer));
    }
    let servers = || settings.connection.servers().to_owned();
    if !missing.is_empty() {
        return Err(NatsFailure::Missing { servers: servers(), missing });
    }
    if !broken.is_empty() {
        return Err(NatsFailure::Unsafe { servers: servers(), broken });
    }
    Ok(consumers)
}

impl Source for NatsSource {
    type Receipt = NatsReceipt;

    async fn next_batch(&mut self, limit: BatchLimit) -> Result<Option<(Vec<Delivery>, Self::Receipt)>, SourceError> {
        let (records, batch) = next(&self.handover, [&mut self.tasks, &mut self.telling], limit).await?;
        Ok(Some((records.into_iter().map(Delivery::Record).collect(), NatsReceipt(batch))))
    }

    async fn settle(&mut self, receipt: Self::Receipt, _outcomes: &[Outcome]) -> Result<(), SourceError> {
        // Nobody listens only when the client is gone for good; then everything comes again.
        let _ = self.words.send(Word::Done(self.handover.settle(receipt.0)));
        Ok(())
    }

    /// Takes at most the close timeout. When that passes, the server finds out by itself what was not acknowledged:
    /// nothing is lost, it comes again.
    async fn close(self) -> Result<(), SourceError> {
        let close_timeout = self.close_timeout;
        if timeout(close_timeout, self.leave()).await.is_err() {
            let waited_ms = close_timeout.as_millis();
            tracing::warn!(waited_ms, "the NATS consumer could not tell the server everything in time");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_early_ends_the_source() {
        let limit = BatchLimit { deliveries: 1, bytes: 1 };
        for is_teller in [false, true] {
            let (mut tasks, mut telling) = (Tasks::default(), Tasks::default());
            tasks.spawn("measuring the lag", std::future::pending());
            telling.spawn("acknowledging", std::future::pending());
            let early = if is_teller { &mut telling } else { &mut tasks };
            early.spawn("pulling from orders", async { Ok(()) });
            let ended = next(&Handover::new(&[true]), [&mut tasks, &mut telling], limit).await;
            assert!(matches!(ended, Err(SourceError::Fatal(text)) if text.contains("pulling from orders")));
        }
    }
}
