//! What a shop tells, and the installation that it tells it to, from a seed.

use std::fmt;

use fastrand::Rng;
use holdfast::domain::rules::{DeductOn, Rules};
use holdfast::ports::DeadLetterReason;
use serde_json::Value;

use super::case::{Carriage, Case, Guarantee, Settings};
use super::{faults, stories};

/// What somebody tells.
#[derive(Clone, Debug)]
pub enum Input {
    /// An event.
    Event(Told),
    /// What was told before, once more.
    Repetition {
        /// Its number.
        of: u32,
        /// How it is told this time.
        manner: Manner,
    },
    /// Several events, submitted to a worker in one request, each under its number.
    Together(Vec<(u32, Told)>),
    /// Something that is no event.
    Malformed(Malformed),
}

/// Something that no event is.
#[derive(Clone, Debug)]
pub struct Malformed {
    /// The topic that it comes by.
    pub topic: &'static str,
    /// The type that it claims to be.
    pub event_type: &'static str,
    /// Its body, where it has one.
    pub payload: Option<Vec<u8>>,
    /// What it is to whoever reads it.
    pub readable: Readable,
    /// Whether it is submitted to a worker instead of a bus.
    pub is_direct: bool,
}

/// How something is told once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As it was, identity and time included.
    Same,
    /// The same fact under another id.
    OtherId,
    /// Something else under the same id.
    OtherContent,
    /// The same fact under the same id, by somebody else: ids of different sources have nothing to do with each other.
    OtherSource,
}

/// When an event says that it happened, by the clock at which it is told first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// So many seconds before; ahead where that is negative.
    Ago(i64),
    /// It does not say.
    Unsaid,
}

/// What an event is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// An opaque text.
    Text(String),
    /// A UUID that holds the time at which the event is told first, and these bits.
    Ordered(u64),
}

/// What something told is to whoever reads it; who tells it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readable {
    /// An event.
    Event,
    /// Something that no event is, for this reason.
    Buried(DeadLetterReason),
    /// Something that no event is, for whatever reason.
    Nonsense,
}

/// An event.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its type.
    pub event_type: &'static str,
    /// The key of its record.
    pub key: String,
    /// Its body.
    pub data: Value,
    /// Its id.
    pub id: Id,
    /// Its source.
    pub source: &'static str,
    /// Its time.
    pub time: Time,
    /// What it is to whoever reads it.
    pub readable: Readable,
    /// Whether it carries a trace context.
    pub is_traced: bool,
    /// Whether it is submitted to a worker instead of a bus.
    pub is_direct: bool,
}

impl fmt::Display for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.is_direct { " submitted" } else { "" };
        write!(formatter, "{}{way} {} {:?} {:?} of {}", self.event_type, self.data, self.id, self.time, self.source)
    }
}

impl fmt::Display for Input {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(told) => write!(formatter, "{told}"),
            Self::Together(events) => {
                formatter.write_str("submitted together:")?;
                events.iter().try_for_each(|(number, told)| write!(formatter, " [event {number}: {told}]"))
            }
            Self::Repetition { of, manner } => match manner {
                Manner::Same => write!(formatter, "event {of} again"),
                Manner::OtherId => write!(formatter, "event {of} under another id"),
                Manner::OtherContent => write!(formatter, "something else under the id of event {of}"),
                Manner::OtherSource => write!(formatter, "event {of} by another source"),
            },
            Self::Malformed(Malformed { topic, event_type, payload, readable, is_direct }) => {
                let way = if *is_direct { " submitted" } else { "" };
                let size = payload.as_ref().map_or(0, Vec::len);
                write!(formatter, "{event_type} of {size} bytes{way} on {topic}, {readable:?}")
            }
        }
    }
}

/// Makes the case of a seed.
pub fn case(seed: u64) -> Case {
    let mut dice = Rng::with_seed(seed);
    let settings = settings(&mut dice);
    let duration_ms = dice.u64(2_000..15_000);
    let mut items = stories::tell(&mut dice, duration_ms);
    items.extend(faults::plan(&mut dice, &settings, duration_ms));
    items.sort_by_key(|item| item.at_ms);
    Case { seed, schedule_seed: dice.u64(..), settings, items }
}

fn settings(dice: &mut Rng) -> Settings {
    let rules = Rules {
        deduct_on: *dice
            .choice(&[DeductOn::Created, DeductOn::Confirmed, DeductOn::Shipped])
            .unwrap_or(&DeductOn::Created),
        order_ttl_seconds: *dice.choice(&[3, 60, 7_200]).unwrap_or(&60),
        order_max_waiting: *dice.choice(&[0, 2, 1_000]).unwrap_or(&1_000),
        carts_hold: dice.u8(0..10) > 0,
        cart_ttl_seconds: *dice.choice(&[4, 60, 1_800]).unwrap_or(&60),
        cart_max_hold_seconds: *dice.choice(&[10, 120, 7_200]).unwrap_or(&120),
        cart_max_per_sku: dice.choice(&[None, None, Some(3)]).copied().flatten(),
        ignore_cart_holds: dice.u8(0..5) == 0,
    };
    Settings {
        rules,
        workers: 1 + dice.usize(0..3),
        partitions: 1 + dice.usize(0..3),
        carriage: if dice.u8(0..3) == 0 { Carriage::Queue } else { Carriage::Partitions },
        guarantee: match dice.u8(0..10) {
            0..=4 => Guarantee::Transactions,
            5..=7 => Guarantee::Sequences,
            _ => Guarantee::AtLeastOnce,
        },
        batch_events: *dice.choice(&[1, 4, 30]).unwrap_or(&4),
        lease_seconds: dice.u64(1..6),
        hand_over: *dice.choice(&[1, 1, 4, 64]).unwrap_or(&4),
        submissions: 1 + dice.usize(0..4),
        inbox_keep_days: dice.i32(1..3),
        inbox_max_days: *dice.choice(&[2, 400, 400]).unwrap_or(&400),
        keep_published_seconds: *dice.choice(&[300, 3_600, 86_400]).unwrap_or(&3_600),
        stickiness: *dice.choice(&[0, 50, 90]).unwrap_or(&50),
        slowness: *dice.choice(&[0, 3, 20]).unwrap_or(&3),
        ages: dice.u8(0..5) == 0,
    }
}
