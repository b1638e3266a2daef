//! What holds on every bus, on NATS JetStream.

use crate::buses::{BusOn, OnNats};

type Bus = BusOn<OnNats>;

#[path = "bus/mod.rs"]
mod bus;
