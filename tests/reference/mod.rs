//! The reference of the rules: a second implementation of docs/semantics.md, written from it alone and deliberately naive.
//! One event at a time, plain maps, a copy of every row before each event; it shares no rule with `domain`.
//!
//! [`inputs`] and [`outputs`] are what comes in and goes out, as plain data; [`model`] is the state and what is common to
//! every event; [`orders`], [`waiting`], [`fulfilment`], [`carts`], [`goods`] and [`levels`] are the sections of the contract.
//! [`convert`] alone knows the domain's types. [`compare`] runs the real core beside it over what [`generate`] makes up.
//!
//! Where the two differ the document decides who is wrong; where it says nothing, it gets a sentence.

mod carts;
#[cfg(test)]
mod compare;
pub mod convert;
#[cfg(test)]
mod equality;
mod fulfilment;
#[cfg(test)]
mod generate;
mod goods;
#[cfg(test)]
mod histories;
pub mod inputs;
mod levels;
pub mod model;
mod orders;
pub mod outputs;
#[cfg(test)]
mod tally;
mod waiting;

use std::collections::BTreeMap;

use holdfast::domain::event::Envelope;
use holdfast::domain::rules::Rules;
use holdfast::domain::words::Timestamp;

/// What is left of a history, for whoever runs the same one on something larger than a fold.
#[derive(Debug)]
pub struct Final {
    /// Stock rows.
    pub stock: BTreeMap<inputs::Place, model::Row>,
    /// Carts, orders and receipts.
    pub claims: convert::SeenClaims,
    /// What each event ended with, in the order of the events.
    pub ended: Vec<outputs::Ended>,
    /// Since when claims hold units of a row without a break, by row and claim.
    pub held_since: BTreeMap<(inputs::Place, (&'static str, String)), Option<i64>>,
    /// The orders that wait for units of a row, the first to be served first.
    pub waiting: BTreeMap<inputs::Place, Vec<String>>,
    /// The ledger, in order.
    pub movements: Vec<outputs::Movement>,
    /// Everything that was told, in order; the answers are among it.
    pub announcements: Vec<outputs::Announcement>,
}

/// Applies events that are new in the order in which they were committed, each with the instant of its transaction, to an
/// empty shop. What is a repetition, and whether a day or a time is believed at all, is not asked here.
pub fn fold<'a>(rules: &Rules, committed: impl IntoIterator<Item = (&'a Envelope, Timestamp)>) -> Final {
    let mut world = model::World::new(convert::settings(rules));
    let (mut ended, mut movements, mut announcements) = (Vec::new(), Vec::new(), Vec::new());
    for (envelope, now) in committed {
        let outcome = world.apply(&convert::told(envelope), now.0);
        ended.push(outcome.ended);
        movements.extend(outcome.movements);
        announcements.extend(outcome.announcements);
    }
    let (claims, held_since, waiting) =
        (convert::claims(&world), convert::held_since(&world), convert::waiting(&world));
    Final { stock: world.rows, claims, ended, held_since, waiting, movements, announcements }
}
