//! What holds of a worker on every store and bus, on PostgreSQL and Kafka.

type Here = crate::market::PostgresKafka;

#[path = "matrix/mod.rs"]
mod matrix;
#[path = "whole/mod.rs"]
mod whole;
