//! The integration tests: one binary, so that they are linked once.

#![expect(clippy::duplicate_mod, reason = "the tests of an adapter stand once and are compiled below every adapter")]

mod batch_cost;
mod buses;
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
mod local_replay;
mod local_sink;
mod local_source;
mod local_support;
mod market;
#[path = "../model/mod.rs"]
mod model;
mod nats_access;
mod nats_admin;
mod nats_outage;
mod nats_pulling;
mod nats_sink;
mod nats_source;
mod nats_support;
mod on_kafka;
mod on_local;
mod on_model;
mod on_nats;
mod on_postgres;
mod on_postgres_kafka;
mod on_postgres_nats;
mod on_sqlite;
mod on_sqlite_local;
#[path = "../reference/mod.rs"]
mod reference;
mod relay;
mod retail;
mod schema;
mod servers;
mod settings;
mod shop;
mod sqlite_file;
mod store_parity;
mod upkeep;
mod wire;
mod worker;
