//! What was published, and the three ways of publishing it: in transactions with fencing, behind expected sequences, and
//! at least once.

use std::sync::Arc;

use holdfast::ports::{OutputRecord, Progress, Sink, SinkError};
use holdfast::wire::sequence::sequence_of;

use super::case::Guarantee;
use super::faults::Fault;
use super::world::World;

/// One record as it stands on the bus.
#[derive(Clone, Debug)]
pub struct Published {
    /// The record; a mark alone has none.
    pub record: Option<OutputRecord>,
    /// By which opening of which sink it was written.
    pub session: u64,
    /// Of a stream with sequences: how far publishing is, up to here, and the last `seq` up to here.
    complete: Option<Progress>,
    reached: i64,
}

/// How much stood there after a publication, and what it said.
#[derive(Clone, Copy, Debug)]
struct Stood {
    announcements: usize,
    letters: usize,
    progress: Option<Progress>,
}

/// What stands on the bus.
#[derive(Debug)]
pub struct Stream {
    guarantee: Guarantee,
    /// Announcements in order.
    pub announcements: Vec<Published>,
    /// Dead letters in order.
    pub letters: Vec<Published>,
    progress: Option<Progress>,
    sessions: u64,
    /// Who may write in transactions.
    newest: u64,
    /// Sessions up to this one ended with the broker.
    ended: u64,
    stood: Vec<Stood>,
}

impl Stream {
    /// Nothing yet.
    pub fn new(guarantee: Guarantee) -> Self {
        Self {
            guarantee,
            announcements: Vec::new(),
            letters: Vec::new(),
            progress: None,
            sessions: 0,
            newest: 0,
            ended: 0,
            stood: Vec::new(),
        }
    }

    /// How far publishing is, by what stands here.
    pub fn progress(&self) -> Option<Progress> {
        match self.guarantee {
            Guarantee::Transactions | Guarantee::AtLeastOnce => self.progress,
            Guarantee::Sequences => self.announcements.last().and_then(|last| last.complete),
        }
    }

    fn note_stand(&mut self) {
        let (announcements, letters) = (self.announcements.len(), self.letters.len());
        self.stood.push(Stood { announcements, letters, progress: self.progress() });
    }

    /// What would stand here without the last publications.
    pub fn progress_without(&self, publications: usize) -> Option<Progress> {
        let kept = self.stood.len().saturating_sub(publications);
        self.stood[..kept].last().and_then(|stood| stood.progress)
    }

    /// Loses the last publications, as a broker does that comes back without what it had not written to disk. `false`
    /// when there was nothing to lose.
    pub fn lose(&mut self, publications: usize) -> bool {
        let kept = self.stood.len().saturating_sub(publications);
        let start = Stood { announcements: 0, letters: 0, progress: None };
        let stood = self.stood[..kept].last().copied().unwrap_or(start);
        let lost = self.announcements.len() > stood.announcements || self.letters.len() > stood.letters;
        self.stood.truncate(kept);
        self.announcements.truncate(stood.announcements);
        self.letters.truncate(stood.letters);
        self.progress = stood.progress;
        self.ended = self.sessions;
        lost
    }
}

/// A writer of the stream.
pub struct ModelSink {
    world: Arc<World>,
    dead_letters: Arc<str>,
    session: Option<Session>,
}

/// What an opening has found.
#[derive(Clone, Copy, Debug)]
struct Session {
    number: u64,
    /// Of a stream with sequences: how much stood there, and what the last one said.
    stood: usize,
    complete: Option<Progress>,
    reached: i64,
    has_published: bool,
}

/// What becomes of one publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Whole,
    Cut,
}

impl ModelSink {
    /// A writer that is not open.
    pub fn new(world: Arc<World>) -> Self {
        let dead_letters = world.equipment.topics.dead_letters().clone();
        Self { world, dead_letters, session: None }
    }

    fn unclear<T>(what: &str) -> Result<T, SinkError> {
        Err(SinkError::Unclear(what.to_owned()))
    }

    fn fenced<T>(&self) -> Result<T, SinkError> {
        self.world.hit(Fault::Fenced);
        Err(SinkError::Fenced("another one writes".to_owned()))
    }

    fn cut<T>(&self) -> Result<T, SinkError> {
        self.world.hit(Fault::PublicationCut);
        Self::unclear("the connection was cut")
    }

    async fn in_transaction(
        &self,
        session: Session,
        records: Vec<OutputRecord>,
        progress: Progress,
        fate: Fate,
    ) -> Result<(), SinkError> {
        self.world.pause().await;
        let mut stream = self.world.stream();
        if session.number < stream.newest {
            drop(stream);
            return self.fenced();
        }
        if session.number <= stream.ended {
            return Self::unclear("the transaction was aborted");
        }
        if fate == Fate::Cut {
            drop(stream);
            return self.cut();
        }
        for record in records {
            self.write(&mut stream, record, session, None, 0);
        }
        stream.progress = Some(progress);
        stream.note_stand();
        Ok(())
    }

    fn write(
        &self,
        stream: &mut Stream,
        record: OutputRecord,
        session: Session,
        complete: Option<Progress>,
        reached: i64,
    ) {
        let is_letter = record.topic == self.dead_letters;
        let published = Published { record: Some(record), session: session.number, complete, reached };
        if is_letter { stream.letters.push(published) } else { stream.announcements.push(published) }
    }

