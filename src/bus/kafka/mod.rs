//! Kafka, through librdkafka.
//!
//! Every client lives on a thread of its own, because its calls block: [`KafkaSource`] polls on one and hands
//! records over through a bounded buffer, [`KafkaSink`] and its siblings produce on theirs. The rest of the
//! process meets them through channels and locks that are held for moments.

mod admin;
mod backlog;
mod consumer_context;
mod error;
mod handover;
mod lag;
mod offset;
mod partitions;
mod polling;
mod producer;
mod progress;
mod publishing;
mod reader;
mod record;
mod settings;
mod sink;
mod source;
mod topics;

pub use admin::KafkaAdmin;
pub use backlog::BufferLimit;
pub use error::KafkaFailure;
pub use settings::{KafkaConnection, KafkaSinkSettings, KafkaSourceSettings, SettingsError, SinkGuarantee};
pub use sink::KafkaSink;
pub use source::{KafkaReceipt, KafkaSource};
