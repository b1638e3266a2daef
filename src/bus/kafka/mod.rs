//! Kafka, through librdkafka.
//!
//! Every client lives on a thread of its own, because its calls block: [`KafkaSource`] polls on one and hands
//! records over through a bounded buffer, [`KafkaSink`] and [`KafkaPublisher`] produce on theirs. The rest of the
//! process meets them through channels and locks that are held for moments.

mod admin;
mod backlog;
mod connection;
mod consumer_context;
mod error;
mod handover;
mod lag;
mod offset;
mod partitions;
mod patience;
mod polling;
mod producer;
mod progress;
mod publisher;
mod publishing;
mod reader;
mod record;
mod replay;
mod sequencer;
mod settings;
mod sink;
mod source;
mod tail;
mod topics;

pub use admin::KafkaAdmin;
pub use backlog::BufferLimit;
pub use connection::{KafkaConnection, SettingsError};
pub use error::KafkaFailure;
pub use publisher::KafkaPublisher;
pub use replay::{ReplayError, apply_replay, plan_replay};
pub use sequencer::TailOrder;
pub use settings::{KafkaSinkSettings, KafkaSourceSettings, SinkGuarantee};
pub use sink::KafkaSink;
pub use source::{KafkaReceipt, KafkaSource};
pub use tail::{KafkaTail, KafkaTailSettings};
