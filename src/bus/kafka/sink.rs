//! Announcements to Kafka.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::ports::{OutputRecord, Progress, Sink, SinkError};

use super::publishing::{self, Work};
use super::settings::KafkaSinkSettings;

/// A producer, exactly-once or at-least-once.
///
/// Every opening makes a new producer on a new thread. One that failed is never used again (traps: after an unclear
/// result of a transaction nothing else is safe).
#[derive(Debug)]
pub struct KafkaSink {
    settings: KafkaSinkSettings,
    producer: Option<Running>,
    /// False from the begin of a call until it succeeded, so that a cancelled or failed one leaves it false.
    is_usable: bool,
}

/// A producer's thread.
#[derive(Debug)]
struct Running {
    /// Closing it ends the thread.
    work: mpsc::Sender<Work>,
    /// Resolves when the thread is over.
    finished: oneshot::Receiver<()>,
}

impl KafkaSink {
    /// A sink that is not open yet. Connects to nothing.
    pub fn new(settings: KafkaSinkSettings) -> Self {
        Self { settings, producer: None, is_usable: false }
    }

    /// Ends the producer, if there is one. Traps: dropping a producer blocks, so its own thread does it, and nobody
    /// waits for ever: a producer that is left to itself is fenced by the next one.
    async fn retire(&mut self) {
        let Some(Running { work, finished }) = self.producer.take() else { return };
        drop(work);
        if timeout(self.settings.close_timeout, finished).await.is_err() {
            let waited_ms = self.settings.close_timeout.as_millis();
            tracing::warn!(waited_ms, "the Kafka producer did not end in time and is left to itself");
        }
    }
}

impl Sink for KafkaSink {
    async fn open(&mut self) -> Result<Option<Progress>, SinkError> {
        self.is_usable = false;
        self.retire().await;
        let settings = self.settings.clone();
        let (work, orders) = mpsc::channel();
        let (opened, outcome) = oneshot::channel();
        let (finish, finished) = oneshot::channel();
        let run = move || {
            let _finish: oneshot::Sender<()> = finish;
            publishing::run(&settings, opened, &orders);
        };
        thread::Builder::new()
            .name("kafka-sink".to_owned())
            .spawn(run)
            .map_err(|error| SinkError::Unclear(format!("no thread for the Kafka producer: {error}")))?;
        self.producer = Some(Running { work, finished });
        let progress = answer(outcome, self.settings.open_timeout).await?;
        self.is_usable = true;
        Ok(progress)
    }

    async fn publish(&mut self, records: Vec<OutputRecord>, progress: Progress) -> Result<(), SinkError> {
        let was_usable = std::mem::take(&mut self.is_usable);
        let Some(producer) = self.producer.as_ref().filter(|_| was_usable) else {
            return Err(SinkError::Unclear("the sink is not open".to_owned()));
        };
        let (done, outcome) = oneshot::channel();
        // An error means that the thread is over, and then `outcome` is an error, too.
        let _ = producer.work.send(Work { records, progress, done });
        // Confirming and committing have a deadline each.
        answer(outcome, self.settings.publish_timeout * 2).await?;
        self.is_usable = true;
        Ok(())
    }

    async fn close(mut self) {
        self.retire().await;
    }
}

/// How much later than the thread's own deadlines its silence is noticed.
const SILENCE_GRACE: Duration = Duration::from_secs(5);

/// Waits for the thread. It keeps its own deadlines; this one is for a call of the client that never returns.
async fn answer<T>(outcome: oneshot::Receiver<Result<T, SinkError>>, at_most: Duration) -> Result<T, SinkError> {
    match timeout(at_most + SILENCE_GRACE, outcome).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(SinkError::Unclear("the thread of the Kafka producer is over".to_owned())),
        Err(_) => Err(SinkError::Unclear("the Kafka producer does not answer".to_owned())),
    }
}
