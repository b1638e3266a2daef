//! What a batch looks up and what it writes: keys before it is judged, rows after it. Pure; the statements and their
//! locks are each adapter's own.

use std::collections::{BTreeSet, HashMap, HashSet};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::filing::{DayStatus, Filing};
use super::lines;
use super::waiting::{self, Places, WaitingLine};
use crate::domain::announce::{AnnouncementBody, Holder, MAX_SHORT_CLAIMS, Movement};
use crate::domain::books::{Books, Effects, OpenHold};
use crate::domain::claim::{Claim, ClaimKey};
use crate::domain::event::{Envelope, EventKey, Fingerprint};
use crate::domain::reconciliation::{Difference, DifferenceKey};
use crate::domain::stock::StockRow;
use crate::domain::verdict::Verdict;
use crate::domain::words::{Day, Reference, StockKey, Timestamp};
use crate::ports::{DeadLetter, Entry, HolderView, Judged, Loaded, Position, Record, Seen, StoreError};
use crate::wire::identity::event_key;
use crate::wire::stored;

/// One identity to look up.
pub(super) struct InboxKey {
    pub day: Day,
    pub source: i32,
    pub key: EventKey,
}

/// The identities of a batch, and what is known of each entry without looking.
pub(super) struct Identities {
    /// What there is to look up.
    pub keys: Vec<InboxKey>,
    /// Where the entry of each key stands in the batch.
    places: Vec<usize>,
    seen: Vec<Seen>,
}

impl Identities {
    pub fn of(entries: &[Entry], filing: &Filing) -> Result<Self, StoreError> {
        let mut identities = Self {
            keys: Vec::with_capacity(entries.len()),
            places: Vec::with_capacity(entries.len()),
            seen: vec![Seen::New; entries.len()],
        };
        for (place, entry) in entries.iter().enumerate() {
            let Entry::Event { envelope, .. } = entry else { continue };
            match filing.day(envelope.day) {
                DayStatus::Open => {
                    let source = filing.source(&envelope.cause.source)?;
                    identities.keys.push(InboxKey { day: envelope.day, source, key: envelope.key });
                    identities.places.push(place);
                }
                DayStatus::Closed | DayStatus::Crowded => identities.seen[place] = Seen::DayClosed,
                DayStatus::Ahead => identities.seen[place] = Seen::DayAhead,
            }
        }
        Ok(identities)
    }

    /// What is known of each entry, where `found` are the keys that are there, as (index into `keys`, fingerprint).
    pub fn seen(mut self, found: &[(i64, i64)]) -> Vec<Seen> {
        for (index, fingerprint) in found {
            if let Some(place) = usize::try_from(*index).ok().and_then(|index| self.places.get(index)) {
                self.seen[*place] = Seen::Before(Fingerprint(*fingerprint));
            }
        }
        self.seen
    }
}

/// The events whose identity is new.
pub(super) fn fresh<'e>(entries: &'e [Entry], seen: &[Seen]) -> Vec<&'e Envelope> {
    let fresh = entries.iter().zip(seen).filter_map(|(entry, seen)| match (entry, seen) {
        (Entry::Event { envelope, .. }, Seen::New) => Some(&**envelope),
        _ => None,
    });
    fresh.collect()
}

/// The claims that events touch, in the order of their locks.
pub(super) fn claim_keys(events: &[&Envelope]) -> BTreeSet<ClaimKey> {
    events
        .iter()
        .flat_map(|envelope| envelope.event.claim_key().into_iter().chain(envelope.event.other_claim_key()))
        .collect()
}

/// The stock rows that events and the claims they touch (`touched`) name, in the order of their locks. A claim that was
/// loaded because it waits for one of these rows brings in no other: whoever gets units of a row needs that row alone.
pub(super) fn stock_keys<'a>(
    events: &[&'a Envelope],
    touched: &BTreeSet<ClaimKey>,
    claims: &'a [Claim],
) -> Vec<&'a StockKey> {
    let mut keys: BTreeSet<&StockKey> = events.iter().flat_map(|envelope| envelope.event.stock_keys()).collect();
    let claims = claims.iter().filter(|claim| touched.contains(&claim.key));
    keys.extend(claims.flat_map(|claim| claim.lines.keys()));
    keys.into_iter().collect()
}

