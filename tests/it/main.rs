mod batch_cost;
mod kafka_admin;
mod kafka_sink;
mod kafka_source;
mod kafka_support;
mod servers;
mod shop;
