//! What holds on every store, on SQLite.

use crate::shop::{OnSqlite, ShopOn};

type Shop = ShopOn<OnSqlite>;

#[path = "rules/mod.rs"]
mod rules;
#[path = "store/mod.rs"]
mod store;
