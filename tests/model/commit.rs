//! A batch: read, judged, written, all or nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use holdfast::domain::alert::{self, Alert, AlertState};
use holdfast::domain::announce::{Announcement, AnnouncementBody, Holder};
use holdfast::domain::books::{Books, OpenHold};
use holdfast::domain::claim::{Claim, ClaimKey, ClaimKind, ClaimLine};
use holdfast::domain::event::{Envelope, Trace};
use holdfast::domain::stock::StockRow;
use holdfast::domain::waiting::WaitingList;
use holdfast::domain::words::{Day, StockKey, Timestamp};
use holdfast::planted_bug::{PlantedBug, is_planted};
use holdfast::ports::{
    Committed, DeadLetter, Entry, Judge, Judged, Loaded, MovementView, OutboxBatch, Seen, StoreError,
};
use holdfast::store::Retention;
use holdfast::wire::identity::alert_id;

use super::tables::{Given, Identity, Journaled, OpenDay, SetAside, Tables};
use super::{ModelStore, Step, audits, others_come_between};

/// How often a batch begins again before it waits like any transient trouble.
const MOST_ATTEMPTS: usize = 1_000;
/// A publisher's clock may run ahead across midnight.
const DAYS_AHEAD: i32 = 1;
/// 0001-01-01 and 9999-12-31: days beyond them have no name.
const FIRST_DAY: Day = Day(-719_162);
const LAST_DAY: Day = Day(2_932_896);

/// What becomes of the identities of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DayStatus {
    Open,
    Closed,
    Ahead,
}

/// What a batch was read as.
struct Read {
    loaded: Loaded,
    days: BTreeMap<Day, DayStatus>,
    /// What had been written by then.
    writes: u64,
}

impl ModelStore {
    pub(super) async fn commit_batch(&self, entries: &[Entry], judge: &Judge<'_>) -> Result<Committed, StoreError> {
        for repeats in 0..MOST_ATTEMPTS {
            self.faults.reach(Step::Begun)?;
            let Read { loaded, days, writes } = self.database.look(|tables| read(tables, entries, &self.retention));
            let now = loaded.now;
            self.faults.reach(Step::Loaded)?;
            others_come_between().await;
            let judged = judge(loaded).map_err(|broken| StoreError::Fatal(broken.to_string()))?;
            self.faults.reach(Step::Judged)?;
            others_come_between().await;
            let written = self.database.change(|tables| {
                if tables.writes != writes {
                    return Ok(None);
                }
                check(&judged)?;
                if let Err(died) = self.faults.reach(Step::BeforeCommit) {
                    lose_numbers(tables, &judged);
                    return Err(died);
                }
                file(tables, entries, &days, now);
                Ok(Some(write(tables, entries, judged, now)))
            })?;
            if let Some(committed) = written {
                self.faults.reach(Step::AfterCommit)?;
                return Ok(Committed { repeats, ..committed });
            }
        }
        Err(StoreError::Transient(format!("other writers came between {MOST_ATTEMPTS} times")))
    }
}

fn envelopes(entries: &[Entry]) -> impl Iterator<Item = &Envelope> {
    entries.iter().filter_map(|entry| match entry {
        Entry::Event { envelope, .. } => Some(&**envelope),
        Entry::DeadLetter(_) => None,
    })
}

fn identity(envelope: &Envelope) -> Identity {
    (envelope.day, envelope.cause.source.clone(), envelope.key)
}

/// Reads which identities are new, and everything that their events touch.
fn read(tables: &Tables, entries: &[Entry], retention: &Retention) -> Read {
    let days = days(tables, entries, retention);
    let seen: Vec<Seen> = entries
        .iter()
        .map(|entry| match entry {
            Entry::DeadLetter(_) => Seen::New,
            Entry::Event { envelope, .. } => match days[&envelope.day] {
                DayStatus::Closed => Seen::DayClosed,
                DayStatus::Ahead => Seen::DayAhead,
                DayStatus::Open => match tables.inbox.get(&identity(envelope)) {
                    Some((fingerprint, _)) => Seen::Before(*fingerprint),
                    None => Seen::New,
                },
            },
        })
        .collect();
    let fresh: Vec<&Envelope> = entries
        .iter()
        .zip(&seen)
        .filter_map(|(entry, seen)| match (entry, seen) {
            (Entry::Event { envelope, .. }, Seen::New) => Some(&**envelope),
            _ => None,
        })
        .collect();
    Read { loaded: Loaded { now: tables.clock, seen, books: books(tables, &fresh) }, days, writes: tables.writes }
}

