//! What holds on every bus, on the embedded log.

use crate::buses::{BusOn, OnLocal};

type Bus = BusOn<OnLocal>;

#[path = "bus/mod.rs"]
mod bus;
