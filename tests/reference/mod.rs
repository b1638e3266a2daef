//! The reference of the rules: a second implementation of docs/semantics.md, written from it alone and deliberately naive.
//! One event at a time, plain maps, a copy of every row before each event; it shares no rule with `domain`.
//!
//! [`inputs`] and [`outputs`] are what comes in and goes out, as plain data; [`model`] is the state and what is common to
//! every event; [`orders`], [`fulfilment`], [`carts`], [`goods`] and [`levels`] are the sections of the contract.
//! [`convert`] alone knows the domain's types. [`compare`] runs the real core beside it over what [`generate`] makes up.
//!
//! Where the two differ the document decides who is wrong; where it says nothing, it gets a sentence.

mod carts;
mod compare;
mod convert;
mod equality;
mod fulfilment;
mod generate;
mod goods;
mod inputs;
mod levels;
mod model;
mod orders;
mod outputs;
mod tally;
