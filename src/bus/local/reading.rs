//! The task behind a source: joins the group, reads ahead, stores what is settled, leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::cursor::Cursor;
use super::error::LocalFailure;
use super::handover::Handover;
use super::log::LocalLog;
use super::membership::{self, Group, Membership, Positions, RENEWAL};
use super::source::LocalSourceSettings;
use super::topics::{self, Topic};
use crate::ports::SourceStatus;

/// How often the end of the log is looked at, so that records of other processes are seen: the promise behind the hint.
pub(super) const POLL: Duration = Duration::from_millis(10);
/// How often a member that waits for its turn looks whether it has come.
const STANDBY: Duration = Duration::from_millis(50);
/// How long settled offsets wait to be stored. A crash meanwhile brings duplicates and nothing else.
const STORE_INTERVAL: Duration = Duration::from_millis(100);
/// The waits after trouble: the first, and the longest.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// What the task holds.
pub(super) struct Reading {
    log: LocalLog,
    group: Group,
    settings: LocalSourceSettings,
    handover: Arc<Handover>,
    status: watch::Sender<SourceStatus>,
    appended: watch::Receiver<()>,
    member: Option<Member>,
    delay: Duration,
}

/// What the member that reads holds.
struct Member {
    membership: Membership,
    cursor: Cursor,
    /// By name.
    topics: BTreeMap<Arc<str>, i64>,
    /// Where it began.
    began: Positions,
    renewed: Instant,
    stored: Instant,
    measured: Option<Instant>,
}

enum Turn {
    GoOn,
    Ended,
}

impl Reading {
    /// Looks for the topics and makes the group.
    pub async fn open(
        settings: LocalSourceSettings,
        handover: Arc<Handover>,
        status: watch::Sender<SourceStatus>,
    ) -> Result<Self, LocalFailure> {
        let log = settings.log.clone();
        topics::all(&log, &settings.topics).await?;
        let group = Group::named(&log, &settings.group).await?;
        let appended = log.appended();
        Ok(Self { log, group, settings, handover, status, appended, member: None, delay: FIRST_DELAY })
    }

    /// Reads until it is told to end, or cannot go on.
    pub async fn run(mut self) {
        let ended = loop {
            match self.turn().await {
                Ok(Turn::GoOn) => self.delay = FIRST_DELAY,
                Ok(Turn::Ended) => break Ok(()),
                Err(failure) if failure.is_passing() && !self.handover.is_closing() => self.wait_out(&failure).await,
                Err(failure) => break Err(failure.to_string()),
            }
        };
        self.status.send_modify(|status| status.connected = false);
        self.handover.end(ended);
    }

    /// One step: everything that is due, or a wait.
    async fn turn(&mut self) -> Result<Turn, LocalFailure> {
        if self.handover.is_closing() {
            self.leave().await?;
            return Ok(Turn::Ended);
        }
        let Some(mut member) = self.member.take() else {
            self.join().await?;
            return Ok(Turn::GoOn);
        };
        let still = self.keep_up(&mut member).await;
        // Trouble that passes costs nobody the membership.
        self.member = Some(member);
        if !still? {
            tracing::warn!(group = self.group.name, "another member of the group reads now, this one stands by");
            self.member = None;
            return Ok(Turn::GoOn);
        }
        if !self.read().await? {
            self.wait(POLL).await;
        }
        Ok(Turn::GoOn)
    }

