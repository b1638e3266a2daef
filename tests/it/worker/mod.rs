//! Whole workers as processes, on real servers, with the binary's own commands around them: what is not the same on every
//! store and bus, or needs to be shown on one only.

pub mod browser;
mod commands;
mod demo;
mod embedded;
mod ends;
mod faults;
mod file;
pub mod installation;
mod nats;
mod progress;
mod reconciliation;
mod registry;
mod start;
