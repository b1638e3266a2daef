//! Holdfast keeps a shop's stock true.

pub mod bus;
pub mod config;
pub mod domain;
pub mod health;
pub mod http;
pub mod metrics;
pub mod ports;
pub mod retry;
pub mod telemetry;
pub mod wire;
