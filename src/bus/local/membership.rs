//! Who reads for a group: one member at a time. It holds a lock on a file beside the database, which the system takes
//! back when its process dies, and a lease in the table, which runs out when its process is stopped. Whoever takes over
//! raises the epoch, and a member of an older one can settle nothing any more.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::error::LocalFailure;
use super::log::LocalLog;
use crate::one_file::clock;

/// How long a stopped member holds the others up. Longer than the longest transaction that a renewal may wait for.
const LEASE: Duration = Duration::from_secs(6);
/// How often the lease is renewed.
pub(super) const RENEWAL: Duration = Duration::from_secs(1);

/// A group as the file knows it.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
}

/// What a member that reads holds.
#[derive(Debug)]
pub(super) struct Membership {
    group: Group,
    holder: Uuid,
    epoch: i64,
    lock: Option<GroupLock>,
}

/// The lock of a living member. Released when it is dropped, and when the process ends in whatever way.
#[derive(Debug)]
pub(super) struct GroupLock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl Group {
    /// The group of this name, made when it is new.
    pub async fn named(log: &LocalLog, name: &str) -> Result<Self, LocalFailure> {
        let doing = || LocalFailure::database(format!("looking for group {name}"));
        if let Some(group) = Self::known(log, name).await? {
            return Ok(group);
        }
        sqlx::query("insert into log_group (name) values (?1) on conflict do nothing")
            .bind(name)
            .execute(log.notes())
            .await
            .map_err(doing())?;
        let id = sqlx::query_scalar("select id from log_group where name = ?1")
            .bind(name)
            .fetch_one(log.notes())
            .await
            .map_err(doing())?;
        Ok(Self { id, name: name.to_owned() })
    }

    /// The group of this name, when it ever was one.
    pub async fn known(log: &LocalLog, name: &str) -> Result<Option<Self>, LocalFailure> {
        let id: Option<i64> = sqlx::query_scalar("select id from log_group where name = ?1")
            .bind(name)
            .fetch_optional(log.readers())
            .await
            .map_err(LocalFailure::database(format!("looking for group {name}")))?;
        Ok(id.map(|id| Self { id, name: name.to_owned() }))
    }

    /// The lock, unless a living member has it.
    pub fn try_lock(&self, log: &LocalLog) -> Result<Option<GroupLock>, LocalFailure> {
        let path = lock_file(log.file(), self.id);
        let failed = |doing, cause| LocalFailure::LockFile { doing, file: path.clone(), cause };
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|cause| failed("opening the lock file", cause))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(GroupLock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => Err(failed("locking", cause)),
        }
    }

    /// What is known of the member that reads now.
    pub async fn member(&self, log: &LocalLog) -> Result<Option<String>, LocalFailure> {
        sqlx::query_scalar("select member from log_group where id = ?1 and holder is not null")
            .bind(self.id)
            .fetch_optional(log.readers())
            .await
            .map_err(LocalFailure::database(format!("looking for members of group {}", self.name)))
    }

    /// Becomes the member that reads, when nobody is, or whoever was is dead or stopped.
    pub async fn join(&self, log: &LocalLog) -> Result<Option<Membership>, LocalFailure> {
        let lock = self.try_lock(log)?;
        if lock.is_none() && !self.is_overdue(log).await? {
            return Ok(None);
        }
        let holder = Uuid::new_v4();
        let epochs: Vec<i64> = sqlx::query_scalar(concat!(
            "update log_group set holder = ?2, member = ?3, epoch = epoch + 1, expires_at = ",
            clock!(),
            " + ?4 where id = ?1 and (?5 or expires_at not between ",
            clock!(),
            " and ",
            clock!(),
            " + ?4) returning epoch"
        ))
        .bind(self.id)
        .bind(holder)
        .bind(format!("process {}", std::process::id()))
        .bind(LEASE.as_micros() as i64)
        .bind(lock.is_some())
        .fetch_all(log.notes())
        .await
        .map_err(LocalFailure::database(format!("joining group {}", self.name)))?;
        Ok(epochs.first().map(|epoch| Membership { group: self.clone(), holder, epoch: *epoch, lock }))
    }

    async fn is_overdue(&self, log: &LocalLog) -> Result<bool, LocalFailure> {
        // One that ends later than any lease was given before the clock was set back.
        let overdue: Option<bool> = sqlx::query_scalar(concat!(
            "select expires_at not between ",
            clock!(),
            " and ",
            clock!(),
            " + ?2 from log_group where id = ?1"
        ))
        .bind(self.id)
        .bind(LEASE.as_micros() as i64)
        .fetch_one(log.readers())
        .await
        .map_err(LocalFailure::database(format!("looking at the lease of group {}", self.name)))?;
        Ok(overdue.unwrap_or_default())
    }
}

