//! The transaction of a batch. Its round trips, and why each is separate:
//!
//! | | statement | why not together with another |
//! | --- | --- | --- |
//! | 1 | BEGIN | |
//! | 2 | look up inbox keys | says which events lock anything at all |
//! | 3 | lock claims, in key order | says which rows the claims bring in |
//! | 4 | read their lines (only when a claim exists) | needs the locks of 3 |
//! | 5 | lock stock, in key order, and read the clock | needs the lines; waits as late as possible |
//! | | judge, in memory | |
//! | 6 | insert inbox keys, with the outcome | a key that is there by now is another worker's: start again |
//! | 7, 8 | write claims and their lines | a claim that is there by now: start again |
//! | 9 | write counters (settings, new rows: only with registrations) | |
//! | 10 | append to the ledger | |
//! | 11 | take the numbers, insert the outbox row (dead letters before it, only when there are any) | last: the counter is locked until COMMIT |
//! | 12 | COMMIT | |
//!
//! Inbox keys are looked up first and inserted late, because the outcome that they record is known late: a row that is
//! inserted and then updated costs twice. The key decides all the same, in the same transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sha2::{Digest, Sha256};
use sqlx::types::Uuid;
use sqlx::{Connection, PgConnection};

use super::days::{DayStatus, Interned};
use super::write::{ClaimRow, InboxRow, KeptAnswer, WholeRows};
use super::{PostgresStore, error, read, write};
use crate::domain::announce::AnnouncementBody;
use crate::domain::books::Books;
use crate::domain::claim::{Claim, ClaimKey};
use crate::domain::event::Envelope;
use crate::domain::stock::StockRow;
use crate::domain::verdict::Verdict;
use crate::domain::words::{StockKey, Timestamp};
use crate::ports::{
    Committed, DeadLetter, Entry, Judge, Judged, Loaded, OutboxBatch, Position, Record, Seen, StoreError,
};
use crate::wire::stored;

/// How often a batch is tried at once when other writers come between; afterwards it waits like any transient trouble.
const ATTEMPTS: usize = 10;

/// Why an attempt did not end in a commit.
pub(super) enum Attempt {
    /// Another writer came between: the same batch can go again at once.
    Again(&'static str),
    /// What the store knew of days was wrong: learn it anew and go again.
    DaysChanged,
    /// See [`StoreError`].
    Failed(StoreError),
}

impl From<sqlx::Error> for Attempt {
    fn from(error: sqlx::Error) -> Self {
        if error::is_conflict(&error) {
            Self::Again("a deadlock or serialization failure")
        } else if error::lacks_partition(&error) {
            Self::DaysChanged
        } else {
            Self::Failed(error::classify(error))
        }
    }
}

impl From<StoreError> for Attempt {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl PostgresStore {
    pub(super) async fn commit_batch(&self, entries: &[Entry], judge: &Judge<'_>) -> Result<Committed, StoreError> {
        let mut last = "";
        for _ in 0..ATTEMPTS {
            let interned = self.intern(entries).await?;
            match self.attempt(entries, judge, &interned).await {
                Ok(committed) => return Ok(committed),
                Err(Attempt::Again(reason)) => {
                    tracing::debug!(reason, "another writer came between, the batch goes again");
                    last = reason;
                }
                Err(Attempt::DaysChanged) => {
                    self.forget_days();
                    last = "a partition that is gone";
                }
                Err(Attempt::Failed(error)) => return Err(error),
            }
        }
        Err(StoreError::Transient(format!("{ATTEMPTS} attempts ended with {last}")))
    }

