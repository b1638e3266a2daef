//! The integration tests: one binary, so that they are linked once.

mod batch_cost;
mod contract;
mod floors;
mod kafka_admin;
mod kafka_outage;
mod kafka_replay;
mod kafka_sink;
mod kafka_source;
mod kafka_support;
mod kafka_tail;
mod kafka_wire;
mod nats_admin;
mod nats_outage;
mod nats_replay;
mod nats_sink;
mod nats_source;
mod nats_support;
mod rules;
mod servers;
mod shop;
mod wire;
mod worker;