/// The rows that events count, and when: each once, in order.
pub(super) fn counts<'a>(events: &[&'a Envelope]) -> Vec<(&'a StockKey, Timestamp)> {
    let counts: BTreeSet<(&StockKey, Timestamp)> = events.iter().filter_map(|it| it.event.counted()).collect();
    counts.into_iter().collect()
}

/// The rows of which something is reserved and that events may leave short: each once, in order.
pub(super) fn possibly_short<'a>(events: &[&'a Envelope], stock: &[StockRow]) -> Vec<&'a StockKey> {
    let named: BTreeSet<&StockKey> = events.iter().filter_map(|it| it.event.may_leave_short()).collect();
    let reserved: HashSet<&StockKey> =
        stock.iter().filter(|row| row.counters.reserved() > 0).map(|row| &row.key).collect();
    named.into_iter().filter(|key| reserved.contains(key)).collect()
}

/// How many holders of a row are looked at: so many that enough are left when every claim of the batch gives its units
/// back.
pub(super) fn most_holders(claims: &[Claim]) -> i64 {
    i64::try_from(MAX_SHORT_CLAIMS + claims.len()).unwrap_or(i64::MAX)
}

/// Loaded rows by their keys, without what counts, shortages and reconciliation ask for besides.
pub(super) fn books(stock: Vec<StockRow>, claims: Vec<Claim>, waiting: &[WaitingLine]) -> Result<Books, StoreError> {
    let claims = claims.into_iter().map(|claim| (claim.key.clone(), claim)).collect();
    Ok(Books {
        stock: stock.into_iter().map(|row| (row.key.clone(), row)).collect(),
        waiting: waiting::lists(waiting, &claims)?,
        claims,
        ..Books::default()
    })
}

/// What counts found in the ledger, as (index into `counts`, units on hand), by row and instant.
pub(super) fn on_hand_at(
    counts: &[(&StockKey, Timestamp)],
    found: &[(i64, i64)],
) -> HashMap<(StockKey, Timestamp), i64> {
    let place = |index: i64| usize::try_from(index).ok().and_then(|index| counts.get(index));
    let found = found.iter().filter_map(|(index, units)| Some((place(*index)?, *units)));
    found.map(|((key, instant), units)| (((*key).clone(), *instant), units)).collect()
}

/// Holders of rows, as (index into `keys`, holder), by row, and those of the loaded `claims` that hold so long that they
/// were not looked at: whatever the batch changes, [`most_holders`] leaves enough newer ones before them, so that since
/// when they hold decides nothing.
pub(super) fn holders(
    keys: &[&StockKey],
    claims: &[Claim],
    found: Vec<(i64, HolderView)>,
) -> HashMap<StockKey, Vec<OpenHold>> {
    let mut holders: HashMap<StockKey, Vec<OpenHold>> = HashMap::new();
    for (index, HolderView { key, reserved, held_since, .. }) in found {
        let Some(row) = usize::try_from(index).ok().and_then(|index| keys.get(index)) else { continue };
        let hold = OpenHold { holder: Holder { claim: key, reserved }, held_since };
        holders.entry((*row).clone()).or_default().push(hold);
    }
    for row in keys {
        let found = holders.entry((*row).clone()).or_default();
        let known: HashSet<&ClaimKey> = found.iter().map(|hold| &hold.holder.claim).collect();
        let holds = claims.iter().filter(|claim| !known.contains(&claim.key)).filter_map(|claim| {
            let reserved = claim.lines.get(*row).map(|line| line.reserved).filter(|reserved| *reserved > 0)?;
            Some(OpenHold { holder: Holder { claim: claim.key.clone(), reserved }, held_since: None })
        });
        let further: Vec<OpenHold> = holds.collect();
        found.extend(further);
    }
    holders
}

/// One identity to record.
pub(super) struct InboxRow {
    pub day: Day,
    pub source: i32,
    pub key: EventKey,
    pub fingerprint: i64,
    pub outcome: i16,
}

/// One claim to write.
pub(super) struct ClaimRow<'a> {
    pub claim: &'a Claim,
    pub remembered: Option<Vec<u8>>,
    /// Its last answer, where it was given one; without one it keeps the one that it has.
    pub answer: Option<Vec<u8>>,
}

