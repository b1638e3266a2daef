//! The transaction of a batch. Its round trips, and why each is separate:
//!
//! | | statement | why not together with another |
//! | --- | --- | --- |
//! | 1 | BEGIN | |
//! | 2 | look up inbox keys | says which events lock anything at all |
//! | 3 | lock claims, in key order, and read them | says which rows the claims bring in |
//! | 4 | lock stock, in key order, and read the clock | needs the lines of the claims; waits as late as possible |
//! | | judge, in memory | |
//! | 5 | insert inbox keys, with the outcome | a key that is there by now is another worker's: start again |
//! | 6, 7 | insert claims, update claims | a claim that is there by now is another worker's: start again |
//! | 8, 9 | what carts and orders set aside, or no longer (only where that changes) | |
//! | 10 | write counters (settings, new rows: only with registrations) | |
//! | 11 | append to the ledger | |
//! | 12 | take the numbers, insert the outbox row (dead letters before it, only when there are any) | last: the counter is locked until COMMIT |
//! | 13 | COMMIT | |
//!
//! Inbox keys are looked up first and inserted late, because the outcome that they record is known late: a row that is
//! inserted and then updated costs twice. The key decides all the same, in the same transaction.

use std::collections::{BTreeSet, HashMap, HashSet};

use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use sqlx::types::Uuid;

