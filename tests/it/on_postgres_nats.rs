//! What holds of a worker on every store and bus, on PostgreSQL and NATS.

type Here = crate::market::PostgresNats;

#[path = "matrix/mod.rs"]
mod matrix;
#[path = "whole/mod.rs"]
mod whole;
