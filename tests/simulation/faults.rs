//! What can go wrong, how it is planned, and how often it did.

use std::fmt;

use fastrand::Rng;

use super::case::{Carriage, Item, Settings, What};

/// Everything that can go wrong. Some of it is planned, the rest comes of what is planned and is only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A worker is killed, wherever its tasks wait; another life begins a little later.
    Crash,
    /// A worker is told to stop, drains and begins another life.
    Stop,
    /// A worker stands still for longer than its session and lease last, and goes on.
    Freeze,
    /// The database's clock jumps ahead.
    ClockAhead,
    /// The database's clock jumps back.
    ClockBack,
    /// Old inbox days, published batches and positions are dropped.
    Maintenance,
    /// The group's offsets are reset to the start.
    Replay,
    /// Members join and leave, and partitions change hands.
    Rebalance,
    /// The broker delivers again what is on its way.
    Redelivery,
    /// The database answers nobody for a while.
    DatabaseAway,
    /// The broker answers nobody for a while.
    BrokerAway,
    /// The broker comes back without the last announcements that it had confirmed.
    TailLost,
    /// A COMMIT is carried out and its answer lost.
    CommitUnheard,
    /// A connection is cut before COMMIT.
    CommitCut,
    /// A statement of the relay or the sweeper is carried out and its answer lost.
    StatementUnheard,
    /// A publication is confirmed and its answer lost.
    PublicationUnheard,
    /// A publication breaks off before anybody can see it, or in its midst where the bus has no transactions.
    PublicationCut,
    /// An acknowledgement does not arrive.
    SettlingLost,
    /// Counted: the same record was delivered again.
    DeliveredTwice,
    /// Counted: records came in another order than that in which they were published.
    Reordered,
    /// Counted: a partition was another member's by the time that its batch was settled.
    SettledTooLate,
    /// Counted: a publisher repeated an event under its id.
    Repeated,
    /// Counted: a publisher told the same fact under another id.
    ToldAgain,
    /// Counted: a publisher used an id for something else.
    IdReused,
    /// Counted: the same id was used by another source.
    OtherSource,
    /// Counted: something that no event is.
    Malformed,
    /// Counted: an event was submitted without a bus.
    Submitted,
    /// Counted: the queue of submissions was full.
    SubmissionRefused,
    /// Counted: a submission was never answered and made again.
    SubmissionUnanswered,
    /// Counted: a committed batch found no room on its way to the relay.
    HandOverFull,
    /// Counted: other writers came between the reading and the writing of a batch.
    Collision,
    /// Counted: a relay that had lost its lease published, and was refused.
    Fenced,
    /// Counted: an event came whose day is closed.
    DayClosed,
    /// Counted: what a broker had lost was published again.
    PublishedAgain,
    /// Counted: a claim's time ran out.
    Expired,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 35] = [
        Self::Crash,
        Self::Stop,
        Self::Freeze,
        Self::ClockAhead,
        Self::ClockBack,
        Self::Maintenance,
        Self::Replay,
        Self::Rebalance,
        Self::Redelivery,
        Self::DatabaseAway,
        Self::BrokerAway,
        Self::TailLost,
        Self::CommitUnheard,
        Self::CommitCut,
        Self::StatementUnheard,
        Self::PublicationUnheard,
        Self::PublicationCut,
        Self::SettlingLost,
        Self::DeliveredTwice,
        Self::Reordered,
        Self::SettledTooLate,
        Self::Repeated,
        Self::ToldAgain,
        Self::IdReused,
        Self::OtherSource,
        Self::Malformed,
        Self::Submitted,
        Self::SubmissionRefused,
        Self::SubmissionUnanswered,
        Self::HandOverFull,
        Self::Collision,
        Self::Fenced,
        Self::DayClosed,
        Self::PublishedAgain,
        Self::Expired,
    ];

    /// Its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Stop => "stop",
            Self::Freeze => "freeze",
            Self::ClockAhead => "clock ahead",
            Self::ClockBack => "clock back",
            Self::Maintenance => "maintenance",
            Self::Replay => "replay",
            Self::Rebalance => "rebalance",
            Self::Redelivery => "redelivery",
            Self::DatabaseAway => "database away",
            Self::BrokerAway => "broker away",
            Self::TailLost => "tail lost",
            Self::CommitUnheard => "commit unheard",
            Self::CommitCut => "commit cut",
            Self::StatementUnheard => "statement unheard",
            Self::PublicationUnheard => "publication unheard",
            Self::PublicationCut => "publication cut",
            Self::SettlingLost => "settling lost",
            Self::DeliveredTwice => "delivered twice",
            Self::Reordered => "reordered",
            Self::SettledTooLate => "settled too late",
            Self::Repeated => "repeated",
            Self::ToldAgain => "told again",
            Self::IdReused => "id reused",
            Self::OtherSource => "other source",
            Self::Malformed => "malformed",
            Self::Submitted => "submitted",
            Self::SubmissionRefused => "submission refused",
            Self::SubmissionUnanswered => "submission unanswered",
            Self::HandOverFull => "hand-over full",
            Self::Collision => "collision",
            Self::Fenced => "fenced",
            Self::DayClosed => "day closed",
            Self::PublishedAgain => "published again",
            Self::Expired => "expired",
        }
    }
}

