//! What holds of a worker on every store and bus, on SQLite and the embedded log.

type Here = crate::market::SqliteLocal;

#[path = "matrix/mod.rs"]
mod matrix;
#[path = "whole/mod.rs"]
mod whole;
