//! What holds on every store, on PostgreSQL.

use crate::shop::{OnPostgres, ShopOn};

type Shop = ShopOn<OnPostgres>;

#[path = "rules/mod.rs"]
mod rules;
#[path = "store/mod.rs"]
mod store;