    async fn join(&mut self) -> Result<(), LocalFailure> {
        let Some(membership) = self.group.join(&self.log).await? else {
            self.status.send_if_modified(|status| !std::mem::replace(&mut status.connected, true));
            self.wait(STANDBY).await;
            return Ok(());
        };
        let stored = membership::offsets(&self.log, &self.group).await?;
        let topics = topics::all(&self.log, &self.settings.topics).await?;
        let mut began: Vec<(Topic, i64)> = Vec::with_capacity(topics.len());
        for topic in topics {
            let first = topics::first_offset(self.log.readers(), &topic)
                .await
                .map_err(LocalFailure::database(format!("looking for the first record of {}", topic.name)))?;
            let from = stored.get(&topic.id).map_or(first, |stored| first.max(*stored));
            began.push((topic, from));
        }
        // From here on the group is known to have unread records, which are not dropped.
        membership.store(&self.log, &began.iter().map(|(topic, from)| (topic.id, *from)).collect()).await?;
        let now = Instant::now();
        self.handover.begin(membership.epoch());
        self.member = Some(Member {
            topics: began.iter().map(|(topic, _)| (topic.name.clone(), topic.id)).collect(),
            began: began.iter().map(|(topic, from)| (topic.name.clone(), *from)).collect(),
            cursor: Cursor::before(&self.log, began).await?,
            membership,
            renewed: now,
            stored: now,
            measured: None,
        });
        self.status.send_modify(|status| {
            (status.connected, status.trouble) = (true, None);
            status.rebalances += 1;
        });
        Ok(())
    }

    /// Renews, stores and measures what is due; `false` when another member has taken over.
    async fn keep_up(&mut self, member: &mut Member) -> Result<bool, LocalFailure> {
        if member.renewed.elapsed() >= RENEWAL {
            if !member.membership.renew(&self.log).await? {
                return Ok(false);
            }
            member.renewed = Instant::now();
        }
        if member.stored.elapsed() >= STORE_INTERVAL {
            if !store(&self.log, &self.handover, member).await? {
                return Ok(false);
            }
            member.stored = Instant::now();
        }
        if member.measured.is_none_or(|measured| measured.elapsed() >= self.settings.statistics_interval) {
            let lag = self.lag(member).await?;
            self.status.send_modify(|status| {
                (status.connected, status.trouble, status.lag) = (true, None, lag);
            });
            member.measured = Some(Instant::now());
        }
        Ok(true)
    }

    /// Records not yet settled, by topic.
    async fn lag(&self, member: &Member) -> Result<Vec<(Arc<str>, i32, i64)>, LocalFailure> {
        let settled = self.handover.settled();
        let topics = topics::all(&self.log, &self.settings.topics).await?;
        let lag = |topic: Topic| {
            let position = settled.get(&topic.name).or(member.began.get(&topic.name)).copied().unwrap_or_default();
            (topic.name, 0, (topic.end - position).max(0))
        };
        Ok(topics.into_iter().map(lag).collect())
    }

    /// Reads ahead while there is room; says whether there was anything, wanted or not.
    async fn read(&mut self) -> Result<bool, LocalFailure> {
        let (Some(member), Some(room)) = (&mut self.member, self.handover.room()) else { return Ok(false) };
        let before = member.cursor.place();
        let records = member.cursor.next(&self.log, room, None).await?;
        if !records.is_empty() {
            self.handover.push(records);
        }
        Ok(member.cursor.place() > before)
    }

    /// Stores what is settled and lets the next member read.
    async fn leave(&mut self) -> Result<(), LocalFailure> {
        let Some(member) = self.member.take() else { return Ok(()) };
        if store(&self.log, &self.handover, &member).await? {
            member.membership.leave(&self.log).await?;
        }
        Ok(())
    }

    async fn wait(&mut self, at_most: Duration) {
        tokio::select! {
            _ = self.appended.changed() => {}
            () = self.handover.wanted() => {}
            () = sleep(at_most) => {}
        }
    }

    async fn wait_out(&mut self, failure: &LocalFailure) {
        tracing::warn!(group = self.group.name, %failure, delay = ?self.delay, "the embedded log is read again later");
        self.status.send_modify(|status| {
            (status.connected, status.trouble) = (false, Some(failure.to_string().into()));
        });
        sleep(self.delay).await;
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
    }
}

/// Stores what is settled, if anything is; `false` when another member has taken over.
async fn store(log: &LocalLog, handover: &Handover, member: &Member) -> Result<bool, LocalFailure> {
    let Some(settled) = handover.unstored() else { return Ok(true) };
    let number = |(topic, offset): (&Arc<str>, &i64)| Some((*member.topics.get(topic)?, *offset));
    let offsets = settled.iter().filter_map(number).collect();
    let is_stored = member.membership.store(log, &offsets).await?;
    if is_stored {
        handover.stored(&settled);
    }
    Ok(is_stored)
}
