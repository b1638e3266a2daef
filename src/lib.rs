//! Holdfast keeps a shop's stock true.

pub mod bus;
pub mod domain;
pub mod ports;
