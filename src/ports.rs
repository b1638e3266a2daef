//! The edges of the engine: where events come from, where state is kept, where announcements go.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::domain::announce::{Announcement, MovementKind, Reason};
use crate::domain::books::{Books, Broken, Effects};
use crate::domain::claim::{Claim, ClaimKey, ClaimState};
use crate::domain::event::{Cause, Envelope, Fingerprint, Trace};
use crate::domain::stock::{Counters, StockRow};
use crate::domain::verdict::Verdict;
use crate::domain::words::{Location, Sku, StockKey, Timestamp};

/// Where a record stood: what a dead letter is known by and what an operator looks up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The topic as the broker names it.
    pub topic: Arc<str>,
    /// The partition; 0 where there are none.
    pub partition: i32,
    /// The offset of the record itself.
    pub offset: i64,
}

/// A header as it came; brokers allow a header without a value.
pub type Header = (String, Option<Vec<u8>>);

/// A record from a bus, with its bytes owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stood.
    pub position: Position,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its headers in order.
    pub headers: Vec<Header>,
    /// Its body; `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
    /// The broker's timestamp.
    pub timestamp: Option<Timestamp>,
}

/// One thing to be judged by the engine.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Bytes from a bus or from an HTTP body.
    Record(Record),
    /// Work of our own, already an event.
    Command(Box<Envelope>),
}

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Applied,
    /// It was answered with a refusal; `None` where the contract names no reason.
    Refused(Option<Reason>),
    /// It was recorded and changed nothing: stale, remembered already, or the same fact again.
    Ignored,
    /// Its identity was seen before with the same content.
    Duplicate,
    /// It cannot be understood or contradicts an earlier event of the same identity.
    DeadLettered {
        /// The code of the reason.
        reason: DeadLetterReason,
        /// What is wrong, for people.
        detail: Arc<str>,
    },
}

impl Outcome {
    /// The word in answers and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused(_) => "refused",
            Self::Ignored => "ignored",
            Self::Duplicate => "duplicate",
            Self::DeadLettered { .. } => "dead_lettered",
        }
    }
}

/// Why a delivery went to the dead-letter topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadLetterReason {
    /// The bytes are not what their framing or content type says.
    Undecodable,
    /// The schema registry does not know the schema, or no known schema has the fingerprint.
    UnknownSchema,
    /// No rule for this type.
    UnknownType,
    /// No id anywhere.
    MissingId,
    /// A field that names what the event is about is absent.
    MissingKeyField,
    /// A quantity outside its limits.
    InvalidQuantity,
    /// Any other field that is absent or outside its limits.
    InvalidField,
    /// Larger than the limit.
    TooLarge,
    /// The keys of its day were dropped, or it would open more days than may be kept.
    DayClosed,
    /// The same identity came before with other content.
    PayloadConflict,
    /// Its time is too far ahead.
    ImpossibleTime,
}

impl DeadLetterReason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Undecodable,
        Self::UnknownSchema,
        Self::UnknownType,
        Self::MissingId,
        Self::MissingKeyField,
        Self::InvalidQuantity,
        Self::InvalidField,
        Self::TooLarge,
        Self::DayClosed,
        Self::PayloadConflict,
        Self::ImpossibleTime,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::UnknownSchema => "unknown_schema",
            Self::UnknownType => "unknown_type",
            Self::MissingId => "missing_id",
            Self::MissingKeyField => "missing_key_field",
            Self::InvalidQuantity => "invalid_quantity",
            Self::InvalidField => "invalid_field",
            Self::TooLarge => "too_large",
            Self::DayClosed => "day_closed",
            Self::PayloadConflict => "payload_conflict",
            Self::ImpossibleTime => "impossible_time",
        }
    }

    /// The reason that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// How much one batch may carry.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimit {
    /// Deliveries.
    pub deliveries: usize,
    /// Payload bytes; the delivery that crosses the line is still taken.
    pub bytes: usize,
}

/// What a source is doing, for metrics and health. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SourceStatus {
    /// Whether it is connected, as far as it knows.
    pub connected: bool,
    /// Records not yet settled, by topic and partition.
    pub lag: Vec<(Arc<str>, i32, i64)>,
    /// Assignments that changed since the start.
    pub rebalances: u64,
    /// The newest trouble, for people.
    pub trouble: Option<Arc<str>>,
}