    async fn attempt(&self, entries: &[Entry], judge: &Judge<'_>, interned: &Interned) -> Result<Committed, Attempt> {
        let mut connection = self.pool.acquire().await?;
        let mut transaction = connection.begin().await?;
        let loaded = load(&mut transaction, entries, interned).await?;
        let existing: HashSet<StockKey> = loaded.books.stock.keys().cloned().collect();
        let now = loaded.now;
        let judged = judge(loaded).map_err(|broken| StoreError::Fatal(broken.to_string()))?;
        let pending = Pending { entries, interned, now, existing };
        let committed = pending.write(&mut transaction, judged).await?;
        transaction.commit().await?;
        Ok(committed)
    }
}

/// Reads which identities are new and locks what their events touch.
async fn load(connection: &mut PgConnection, entries: &[Entry], interned: &Interned) -> Result<Loaded, Attempt> {
    let seen = look_up(connection, entries, interned).await?;
    let fresh: Vec<&Envelope> = entries
        .iter()
        .zip(&seen)
        .filter_map(|(entry, seen)| match (entry, seen) {
            (Entry::Event { envelope, .. }, Seen::New) => Some(&**envelope),
            _ => None,
        })
        .collect();
    let claims = lock_claims(connection, &fresh).await?;
    let mut keys: BTreeSet<&StockKey> = fresh.iter().flat_map(|envelope| envelope.event.stock_keys()).collect();
    keys.extend(claims.values().flat_map(|claim| claim.lines.keys()));
    let keys: Vec<&StockKey> = keys.into_iter().collect();
    let (stock, clock) = if keys.is_empty() { (Vec::new(), None) } else { read::lock_stock(connection, &keys).await? };
    let now = match clock {
        Some(now) => now,
        None => read::clock(connection).await?,
    };
    let stock = stock.into_iter().map(|row| (row.key.clone(), row)).collect();
    Ok(Loaded { now, seen, books: Books { stock, claims } })
}

async fn look_up(connection: &mut PgConnection, entries: &[Entry], interned: &Interned) -> Result<Vec<Seen>, Attempt> {
    let mut seen = vec![Seen::New; entries.len()];
    let mut keys = Vec::with_capacity(entries.len());
    let mut indexes = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let Entry::Event { envelope, .. } = entry else { continue };
        match interned.day(envelope.day) {
            DayStatus::Open(day) => {
                let source = interned.source(&envelope.cause.source)?;
                keys.push(read::InboxKey { day, source, key: Uuid::from_bytes(envelope.key.0) });
                indexes.push(index);
            }
            DayStatus::Closed => seen[index] = Seen::DayClosed,
            DayStatus::Ahead => seen[index] = Seen::DayAhead,
        }
    }
    if !keys.is_empty() {
        for (position, fingerprint) in read::inbox(connection, &keys).await? {
            if let Some(index) = usize::try_from(position).ok().and_then(|position| indexes.get(position)) {
                seen[*index] = Seen::Before(crate::domain::event::Fingerprint(fingerprint.into_bytes()));
            }
        }
    }
    Ok(seen)
}

async fn lock_claims(connection: &mut PgConnection, events: &[&Envelope]) -> Result<HashMap<ClaimKey, Claim>, Attempt> {
    let keys: BTreeSet<ClaimKey> = events
        .iter()
        .flat_map(|envelope| envelope.event.claim_key().into_iter().chain(envelope.event.cart_key()))
        .collect();
    let keys: Vec<ClaimKey> = keys.into_iter().collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let found = read::lock_claims(connection, &keys).await?;
    let mut claims: HashMap<ClaimKey, Claim> = found.into_iter().map(|claim| (claim.key.clone(), claim)).collect();
    if !claims.is_empty() {
        let keys: Vec<ClaimKey> = claims.keys().cloned().collect();
        for (key, row, line) in read::claim_lines(connection, &keys).await? {
            if let Some(claim) = claims.get_mut(&key) {
                claim.lines.insert(row, line);
            }
        }
    }
    Ok(claims)
}

/// A judged batch on its way into the tables.
struct Pending<'a> {
    entries: &'a [Entry],
    interned: &'a Interned,
    now: Timestamp,
    existing: HashSet<StockKey>,
}

