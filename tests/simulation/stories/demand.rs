//! What customers do: carts, orders, and what becomes of orders.

use serde_json::{Value, json};

use super::Teller;

impl Teller {
    pub(super) fn cart(&mut self) {
        let (cart, mut at_ms) = (self.reference('C'), self.moment());
        let first = self.dice.i64(1..4);
        for version in first..first + self.dice.i64(1..5) {
            let lines = if self.one_in(6) { json!([]) } else { self.lines() };
            let mut data = json!({"cart_id": cart, "cart_version": version, "lines": lines});
            if self.one_in(5) {
                data["ttl_s"] = json!(self.dice.i64(1..100));
            }
            self.tell(at_ms, "cart-updated", &cart, data);
            at_ms = self.near(at_ms);
        }
    }

    pub(super) fn cart_without_versions(&mut self) {
        let (cart, mut at_ms) = (self.reference('C'), self.moment());
        for _ in 0..self.dice.i64(1..4) {
            let lines = self.lines();
            self.tell(at_ms, "cart-updated", &cart, json!({"cart_id": cart, "lines": lines}));
            at_ms = self.near(at_ms);
        }
    }

    pub(super) fn order(&mut self) {
        let (order, at_ms) = (self.reference('O'), self.moment());
        let lines = self.lines();
        let mut data = json!({"order_id": order, "lines": lines});
        if self.one_in(3) {
            data["cart_id"] = json!(self.reference('C'));
        }
        if self.is_patient && !self.one_in(4) {
            data["policy"] = json!("backorder");
        } else if self.one_in(3) {
            data["policy"] = json!(self.dice.choice(&["all", "partial", "backorder", "backorder"]));
        }
        if self.one_in(3) {
            data["order_version"] = json!(self.dice.i64(0..4));
        }
        // Short enough that much of what follows comes too late.
        if self.one_in(4) {
            data["ttl_s"] = json!(*self.dice.choice(&[1, 2, 4, 60]).unwrap_or(&4));
        }
        if self.one_in(4) {
            let later = self.near(at_ms);
            let mut changed = data.clone();
            changed["order_version"] = json!(self.dice.i64(0..5));
            changed["lines"] = self.lines();
            self.tell(later, "order-created", &order, changed);
        }
        self.tell(at_ms, "order-created", &order, data);
        for _ in 0..self.dice.u8(0..4) {
            self.follow(&order, Some(&lines), at_ms);
        }
    }

    /// An order that lapses, somebody who takes all there is, and a confirmation or a shipment that comes after that.
    pub(super) fn latecomer(&mut self) {
        let (order, other, sku, at_ms) = (self.reference('O'), self.reference('O'), self.sku(), self.moment());
        let lines = json!([{"sku": sku, "quantity": self.dice.i64(1..4)}]);
        self.tell(at_ms, "order-created", &order, json!({"order_id": order, "ttl_s": 1, "lines": lines}));
        // Once it was swept.
        let later = at_ms + self.dice.u64(6_500..9_000);
        let all = json!([{"sku": sku, "quantity": 500}]);
        self.tell(later, "order-created", &other, json!({"order_id": other, "policy": "partial", "lines": all}));
        let last = later + self.dice.u64(200..2_000);
        if self.dice.bool() {
            self.tell(last, "order-confirmed", &order, json!({"order_id": order}));
        } else {
            self.tell(last, "order-shipped", &order, json!({"order_id": order, "shipment_id": "S-late"}));
        }
    }

    /// Something about orders that may never have been placed.
    pub(super) fn afterthought(&mut self) {
        let (order, at_ms) = (self.reference('O'), self.moment());
        self.follow(&order, None, at_ms);
    }

    /// Lines of something about an order: mostly its own, where they are known, and otherwise any.
    fn about(&mut self, own: Option<&Value>) -> Value {
        let any = self.one_in(4);
        match own.filter(|_| !any) {
            Some(own) => {
                let all = own.as_array().cloned().unwrap_or_default();
                let some = 1 + self.dice.usize(0..all.len().max(1));
                all.into_iter().take(some).collect()
            }
            None => self.lines(),
        }
    }

    fn follow(&mut self, order: &str, own: Option<&Value>, at_ms: u64) {
        let at_ms = self.near(at_ms);
        match self.dice.u8(0..8) {
            0..=1 => self.tell(at_ms, "order-confirmed", order, json!({"order_id": order})),
            2..=4 => {
                let mut data = json!({"order_id": order, "shipment_id": format!("S-{}", self.dice.u8(0..3))});
                if self.one_in(2) {
                    data["lines"] = self.about(own);
                }
                self.tell(at_ms, "order-shipped", order, data);
                if self.one_in(2) {
                    let later = at_ms + self.dice.u64(0..2_000);
                    self.comes_back(order, own, later);
                }
            }
            _ => {
                let mut data = json!({"order_id": order, "reason": "changed their mind"});
                if self.one_in(2) {
                    data["lines"] = self.about(own);
                }
                if self.one_in(5) {
                    data["order_version"] = json!(self.dice.i64(0..4));
                }
                self.tell(at_ms, "order-cancelled", order, data);
            }
        }
    }

    pub(super) fn return_of_goods(&mut self) {
        let (order, at_ms) = (self.reference('O'), self.moment());
        self.comes_back(&order, None, at_ms);
    }

    fn comes_back(&mut self, order: &str, own: Option<&Value>, at_ms: u64) {
        let returned = self.reference('B');
        let mut data = json!({"return_id": returned, "order_id": order, "lines": self.about(own)});
        if self.one_in(4) {
            data["resellable"] = json!(false);
        }
        self.tell(at_ms, "return-received", order, data);
    }
}
