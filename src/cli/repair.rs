//! `holdfast verify --repair`: what the books say, and rows set to it.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::app::{Counter, Failure};
use crate::config::Settings;
use crate::domain::reconciliation::{Decision, Irreparable};
use crate::domain::stock::{Counters, Level};
use crate::ports::Store;
use crate::reconcile::{BooksRound, Mended, Planned, Survey, mend};

/// How many rows are told of; all are counted.
const MOST_TOLD: usize = 1_000;

/// What there is to repair, or what was repaired.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    is_applied: bool,
    /// Rows that differ and can be mended, or were.
    mendable: u64,
    /// Rows that cannot be mended.
    irreparable: u64,
    /// Rows that others changed each time that they were looked at.
    busy: u64,
    told: Vec<(Planned, Option<Mended>)>,
}

/// Looks at every row; with a decision it mends what differs, each row by one event.
///
/// # Errors
/// [`Failure`] when the database is away or the engine cannot go on; what is mended by then stays mended.
pub(super) async fn repair(settings: &Settings, decision: Option<&Decision>) -> Result<Repairs, Failure> {
    let counter = Counter::open(settings).await?;
    let repaired = repair_at(&counter, settings.alerts.ignore_cart_holds, decision).await;
    counter.close().await?;
    repaired
}

async fn repair_at(
    counter: &Counter,
    ignore_cart_holds: bool,
    decision: Option<&Decision>,
) -> Result<Repairs, Failure> {
    let Counter { store, submitter, pulse, .. } = counter;
    let round = store.outbox_status().await.map_err(Failure::failed)?.now;
    let mut survey = Survey::new(ignore_cart_holds);
    let mut repairs = Repairs { is_applied: decision.is_some(), ..Repairs::default() };
    while let Some(page) = survey.step(store).await.map_err(Failure::failed)? {
        for planned in page {
            let mended = match decision {
                None => None,
                Some(decision) => {
                    Some(mend(&planned, decision, round, store, submitter, pulse).await.map_err(Failure::failed)?)
                }
            };
            match (&planned.then, mended) {
                (Err(_), _) | (Ok(_), Some(Mended::Irreparable)) => repairs.irreparable += 1,
                (Ok(_), Some(Mended::Busy)) => repairs.busy += 1,
                (Ok(_), None | Some(Mended::Done | Mended::NothingToDo)) => repairs.mendable += 1,
            }
            if repairs.told.len() < MOST_TOLD {
                repairs.told.push((planned, mended));
            }
        }
    }
    Ok(repairs)
}

/// Has the rows that differ recorded and announced, as the worker does at intervals.
///
/// # Errors
/// [`Failure`] when that cannot be done now.
pub(super) async fn record(settings: &Settings) -> Result<(), Failure> {
    let counter = Counter::open(settings).await?;
    let recorded = async {
        let Counter { store, submitter, pulse, .. } = &counter;
        let started = store.outbox_status().await.map_err(Failure::failed)?.now;
        let mut round = BooksRound::new(started, settings.alerts.ignore_cart_holds);
        while round.step(store, submitter, pulse).await.map_err(Failure::failed)? {}
        Ok(())
    };
    let recorded = recorded.await;
    counter.close().await?;
    recorded
}

impl Repairs {
    /// Whether something is left that differs.
    pub(super) fn is_left(&self) -> bool {
        self.irreparable > 0 || self.busy > 0 || (!self.is_applied && self.mendable > 0)
    }

    /// The table for people.
    pub(super) fn as_text(&self) -> String {
        let mut text = String::new();
        for (planned, mended) in &self.told {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{}  {} (version {}): {}",
                word(planned, *mended),
                planned.key,
                planned.version,
                what(planned)
            );
        }
        let untold = (self.mendable + self.irreparable + self.busy).saturating_sub(self.told.len() as u64);
        if untold > 0 {
            let _ = writeln!(text, "and {untold} more");
        }
        let rows = |count: u64| if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
        let _ = match (self.is_applied, self.mendable) {
            (_, 0) => Ok(()),
            (true, mended) => writeln!(text, "{} repaired; workers announce it", rows(mended)),
            (false, mendable) => {
                writeln!(text, "{} to repair; --repair --apply --operator NAME --reason TEXT does it", rows(mendable))
            }
        };
        if self.busy > 0 {
            let _ = writeln!(text, "{} changed each time when looked at; run it again", rows(self.busy));
        }
        let _ = match (self.irreparable, self.mendable + self.busy) {
            (0, 0) => writeln!(text, "there is nothing to repair"),
            (0, _) => Ok(()),
            (left, _) => writeln!(text, "{} beyond repair", rows(left)),
        };
        text
    }

    /// The same for programs.
    pub(super) fn as_json(&self) -> Value {
        let shown = |(planned, mended): &(Planned, Option<Mended>)| {
            let Planned { key, version, now, then, .. } = planned;
            let findings: Vec<Value> = planned
                .findings
                .iter()
                .map(|found| {
                    let (source, field) = (found.source.as_str(), found.field.as_str());
                    json!({ "source": source, "field": field, "ours": found.ours, "theirs": found.theirs })
                })
                .collect();
            json!({
                "sku": key.sku.as_str(),
                "location": key.location.as_str(),
                "version": version,
                "findings": findings,
                "now": figures(now),
                "then": then.as_ref().ok().map(figures),
                "irreparable": then.as_ref().err().map(Irreparable::to_string),
                "outcome": word(planned, *mended).trim(),
            })
        };
        json!({
            "applied": self.is_applied,
            "repairable": self.mendable,
            "irreparable": self.irreparable,
            "busy": self.busy,
            "rows": self.told.iter().map(shown).collect::<Vec<_>>(),
        })
    }
}

fn word(planned: &Planned, mended: Option<Mended>) -> &'static str {
    match (&planned.then, mended) {
        (Err(_), _) | (Ok(_), Some(Mended::Irreparable)) => "BEYOND REPAIR",
        (Ok(_), None) => "would repair ",
        (Ok(_), Some(Mended::Done)) => "repaired     ",
        (Ok(_), Some(Mended::NothingToDo)) => "agrees by now",
        (Ok(_), Some(Mended::Busy)) => "BUSY         ",
    }
}

/// What changes, or why nothing can.
fn what(planned: &Planned) -> String {
    let (counters, level) = match &planned.then {
        Err(why) => return why.to_string(),
        Ok(then) => then,
    };
    let (now, now_level) = &planned.now;
    let changes = [
        ("on_hand", now.on_hand, counters.on_hand),
        ("cart_held", now.cart_held, counters.cart_held),
        ("order_reserved", now.order_reserved, counters.order_reserved),
        ("safety_stock", now.safety_stock, counters.safety_stock),
    ];
    let mut said: Vec<String> = changes
        .into_iter()
        .filter(|(_, now, then)| now != then)
        .map(|(name, now, then)| format!("{name} {now} -> {then}"))
        .collect();
    if now_level != level {
        said.push(format!("level {} -> {}", now_level.as_str(), level.as_str()));
    }
    if said.is_empty() {
        said.push("version as in the ledger".to_owned());
    }
    said.join(", ")
}

fn figures((counters, level): &(Counters, Level)) -> Value {
    json!({
        "on_hand": counters.on_hand,
        "cart_held": counters.cart_held,
        "order_reserved": counters.order_reserved,
        "safety_stock": counters.safety_stock,
        "level": level.as_str(),
    })
}