impl Pending<'_> {
    async fn write(&self, connection: &mut PgConnection, judged: Judged) -> Result<Committed, Attempt> {
        let Judged { outcomes, fresh, books, effects, dead_letters } = judged;
        // Ties the answers of claims to the outbox row, whose number is taken only at the end.
        let transaction = (Uuid::new_v4().as_u128() >> 65) as i64;
        self.write_inbox(connection, &fresh).await?;
        let mut answers: BTreeMap<&ClaimKey, KeptAnswer> = BTreeMap::new();
        for (key, index) in &effects.answers {
            let announcement = &effects.announcements[*index];
            if let AnnouncementBody::ReservationResult(answer) = &announcement.body {
                let content = stored::encode_answer(answer, &announcement.cause, self.now);
                answers.insert(key, KeptAnswer { content, index: i32::try_from(*index).unwrap_or(i32::MAX) });
            }
        }
        self.write_claims(connection, &books, &effects.claims, answers, transaction).await?;
        self.write_stock(connection, &books, &effects).await?;
        if !effects.movements.is_empty() {
            let causes = effects.movements.iter().map(|movement| &*movement.cause);
            let sources = self.interned.cause_sources(connection, causes).await?;
            write::movements(connection, &effects.movements, &sources, self.now).await?;
        }
        let dead_letters = self.write_dead_letters(connection, dead_letters).await?;
        if effects.announcements.is_empty() && dead_letters.is_empty() {
            return Ok(Committed { outcomes, outbox: None });
        }
        let announcements = effects.announcements;
        let content = stored::encode_batch(&announcements, &dead_letters);
        let (number, first_seq) =
            write::outbox(connection, announcements.len(), transaction, &content, self.now).await?;
        let outbox = OutboxBatch { number, first_seq, recorded_at: self.now, announcements, dead_letters };
        Ok(Committed { outcomes, outbox: Some(outbox) })
    }

    async fn write_inbox(&self, connection: &mut PgConnection, fresh: &[(usize, Verdict)]) -> Result<(), Attempt> {
        let mut rows = Vec::with_capacity(fresh.len());
        for (index, verdict) in fresh {
            let Entry::Event { envelope, .. } = &self.entries[*index] else { continue };
            let DayStatus::Open(day) = self.interned.day(envelope.day) else { continue };
            rows.push(InboxRow {
                day,
                source: self.interned.source(&envelope.cause.source)?,
                key: Uuid::from_bytes(envelope.key.0),
                fingerprint: Uuid::from_bytes(envelope.fingerprint.0),
                outcome: match verdict {
                    Verdict::Applied => 1,
                    Verdict::Refused(_) => 2,
                    Verdict::Ignored => 3,
                },
            });
        }
        if rows.is_empty() {
            return Ok(());
        }
        rows.sort_unstable_by_key(|row| (row.day, row.key, row.source));
        if write::inbox(connection, &rows).await? < rows.len() as u64 {
            return Err(Attempt::Again("the same event on another worker"));
        }
        Ok(())
    }

    async fn write_claims(
        &self,
        connection: &mut PgConnection,
        books: &Books,
        changed: &BTreeSet<ClaimKey>,
        mut answers: BTreeMap<&ClaimKey, KeptAnswer>,
        transaction: i64,
    ) -> Result<(), Attempt> {
        let mut rows = Vec::with_capacity(changed.len());
        let mut lines = Vec::new();
        for key in changed {
            let Some(claim) = books.claims.get(key) else { continue };
            let remembered = (!claim.remembered.is_empty()).then(|| stored::encode_remembered(&claim.remembered));
            rows.push(ClaimRow { claim, remembered, answer: answers.remove(key) });
            lines.extend(claim.lines.iter().map(|(row, line)| (key, row, line)));
        }
        if rows.is_empty() {
            return Ok(());
        }
        if write::claims(connection, &rows, transaction, self.now).await? < rows.len() as u64 {
            return Err(Attempt::Again("the same claim on another worker"));
        }
        if !lines.is_empty() {
            write::claim_lines(connection, &lines).await?;
        }
        Ok(())
    }

    async fn write_stock(
        &self,
        connection: &mut PgConnection,
        books: &Books,
        effects: &crate::domain::books::Effects,
    ) -> Result<(), Attempt> {
        let rows = |keys: &mut dyn Iterator<Item = &StockKey>| -> Vec<&StockRow> {
            keys.filter_map(|key| books.stock.get(key)).collect()
        };
        let created = |key: &StockKey| !self.existing.contains(key);
        let counted = rows(&mut effects.counted.iter().filter(|key| !created(key) && !effects.settings.contains(*key)));
        if !counted.is_empty() {
            write::stock_counters(connection, &counted).await?;
        }
        let settings = rows(&mut effects.settings.iter().filter(|key| !created(key)));
        if !settings.is_empty() {
            write::stock_rows(connection, WholeRows::Update, &settings).await?;
        }
        let new = rows(&mut effects.created.iter());
        if !new.is_empty() && write::stock_rows(connection, WholeRows::Insert, &new).await? < new.len() as u64 {
            return Err(Attempt::Again("the same SKU registered on another worker"));
        }
        Ok(())
    }

    /// Records positions; returns the dead letters whose position was not recorded before.
    async fn write_dead_letters(
        &self,
        connection: &mut PgConnection,
        dead_letters: Vec<DeadLetter>,
    ) -> Result<Vec<DeadLetter>, Attempt> {
        if dead_letters.is_empty() {
            return Ok(dead_letters);
        }
        let mut letters: Vec<(Uuid, DeadLetter)> =
            dead_letters.into_iter().map(|letter| (position_id(&letter.record), letter)).collect();
        let mut sorted: Vec<(Uuid, &DeadLetter)> = letters.iter().map(|(id, letter)| (*id, letter)).collect();
        sorted.sort_unstable_by_key(|(id, _)| *id);
        let new = write::dead_letters(connection, &sorted, self.now).await?;
        letters.retain(|(id, _)| new.contains(id));
        Ok(letters.into_iter().map(|(_, letter)| letter).collect())
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