/// Claims that events name, rows that events and those claims name, and who waits for those rows.
fn books(tables: &Tables, fresh: &[&Envelope]) -> Books {
    let named = fresh.iter().flat_map(|it| it.event.claim_key().into_iter().chain(it.event.other_claim_key()));
    let mut claims: HashMap<ClaimKey, Claim> =
        named.filter_map(|key| tables.claims.get(&key).map(|kept| (key, kept.claim.clone()))).collect();
    let mut rows: BTreeSet<&StockKey> = fresh.iter().flat_map(|envelope| envelope.event.stock_keys()).collect();
    rows.extend(claims.values().flat_map(|claim| claim.lines.keys()));
    let stock: HashMap<StockKey, StockRow> =
        rows.into_iter().filter_map(|key| Some((key.clone(), tables.stock.get(key)?.clone()))).collect();
    let mut waiting: HashMap<StockKey, WaitingList> = HashMap::new();
    for ((row, ticket), order) in tables.waiting_lines.iter().filter(|((row, _), _)| stock.contains_key(row)) {
        let key = ClaimKey { kind: ClaimKind::Order, reference: order.clone() };
        if let Some(kept) = tables.claims.get(&key) {
            let units = kept.claim.lines.get(row).map_or(0, |line| line.waiting);
            waiting.entry(row.clone()).or_default().put(*ticket, order.clone(), units);
            claims.insert(key, kept.claim.clone());
        }
    }
    let counts = fresh.iter().filter_map(|envelope| envelope.event.counted());
    let on_hand_at = counts.filter_map(|(key, at)| Some(((key.clone(), at), on_hand_at(tables, key, at)?))).collect();
    let short = fresh.iter().filter_map(|envelope| envelope.event.may_leave_short());
    let holders = short.map(|key| (key.clone(), holders(tables, key))).collect();
    let audited = fresh.iter().filter_map(|envelope| envelope.event.audited());
    let audits = audits::of(tables, audited);
    Books { stock, claims, waiting, on_hand_at, holders, audits }
}

/// What the newest ledger entry of a row says that is not after an instant.
fn on_hand_at(tables: &Tables, key: &StockKey, instant: Timestamp) -> Option<i64> {
    let of_row = (key.clone(), i64::MIN)..=(key.clone(), i64::MAX);
    let mut newest_first = tables.movements.range(of_row).rev();
    newest_first.find(|(_, movement)| movement.recorded_at <= instant).map(|(_, movement)| movement.after.on_hand)
}

/// Everybody who has units of a row set aside.
fn holders(tables: &Tables, key: &StockKey) -> Vec<OpenHold> {
    let of_row = tables.set_aside.iter().filter(|((row, _), _)| row == key);
    let hold = |((_, claim), held): (&(StockKey, ClaimKey), &SetAside)| OpenHold {
        holder: Holder { claim: claim.clone(), reserved: held.units },
        held_since: held.since,
    };
    of_row.map(hold).collect()
}

/// What becomes of each day that a batch names. Days that were never heard of are opened, the oldest first, while there
/// is room for them; those whose keys would be kept anyway always are.
fn days(tables: &Tables, entries: &[Entry], retention: &Retention) -> BTreeMap<Day, DayStatus> {
    let today = tables.clock.day();
    let mut open = tables.days.values().filter(|day| !day.is_dropped).count();
    let most = usize::try_from(retention.inbox_max_days).unwrap_or(usize::MAX);
    let named: BTreeSet<Day> = envelopes(entries).map(|envelope| envelope.day).collect();
    let status = |day: Day| {
        let status = match tables.days.get(&day) {
            _ if day < FIRST_DAY || day > LAST_DAY => DayStatus::Closed,
            Some(known) if known.is_dropped => DayStatus::Closed,
            Some(_) => DayStatus::Open,
            None if day.0 > today.0 + DAYS_AHEAD => DayStatus::Ahead,
            None if open < most || today.0 - day.0 <= retention.inbox_keep_days => {
                open += 1;
                DayStatus::Open
            }
            None => DayStatus::Closed,
        };
        (day, status)
    };
    named.into_iter().map(status).collect()
}

