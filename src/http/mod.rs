//! The sidecar: probes, metrics, questions about stock and claims, and events for callers that do not speak the
//! broker; what is published, for those who read along; and a page that shows all of it to people. It writes nothing
//! itself but that an alert is acknowledged, which is no change of stock; events go through the engine like all others.

mod alerts;
mod body;
mod claims;
mod cursor;
mod differences;
mod events;
mod guard;
mod openapi;
mod page;
mod parameters;
mod probes;
mod problem;
mod questions;
mod router;
mod server;
mod stock;
mod stream;

#[cfg(test)]
mod tests;

pub use router::{Sidecar, SidecarLimits, router};
pub use server::{BindError, ServerLimits, bind, serve};
pub use stream::{EventStream, MAX_STREAMS};
