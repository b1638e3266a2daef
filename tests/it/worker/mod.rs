//! Whole workers as processes, on real servers, with the binary's own commands around them.

mod commands;
mod crashes;
mod embedded;
mod faults;
mod file;
mod installation;
mod start;
