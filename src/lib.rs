//! Holdfast keeps a shop's stock true.

pub mod domain;
pub mod ports;
pub mod wire;
