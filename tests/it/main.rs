//! The integration tests: one binary, so that they are linked once.

#![cfg_attr(
    feature = "adapters",
    expect(clippy::duplicate_mod, reason = "the tests of an adapter stand once and are compiled below every adapter")
)]

#[cfg(feature = "adapters")]
mod batch_cost;
#[cfg(feature = "adapters")]
mod buses;
#[path = "../../fuzz/checks/mod.rs"]
mod checks;
#[cfg(feature = "adapters")]
mod contract;
#[cfg(feature = "adapters")]
mod dependencies;
#[cfg(feature = "adapters")]
mod floors;
mod fuzz_inputs;
#[cfg(feature = "adapters")]
mod kafka_admin;
#[cfg(feature = "adapters")]
mod kafka_outage;
#[cfg(feature = "adapters")]
mod kafka_replay;
#[cfg(feature = "adapters")]
mod kafka_sink;
#[cfg(feature = "adapters")]
mod kafka_source;
#[cfg(feature = "adapters")]
mod kafka_support;
#[cfg(feature = "adapters")]
mod kafka_tail;
#[cfg(feature = "adapters")]
mod kafka_wire;
#[cfg(feature = "adapters")]
mod local_replay;
#[cfg(feature = "adapters")]
mod local_sink;
#[cfg(feature = "adapters")]
mod local_source;
#[cfg(feature = "adapters")]
mod local_support;
#[cfg(feature = "adapters")]
mod market;
#[cfg_attr(
    not(feature = "simulation"),
    expect(dead_code, unused_imports, reason = "only the simulation looks at the journal of the model store")
)]
#[path = "../model/mod.rs"]
mod model;
#[cfg(feature = "adapters")]
mod nats_access;
#[cfg(feature = "adapters")]
mod nats_admin;
#[cfg(feature = "adapters")]
mod nats_outage;
#[cfg(feature = "adapters")]
mod nats_pulling;
#[cfg(feature = "adapters")]
mod nats_sink;
#[cfg(feature = "adapters")]
mod nats_source;
#[cfg(feature = "adapters")]
mod nats_support;
#[cfg(feature = "adapters")]
mod on_kafka;
#[cfg(feature = "adapters")]
mod on_local;
mod on_model;
#[cfg(feature = "adapters")]
mod on_nats;
#[cfg(feature = "adapters")]
mod on_postgres;
#[cfg(feature = "adapters")]
mod on_postgres_kafka;
#[cfg(feature = "adapters")]
mod on_postgres_nats;
#[cfg(feature = "adapters")]
mod on_sqlite;
#[cfg(feature = "adapters")]
mod on_sqlite_local;
#[cfg_attr(
    not(feature = "simulation"),
    expect(dead_code, reason = "the simulation looks at more than the histories do")
)]
#[path = "../reference/mod.rs"]
mod reference;
#[cfg(feature = "adapters")]
mod relay;
#[cfg(feature = "adapters")]
mod retail;
#[cfg(feature = "adapters")]
mod schema;
#[cfg(feature = "adapters")]
mod servers;
#[cfg(feature = "adapters")]
mod settings;
mod shop;
#[cfg(feature = "simulation")]
#[path = "../simulation/mod.rs"]
mod simulation;
#[cfg(feature = "adapters")]
mod sqlite_file;
#[cfg(feature = "adapters")]
mod store_parity;
#[cfg(feature = "adapters")]
mod upkeep;
#[cfg(feature = "adapters")]
mod wire;
#[cfg(feature = "adapters")]
mod worker;