use super::days::{DayStatus, Interned};
use super::write::{ClaimRow, Claims, InboxRow, WholeRows};
use super::{PostgresStore, error, read, write};
use crate::domain::announce::AnnouncementBody;
use crate::domain::books::{Books, Effects};
use crate::domain::claim::{Claim, ClaimKey};
use crate::domain::event::{Envelope, Fingerprint};
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
        if error::is_raced(&error) {
            Self::Again("the same event, claim or SKU on another worker")
        } else if error::is_conflict(&error) {
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
        for repeats in 0..ATTEMPTS {
            let interned = self.intern(entries).await?;
            match self.attempt(entries, judge, &interned).await {
                Ok(committed) => return Ok(Committed { repeats, ..committed }),
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
        let mut connection = self.hold().await?;
        let mut transaction = connection.begin().await?;
        match judge_and_write(&mut transaction, entries, judge, interned).await {
            Ok(committed) => {
                transaction.commit().await?;
                Ok(committed)
            }
            Err(attempt) => {
                // Traps: a rollback on drop is only queued. The next attempt would wait for the locks of this one.
                if let Err(error) = transaction.rollback().await {
                    tracing::debug!(%error, "a failed batch was not rolled back; its connection ends it");
                }
                Err(attempt)
            }
        }
    }
}

/// Everything between BEGIN and COMMIT.
async fn judge_and_write(
    connection: &mut PgConnection,
    entries: &[Entry],
    judge: &Judge<'_>,
    interned: &Interned,
) -> Result<Committed, Attempt> {
    let loaded = load(connection, entries, interned).await?;
    let existing: HashSet<StockKey> = loaded.books.stock.keys().cloned().collect();
    let set_aside = set_aside(&loaded.books);
    let now = loaded.now;
    let judged = judge(loaded).map_err(|broken| StoreError::Fatal(broken.to_string()))?;
    Pending { entries, interned, now, existing, set_aside }.write(connection, judged).await
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
            DayStatus::Closed | DayStatus::Crowded => seen[index] = Seen::DayClosed,
            DayStatus::Ahead => seen[index] = Seen::DayAhead,
        }
    }
    if !keys.is_empty() {
        for (position, fingerprint) in read::inbox(connection, &keys).await? {
            if let Some(index) = usize::try_from(position).ok().and_then(|position| indexes.get(position)) {
                seen[*index] = Seen::Before(Fingerprint(fingerprint));
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
    Ok(found.into_iter().map(|claim| (claim.key.clone(), claim)).collect())
}

fn set_aside(books: &Books) -> HashMap<ClaimKey, HashMap<StockKey, i64>> {
    let of_claim = |claim: &Claim| {
        let lines = claim.lines.iter().filter(|(_, line)| line.reserved > 0);
        lines.map(|(key, line)| (key.clone(), line.reserved)).collect()
    };
    books.claims.values().filter(|claim| claim.reserves()).map(|claim| (claim.key.clone(), of_claim(claim))).collect()
}

/// A judged batch on its way into the tables.
struct Pending<'a> {
    entries: &'a [Entry],
    interned: &'a Interned,
    now: Timestamp,
    existing: HashSet<StockKey>,
    /// What each loaded claim has set aside, where it has anything.
    set_aside: HashMap<ClaimKey, HashMap<StockKey, i64>>,
}

impl Pending<'_> {
    async fn write(&self, connection: &mut PgConnection, judged: Judged) -> Result<Committed, Attempt> {
        let Judged { outcomes, fresh, books, effects, dead_letters } = judged;
        self.write_inbox(connection, &fresh).await?;
        self.write_claims(connection, &books, &effects).await?;
        self.write_stock(connection, &books, &effects).await?;
        if !effects.movements.is_empty() {
            let causes = effects.movements.iter().map(|movement| &*movement.cause);
            let sources = self.interned.cause_sources(connection, causes).await?;
            write::movements(connection, &effects.movements, &sources, self.now).await?;
        }
        let dead_letters = self.write_dead_letters(connection, dead_letters).await?;
        if effects.announcements.is_empty() && dead_letters.is_empty() {
            return Ok(Committed { outcomes, outbox: None, repeats: 0 });
        }
        let announcements = effects.announcements;
        let content = stored::encode_batch(&announcements, &dead_letters);
        let (number, first_seq) = write::outbox(connection, announcements.len(), &content, self.now).await?;
        let outbox = OutboxBatch { number, first_seq, recorded_at: self.now, announcements, dead_letters };
        Ok(Committed { outcomes, outbox: Some(outbox), repeats: 0 })
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
                fingerprint: envelope.fingerprint.0,
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
        write::inbox(connection, &rows).await?;
        Ok(())
    }

    async fn write_claims(
        &self,
        connection: &mut PgConnection,
        books: &Books,
        effects: &Effects,
    ) -> Result<(), Attempt> {
        let (mut new, mut known) = (Vec::new(), Vec::new());
        let mut set_aside: Vec<write::SetAside<'_>> = Vec::new();
        let mut given_back = Vec::new();
        for key in &effects.claims {
            let Some(claim) = books.claims.get(key) else { continue };
            let remembered = (!claim.remembered.is_empty()).then(|| stored::encode_remembered(&claim.remembered));
            let rows = if claim.revision == 0 { &mut new } else { &mut known };
            rows.push(ClaimRow { claim, remembered, answer: self.kept_answer(effects, key) });
            let before = self.set_aside.get(key);
            for (row, line) in &claim.lines {
                match (line.reserved, before.and_then(|before| before.get(row)).copied().unwrap_or(0)) {
                    (now, before) if now == before => {}
                    (0, _) => given_back.push((key.clone(), row.clone())),
                    (now, _) => set_aside.push((key, row, now)),
                }
            }
        }
        if !new.is_empty() {
            write::claims(connection, Claims::Insert, &new).await?;
        }
        if !known.is_empty() {
            write::claims(connection, Claims::Update, &known).await?;
        }
        if !given_back.is_empty() {
            write::nothing_aside(connection, &given_back).await?;
        }
        if !set_aside.is_empty() {
            write::set_aside(connection, &set_aside).await?;
        }
        Ok(())
    }

    /// The answer that a claim keeps from now on, where it was given one.
    fn kept_answer(&self, effects: &Effects, key: &ClaimKey) -> Option<Vec<u8>> {
        let announcement = effects.announcements.get(*effects.answers.get(key)?)?;
        match &announcement.body {
            AnnouncementBody::ReservationResult(answer) => {
                Some(stored::encode_answer(answer, &announcement.cause, self.now))
            }
            AnnouncementBody::StockChanged { .. } | AnnouncementBody::LowStock { .. } => None,
        }
    }

    async fn write_stock(
        &self,
        connection: &mut PgConnection,
        books: &Books,
        effects: &Effects,
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
        if !new.is_empty() {
            write::stock_rows(connection, WholeRows::Insert, &new).await?;
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
