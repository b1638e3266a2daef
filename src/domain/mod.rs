//! The ground floor: every rule of stock, as values and functions without I/O, clock or randomness.
//!
//! [`words`], [`event`], [`stock`], [`claim`], [`waiting`], [`announce`] and [`rules`] are the nouns; [`books`] holds the
//! loaded rows and what becomes of them; [`apply`] is the verb.

pub mod announce;
mod apply;
pub mod books;
mod carts;
pub mod claim;
pub mod event;
mod goods;
mod orders;
pub mod rules;
pub mod stock;
#[cfg(test)]
mod tests;
pub mod verdict;
pub mod waiting;
pub mod words;
