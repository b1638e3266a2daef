//! Holdfast keeps a shop's stock true.

pub mod config;
pub mod domain;
pub mod metrics;
pub mod ports;
pub mod retry;
pub mod telemetry;
