//! The core under every fault that one thread can make: the real engine, relay, sweeper and rules over the model store and
//! a model bus, on a clock that jumps from event to event. A seed decides everything: what happens, which fault befalls
//! whom and when, and which task goes on at every `await`. The same seed is the same run, to the last step.
//!
//! [`case`] is what is to happen, made by [`workload`], [`stories`] and [`faults`] from a seed; [`world`] is what it happens to;
//! [`run`] has it happen and heals everything at the end; [`invariants`] says what must be true then, each of them by the
//! name that it has in the list of what must hold; [`shrink`] leaves out what a violation does not need.

pub mod broker;
pub mod case;
mod director;
mod equipment;
pub mod faults;
pub mod invariants;
pub mod reference;
pub mod run;
mod schedule;
pub mod shrink;
mod sink;
mod source;
mod store;
mod stories;
mod trace;
mod worker;
mod workload;
mod world;

pub use workload::case as case_of;

#[cfg(test)]
mod tests;
