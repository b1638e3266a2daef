//! Properties of the rules as a whole, over random histories: no I/O, a fixed clock.

mod books;
mod effects;
mod histories;
mod invariants;
mod properties;
mod shelf;
mod words;
