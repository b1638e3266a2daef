//! The shop's choices, as the rules need them.

/// When units leave on_hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DeductOn {
    /// When the order is created.
    #[default]
    Created,
    /// When the order is confirmed; until then they are reserved.
    Confirmed,
    /// When they are shipped; until then they are reserved.
    Shipped,
}

/// The settings that change what an event does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// When units leave on_hand.
    pub deduct_on: DeductOn,
    /// How long an unconfirmed order keeps its units, in seconds.
    pub order_ttl_seconds: i64,
    /// The most orders that may wait for one stock row; 0 where none may.
    pub order_max_waiting: i64,
    /// Whether carts hold units at all.
    pub carts_hold: bool,
    /// How long a cart keeps its units after its last update, in seconds.
    pub cart_ttl_seconds: i64,
    /// How long a cart keeps its units at most, in seconds.
    pub cart_max_hold_seconds: i64,
    /// The most units of one stock row that a cart may hold.
    pub cart_max_per_sku: Option<i64>,
    /// Whether levels are judged as if no cart held anything.
    pub ignore_cart_holds: bool,
}

impl Default for Rules {
    /// The defaults of the contract.
    fn default() -> Self {
        Self {
            deduct_on: DeductOn::Created,
            order_ttl_seconds: 7_200,
            order_max_waiting: 1_000,
            carts_hold: true,
            cart_ttl_seconds: 1_800,
            cart_max_hold_seconds: 7_200,
            cart_max_per_sku: None,
            ignore_cart_holds: false,
        }
    }
}