/// A batch with what settles it; `None` when the source is closed and empty.
pub type Taken<Receipt> = Option<(Vec<Delivery>, Receipt)>;

/// Where deliveries come from.
pub trait Source: Send {
    /// What settles one batch.
    type Receipt: Send;

    /// Waits until something is there and returns all of it, up to `limit`, in partition order; `None` when the
    /// source is closed and empty. Cancel-safe: what was not returned is returned next time.
    fn next_batch(
        &mut self,
        limit: BatchLimit,
    ) -> impl Future<Output = Result<Taken<Self::Receipt>, SourceError>> + Send;

    /// Says that a batch is committed: its input is acknowledged. `outcomes` stand in the order of the deliveries.
    /// Batches are settled in the order in which they were returned.
    fn settle(
        &mut self,
        receipt: Self::Receipt,
        outcomes: &[Outcome],
    ) -> impl Future<Output = Result<(), SourceError>> + Send;

    /// Stops taking, acknowledges what was settled, leaves. Returns when that is done.
    fn close(self) -> impl Future<Output = Result<(), SourceError>> + Send;
}

/// What a source cannot mend by itself.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Stop: going on would lose or skip something.
    #[error("{0}")]
    Fatal(String),
}

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

/// A record that could not be understood, or contradicts an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record as it came.
    pub record: Record,
    /// Why.
    pub reason: DeadLetterReason,
    /// What is wrong, for people.
    pub detail: Arc<str>,
}

/// One record to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputRecord {
    /// The topic as the broker names it.
    pub topic: Arc<str>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its headers in order.
    pub headers: Vec<Header>,
    /// Its body; `None` only for a dead letter that had none.
    pub payload: Option<Vec<u8>>,
    /// The timestamp that the record carries on the broker.
    pub timestamp: Timestamp,
}

/// How far publishing has come. Kept in the sink itself where the sink can do that together with publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The database whose outbox it is: a random id made when the database was migrated first.
    pub installation: uuid::Uuid,
    /// The last batch that was published.
    pub batch: i64,
    /// The last `seq` that was published.
    pub seq: i64,
}

/// Where announcements go. One instance publishes at a time; opening it fences every earlier one where the sink can.
pub trait Sink: Send {
    /// Makes ready to publish and reads back how far publishing has come; `None` when nothing was ever published, or
    /// when the sink keeps no progress of its own (then the database's mark counts). Called again after every error.
    fn open(&mut self) -> impl Future<Output = Result<Option<Progress>, SinkError>> + Send;

    /// Publishes the records in order, and the progress with them; returns when every record is confirmed. Not
    /// cancel-safe: after a cancelled call the sink must be opened again.
    fn publish(
        &mut self,
        records: Vec<OutputRecord>,
        progress: Progress,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Lets go of the connection.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// What went wrong while publishing, by what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// It may or may not have been published: open again and look.
    #[error("publishing is unclear: {0}")]
    Unclear(String),
    /// A record is larger than its topic takes. Nothing is usable afterwards but an opening; a smaller record may pass.
    #[error("{0}")]
    TooLarge(String),
    /// Another relay took over: stop publishing at once.
    #[error("fenced by a newer relay: {0}")]
    Fenced(String),
    /// It can never work as things are.
    #[error("{0}")]
    Fatal(String),
}

/// Which stock rows a list shows; an empty filter shows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StockFilter {
    /// Only these SKUs; every SKU when empty.
    pub skus: Vec<Sku>,
    /// Only SKUs that begin with this text, letter by letter.
    pub prefix: Option<Sku>,
    /// Only this location.
    pub location: Option<Location>,
}

/// An open claim that has units of one stock row set aside, as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderView {
    /// The claim.
    pub key: ClaimKey,
    /// Set aside of this row now, in units; at least 1.
    pub reserved: i64,
    /// Where the claim stands.
    pub state: ClaimState,
    /// When it is given back by itself; `None` when it is not.
    pub expires_at: Option<Timestamp>,
}

/// A place in a list of holders: behind this claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderPlace {
    /// Its deadline.
    pub expires_at: Option<Timestamp>,
    /// Its key.
    pub key: ClaimKey,
}

