//! What every store owes the worker: this module stands below each of them.

mod alerts;
mod as_of;
mod audits;
mod claims;
mod commits;
mod crashes;
mod folds;
mod locks;
mod maintenance;
mod outbox;
mod pages;
mod proofs;
mod questions;
mod shown;
mod writers;

use super::Shop;
use crate::shop::registered;

/// A shop that keeps one SKU.
async fn stocked(units: i64) -> Shop {
    let mut shop = Shop::open().await;
    shop.send(vec![registered("A", units)]).await;
    shop
}
