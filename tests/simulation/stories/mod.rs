//! The stories of a shop: few SKUs and few units, so that everybody wants the same ones, in an order that nobody keeps.
//!
//! A new kind of event is a function in [`demand`] or [`goods`] and its row in [`STORIES`]; what no event is stands in
//! [`malformed`].

mod demand;
mod goods;
mod malformed;

use std::collections::BTreeMap;

use fastrand::Rng;
use holdfast::domain::words::MAX_LINE_QUANTITY;
use holdfast::ports::DeadLetterReason;
use serde_json::{Value, json};

use super::case::{Item, What};
use super::workload::{Id, Input, Manner, Readable, Time, Told};

/// Tells a part of what happens in a shop.
type Story = fn(&mut Teller);

/// Every kind of thing that a shop tells, with how often it does.
const STORIES: [(u32, Story); 13] = [
    (8, Teller::order),
    (5, Teller::cart),
    (2, Teller::cart_without_versions),
    (2, Teller::receipt),
    (2, Teller::correction),
    (1, Teller::sync),
    (1, Teller::count),
    (1, Teller::return_of_goods),
    (2, Teller::change_of_settings),
    (1, Teller::afterthought),
    (1, Teller::latecomer),
    (1, Teller::together),
    (2, Teller::malformed),
];

const SKUS: [&str; 3] = ["A", "B", "C"];
const SOURCES: [&str; 2] = ["/shop", "/warehouse"];
/// In a body, how many seconds before it is told first something was counted; whoever tells it says when that was.
pub const COUNTED_AGO: &str = "counted_s_ago";
/// Of each kind, so that many events are about the same one.
const MOST_REFERENCES: u32 = 12;
/// How many stories are told to a worker in one request, at most.
const MOST_TOGETHER: u32 = 3;

/// Tells stories for a run of so many milliseconds.
pub fn tell(dice: &mut Rng, duration_ms: u64) -> Vec<Item> {
    let stories = dice.usize(12..40);
    let skus = 1 + dice.usize(0..SKUS.len());
    // Where everything happens at a few moments, more of it happens at once.
    let grid_ms = *dice.choice(&[1, 1, 50, 400]).unwrap_or(&1);
    // In some shops nobody takes no for an answer, so that lines get long.
    let is_patient = dice.u8(0..4) == 0;
    let mut teller = Teller { dice: dice.fork(), duration_ms, grid_ms, skus, is_patient, number: 0, items: Vec::new() };
    teller.register_all();
    for _ in 0..stories {
        teller.any_story();
    }
    teller.items
}

/// What a body that names everything it must name is to whoever reads it.
fn readable(data: &Value) -> Readable {
    let mut sums: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for line in data["lines"].as_array().into_iter().flatten() {
        let (sku, location) = (line["sku"].as_str().unwrap_or_default(), line["location"].as_str());
        let quantity = line["quantity"].as_i64().unwrap_or_default();
        if quantity < 1 {
            return Readable::Buried(DeadLetterReason::InvalidQuantity);
        }
        *sums.entry((sku, location.unwrap_or("default"))).or_default() += quantity;
    }
    let is_too_much = sums.values().any(|sum| *sum > MAX_LINE_QUANTITY);
    if is_too_much || data["delta"] == 0 {
        return Readable::Buried(DeadLetterReason::InvalidQuantity);
    }
    Readable::Event
}

struct Teller {
    dice: Rng,
    duration_ms: u64,
    grid_ms: u64,
    skus: usize,
    is_patient: bool,
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

    /// Mostly a few, sometimes more than there are, and now and then the most that a line may carry.
    fn quantity(&mut self) -> i64 {
        match self.dice.u8(0..120) {
            0..=1 => 0,
            2..=3 => -1,
            4 => MAX_LINE_QUANTITY,
            5..=12 => self.dice.i64(5..80),
            _ => self.dice.i64(1..5),
        }
    }

    fn lines(&mut self) -> Value {
        let count = 1 + self.dice.usize(0..3);
        let line = |_| {
            let mut line = json!({"sku": self.sku(), "quantity": self.quantity()});
            self.elsewhere(&mut line);
            line
        };
        (0..count).map(line).collect()
    }

    /// Puts something at another location, now and then.
    fn elsewhere(&mut self, place: &mut Value) {
        if self.one_in(6) {
            place["location"] = json!("north");
        }
    }

    fn reference(&mut self, kind: char) -> String {
        format!("{kind}-{}", self.dice.u32(0..MOST_REFERENCES))
    }

    fn any_story(&mut self) {
        let total: u32 = STORIES.iter().map(|(weight, _)| weight).sum();
        let mut drawn = self.dice.u32(0..total);
        for (weight, story) in STORIES {
            if drawn < weight {
                return story(self);
            }
            drawn -= weight;
        }
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
                0 => Time::Ago(*self.dice.choice(&[86_400, 400_000]).unwrap_or(&86_400)),
                1 => Time::Ago(-200),
                2 => Time::Ago(-900),
                3 => Time::Ago(3_600),
                4..=7 => Time::Unsaid,
                _ => Time::Ago(0),
            },
            is_traced: self.one_in(4),
            is_direct: self.one_in(8),
        };
        self.happens(at_ms, What::Told(number, Input::Event(told)));
        let manner = match self.dice.u8(0..100) {
            0..=11 => Manner::Same,
            12..=17 => Manner::OtherId,
            18..=19 => Manner::OtherContent,
            20..=21 => Manner::OtherSource,
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

    /// Submits what a few stories tell in one request.
    fn together(&mut self) {
        let before = self.items.len();
        for _ in 0..=self.dice.u32(0..MOST_TOGETHER) {
            self.any_story();
        }
        let mut events = Vec::new();
        let mut at_ms = u64::MAX;
        for item in self.items.split_off(before) {
            match item.what {
                What::Told(number, Input::Event(told)) => {
                    at_ms = at_ms.min(item.at_ms);
                    events.push((number, told));
                }
                What::Told(..) | What::Befalls(_) => self.items.push(item),
            }
        }
        if let Some((first, _)) = events.first() {
            self.happens(at_ms, What::Told(*first, Input::Together(events)));
        }
    }
}
