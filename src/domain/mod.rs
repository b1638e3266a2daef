//! The ground floor: every rule of stock, as values and functions without I/O, clock or randomness.

pub mod announce;
pub mod claim;
pub mod event;
pub mod stock;
pub mod words;