impl ClaimRow<'_> {
    /// The lines as the row keeps them.
    pub fn lines(&self) -> String {
        lines::write(&self.claim.lines)
    }

    /// The revision that this write leaves; it starts anew after two thousand million writes of one claim.
    pub fn next_revision(&self) -> i32 {
        i32::try_from(self.claim.revision + 1).unwrap_or(1)
    }
}

/// What a claim has set aside of a stock row, in units.
pub(super) type SetAside<'a> = (&'a ClaimKey, &'a StockKey, i64);

/// The rows that a judged batch writes, each list in the order in which it is written.
#[derive(Default)]
pub(super) struct Rows<'a> {
    pub inbox: Vec<InboxRow>,
    /// Claims that do not exist yet.
    pub new_claims: Vec<ClaimRow<'a>>,
    /// Claims that were loaded.
    pub known_claims: Vec<ClaimRow<'a>>,
    /// What claims no longer have set aside.
    pub given_back: Vec<(&'a ClaimKey, &'a StockKey)>,
    pub set_aside: Vec<SetAside<'a>>,
    /// Places in the line for a row that are free again, as (row, ticket).
    pub left: Vec<(&'a StockKey, i64)>,
    /// Places that orders have taken, as (row, ticket, order).
    pub joined: Vec<(&'a StockKey, i64, &'a Reference)>,
    /// Loaded rows of which only counters, level and version changed.
    pub counted: Vec<&'a StockRow>,
    /// Loaded rows that changed otherwise.
    pub settings: Vec<&'a StockRow>,
    /// Rows that do not exist yet.
    pub created: Vec<&'a StockRow>,
    /// Open differences.
    pub differences: Vec<(&'a DifferenceKey, &'a Difference)>,
    /// Differences that are settled.
    pub settled: Vec<&'a DifferenceKey>,
}

/// What is known of a batch before it is judged and needed after it.
pub(super) struct Pending<'a> {
    entries: &'a [Entry],
    filing: &'a Filing,
    /// The database's clock.
    pub now: Timestamp,
    existing: HashSet<StockKey>,
    /// What each loaded claim has set aside, where it has anything.
    set_aside: HashMap<ClaimKey, HashMap<StockKey, i64>>,
    /// Who waits for the loaded rows.
    waiting: Places,
}

impl<'a> Pending<'a> {
    pub fn new(entries: &'a [Entry], filing: &'a Filing, loaded: &Loaded) -> Self {
        let of_claim = |claim: &Claim| {
            let lines = claim.lines.iter().filter(|(_, line)| line.reserved > 0);
            lines.map(|(key, line)| (key.clone(), line.reserved)).collect()
        };
        let claims = loaded.books.claims.values().filter(|claim| claim.reserves());
        Self {
            entries,
            filing,
            now: loaded.now,
            existing: loaded.books.stock.keys().cloned().collect(),
            set_aside: claims.map(|claim| (claim.key.clone(), of_claim(claim))).collect(),
            waiting: Places::of(&loaded.books.waiting),
        }
    }

    /// The rows to write.
    pub fn rows<'j>(&'j self, judged: &'j Judged) -> Result<Rows<'j>, StoreError> {
        let mut rows = Rows { inbox: self.inbox(&judged.fresh)?, ..Rows::default() };
        self.claims(&judged.books, &judged.effects, &mut rows);
        self.stock(&judged.books, &judged.effects, &mut rows);
        for (key, difference) in &judged.effects.differences {
            match difference {
                Some(difference) => rows.differences.push((key, difference)),
                None => rows.settled.push(key),
            }
        }
        rows.left = self.waiting.left(&judged.books.waiting);
        rows.joined = self.waiting.joined(&judged.books.waiting);
        Ok(rows)
    }

    fn inbox(&self, fresh: &[(usize, Verdict)]) -> Result<Vec<InboxRow>, StoreError> {
        let mut rows = Vec::with_capacity(fresh.len());
        for (index, verdict) in fresh {
            let Some(Entry::Event { envelope, .. }) = self.entries.get(*index) else { continue };
            rows.push(InboxRow {
                day: envelope.day,
                source: self.filing.source(&envelope.cause.source)?,
                key: envelope.key,
                fingerprint: envelope.fingerprint.0,
                outcome: match verdict {
                    Verdict::Applied => 1,
                    Verdict::Refused(_) => 2,
                    Verdict::Ignored => 3,
                },
            });
        }
        rows.sort_unstable_by_key(|row| (row.day, row.key.0, row.source));
        Ok(rows)
    }

