//! Whole workers as processes, on real servers, with the binary's own commands around them.

mod commands;
mod crashes;
mod faults;
mod installation;
mod nats;
mod start;
