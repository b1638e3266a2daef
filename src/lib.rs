//! Holdfast keeps a shop's stock true.

pub mod app;
pub mod bus;
pub mod cli;
pub mod config;
pub mod demo;
pub mod domain;
pub mod engine;
pub mod fail_point;
pub mod health;
pub mod http;
pub mod metrics;
mod one_file;
pub mod ports;
pub mod reconcile;
pub mod relay;
pub mod retry;
pub mod store;
pub mod sweeper;
pub mod telemetry;
pub mod wire;
