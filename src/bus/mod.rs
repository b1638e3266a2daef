//! Where deliveries come from and announcements go.

pub mod direct;