/// Refuses rows that no rule can leave behind, by the name of what they break.
fn check(judged: &Judged) -> Result<(), StoreError> {
    let refuse = |constraint: &str| Err(StoreError::Fatal(format!("the constraint {constraint} refused a row")));
    for row in changed_rows(judged) {
        let StockRow { counters, critical_threshold: critical, warning_threshold: warning, .. } = row;
        let rules = [
            ("stock_on_hand_not_negative", counters.on_hand >= 0),
            ("stock_cart_held_not_negative", counters.cart_held >= 0),
            ("stock_order_reserved_not_negative", counters.order_reserved >= 0),
            ("stock_safety_stock_not_negative", counters.safety_stock >= 0),
            ("stock_max_stock_not_negative", row.max_stock.is_none_or(|most| most >= 0)),
            ("stock_thresholds_ordered", 0 <= *critical && critical <= warning),
            ("stock_version_positive", row.version >= 1),
            ("stock_waiting_not_negative", row.waiting >= 0),
        ];
        if let Some((name, _)) = rules.into_iter().find(|(_, holds)| !holds) {
            return refuse(name);
        }
    }
    if changed_claims(judged).any(|claim| claim.lines.values().any(|line| line.reserved < 0)) {
        return refuse("claim_line_reserved_positive");
    }
    Ok(())
}

fn changed_rows(judged: &Judged) -> impl Iterator<Item = &StockRow> {
    let effects = &judged.effects;
    let keys: BTreeSet<&StockKey> = effects.created.iter().chain(&effects.settings).chain(&effects.counted).collect();
    keys.into_iter().filter_map(|key| judged.books.stock.get(key))
}

fn changed_claims(judged: &Judged) -> impl Iterator<Item = &Claim> {
    judged.effects.claims.iter().filter_map(|key| judged.books.claims.get(key))
}

/// Opens days and names sources, whatever becomes of the events.
fn file(tables: &mut Tables, entries: &[Entry], days: &BTreeMap<Day, DayStatus>, now: Timestamp) {
    let today = now.day();
    for (day, status) in days {
        if *status == DayStatus::Open {
            let open = tables.days.entry(*day).or_insert(OpenDay { last_written_on: today, is_dropped: false });
            open.last_written_on = open.last_written_on.max(today);
        }
    }
    tables.sources.extend(envelopes(entries).map(|envelope| envelope.cause.source.clone()));
}

/// Writes what a batch was judged to be.
fn write(tables: &mut Tables, entries: &[Entry], judged: Judged, now: Timestamp) -> Committed {
    tables.writes += 1;
    for (index, verdict) in &judged.fresh {
        if let Some(Entry::Event { envelope, .. }) = entries.get(*index) {
            tables.inbox.insert(identity(envelope), (envelope.fingerprint, *verdict));
        }
    }
    for row in changed_rows(&judged) {
        tables.stock.insert(row.key.clone(), row.clone());
    }
    for claim in changed_claims(&judged) {
        let mut claim = claim.clone();
        claim.revision += 1;
        let answer = given(tables, &judged, &claim.key, now);
        // What it let go on the way it holds anew, if at all.
        for row in judged.effects.let_go.get(&claim.key).into_iter().flatten() {
            tables.set_aside.remove(&(row.clone(), claim.key.clone()));
        }
        tables.put_claim(claim, answer, now);
    }
    for (row, list) in &judged.books.waiting {
        tables.waiting_lines.retain(|(other, _), _| other != row);
        tables.waiting_lines.extend(list.places().map(|(ticket, order)| ((row.clone(), ticket), order.clone())));
    }
    forget_empty_lines(tables, &judged);
    for (key, difference) in &judged.effects.differences {
        match difference {
            Some(open) => tables.differences.insert(key.clone(), open.clone()),
            None => tables.differences.remove(key),
        };
    }
    append(tables, &judged, now);
    follow_levels(tables, &judged.effects.announcements, now);
    let Judged { outcomes, effects, dead_letters, fresh, .. } = judged;
    let dead_letters = dead_letters.into_iter().filter(|letter| tables.bury(letter, now)).collect();
    let outbox = announce(tables, effects.announcements, dead_letters, now);
    if let Some(journal) = &mut tables.journal {
        let (entries, outcomes, outbox) = (entries.to_vec(), outcomes.clone(), outbox.clone());
        journal.push(Journaled { now, entries, fresh, outcomes, outbox });
    }
    Committed { outcomes, outbox, repeats: 0 }
}

