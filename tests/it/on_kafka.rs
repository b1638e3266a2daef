//! What holds on every bus, on Kafka.

use crate::buses::{BusOn, OnKafka};

type Bus = BusOn<OnKafka>;

#[path = "bus/mod.rs"]
mod bus;
