//! The stories of a shop: few SKUs and few units, so that everybody wants the same ones, in an order that nobody keeps.
//!
//! A new kind of event is a function below and its row in [`STORIES`].

use fastrand::Rng;
use holdfast::ports::DeadLetterReason;
use serde_json::{Value, json};

use super::case::{Item, What};
use super::workload::{Id, Input, Manner, Readable, Time, Told};

/// Tells a part of what happens in a shop.
type Story = fn(&mut Teller);

/// Every kind of thing that a shop tells, with how often it does.
const STORIES: [(u32, Story); 11] = [
    (8, Teller::order),
    (5, Teller::cart),
    (2, Teller::cart_without_versions),
    (2, Teller::receipt),
    (1, Teller::correction),
    (1, Teller::sync),
    (1, Teller::count),
    (1, Teller::return_of_goods),
    (2, Teller::change_of_settings),
    (1, Teller::afterthought),
    (1, Teller::garbage),
];

const SKUS: [&str; 3] = ["A", "B", "C"];
const SOURCES: [&str; 2] = ["/shop", "/warehouse"];
/// In a body, how many seconds before it is told first something was counted; whoever tells it says when that was.
pub const COUNTED_AGO: &str = "counted_s_ago";
/// Of each kind, so that many events are about the same one.
const MOST_REFERENCES: u32 = 12;

/// Tells stories for a run of so many milliseconds.
pub fn tell(dice: &mut Rng, duration_ms: u64) -> Vec<Item> {
    let stories = dice.usize(12..40);
    let skus = 1 + dice.usize(0..SKUS.len());
    // Where everything happens at a few moments, more of it happens at once.
    let grid_ms = *dice.choice(&[1, 1, 50, 400]).unwrap_or(&1);
    let mut teller = Teller { dice: dice.fork(), duration_ms, grid_ms, skus, number: 0, items: Vec::new() };
    teller.register_all();
    let total: u32 = STORIES.iter().map(|(weight, _)| weight).sum();
    for _ in 0..stories {
        let mut drawn = teller.dice.u32(0..total);
        for (weight, story) in STORIES {
            if drawn < weight {
                story(&mut teller);
                break;
            }
            drawn -= weight;
        }
    }
    teller.items
}

/// What a body that names everything it must name is to whoever reads it.
fn readable(data: &Value) -> Readable {
    let lines = data["lines"].as_array().into_iter().flatten();
    let has_impossible_line = lines.map(|line| &line["quantity"]).any(|units| units.as_i64() < Some(1));
    if has_impossible_line || data["delta"] == 0 {
        return Readable::Buried(DeadLetterReason::InvalidQuantity);
    }
    Readable::Event
}

struct Teller {
    dice: Rng,
    duration_ms: u64,
    grid_ms: u64,
    skus: usize,
    number: u32,
    items: Vec<Item>,
}

impl Teller {
    fn one_in(&mut self, times: u32) -> bool {
        self.dice.u32(0..times) == 0
    }

    fn moment(&mut self) -> u64 {
        self.dice.u64(0..self.duration_ms)
    }

    /// A moment that is mostly a little later, and sometimes before.
    fn near(&mut self, at_ms: u64) -> u64 {
        match self.dice.u8(0..10) {
            0..=1 => at_ms.saturating_sub(self.dice.u64(0..2_000)),
            2..=4 => at_ms,
            5..=7 => at_ms + self.dice.u64(0..300),
            _ => at_ms + self.dice.u64(0..self.duration_ms),
        }
    }