/// How often each fault did happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hits([u64; Fault::ALL.len()]);

impl Default for Hits {
    fn default() -> Self {
        Self([0; Fault::ALL.len()])
    }
}

impl Hits {
    /// Counts one.
    pub fn hit(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, more)| *sum += more);
    }

    /// Each fault with its count, in the order of [`Fault::ALL`].
    pub fn each(&self) -> impl Iterator<Item = (Fault, u64)> {
        Fault::ALL.into_iter().zip(self.0)
    }
}

/// A fault that is to happen.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    /// Which.
    pub fault: Fault,
    /// Whom it befalls, where it befalls a worker.
    pub worker: usize,
    /// How much of it: seconds of a clock, milliseconds of an absence, the step of a commit, publications of a tail.
    pub amount: i64,
}

impl fmt::Display for Planned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, worker, amount } = self;
        let name = fault.as_str();
        match fault {
            Fault::Crash => write!(formatter, "{name} of worker {worker}, back after {amount} ms"),
            Fault::Stop => write!(formatter, "{name} of worker {worker}"),
            Fault::Freeze => write!(formatter, "{name} of worker {worker} for {amount} ms"),
            Fault::ClockAhead | Fault::ClockBack => write!(formatter, "{name} by {amount} s"),
            Fault::DatabaseAway | Fault::BrokerAway => write!(formatter, "{name} for {amount} ms"),
            Fault::TailLost => write!(formatter, "{name}: {amount} publications"),
            Fault::CommitCut => write!(formatter, "{name} at step {amount}"),
            _ => formatter.write_str(name),
        }
    }
}

/// Makes faults for a run of so many milliseconds.
pub fn plan(dice: &mut Rng, settings: &Settings, duration_ms: u64) -> Vec<Item> {
    let count = match dice.u8(0..10) {
        0 => 0,
        1..=3 => dice.usize(1..5),
        _ => dice.usize(5..20),
    };
    let mut items: Vec<Item> = (0..count)
        .map(|_| {
            let (at_ms, after_steps) = (dice.u64(0..duration_ms), dice.u8(0..40));
            Item { at_ms, after_steps, what: What::Befalls(one(dice, settings)) }
        })
        .collect();
    if dice.u8(0..8) == 0 {
        items.extend(days_later(dice, duration_ms));
    }
    items
}

fn one(dice: &mut Rng, settings: &Settings) -> Planned {
    let fault = match dice.u8(0..100) {
        0..=14 => Fault::Crash,
        15..=18 => Fault::Stop,
        19..=26 => Fault::Freeze,
        27..=34 => Fault::ClockAhead,
        35..=38 => Fault::ClockBack,
        39..=42 => Fault::Maintenance,
        43..=45 => Fault::Replay,
        46..=51 => Fault::Rebalance,
        52..=56 => Fault::Redelivery,
        57..=60 => Fault::DatabaseAway,
        61..=64 => Fault::BrokerAway,
        65..=68 => Fault::TailLost,
        69..=75 => Fault::CommitUnheard,
        76..=81 => Fault::CommitCut,
        82..=85 => Fault::StatementUnheard,
        86..=91 => Fault::PublicationUnheard,
        92..=96 => Fault::PublicationCut,
        _ => Fault::SettlingLost,
    };
    let fault = match (fault, settings.carriage) {
        (Fault::Rebalance, Carriage::Queue) => Fault::Redelivery,
        (other, Carriage::Queue | Carriage::Partitions) => other,
    };
    Planned { fault, worker: dice.usize(0..settings.workers), amount: amount(dice, fault, settings) }
}

fn amount(dice: &mut Rng, fault: Fault, settings: &Settings) -> i64 {
    match fault {
        Fault::Crash => dice.i64(0..3_000),
        // Some shorter, most longer than the lease and the session.
        Fault::Freeze => dice.i64(500..3_000 * settings.lease_seconds as i64),
        Fault::ClockAhead => *dice.choice(&[5, 60, 700, 2_000, 7_300]).unwrap_or(&60),
        Fault::ClockBack => *dice.choice(&[1, 30, 400, 4_000]).unwrap_or(&30),
        Fault::DatabaseAway | Fault::BrokerAway => dice.i64(50..6_000),
        Fault::TailLost => dice.i64(1..4),
        Fault::CommitCut => dice.i64(0..4),
        _ => 0,
    }
}

/// Days pass, the keys of old days are dropped, and everything is read again from the start.
fn days_later(dice: &mut Rng, duration_ms: u64) -> Vec<Item> {
    let at_ms = dice.u64(duration_ms / 2..duration_ms);
    let item = |after_ms: u64, fault, amount| Item {
        at_ms: at_ms + after_ms,
        after_steps: 0,
        what: What::Befalls(Planned { fault, worker: 0, amount }),
    };
    vec![
        item(0, Fault::ClockAhead, 86_400 * dice.i64(2..5)),
        item(dice.u64(0..500), Fault::Maintenance, 0),
        item(dice.u64(500..900), Fault::Replay, 0),
    ]
}
