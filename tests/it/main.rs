//! The integration tests: one binary, so that they are linked once.

mod batch_cost;
mod contract;
mod dependencies;
mod floors;
mod kafka_admin;
mod kafka_outage;
mod kafka_replay;
mod kafka_sink;
mod kafka_source;
mod kafka_support;
mod kafka_tail;
mod kafka_wire;
mod relay;
mod retail;
mod rules;
mod schema;
mod servers;
mod settings;
mod shop;
mod upkeep;
mod wire;
mod worker;