    fn claims<'j>(&self, books: &'j Books, effects: &'j Effects, rows: &mut Rows<'j>) {
        for key in &effects.claims {
            let Some(claim) = books.claims.get(key) else { continue };
            let remembered = (!claim.remembered.is_empty()).then(|| stored::encode_remembered(&claim.remembered));
            let row = ClaimRow { claim, remembered, answer: self.kept_answer(effects, key) };
            if claim.revision == 0 { &mut rows.new_claims } else { &mut rows.known_claims }.push(row);
            let (before, let_go) = (self.set_aside.get(key), effects.let_go.get(key));
            for (row, line) in &claim.lines {
                match (line.reserved, before.and_then(|before| before.get(row)).copied().unwrap_or(0)) {
                    (0, 0) => {}
                    (0, _) => rows.given_back.push((key, row)),
                    // Written anew, for the time since when it is held.
                    (now, before) if before > 0 && let_go.is_some_and(|rows| rows.contains(row)) => {
                        rows.given_back.push((key, row));
                        rows.set_aside.push((key, row, now));
                    }
                    (now, before) if now == before => {}
                    (now, _) => rows.set_aside.push((key, row, now)),
                }
            }
        }
    }

    /// The answer that a claim keeps from now on, where it was given one.
    fn kept_answer(&self, effects: &Effects, key: &ClaimKey) -> Option<Vec<u8>> {
        let announcement = effects.announcements.get(*effects.answers.get(key)?)?;
        match &announcement.body {
            AnnouncementBody::ReservationResult(answer) => {
                Some(stored::encode_answer(answer, &announcement.cause, self.now))
            }
            AnnouncementBody::StockChanged { .. }
            | AnnouncementBody::LowStock { .. }
            | AnnouncementBody::StockShortage { .. }
            | AnnouncementBody::StockDrift { .. } => None,
        }
    }

    fn stock<'j>(&self, books: &'j Books, effects: &'j Effects, rows: &mut Rows<'j>) {
        let exists = |key: &&StockKey| self.existing.contains(*key);
        let row = |key: &StockKey| books.stock.get(key);
        let counted = effects.counted.iter().filter(exists).filter(|key| !effects.settings.contains(*key));
        rows.counted = counted.filter_map(row).collect();
        rows.settings = effects.settings.iter().filter(exists).filter_map(row).collect();
        rows.created = effects.created.iter().filter_map(row).collect();
    }
}

/// The event's key that a movement is filed under, and the event's id where that is not the key's text.
pub(super) fn cause_key(movement: &Movement) -> (Uuid, Option<&str>) {
    let key = Uuid::from_bytes(event_key(&movement.cause.id).0);
    let id = &*movement.cause.id;
    (key, (id != key.to_string()).then_some(id))
}

/// Dead letters with the ids of their records.
pub(super) struct Letters(Vec<(Uuid, DeadLetter)>);

impl Letters {
    pub fn of(dead_letters: Vec<DeadLetter>) -> Self {
        Self(dead_letters.into_iter().map(|letter| (position_id(&letter.record), letter)).collect())
    }

    /// In the order in which their positions are recorded.
    pub fn by_id(&self) -> Vec<(Uuid, &DeadLetter)> {
        let mut sorted: Vec<(Uuid, &DeadLetter)> = self.0.iter().map(|(id, letter)| (*id, letter)).collect();
        sorted.sort_unstable_by_key(|(id, _)| *id);
        sorted
    }

    /// Those whose ids are in `new`, in their own order.
    pub fn only(self, new: &HashSet<Uuid>) -> Vec<DeadLetter> {
        self.0.into_iter().filter(|(id, _)| new.contains(id)).map(|(_, letter)| letter).collect()
    }
}

/// The id of a record that was not understood: its position and its bytes, since a topic that was made anew counts its
/// offsets from the start again.
fn position_id(record: &Record) -> Uuid {
    let mut digest = Sha256::new();
    let Position { topic, partition, offset } = &record.position;
    digest.update((topic.len() as u64).to_be_bytes());
    digest.update(topic.as_bytes());
    digest.update(partition.to_be_bytes());
    digest.update(offset.to_be_bytes());
    digest.update(record.payload.as_deref().unwrap_or_default());
    let mut id = [0; 16];
    id.copy_from_slice(&digest.finalize()[..16]);
    Uuid::from_bytes(id)
}
