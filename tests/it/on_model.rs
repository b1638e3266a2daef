//! What holds on every store, on the model.

use crate::shop::{OnModel, ShopOn};

type Shop = ShopOn<OnModel>;

#[path = "rules/mod.rs"]
mod rules;
#[path = "store/mod.rs"]
mod store;
