//! Where state is kept.

pub mod postgres;