    async fn at_least_once(
        &self,
        session: Session,
        mut records: Vec<OutputRecord>,
        progress: Progress,
        fate: Fate,
    ) -> Result<(), SinkError> {
        if fate == Fate::Cut {
            records.truncate(self.world.dice(|dice| dice.usize(0..=records.len())));
        }
        for record in records {
            if self.world.dice(|dice| dice.u8(0..4) == 0) {
                self.world.pause().await;
            }
            let mut stream = self.world.stream();
            if session.number <= stream.ended {
                return Self::unclear("the broker began again");
            }
            self.write(&mut stream, record, session, None, 0);
        }
        if fate == Fate::Cut {
            return self.cut();
        }
        self.world.pause().await;
        let mut stream = self.world.stream();
        if session.number <= stream.ended {
            return Self::unclear("the broker began again");
        }
        stream.progress = Some(progress);
        stream.note_stand();
        Ok(())
    }

    /// Each record behind the one before, or not at all; the last one says how far publishing is.
    async fn behind_sequences(
        &self,
        session: &mut Session,
        records: Vec<OutputRecord>,
        progress: Progress,
        fate: Fate,
    ) -> Result<(), SinkError> {
        let (letters, announcements): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|record| record.topic == self.dead_letters);
        for letter in letters {
            self.world.pause().await;
            let mut stream = self.world.stream();
            let is_there = stream.letters.iter().any(|there| there.record.as_ref() == Some(&letter));
            if session.number > stream.ended && stream.announcements.len() == session.stood && !is_there {
                self.write(&mut stream, letter, *session, None, 0);
            }
        }
        let seq = |record: &OutputRecord| record.payload.as_deref().and_then(sequence_of).unwrap_or_default();
        let mut waiting: Vec<Option<OutputRecord>> =
            announcements.into_iter().filter(|record| seq(record) > session.reached).map(Some).collect();
        if waiting.is_empty() {
            waiting.push(None);
        }
        let size = waiting.len();
        let written = if fate == Fate::Cut { self.world.dice(|dice| dice.usize(0..size)) } else { size };
        for (index, record) in waiting.into_iter().enumerate().take(written) {
            if self.world.dice(|dice| dice.u8(0..4) == 0) {
                self.world.pause().await;
            }
            self.write_behind(session, record, (index + 1 == size).then_some(progress))?;
        }
        if fate == Fate::Cut {
            return self.cut();
        }
        session.has_published = true;
        self.world.stream().note_stand();
        Ok(())
    }

    fn write_behind(
        &self,
        session: &mut Session,
        record: Option<OutputRecord>,
        complete: Option<Progress>,
    ) -> Result<(), SinkError> {
        let mut stream = self.world.stream();
        if session.number <= stream.ended {
            return Self::unclear("the broker began again");
        }
        if stream.announcements.len() != session.stood {
            let is_others = stream.announcements.last().is_some_and(|last| last.session != session.number);
            drop(stream);
            return if is_others && session.has_published {
                self.fenced()
            } else {
                Self::unclear("something stands there")
            };
        }
        let seq = record.as_ref().and_then(|record| sequence_of(record.payload.as_deref()?));
        session.reached = seq.unwrap_or(session.reached);
        session.complete = complete.or(session.complete);
        session.stood += 1;
        stream.announcements.push(Published {
            record,
            session: session.number,
            complete: session.complete,
            reached: session.reached,
        });
        Ok(())
    }
}

impl Sink for ModelSink {
    async fn open(&mut self) -> Result<Option<Progress>, SinkError> {
        self.session = None;
        self.world.pause().await;
        if !self.world.broker_answers() {
            return Self::unclear("nobody answers");
        }
        let (session, found) = {
            let mut stream = self.world.stream();
            stream.sessions += 1;
            stream.newest = stream.sessions;
            let last = stream.announcements.last();
            let session = Session {
                number: stream.sessions,
                stood: stream.announcements.len(),
                complete: last.and_then(|last| last.complete),
                reached: last.map_or(0, |last| last.reached),
                has_published: false,
            };
            (session, stream.progress())
        };
        let marked = self.world.database.look(|tables| tables.mark.number);
        if found.map_or(0, |found| found.batch) < marked {
            self.world.hit(Fault::PublishedAgain);
        }
        self.world.note(format_args!("sink session {} begins after {:?}", session.number, found.map(|it| it.seq)));
        self.world.pause().await;
        self.session = Some(session);
        Ok(found)
    }

    async fn publish(&mut self, records: Vec<OutputRecord>, progress: Progress) -> Result<(), SinkError> {
        let Some(mut session) = self.session.take() else { return Self::unclear("the sink is not open") };
        self.world.pause().await;
        if !self.world.broker_answers() {
            return Self::unclear("nobody answers");
        }
        let fate = if self.world.armed(Fault::PublicationCut).is_some() { Fate::Cut } else { Fate::Whole };
        let size = records.len();
        let guarantee = self.world.settings.guarantee;
        let published = match guarantee {
            Guarantee::Transactions => self.in_transaction(session, records, progress, fate).await,
            Guarantee::Sequences => self.behind_sequences(&mut session, records, progress, fate).await,
            Guarantee::AtLeastOnce => self.at_least_once(session, records, progress, fate).await,
        };
        let seq = progress.seq;
        self.world.note(format_args!("session {} publishes {size} up to {seq}: {published:?}", session.number));
        published?;
        self.world.pause().await;
        if self.world.befalls(Fault::PublicationUnheard) {
            return Self::unclear("the answer was lost");
        }
        if !self.world.broker_answers() {
            self.world.hit(Fault::PublicationUnheard);
            return Self::unclear("nobody answers any more");
        }
        self.session = Some(session);
        Ok(())
    }

    async fn close(self) {}
}
