//! What the house does: settings, receipts, corrections, syncs and counts.

use serde_json::{Value, json};

use super::{COUNTED_AGO, SKUS, Teller};

impl Teller {
    pub(super) fn register_all(&mut self) {
        for sku in SKUS.into_iter().take(self.skus) {
            let at_ms = if self.one_in(6) { self.moment() } else { 0 };
            let initial = if self.one_in(5) { self.dice.i64(20..300) } else { self.dice.i64(0..20) };
            let mut data = json!({"sku": sku, "name": format!("the {sku}"), "initial": initial});
            self.settings(&mut data);
            self.tell(at_ms, "sku-registered", sku, data);
            if self.one_in(3) {
                let initial = self.dice.i64(0..6);
                self.tell(at_ms, "sku-registered", sku, json!({"sku": sku, "location": "north", "initial": initial}));
            }
        }
    }

    fn settings(&mut self, data: &mut Value) {
        if self.one_in(2) {
            // From 11 on, a level is left upwards later than it is entered downwards.
            let warning = self.dice.i64(0..14);
            data["warning_threshold"] = json!(warning);
            data["critical_threshold"] = json!(self.dice.i64(0..=warning + 1));
        }
        if self.one_in(5) {
            data["max_stock"] = json!(self.dice.i64(0..30));
        }
    }

    pub(super) fn change_of_settings(&mut self) {
        let (sku, at_ms) = (self.sku(), self.moment());
        let mut data = json!({"sku": sku});
        self.elsewhere(&mut data);
        self.settings(&mut data);
        if self.one_in(3) {
            data["sku_version"] = json!(self.dice.i64(0..5));
        }
        if self.one_in(3) {
            data["safety_stock"] = json!(self.dice.i64(0..3));
        }
        if self.one_in(6) {
            data["name"] = json!("another name");
        }
        if self.one_in(4) {
            data["status"] = json!(self.dice.choice(&["locked", "inactive"]));
            let later = at_ms + self.dice.u64(0..2_000);
            self.tell(later, "sku-registered", sku, json!({"sku": sku, "status": "active"}));
        }
        self.tell(at_ms, "sku-registered", sku, data);
    }

    pub(super) fn receipt(&mut self) {
        let (receipt, at_ms, lines) = (self.reference('R'), self.moment(), self.lines());
        let key = lines[0]["sku"].as_str().unwrap_or_default().to_owned();
        self.tell(at_ms, "stock-received", &key, json!({"receipt_id": receipt, "lines": lines}));
    }

    pub(super) fn correction(&mut self) {
        let (adjustment, sku, at_ms) = (self.reference('J'), self.sku(), self.moment());
        let mode = *self.dice.choice(&["increase", "decrease", "set"]).unwrap_or(&"set");
        let mut data = json!({"adjustment_id": adjustment, "sku": sku, "mode": mode, "reason": "broken"});
        let most = if self.one_in(4) { 60 } else { 8 };
        data["quantity"] = json!(self.dice.i64(if mode == "set" { 0 } else { 1 }..most));
        if mode == "set" || self.one_in(4) {
            data["expected_version"] = json!(self.dice.i64(1..6));
        }
        if self.one_in(3) {
            data["operator"] = json!("ada");
        }
        self.elsewhere(&mut data);
        self.tell(at_ms, "stock-adjusted", sku, data);
    }

    pub(super) fn sync(&mut self) {
        let (trace, sku, at_ms) = (self.reference('T'), self.sku(), self.moment());
        let mut data = json!({"trace_id": trace, "sku": sku, "delta": self.dice.i64(-6..6)});
        if self.one_in(3) {
            data["order_id"] = json!(self.reference('O'));
        }
        if self.one_in(3) {
            data["reason"] = json!("sold at the counter");
        }
        self.elsewhere(&mut data);
        self.tell(at_ms, "stock-synced", sku, data);
    }

    /// A count that was taken a while before it is told.
    pub(super) fn count(&mut self) {
        let (count, sku, at_ms) = (self.reference('N'), self.sku(), self.moment());
        let ago = *self.dice.choice(&[-400, -100, 0, 1, 2, 5, 20, 700_000]).unwrap_or(&0);
        let quantity = self.dice.i64(0..12);
        let mut data = json!({"count_id": count, "sku": sku, "quantity": quantity, COUNTED_AGO: ago});
        self.elsewhere(&mut data);
        self.tell(at_ms, "stock-counted", sku, data);
    }
}
