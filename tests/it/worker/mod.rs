//! Whole workers as processes, on real servers, with the binary's own commands around them.

mod browser;
mod commands;
mod crashes;
mod faults;
mod installation;
mod page;
mod start;
mod stream;
