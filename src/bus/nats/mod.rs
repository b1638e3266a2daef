//! NATS JetStream, through async-nats.
//!
//! [`NatsSource`] pulls on tasks of its own and hands messages over through bounded queues, [`NatsSink`] publishes from
//! the relay's task. Nothing here blocks a thread.

mod admin;
mod backlog;
mod connection;
mod conversation;
mod error;
mod handover;
mod keeping;
mod layout;
mod mark;
mod message;
mod publisher;
mod publishing;
mod pulling;
mod replay;
mod settings;
mod sink;
mod source;
mod tail;
mod tasks;

pub use admin::NatsAdmin;
pub use connection::{NatsConnection, SettingsError};
pub use error::NatsFailure;
pub use layout::{ConsumerSpec, NatsDifference, SettingDifference, StreamRole, StreamSpec};
pub use publisher::NatsPublisher;
pub use replay::{ReplayError, apply_replay, plan_replay};
pub use settings::{NatsSinkSettings, NatsSourceSettings, USUAL_ACK_WAIT};
pub use sink::NatsSink;
pub use source::{NatsReceipt, NatsSource};
pub use tail::{NatsTail, NatsTailSettings};
