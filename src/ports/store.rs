//! Where state is kept, and what one transaction takes and makes.

use std::future::Future;

use super::{DeadLetter, Entry, Outcome, Progress};
use crate::domain::announce::Announcement;
use crate::domain::books::{Books, Broken, Effects};
use crate::domain::claim::ClaimKey;
use crate::domain::event::Fingerprint;
use crate::domain::reconciliation::Audit;
use crate::domain::stock::StockRow;
use crate::domain::verdict::Verdict;
use crate::domain::words::{StockKey, Timestamp};

/// A committed transaction's worth of things to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxBatch {
    /// Its number: 1, 2, 3 ... in commit order without a hole.
    pub number: i64,
    /// The `seq` of the first announcement; the others follow. The next `seq` to be given where there is none.
    pub first_seq: i64,
    /// When it was recorded, by the database's clock.
    pub recorded_at: Timestamp,
    /// The announcements in order.
    pub announcements: Vec<Announcement>,
    /// Records that could not be understood, with why; they carry no `seq`.
    pub dead_letters: Vec<DeadLetter>,
}

impl OutboxBatch {
    /// The last `seq` given so far, this batch included.
    pub fn last_seq(&self) -> i64 {
        self.first_seq + self.announcements.len() as i64 - 1
    }
}

/// How much one look for differences may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// Rows at most.
    pub rows: u32,
    /// Movements that are summed at most, going by the versions of the rows; the row that crosses the line is still
    /// looked at. `None` asks for no sums: only open differences are read.
    pub movements: Option<i64>,
}

/// A row with what it is compared with, of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// The row.
    pub row: StockRow,
    /// What our own books say of it, and its open differences.
    pub audit: Audit,
}

/// What the store knows of an event's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    New,
    /// It was there before, with this content.
    Before(Fingerprint),
    /// The keys of its day are gone, or may not be opened.
    DayClosed,
    /// Its day has not come.
    DayAhead,
}

/// What a batch is judged on: everything that its new events touch, under lock.
#[derive(Debug)]
pub struct Loaded {
    /// The database's clock, read after the last lock.
    pub now: Timestamp,
    /// For each entry, in order; [`Seen::New`] for dead letters.
    pub seen: Vec<Seen>,
    /// The rows; of those that were counted, what stood then, and who has units set aside of those that may come up short.
    pub books: Books,
}

/// What a batch was judged to be: what the store writes.
#[derive(Debug)]
pub struct Judged {
    /// For each entry, in order.
    pub outcomes: Vec<Outcome>,
    /// The entries whose identity is new, by index, with their verdict.
    pub fresh: Vec<(usize, Verdict)>,
    /// The rows as they are now.
    pub books: Books,
    /// Which rows changed, the ledger and the announcements.
    pub effects: Effects,
    /// What goes to the dead-letter topic.
    pub dead_letters: Vec<DeadLetter>,
}

/// Judges a loaded batch. Pure: it may be called again when the database asks for it.
pub type Judge<'a> = dyn Fn(Loaded) -> Result<Judged, Broken> + Send + Sync + 'a;

/// A batch that is durable.
#[derive(Debug)]
pub struct Committed {
    /// For each entry, in order.
    pub outcomes: Vec<Outcome>,
    /// What it announces; `None` when it announces nothing, or has announced it already in the same transaction.
    pub outbox: Option<OutboxBatch>,
    /// How often it was begun again because another writer came between.
    pub repeats: usize,
}

/// What went wrong in the store, by what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was decided, or it is not known whether it was: do the same again later; the inbox tells.
    #[error("the database is away: {0}")]
    Transient(String),
    /// Stop: doing it again ends the same way.
    #[error("{0}")]
    Fatal(String),
}

/// A claim that is past its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueClaim {
    /// The claim.
    pub key: ClaimKey,
    /// Its deadline.
    pub deadline: Timestamp,
    /// When the deadline was found to have passed, by the database's clock.
    pub seen_at: Timestamp,
}

/// The longest time for which a lease is given, in seconds. One that ends later was given before the clock was set back,
/// and is over: its holder may be gone for good.
pub const LONGEST_LEASE_SECONDS: i64 = 600;

/// The right to publish, as long as it is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub holder: uuid::Uuid,
    /// Which takeover it was.
    pub epoch: i64,
}

/// How the outbox stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxStatus {
    /// The database.
    pub installation: uuid::Uuid,
    /// The last number given.
    pub last_number: i64,
    /// The last `seq` given.
    pub last_seq: i64,
    /// The last number marked as published.
    pub published_number: i64,
    /// The last `seq` marked as published.
    pub published_seq: i64,
    /// When the oldest batch that is not marked was recorded.
    pub oldest_unpublished: Option<Timestamp>,
    /// The database's clock.
    pub now: Timestamp,
}

/// Where state is kept. Every method takes its own connection; none keeps a lock after it returned.
pub trait Store: Send + Sync {
    /// Makes a batch durable in one transaction: reads which identities are new, locks claims and stock in key order, and
    /// the claims of whoever waits for that stock,
    /// has `judge` decide, writes rows, ledger, inbox and outbox, takes the numbers last. Conflicts with other writers
    /// are retried inside. Not cancel-safe: run it to its end.
    fn commit(
        &self,
        entries: &[Entry],
        judge: &Judge<'_>,
    ) -> impl Future<Output = Result<Committed, StoreError>> + Send;

    /// Batches after `number`, in order without a hole, at most `limit` of them.
    fn unpublished(
        &self,
        after: i64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<OutboxBatch>, StoreError>> + Send;

    /// How the outbox stands.
    fn outbox_status(&self) -> impl Future<Output = Result<OutboxStatus, StoreError>> + Send;

    /// Takes the right to publish when nobody has it or its time is over, or renews one's own, for at most
    /// [`LONGEST_LEASE_SECONDS`]. `None`: another has it.
    fn take_lease(
        &self,
        holder: uuid::Uuid,
        seconds: i64,
    ) -> impl Future<Output = Result<Option<Lease>, StoreError>> + Send;

    /// Gives the right back.
    fn give_lease(&self, lease: Lease) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Marks batches as published. `false`: the lease is another's by now, nothing was marked.
    fn mark_published(&self, lease: Lease, progress: Progress)
    -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Rows behind `after` in the store's own order of keys, each with what it is compared with, all of one snapshot.
    /// None when there are no more. Locks nothing.
    fn audited(
        &self,
        after: Option<&StockKey>,
        page: AuditPage,
    ) -> impl Future<Output = Result<Vec<Audited>, StoreError>> + Send;

    /// Takes the turn of a job that runs once in so many seconds over all workers. Returns the moment by the database's
    /// clock; `None` when it is not due.
    fn take_turn(
        &self,
        job: &str,
        interval_seconds: i64,
    ) -> impl Future<Output = Result<Option<Timestamp>, StoreError>> + Send;

    /// Claims past their deadline by the database's clock, oldest first, skipping those that are locked.
    fn due_claims(&self, limit: usize) -> impl Future<Output = Result<Vec<DueClaim>, StoreError>> + Send;
}
