//! The transaction of a batch. Its round trips, and why each is separate:
//!
//! | | statement | why not together with another |
//! | --- | --- | --- |
//! | 1 | BEGIN | |
//! | 2 | look up inbox keys | says which events lock anything at all |
//! | 3 | lock claims, in key order, and read them | says which rows the claims bring in |
//! | 4 | lock stock, in key order, and read the clock | needs the lines of the claims; waits as late as possible |
//! | | who waits for those rows, and their claims (only where anybody does) | the rows say so |
//! | | what stood when rows were counted, who holds what may come up short (only with counts and syncs) | of locked rows |
//! | | (ledger sums, claims' sums, open differences: only for reconciliation) | of rows that are locked |
//! | | judge, in memory | |
//! | 5 | insert inbox keys, with the outcome | a key that is there by now is another worker's: start again |
//! | 6, 7 | insert claims, update claims | a claim that is there by now is another worker's: start again |
//! | 8, 9 | what carts and orders set aside, or no longer (only where that changes) | |
//! | | who waits no longer, and who does now (only where that changes) | |
//! | 10 | write counters (settings, new rows: only with registrations) | |
//! | | (open differences: only from reconciliation) | under the locks of their rows |
//! | 11 | append to the ledger | |
//! | | lock alerts, write alerts (only where a level is announced) | the second needs the states of the first |
//! | 12 | take the numbers, insert the outbox row (dead letters before it, only when there are any) | last: the counter is locked until COMMIT |
//! | 13 | COMMIT | |
//!
//! Inbox keys are looked up first and inserted late, because the outcome that they record is known late: a row that is
//! inserted and then updated costs twice. The key decides all the same, in the same transaction.
//!
//! Claims are locked before stock, and only a locked row says truly who waits for it. The claims of those who wait are
//! locked behind it, but only as far as nobody else has them: who does not wait can be in no circle. Otherwise the batch
//! begins again and locks them in order, as if its events named them. A batch on rows that nobody waits for has no
//! statement more.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::write::{Claims, WholeRows};
use super::{PostgresStore, alerts, audits, error, holders, read, write};
use crate::domain::alert::rows_told;
use crate::domain::announce::Announcement;
use crate::domain::books::Books;
use crate::domain::claim::ClaimKey;
use crate::domain::words::Timestamp;
use crate::ports::{Committed, DeadLetter, Entry, Judge, Judged, Loaded, OutboxBatch, Seen, StoreError};
use crate::store::alerts::changed;
use crate::store::audits::AuditKeys;
use crate::store::batch::{self, Identities, Letters, Pending};
use crate::store::filing::Filing;
use crate::store::waiting;
use crate::wire::stored;

/// How often a batch is tried at once when other writers come between; afterwards it waits like any transient trouble.
const ATTEMPTS: usize = 10;