/// How far publishing has come, by the mark in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishedMark {
    /// The last batch that is marked as published; 0 before the first.
    pub number: i64,
    /// The last `seq` that is marked as published; 0 before the first.
    pub seq: i64,
}

/// Where in the outbox stands what follows an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxPlace {
    /// Behind the batch of this number.
    Behind(i64),
    /// Some of what follows is not kept any more.
    Dropped,
    /// The announcement's number was never given.
    NotGiven,
}

/// How much of the outbox one answer may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimit {
    /// Batches.
    pub batches: u32,
    /// Announcements; the batch that crosses the line is still shown.
    pub announcements: u32,
}

/// One ledger entry as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovementView {
    /// The version that the row reached.
    pub version: i64,
    /// What it did.
    pub kind: MovementKind,
    /// Signed differences, in units.
    pub change: Counters,
    /// The numbers after it, in units.
    pub after: Counters,
    /// What made it happen.
    pub cause: Cause,
    /// Why, for people.
    pub reason: Option<Arc<str>>,
    /// Who did it, where a person did.
    pub operator: Option<Arc<str>>,
    /// Trace context of the cause.
    pub trace: Trace,
    /// When it was recorded, by the database's clock.
    pub recorded_at: Timestamp,
}

/// A claim as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimView {
    /// The claim with its lines.
    pub claim: Claim,
    /// The last answer to it: the body of a `reservation-result`.
    pub answer: Option<serde_json::Value>,
}

/// What can be asked of the store without changing anything. Every answer is of one moment. Implementations run one
/// statement outside of any transaction for each, so that a cancelled question leaves nothing behind.
pub trait Queries: Send + Sync + 'static {
    /// One stock row.
    fn stock(&self, key: &StockKey) -> impl Future<Output = Result<Option<StockRow>, QueryError>> + Send;

    /// Stock rows behind `after`, in the order of their keys by bytes, at most `limit`.
    fn stock_page(
        &self,
        filter: &StockFilter,
        after: Option<&StockKey>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StockRow>, QueryError>> + Send;

    /// Movements of one row below `before_version`, the newest first, at most `limit`; none for a row that is not
    /// there.
    fn movements(
        &self,
        key: &StockKey,
        before_version: Option<i64>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<MovementView>, QueryError>> + Send;

    /// One cart, order or receipt.
    fn claim(&self, key: &ClaimKey) -> impl Future<Output = Result<Option<ClaimView>, QueryError>> + Send;

    /// The open claims that have units of a row set aside, at most `limit`: the latest deadline first, those without
    /// one last, equals by kind and then by reference by bytes. None for a row that is not there.
    fn holders(
        &self,
        key: &StockKey,
        after: Option<&HolderPlace>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<HolderView>, QueryError>> + Send;

    /// How far publishing has come.
    fn published_mark(&self) -> impl Future<Output = Result<PublishedMark, QueryError>> + Send;

    /// Where in the outbox the announcements behind `seq` stand, whether or not they are published. 0 asks for all.
    fn outbox_place(&self, seq: i64) -> impl Future<Output = Result<OutboxPlace, QueryError>> + Send;

    /// Batches behind `number` that are marked as published, in order without a hole. None when there are none, and
    /// none when the first of them is not kept any more.
    fn published_behind(
        &self,
        number: i64,
        limit: OutboxLimit,
    ) -> impl Future<Output = Result<Vec<OutboxBatch>, QueryError>> + Send;

    /// Whether the store answers.
    fn ping(&self) -> impl Future<Output = Result<(), QueryError>> + Send;
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The store is away or overloaded: ask again later.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// The store holds something that cannot be, or this program asks wrongly.
    #[error("{0}")]
    Broken(String),
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// One delivery after decoding.
#[derive(Clone, Debug)]
pub enum Entry {
    /// An event, and the record that it came in where there is one.
    Event {
        /// The event.
        envelope: Box<Envelope>,
        /// Its record, for the dead-letter topic should the event contradict what is known.
        record: Option<Box<Record>>,
    },
    /// A record that could not be understood.
    DeadLetter(Box<DeadLetter>),
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
    /// The rows.
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

    /// Claims past their deadline by the database's clock, oldest first, skipping those that are locked.
    fn due_claims(&self, limit: usize) -> impl Future<Output = Result<Vec<DueClaim>, StoreError>> + Send;
}
