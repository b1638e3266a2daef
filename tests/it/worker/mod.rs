//! Whole workers as processes, on real servers, with the binary's own commands around them.

mod browser;
mod commands;
mod crashes;
mod demo;
mod embedded;
mod ends;
mod faults;
mod file;
mod installation;
mod nats;
mod page;
mod progress;
mod registry;
mod start;
mod stream;
