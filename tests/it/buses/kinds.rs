//! The buses that the shared tests run on, and what a test needs to know of each.

use std::fmt;
use std::future::Future;

use holdfast::bus::TopicOutcome;
use holdfast::bus::any::{AnyPublisher, AnySink, AnySource, AnyTail, BusFailure};
use holdfast::bus::replay::{ReplayPlan, ReplayTarget};
use holdfast::bus::tail::TailStart;
use holdfast::ports::{OutputRecord, Progress};

/// How the members of a group work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// All at the same time.
    Together,
    /// One, while the others stand by.
    OneAtATime,
}

/// From when on an older sink is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fencing {
    /// Once a newer one is open.
    Opening,
    /// Once a newer one has published.
    Publishing,
}

/// Why a replay was refused, on any bus.
#[derive(Debug)]
pub enum Refusal {
    /// Somebody works in the group.
    Active,
    /// There is no such partition.
    UnknownPartition,
    /// There is no such offset.
    OutOfRange {
        /// The first one.
        first: i64,
        /// The one behind the last.
        end: i64,
    },
    /// Anything else.
    Other(#[expect(dead_code, reason = "shown when a test fails")] String),
}

impl Refusal {
    /// A failure that no test expects.
    pub fn other(error: impl fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
}

/// A kind of bus. A value of it is a part of a bus that no other test uses: with topics and a group of its own. The
/// announcements of its sink go to the topic `stock`, its dead letters to `dead`.
pub trait BusKind: Sized + Send + Sync + 'static {
    /// The offset of the first record of a topic.
    const FIRST_OFFSET: i64;
    /// Whether a record has the time that its publisher gave it, and not the server's.
    const KEEPS_TIME: bool;
    /// How the members of a group work.
    const MEMBERS: Members;
    /// From when on an older sink is refused.
    const FENCING: Fencing;

    /// On the server that all tests share.
    fn shared() -> impl Future<Output = Self> + Send;

    /// On a server of its own, which may be restarted and whose answers can be lost.
    fn alone() -> impl Future<Output = Self> + Send;

    /// Stops and starts the server of this bus.
    fn restart(&mut self) -> impl Future<Output = ()> + Send;

    /// What a topic is called here.
    fn name(&self, topic: &str) -> String;

    /// Makes topics by their names here, and whatever the group needs to read them.
    fn make_topics(
        &self,
        topics: &[String],
        partitions: i32,
    ) -> impl Future<Output = Result<Vec<TopicOutcome>, String>> + Send;

    /// How topics differ from what [`make_topics`](Self::make_topics) makes, in words.
    fn differences(&self, topics: &[String], partitions: i32) -> impl Future<Output = Vec<String>> + Send;

    /// A member of the group.
    fn source(&self, topics: &[String]) -> impl Future<Output = Result<AnySource, BusFailure>> + Send;

    /// Waits until two members are both taken for members, and know which part of a topic with four partitions they read.
    fn wait_for_two(one: &AnySource, other: &AnySource) -> impl Future<Output = ()> + Send;

    /// Waits until a member keeps others from setting the group back.
    fn wait_until_active(source: &AnySource) -> impl Future<Output = ()> + Send;

    /// A publisher of events.
    fn publisher(&self, topics: &[String]) -> impl Future<Output = Result<AnyPublisher, BusFailure>> + Send;

    /// Makes what announcements and dead letters need, and a sink that is not open.
    fn sink(&self) -> impl Future<Output = AnySink> + Send;

    /// A sink of announcements to a topic that nobody has made.
    fn sink_to_nowhere(&self) -> impl Future<Output = AnySink> + Send;

    /// Publishes so that the bus takes it and its answer never comes. Only for a bus of its own.
    fn publish_unheard(&self, records: Vec<OutputRecord>, progress: Progress) -> impl Future<Output = AnySink> + Send;

    /// A reader without a group. `are_numbered` says that the records of these topics are numbered from 1 together.
    fn tail(
        &self,
        topics: &[String],
        from: TailStart,
        until_end: bool,
        are_numbered: bool,
    ) -> impl Future<Output = Result<AnyTail, BusFailure>> + Send;

    /// Where the group would go on in some topics.
    fn plan(&self, topics: &[String], target: ReplayTarget)
    -> impl Future<Output = Result<ReplayPlan, Refusal>> + Send;

    /// Sets the group elsewhere.
    fn replay(&self, plan: &ReplayPlan) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// What becomes of a record on its way: what of key, headers and payload this bus cannot hold as it is.
    fn carried(record: OutputRecord) -> OutputRecord;
}