/// What becomes of numbers that are given before the last statement of a transaction that fails.
fn lose_numbers(tables: &mut Tables, judged: &Judged) {
    if is_planted(PlantedBug::NumberGivenEarly) && !judged.effects.announcements.is_empty() {
        tables.last_number += 1;
        tables.last_seq += judged.effects.announcements.len() as i64;
    }
}

/// The answer that a claim was given by a batch, under the numbers that the batch is going to have.
fn given(tables: &Tables, judged: &Judged, claim: &ClaimKey, recorded_at: Timestamp) -> Option<Given> {
    let place = *judged.effects.answers.get(claim)?;
    let announcement = judged.effects.announcements.get(place)?;
    let AnnouncementBody::ReservationResult(answer) = &announcement.body else { return None };
    let (number, seq) = (tables.last_number + 1, tables.last_seq + 1 + place as i64);
    Some(Given { answer: answer.clone(), cause: announcement.cause.clone(), recorded_at, number, seq })
}

/// A line of which nothing is left is not kept: a cart that lives long meets many SKUs.
fn forget_empty_lines(tables: &mut Tables, judged: &Judged) {
    for key in &judged.effects.claims {
        if let Some(kept) = tables.claims.get_mut(key) {
            kept.claim.lines.retain(|_, line| *line != ClaimLine::default());
        }
    }
}

/// Appends to the ledger, which keeps no trace state.
fn append(tables: &mut Tables, judged: &Judged, recorded_at: Timestamp) {
    for movement in &judged.effects.movements {
        let view = MovementView {
            version: movement.version,
            kind: movement.kind,
            change: movement.change,
            after: movement.after,
            cause: (*movement.cause).clone(),
            reason: movement.reason.clone(),
            operator: movement.operator.clone(),
            trace: Trace { parent: movement.trace.parent.clone(), state: None },
            recorded_at,
        };
        tables.sources.insert(Arc::clone(&movement.cause.source));
        tables.movements.insert((movement.key.clone(), movement.version), view);
    }
}

/// Opens, changes and resolves alerts as levels are announced.
fn follow_levels(tables: &mut Tables, announcements: &[Announcement], now: Timestamp) {
    let rows = alert::rows_told(announcements);
    let is_unresolved = |it: &&Alert| it.state != AlertState::Resolved && rows.contains(&&it.key);
    let unresolved = tables.alerts.values().filter(is_unresolved).cloned().collect();
    let changed = alert::follow(unresolved, announcements, now, alert_id);
    tables.alerts.extend(changed.into_iter().map(|alert| (alert.id, alert)));
}

/// Takes the next numbers, where there is anything to tell.
fn announce(
    tables: &mut Tables,
    announcements: Vec<Announcement>,
    dead_letters: Vec<DeadLetter>,
    recorded_at: Timestamp,
) -> Option<OutboxBatch> {
    if announcements.is_empty() && dead_letters.is_empty() {
        return None;
    }
    let batch = OutboxBatch {
        number: tables.last_number + 1,
        first_seq: tables.last_seq + 1,
        recorded_at,
        announcements,
        dead_letters,
    };
    tables.last_number = batch.number;
    tables.last_seq = batch.last_seq();
    tables.outbox.insert(batch.number, batch.clone());
    Some(batch)
}
