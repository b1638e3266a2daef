//! Whole workers as processes, on real servers, with the binary's own commands around them.

mod commands;
mod crashes;
mod ends;
mod faults;
mod file;
mod installation;
mod progress;
mod registry;
mod start;
