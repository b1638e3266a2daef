//! The transaction of a batch. There are no round trips here, but each statement is a turn of the connection's thread:
//!
//! | | statement | why not together with another |
//! | --- | --- | --- |
//! | 1 | BEGIN IMMEDIATE: takes the file's lock | |
//! | 2 | read the clock | stands after the last lock, which is this one |
//! | 3, 4 | look up days and sources (note and number them: only where they are new) | say how keys are filed |
//! | 5 | look up inbox keys | says which events touch anything at all |
//! | 6 | read claims | says which rows the claims bring in |
//! | 7 | read stock | needs the lines of the claims |
//! | | who waits for those rows, and their claims (only where anybody does) | the rows say so |
//! | | what stood when rows were counted, who holds what may come up short (only with counts and syncs) | of these rows |
//! | | (ledger sums, claims' sums, open differences: only for reconciliation) | |
//! | | judge, in memory | |
//! | 8 | insert inbox keys, with the outcome | |
//! | 9 | write claims | |
//! | 10, 11 | what carts and orders set aside, or no longer (only where that changes) | |
//! | | who waits no longer, and who does now (only where that changes) | |
//! | 12 | write stock | |
//! | | (open differences: only from reconciliation) | |
//! | 13 | append to the ledger | |
//! | | read alerts, write alerts (only where a level is announced) | the second needs the states of the first |
//! | 14, 15 | take the numbers, insert the outbox row (dead letters before it, only when there are any) | last, as everywhere |
//! | | where the embedded log is the sink: mark, ends of topics, last number, records, progress ([`super::log`]) | in one with the batch |
//! | 16 | COMMIT: flushes the log | |

use std::collections::BTreeSet;

use sqlx::SqliteConnection;

use super::{SqliteStore, alerts, audits, days, error, holders, read, write};
use crate::domain::alert::rows_told;
use crate::domain::announce::Announcement;
use crate::domain::books::Books;
use crate::domain::claim::ClaimKey;
use crate::domain::words::Timestamp;
use crate::ports::{Committed, DeadLetter, Entry, Judge, Judged, Loaded, OutboxBatch, StoreError};
use crate::store::alerts::changed;
use crate::store::audits::AuditKeys;
use crate::store::batch::{self, Identities, Letters, Pending};
use crate::store::filing::Filing;
use crate::store::waiting;
use crate::wire::stored;

/// Why a batch was not committed; a dropped transaction is rolled back.
pub(super) struct Failed(pub StoreError);

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self(error::classify(error))
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

impl SqliteStore {
    pub(super) async fn commit_batch(&self, entries: &[Entry], judge: &Judge<'_>) -> Result<Committed, StoreError> {
        self.attempt(entries, judge).await.map_err(|Failed(error)| error)
    }

    async fn attempt(&self, entries: &[Entry], judge: &Judge<'_>) -> Result<Committed, Failed> {
        let mut transaction = self.begin_writing().await?;
        let now = read::clock(&mut transaction).await?;
        let filing = days::file(&mut transaction, entries, now.day(), &self.settings.retention).await?;
        let loaded = load(&mut transaction, entries, &filing, now).await?;
        let pending = Pending::new(entries, &filing, &loaded);
        let judged = judge(loaded).map_err(|broken| StoreError::Fatal(broken.to_string()))?;
        let mut committed = write_batch(&mut transaction, &filing, &pending, judged).await?;
        let announced = match (&self.announcements, &committed.outbox) {
            (Some(log), Some(batch)) => log.append(&mut transaction, batch).await?,
            (None, _) | (_, None) => None,
        };
        transaction.commit().await?;
        if let (Some(log), Some(took)) = (&self.announcements, announced) {
            let batch = committed.outbox.take();
            (log.appended)(batch.map_or(0, |batch| batch.announcements.len()), took);
        }
        Ok(committed)
    }
}

/// Reads which identities are new and what their events touch.
async fn load(
    connection: &mut SqliteConnection,
    entries: &[Entry],
    filing: &Filing,
    now: Timestamp,
) -> Result<Loaded, Failed> {
    let identities = Identities::of(entries, filing)?;
    let found = if identities.keys.is_empty() { Vec::new() } else { read::inbox(connection, &identities.keys).await? };
    let seen = identities.seen(&found);
    let fresh = batch::fresh(entries, &seen);
    let touched = batch::claim_keys(&fresh);
    let mut claims = if touched.is_empty() { Vec::new() } else { read::claims(connection, &touched).await? };
    let keys = batch::stock_keys(&fresh, &touched, &claims);
    let stock = if keys.is_empty() { Vec::new() } else { read::stock(connection, &keys).await? };
    let waited_for = waiting::waited_for(&stock);
    let lines = if waited_for.is_empty() { Vec::new() } else { read::waiting_lines(connection, &waited_for).await? };
    let waiters: BTreeSet<ClaimKey> = &waiting::waiters(&lines) - &touched;
    if !waiters.is_empty() {
        claims.extend(read::claims(connection, &waiters).await?);
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

async fn write_batch(
    connection: &mut SqliteConnection,
    filing: &Filing,
    pending: &Pending<'_>,
    judged: Judged,
) -> Result<Committed, Failed> {
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
        // Nobody comes between: the file's lock is held from the start.
        repeats: 0,
    })
}

async fn write_rows(
    connection: &mut SqliteConnection,
    rows: &batch::Rows<'_>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    if !rows.inbox.is_empty() {
        write::inbox(connection, &rows.inbox).await?;
    }
    if !(rows.new_claims.is_empty() && rows.known_claims.is_empty()) {
        let claims: Vec<_> = rows.new_claims.iter().chain(&rows.known_claims).collect();
        write::claims(connection, &claims).await?;
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
    let stock = [&rows.counted[..], &rows.settings, &rows.created].concat();
    if !stock.is_empty() {
        write::stock(connection, &stock).await?;
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
    connection: &mut SqliteConnection,
    announcements: &[Announcement],
    now: Timestamp,
) -> Result<(), Failed> {
    let rows = rows_told(announcements);
    if rows.is_empty() {
        return Ok(());
    }
    let unresolved = alerts::unresolved(connection, &rows).await?;
    let changed = changed(unresolved, announcements, now);
    if !changed.is_empty() {
        alerts::write(connection, &changed).await?;
    }
    Ok(())
}

/// Records positions; returns the dead letters whose position was not recorded before.
async fn write_dead_letters(
    connection: &mut SqliteConnection,
    dead_letters: Vec<DeadLetter>,
    pending: &Pending<'_>,
) -> Result<Vec<DeadLetter>, Failed> {
    if dead_letters.is_empty() {
        return Ok(dead_letters);
    }
    let letters = Letters::of(dead_letters);
    let new = write::dead_letters(connection, &letters.by_id(), pending.now).await?;
    Ok(letters.only(&new))
}
