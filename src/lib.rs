//! Holdfast keeps a shop's stock true.

#![cfg_attr(not(feature = "adapters"), expect(dead_code, reason = "what only adapters call is not missed in the core"))]

#[cfg(feature = "adapters")]
pub mod app;
pub mod bus;
#[cfg(feature = "adapters")]
pub mod cli;
pub mod config;
#[cfg(feature = "adapters")]
pub mod demo;
pub mod domain;
pub mod engine;
pub mod fail_point;
pub mod health;
pub mod http;
pub mod metrics;
#[cfg(feature = "adapters")]
mod one_file;
pub mod planted_bug;
pub mod ports;
pub mod reconcile;
pub mod relay;
pub mod retry;
pub mod store;
pub mod sweeper;
pub mod telemetry;
pub mod wire;