    fn sku(&mut self) -> &'static str {
        if self.one_in(40) { "unknown" } else { SKUS[self.dice.usize(0..self.skus)] }
    }

    fn lines(&mut self) -> Value {
        let count = 1 + self.dice.usize(0..3);
        let line = |_| {
            let quantity = match self.dice.u8(0..60) {
                0 => 0,
                1 => -1,
                _ => self.dice.i64(1..5),
            };
            let mut line = json!({"sku": self.sku(), "quantity": quantity});
            if self.one_in(6) {
                line["location"] = json!("north");
            }
            line
        };
        (0..count).map(line).collect()
    }

    fn reference(&mut self, kind: char) -> String {
        format!("{kind}-{}", self.dice.u32(0..MOST_REFERENCES))
    }

    /// Tells an event, and perhaps tells it again.
    fn tell(&mut self, at_ms: u64, event_type: &'static str, key: &str, data: Value) {
        self.number += 1;
        let number = self.number;
        let told = Told {
            event_type,
            key: key.to_owned(),
            readable: readable(&data),
            data,
            id: if self.one_in(3) { Id::Ordered(self.dice.u64(..)) } else { Id::Text(format!("event-{number}")) },
            source: SOURCES[self.dice.usize(0..SOURCES.len())],
            time: match self.dice.u8(0..40) {
                0 => Time::Ago(86_400),
                1 => Time::Ago(-200),
                2 => Time::Ago(-900),
                3 => Time::Ago(3_600),
                4..=7 => Time::Unsaid,
                _ => Time::Ago(0),
            },
            is_direct: self.one_in(8),
        };
        self.happens(at_ms, What::Told(number, Input::Event(told)));
        let manner = match self.dice.u8(0..100) {
            0..=11 => Manner::Same,
            12..=17 => Manner::OtherId,
            18 => Manner::OtherContent,
            _ => return,
        };
        self.number += 1;
        let (again, later) = (self.number, at_ms + self.dice.u64(0..4_000));
        self.happens(later, What::Told(again, Input::Repetition { of: number, manner }));
    }

    fn happens(&mut self, at_ms: u64, what: What) {
        let at_ms = at_ms / self.grid_ms * self.grid_ms;
        self.items.push(Item { at_ms, after_steps: self.dice.u8(0..4), what });
    }

    fn register_all(&mut self) {
        for sku in SKUS.into_iter().take(self.skus) {
            let at_ms = if self.one_in(6) { self.moment() } else { 0 };
            let initial = self.dice.i64(0..20);
            let mut data = json!({"sku": sku, "initial": initial});
            self.thresholds(&mut data);
            self.tell(at_ms, "sku-registered", sku, data);
            if self.one_in(3) {
                let initial = self.dice.i64(0..6);
                self.tell(at_ms, "sku-registered", sku, json!({"sku": sku, "location": "north", "initial": initial}));
            }
        }
    }

    fn thresholds(&mut self, data: &mut Value) {
        if self.one_in(2) {
            // From 11 on, a level is left upwards later than it is entered downwards.
            let warning = self.dice.i64(0..14);
            data["warning_threshold"] = json!(warning);
            data["critical_threshold"] = json!(self.dice.i64(0..=warning + 1));
        }
    }

    fn change_of_settings(&mut self) {
        let (sku, at_ms) = (self.sku(), self.moment());
        let mut data = json!({"sku": sku});
        self.thresholds(&mut data);
        if self.one_in(3) {
            data["sku_version"] = json!(self.dice.i64(0..5));
        }
        if self.one_in(3) {
            data["safety_stock"] = json!(self.dice.i64(0..3));
        }
        if self.one_in(6) {
            data["status"] = json!("locked");
            let later = at_ms + self.dice.u64(0..2_000);
            self.tell(later, "sku-registered", sku, json!({"sku": sku, "status": "active"}));
        }
        self.tell(at_ms, "sku-registered", sku, data);
    }

    fn receipt(&mut self) {
        let (receipt, at_ms, lines) = (self.reference('R'), self.moment(), self.lines());
        let key = lines[0]["sku"].as_str().unwrap_or_default().to_owned();
        self.tell(at_ms, "stock-received", &key, json!({"receipt_id": receipt, "lines": lines}));
    }

    fn correction(&mut self) {
        let (adjustment, sku, at_ms) = (self.reference('J'), self.sku(), self.moment());
        let mode = *self.dice.choice(&["increase", "decrease", "set"]).unwrap_or(&"set");
        let mut data = json!({"adjustment_id": adjustment, "sku": sku, "mode": mode, "reason": "broken"});
        data["quantity"] = json!(self.dice.i64(if mode == "set" { 0 } else { 1 }..8));
        if mode == "set" || self.one_in(4) {
            data["expected_version"] = json!(self.dice.i64(1..6));
        }
        self.tell(at_ms, "stock-adjusted", sku, data);
    }

    fn sync(&mut self) {
        let (trace, sku, at_ms) = (self.reference('T'), self.sku(), self.moment());
        let delta = self.dice.i64(-4..4);
        self.tell(at_ms, "stock-synced", sku, json!({"trace_id": trace, "sku": sku, "delta": delta}));
    }

    /// A count that was taken a while before it is told.
    fn count(&mut self) {
        let (count, sku, at_ms) = (self.reference('N'), self.sku(), self.moment());
        let ago = *self.dice.choice(&[-400, -100, 0, 1, 2, 5, 20, 700_000]).unwrap_or(&0);
        let quantity = self.dice.i64(0..12);
        let data = json!({"count_id": count, "sku": sku, "quantity": quantity, COUNTED_AGO: ago});
        self.tell(at_ms, "stock-counted", sku, data);
    }

    fn return_of_goods(&mut self) {
        let (returned, order, at_ms) = (self.reference('B'), self.reference('O'), self.moment());
        let mut data = json!({"return_id": returned, "order_id": order, "lines": self.lines()});
        if self.one_in(4) {
            data["resellable"] = json!(false);
        }
        self.tell(at_ms, "return-received", &order, data);
    }

    fn cart(&mut self) {
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

    fn cart_without_versions(&mut self) {
        let (cart, mut at_ms) = (self.reference('C'), self.moment());
        for _ in 0..self.dice.i64(1..4) {
            let lines = self.lines();
            self.tell(at_ms, "cart-updated", &cart, json!({"cart_id": cart, "lines": lines}));
            at_ms = self.near(at_ms);
        }
    }

    fn order(&mut self) {
        let (order, at_ms) = (self.reference('O'), self.moment());
        let mut data = json!({"order_id": order, "lines": self.lines()});
        if self.one_in(3) {
            data["cart_id"] = json!(self.reference('C'));
        }
        if self.one_in(3) {
            data["policy"] = json!(self.dice.choice(&["all", "partial", "backorder", "backorder"]));
        }
        if self.one_in(3) {
            data["order_version"] = json!(self.dice.i64(0..4));
        }
        if self.one_in(6) {
            data["ttl_s"] = json!(self.dice.i64(1..100));
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
            self.follow(&order, at_ms);
        }
    }

    /// Something about orders that may never have been placed.
    fn afterthought(&mut self) {
        let (order, at_ms) = (self.reference('O'), self.moment());
        self.follow(&order, at_ms);
    }

    fn follow(&mut self, order: &str, at_ms: u64) {
        let at_ms = self.near(at_ms);
        match self.dice.u8(0..8) {
            0..=2 => self.tell(at_ms, "order-confirmed", order, json!({"order_id": order})),
            3..=4 => {
                let mut data = json!({"order_id": order, "shipment_id": format!("S-{}", self.dice.u8(0..3))});
                if self.one_in(2) {
                    data["lines"] = self.lines();
                }
                self.tell(at_ms, "order-shipped", order, data);
            }
            _ => {
                let mut data = json!({"order_id": order, "reason": "changed their mind"});
                if self.one_in(2) {
                    data["lines"] = self.lines();
                }
                if self.one_in(5) {
                    data["order_version"] = json!(self.dice.i64(0..4));
                }
                self.tell(at_ms, "order-cancelled", order, data);
            }
        }
    }

    fn garbage(&mut self) {
        let bytes = match self.dice.u8(0..4) {
            0 => b"{\"event_id\": \"cut".to_vec(),
            1 => vec![0, 0, 0, 0, 9, 1, 2, 3],
            2 => br#"{"event_id": "no-key", "lines": []}"#.to_vec(),
            _ => (0..self.dice.usize(0..40)).map(|_| self.dice.u8(..)).collect(),
        };
        let topic = *self.dice.choice(&["order-created", "cart-updated", "stock-received"]).unwrap_or(&"order-created");
        self.number += 1;
        let (number, at_ms) = (self.number, self.moment());
        self.happens(at_ms, What::Told(number, Input::Garbage { topic, bytes }));
    }
}