/// Why an attempt did not end in a commit.
pub(super) enum Attempt {
    /// Another writer came between: the same batch can go again at once.
    Again(&'static str),
    /// These claims wait for rows of the batch and another writer has some of them: go again and lock them in order.
    Waited(BTreeSet<ClaimKey>),
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
        let mut waiters = BTreeSet::new();
        for repeats in 0..ATTEMPTS {
            let filing = self.file(entries).await?;
            match self.attempt(entries, judge, &filing, &waiters).await {
                Ok(committed) => return Ok(Committed { repeats, ..committed }),
                Err(Attempt::Again(reason)) => {
                    tracing::debug!(reason, "another writer came between, the batch goes again");
                    last = reason;
                }
                Err(Attempt::Waited(found)) => {
                    waiters = found;
                    last = "claims of orders that wait, which another worker had";
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

    async fn attempt(
        &self,
        entries: &[Entry],
        judge: &Judge<'_>,
        filing: &Filing,
        waiters: &BTreeSet<ClaimKey>,
    ) -> Result<Committed, Attempt> {
        let mut connection = self.hold().await?;
        let mut transaction = connection.begin().await?;
        match judge_and_write(&mut transaction, entries, judge, filing, waiters).await {
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
    filing: &Filing,
    waiters: &BTreeSet<ClaimKey>,
) -> Result<Committed, Attempt> {
    let loaded = load(connection, entries, filing, waiters).await?;
    let pending = Pending::new(entries, filing, &loaded);
    let judged = judge(loaded).map_err(|broken| StoreError::Fatal(broken.to_string()))?;
    write_batch(connection, filing, &pending, judged).await
}

/// Reads which identities are new and locks what their events touch, with the claims of `waiters`.
async fn load(
    connection: &mut PgConnection,
    entries: &[Entry],
    filing: &Filing,
    waiters: &BTreeSet<ClaimKey>,
) -> Result<Loaded, Attempt> {
    let seen = look_up(connection, entries, filing).await?;
    let fresh = batch::fresh(entries, &seen);
    let touched = batch::claim_keys(&fresh);
    let locked: BTreeSet<ClaimKey> = touched.union(waiters).cloned().collect();
    let mut claims = if locked.is_empty() { Vec::new() } else { read::lock_claims(connection, &locked).await? };
    let keys = batch::stock_keys(&fresh, &touched, &claims);
    let (stock, clock) = if keys.is_empty() { (Vec::new(), None) } else { read::lock_stock(connection, &keys).await? };
    let now = match clock {
        Some(now) => now,
        None => read::clock(connection).await?,
    };
    let waited_for = waiting::waited_for(&stock);
    let lines = if waited_for.is_empty() { Vec::new() } else { read::waiting_lines(connection, &waited_for).await? };
    let waiting = waiting::waiters(&lines);
    let unlocked: BTreeSet<ClaimKey> = &waiting - &locked;
    if !unlocked.is_empty() {
        let free = read::lock_free_claims(connection, &unlocked).await?;
        if free.len() < unlocked.len() {
            return Err(Attempt::Waited(waiting));
        }
        claims.extend(free);
    }
    let counts = batch::counts(&fresh);
    let found = if counts.is_empty() { Vec::new() } else { read::on_hand_at(connection, &counts).await? };
    let short = batch::possibly_short(&fresh, &stock);
    let most = batch::most_holders(&claims);
    let holders = if short.is_empty() { Vec::new() } else { holders::of_rows(connection, &short, most).await? };
    let (on_hand_at, holders) = (batch::on_hand_at(&counts, &found), batch::holders(&short, &claims, holders));
    let keys = AuditKeys::of_events(&fresh);
    let audits = audits::load(connection, &keys).await?.by_row(&keys);
    Ok(Loaded { now, seen, books: Books { on_hand_at, holders, audits, ..batch::books(stock, claims, &lines)? } })
}

async fn look_up(connection: &mut PgConnection, entries: &[Entry], filing: &Filing) -> Result<Vec<Seen>, Attempt> {
    let identities = Identities::of(entries, filing)?;
    let found = if identities.keys.is_empty() { Vec::new() } else { read::inbox(connection, &identities.keys).await? };
    Ok(identities.seen(&found))
}

async fn write_batch(
    connection: &mut PgConnection,
    filing: &Filing,
    pending: &Pending<'_>,
    judged: Judged,
) -> Result<Committed, Attempt> {
    write_rows(connection, &pending.rows(&judged)?, pending.now).await?;
    let Judged { outcomes, effects, dead_letters, .. } = judged;
    if !effects.movements.is_empty() {
        let causes = effects.movements.iter().map(|movement| &*movement.cause);
        let further = filing.further_sources(causes.clone());
        let further = if further.is_empty() { Vec::new() } else { read::sources(connection, &further).await? };
        let sources = filing.cause_sources(causes, &further)?;
        write::movements(connection, &effects.movements, &sources, pending.now).await?;
    }
    write_alerts(connection, &effects.announcements, pending.now).await?;
    let dead_letters = write_dead_letters(connection, dead_letters, pending).await?;
    if effects.announcements.is_empty() && dead_letters.is_empty() {
        return Ok(Committed { outcomes, outbox: None, repeats: 0 });
    }
    let announcements = effects.announcements;
    let content = stored::encode_batch(&announcements, &dead_letters);
    let recorded_at = pending.now;
    let (number, first_seq) = write::outbox(connection, announcements.len(), &content, recorded_at).await?;
    Ok(Committed {
        outcomes,
        outbox: Some(OutboxBatch { number, first_seq, recorded_at, announcements, dead_letters }),
        repeats: 0,
    })
}

async fn write_rows(connection: &mut PgConnection, rows: &batch::Rows<'_>, now: Timestamp) -> Result<(), sqlx::Error> {
    if !rows.inbox.is_empty() {
        write::inbox(connection, &rows.inbox).await?;
    }
    if !rows.new_claims.is_empty() {
        write::claims(connection, Claims::Insert, &rows.new_claims).await?;
    }
    if !rows.known_claims.is_empty() {
        write::claims(connection, Claims::Update, &rows.known_claims).await?;
    }
    if !rows.given_back.is_empty() {
        write::nothing_aside(connection, &rows.given_back).await?;
    }
    if !rows.set_aside.is_empty() {
        write::set_aside(connection, &rows.set_aside, now).await?;
    }
    if !rows.left.is_empty() {
        write::left(connection, &rows.left).await?;
    }
    if !rows.joined.is_empty() {
        write::joined(connection, &rows.joined).await?;
    }
    if !rows.counted.is_empty() {
        write::stock_counters(connection, &rows.counted).await?;
    }
    if !rows.settings.is_empty() {
        write::stock_rows(connection, WholeRows::Update, &rows.settings).await?;
    }
    if !rows.created.is_empty() {
        write::stock_rows(connection, WholeRows::Insert, &rows.created).await?;
    }
    if !rows.differences.is_empty() {
        audits::write(connection, &rows.differences).await?;
    }
    if !rows.settled.is_empty() {
        audits::remove(connection, &rows.settled).await?;
    }
    Ok(())
}

/// Brings alerts in line with the levels that are announced. A batch that announces none asks for none.
async fn write_alerts(
    connection: &mut PgConnection,
    announcements: &[Announcement],
    now: Timestamp,
) -> Result<(), Attempt> {
    let rows = rows_told(announcements);
    if rows.is_empty() {
        return Ok(());
    }
    let unresolved = alerts::lock_unresolved(connection, &rows).await?;
    let changed = changed(unresolved, announcements, now);
    if !changed.is_empty() {
        alerts::write(connection, &changed).await?;
    }
    Ok(())
}

/// Records positions; returns the dead letters whose position was not recorded before.
async fn write_dead_letters(
    connection: &mut PgConnection,
    dead_letters: Vec<DeadLetter>,
    pending: &Pending<'_>,
) -> Result<Vec<DeadLetter>, Attempt> {
    if dead_letters.is_empty() {
        return Ok(dead_letters);
    }
    let letters = Letters::of(dead_letters);
    let new = write::dead_letters(connection, &letters.by_id(), pending.now).await?;
    Ok(letters.only(&new))
}