impl Membership {
    /// Which takeover it was.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Renews the lease; `false` when another member has taken over.
    pub async fn renew(&mut self, log: &LocalLog) -> Result<bool, LocalFailure> {
        if self.lock.is_none() {
            self.lock = self.group.try_lock(log)?;
        }
        let done = sqlx::query(concat!(
            "update log_group set expires_at = ",
            clock!(),
            " + ?4 where id = ?1 and holder = ?2 and epoch = ?3"
        ))
        .bind(self.group.id)
        .bind(self.holder)
        .bind(self.epoch)
        .bind(LEASE.as_micros() as i64)
        .execute(log.notes())
        .await
        .map_err(LocalFailure::database(format!("renewing the membership of group {}", self.group.name)))?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes where the group goes on, by the number of the topic; `false` when another member has taken over.
    pub async fn store(&self, log: &LocalLog, offsets: &BTreeMap<i64, i64>) -> Result<bool, LocalFailure> {
        let offsets = serde_json::json!(offsets.iter().collect::<Vec<_>>()).to_string();
        let done = sqlx::query(
            "insert into log_offset (group_id, topic, next_offset)
             select g.id, o.value ->> 0, o.value ->> 1 from log_group g cross join json_each(?4) o
             where g.id = ?1 and g.holder = ?2 and g.epoch = ?3
             on conflict (group_id, topic) do update set next_offset = excluded.next_offset",
        )
        .bind(self.group.id)
        .bind(self.holder)
        .bind(self.epoch)
        .bind(offsets)
        .execute(log.notes())
        .await
        .map_err(LocalFailure::database(format!("storing the offsets of group {}", self.group.name)))?;
        Ok(done.rows_affected() > 0)
    }

    /// Lets the next member read at once.
    pub async fn leave(self, log: &LocalLog) -> Result<(), LocalFailure> {
        sqlx::query(
            "update log_group set holder = null, member = null, expires_at = null
             where id = ?1 and holder = ?2 and epoch = ?3",
        )
        .bind(self.group.id)
        .bind(self.holder)
        .bind(self.epoch)
        .execute(log.notes())
        .await
        .map_err(LocalFailure::database(format!("leaving group {}", self.group.name)))?;
        Ok(())
    }
}

/// Where the group goes on, by the number of the topic.
pub(super) async fn offsets(log: &LocalLog, group: &Group) -> Result<BTreeMap<i64, i64>, LocalFailure> {
    let offsets: Vec<(i64, i64)> = sqlx::query_as("select topic, next_offset from log_offset where group_id = ?1")
        .bind(group.id)
        .fetch_all(log.readers())
        .await
        .map_err(LocalFailure::database(format!("reading the offsets of group {}", group.name)))?;
    Ok(offsets.into_iter().collect())
}

/// The file whose lock says that a member lives, one a group.
fn lock_file(database: &Path, group: i64) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(format!("-group-{group}"));
    name.into()
}

/// Positions by topic name; shared by whoever hands records out and whoever stores what became of them.
pub(super) type Positions = BTreeMap<Arc<str>, i64>;
