//! Who waits for units of one stock row, in the order in which they came.

use std::collections::{BTreeMap, HashMap};

use super::words::Reference;

/// The orders that wait for units of one stock row. Each has one place, under a ticket: a number that is higher than
/// that of everybody before it, and that it keeps until it waits no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitingList {
    places: BTreeMap<i64, Waiting>,
    tickets: HashMap<Reference, i64>,
    units: i64,
}

/// One place of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiting {
    order: Reference,
    units: i64,
}

impl WaitingList {
    /// Puts an order at its place, with the units that it waits for: how a list is loaded.
    pub fn put(&mut self, ticket: i64, order: Reference, units: i64) {
        self.units += units;
        self.tickets.insert(order.clone(), ticket);
        self.places.insert(ticket, Waiting { order, units });
    }

    /// How many orders wait.
    pub fn orders(&self) -> i64 {
        self.places.len() as i64
    }

    /// Units that they wait for together.
    pub fn units(&self) -> i64 {
        self.units
    }

    /// Units that an order waits for; 0 for one that has no place.
    pub fn units_of(&self, order: &Reference) -> i64 {
        self.tickets.get(order).and_then(|ticket| self.places.get(ticket)).map_or(0, |waiting| waiting.units)
    }

    /// Whoever came first.
    pub fn first(&self) -> Option<&Reference> {
        self.places.values().next().map(|waiting| &waiting.order)
    }

    /// The places in their order, as (ticket, order).
    pub fn places(&self) -> impl Iterator<Item = (i64, &Reference)> {
        self.places.iter().map(|(ticket, waiting)| (*ticket, &waiting.order))
    }

    /// Says how many units an order waits for now: one that did not wait joins at the end, one that waits for nothing
    /// leaves, any other keeps its place. A ticket is given again only after everybody with a higher one has left.
    pub fn set(&mut self, order: &Reference, units: i64) {
        self.units += units - self.units_of(order);
        match (self.tickets.get(order).copied(), units) {
            (None, 0) => {}
            (None, _) => {
                let ticket = self.places.last_key_value().map_or(1, |(last, _)| last + 1);
                self.tickets.insert(order.clone(), ticket);
                self.places.insert(ticket, Waiting { order: order.clone(), units });
            }
            (Some(ticket), 0) => {
                self.tickets.remove(order);
                self.places.remove(&ticket);
            }
            (Some(ticket), _) => {
                self.places.insert(ticket, Waiting { order: order.clone(), units });
            }
        }
    }
}
