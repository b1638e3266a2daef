//! The bus that the settings name. Each method is the chosen bus's.

use tokio::sync::watch;

use super::kafka::{KafkaFailure, KafkaPublisher, KafkaReceipt, KafkaSink, KafkaSource, KafkaTail};
use super::local::{LocalFailure, LocalPublisher, LocalReceipt, LocalSink, LocalSource, LocalTail};
use super::nats::{NatsFailure, NatsPublisher, NatsReceipt, NatsSink, NatsSource, NatsTail};
use super::publish::PublishReport;
use crate::ports::{
    BatchLimit, Outcome, OutputRecord, Progress, Record, Sink, SinkError, Source, SourceError, SourceStatus, Taken,
};

/// A failed call of the chosen bus.
#[derive(Debug, thiserror::Error)]
pub enum BusFailure {
    /// Kafka's.
    #[error(transparent)]
    Kafka(#[from] KafkaFailure),
    /// NATS's.
    #[error(transparent)]
    Nats(#[from] NatsFailure),
    /// The embedded log's.
    #[error(transparent)]
    Local(#[from] LocalFailure),
}

/// Where events come from.
#[derive(Debug)]
pub enum AnySource {
    /// Kafka.
    Kafka(KafkaSource),
    /// NATS.
    Nats(Box<NatsSource>),
    /// The embedded log.
    Local(LocalSource),
}

/// Settles a batch of the source that gave it.
#[derive(Debug)]
pub enum AnyReceipt {
    /// Kafka's.
    Kafka(KafkaReceipt),
    /// NATS's.
    Nats(NatsReceipt),
    /// The embedded log's.
    Local(LocalReceipt),
}

impl AnySource {
    /// Connection, lag and rebalances, as they change.
    pub fn status(&self) -> watch::Receiver<SourceStatus> {
        match self {
            Self::Kafka(source) => source.status(),
            Self::Nats(source) => source.status(),
            Self::Local(source) => source.status(),
        }
    }
}

impl Source for AnySource {
    type Receipt = AnyReceipt;

    async fn next_batch(&mut self, limit: BatchLimit) -> Result<Taken<AnyReceipt>, SourceError> {
        Ok(match self {
            Self::Kafka(source) => {
                source.next_batch(limit).await?.map(|(batch, receipt)| (batch, AnyReceipt::Kafka(receipt)))
            }
            Self::Nats(source) => {
                source.next_batch(limit).await?.map(|(batch, receipt)| (batch, AnyReceipt::Nats(receipt)))
            }
            Self::Local(source) => {
                source.next_batch(limit).await?.map(|(batch, receipt)| (batch, AnyReceipt::Local(receipt)))
            }
        })
    }

    async fn settle(&mut self, receipt: AnyReceipt, outcomes: &[Outcome]) -> Result<(), SourceError> {
        match (self, receipt) {
            (Self::Kafka(source), AnyReceipt::Kafka(receipt)) => source.settle(receipt, outcomes).await,
            (Self::Nats(source), AnyReceipt::Nats(receipt)) => source.settle(receipt, outcomes).await,
            (Self::Local(source), AnyReceipt::Local(receipt)) => source.settle(receipt, outcomes).await,
            (Self::Kafka(_) | Self::Nats(_) | Self::Local(_), _) => {
                Err(SourceError::Fatal("a batch was settled with the receipt of another bus".to_owned()))
            }
        }
    }

    async fn close(self) -> Result<(), SourceError> {
        match self {
            Self::Kafka(source) => source.close().await,
            Self::Nats(source) => source.close().await,
            Self::Local(source) => source.close().await,
        }
    }
}

/// Where announcements go.
#[derive(Debug)]
pub enum AnySink {
    /// Kafka.
    Kafka(KafkaSink),
    /// NATS.
    Nats(Box<NatsSink>),
    /// The embedded log.
    Local(LocalSink),
}

impl Sink for AnySink {
    async fn open(&mut self) -> Result<Option<Progress>, SinkError> {
        match self {
            Self::Kafka(sink) => sink.open().await,
            Self::Nats(sink) => sink.open().await,
            Self::Local(sink) => sink.open().await,
        }
    }

    async fn publish(&mut self, records: Vec<OutputRecord>, progress: Progress) -> Result<(), SinkError> {
        match self {
            Self::Kafka(sink) => sink.publish(records, progress).await,
            Self::Nats(sink) => sink.publish(records, progress).await,
            Self::Local(sink) => sink.publish(records, progress).await,
        }
    }

    async fn close(self) {
        match self {
            Self::Kafka(sink) => sink.close().await,
            Self::Nats(sink) => sink.close().await,
            Self::Local(sink) => sink.close().await,
        }
    }
}

/// Publishes events of our own making.
#[derive(Debug)]
pub enum AnyPublisher {
    /// Kafka.
    Kafka(KafkaPublisher),
    /// NATS.
    Nats(NatsPublisher),
    /// The embedded log.
    Local(LocalPublisher),
}

impl AnyPublisher {
    /// Sends a record; waits while too many are on their way. Cancel-safe: a cancelled call has not sent.
    pub async fn send(&self, record: OutputRecord) -> Result<(), BusFailure> {
        match self {
            Self::Kafka(publisher) => Ok(publisher.send(record).await?),
            Self::Nats(publisher) => Ok(publisher.send(record).await?),
            Self::Local(publisher) => Ok(publisher.send(record).await?),
        }
    }

    /// How many were confirmed so far, for a progress bar.
    pub fn acknowledged(&self) -> u64 {
        match self {
            Self::Kafka(publisher) => publisher.acknowledged(),
            Self::Nats(publisher) => publisher.acknowledged(),
            Self::Local(publisher) => publisher.acknowledged(),
        }
    }

    /// Waits until every record is confirmed or given up.
    pub async fn finish(self) -> Result<PublishReport, BusFailure> {
        match self {
            Self::Kafka(publisher) => Ok(publisher.finish().await?),
            Self::Nats(publisher) => Ok(publisher.finish().await?),
            Self::Local(publisher) => Ok(publisher.finish().await?),
        }
    }
}

/// Reads what is published, in one order.
#[derive(Debug)]
pub enum AnyTail {
    /// Kafka.
    Kafka(KafkaTail),
    /// NATS.
    Nats(NatsTail),
    /// The embedded log.
    Local(LocalTail),
}

impl AnyTail {
    /// The next record; `None` at the end, where there is one. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<Record>, BusFailure> {
        match self {
            Self::Kafka(tail) => Ok(tail.next().await?),
            Self::Nats(tail) => Ok(tail.next().await?),
            Self::Local(tail) => Ok(tail.next().await?),
        }
    }
}
