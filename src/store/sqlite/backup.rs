//! A copy of the database, taken while workers go on.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions, Connection};

use super::{error, options};
use crate::ports::StoreError;

/// What stands in the folder of a copy that is being made, maybe with SQLite's journal beside it.
const COPY: &str = "copy.db";
/// Held by the process that makes it. A file of its own: on some file systems its lock would keep SQLite from the copy.
const LOCK: &str = "lock";
/// How often the folder may be taken away while it is entered.
const ATTEMPTS: usize = 10;

/// Copies one snapshot of `database` into `file`. The copy is made in a folder beside it, whose name has `.partial` behind
/// it, and gets its own name when all of it is on disk. Dropped before that, nothing is left of it.
pub(super) async fn write(database: &Path, file: &Path) -> Result<u64, StoreError> {
    refuse_existing(file)?;
    let partial = Partial::begin(file)?;
    let copy = partial.copy();
    let Some(name) = copy.to_str() else {
        return Err(StoreError::Fatal(format!("the name {} is not UTF-8", file.display())));
    };
    // A connection of its own: it reads for long, and readers of the pool may write no file.
    let mut connection = options(database).create_if_missing(false).connect().await.map_err(error::classify)?;
    let copied = sqlx::query("vacuum into ?1").bind(name).execute(&mut connection).await;
    connection.close().await.map_err(error::classify)?;
    copied.map_err(|error| cannot_write(file, &error))?;
    finish(&copy, file)
}

/// The folder in which a copy is made: one process at a time has it. Goes with everything in it when it is dropped, so
/// that a copy that SQLite would still begin finds no place.
struct Partial {
    folder: PathBuf,
    /// Released by the system when the process ends in whatever way: what is found unlocked was left behind.
    _lock: File,
}

impl Partial {
    /// Makes the folder for a copy, or takes over one that a killed process left.
    fn begin(file: &Path) -> Result<Self, StoreError> {
        let mut folder = OsString::from(file);
        folder.push(".partial");
        let folder = PathBuf::from(folder);
        for _ in 0..ATTEMPTS {
            match Self::enter(&folder) {
                Ok(Some(partial)) => return Ok(partial),
                // Whoever had it has taken it away meanwhile.
                Ok(None) => {}
                Err(error) => {
                    return Err(match error.kind() {
                        ErrorKind::AlreadyExists => exists(&folder),
                        ErrorKind::WouldBlock => StoreError::Fatal(format!(
                            "another process is writing the backup {}; wait for it or name another file",
                            file.display()
                        )),
                        _ => cannot_write(file, &error),
                    });
                }
            }
        }
        Err(StoreError::Fatal(format!("{} comes and goes; name another file", folder.display())))
    }

    /// [`ErrorKind::WouldBlock`] where another process has it, [`ErrorKind::AlreadyExists`] where it is no such folder.
    fn enter(folder: &Path) -> io::Result<Option<Self>> {
        match fs::create_dir(folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let Some(()) = unless_gone(require_ours(folder))? else { return Ok(None) };
            }
            made => made?,
        }
        let path = folder.join(LOCK);
        let opened = File::options().create(true).truncate(false).write(true).open(&path);
        let Some(lock) = unless_gone(opened)? else { return Ok(None) };
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => ErrorKind::WouldBlock.into(),
            TryLockError::Error(error) => error,
        })?;
        // The lock may be one that its holder took away before it could be had.
        let Some(found) = unless_gone(fs::metadata(&path))? else { return Ok(None) };
        if identity(&found) != identity(&lock.metadata()?) {
            return Ok(None);
        }
        let partial = Self { folder: folder.to_owned(), _lock: lock };
        // A journal that was left would be played back into another copy.
        for name in names(folder)?.into_iter().filter(|name| name != LOCK) {
            fs::remove_file(folder.join(name))?;
        }
        Ok(Some(partial))
    }

    fn copy(&self) -> PathBuf {
        self.folder.join(COPY)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // A statement that nobody waits for any more may make its journal anew while the folder is emptied; it finds no
        // place once the folder is gone.
        let is_filled_again = |removed: &io::Result<()>| {
            removed.as_ref().is_err_and(|error| error.kind() == ErrorKind::DirectoryNotEmpty)
        };
        let mut removed = fs::remove_dir_all(&self.folder);
        for _ in 1..ATTEMPTS {
            if !is_filled_again(&removed) {
                break;
            }
            removed = fs::remove_dir_all(&self.folder);
        }
        if let Err(error) = removed {
            tracing::warn!(folder = %self.folder.display(), %error, "what is left of a backup could not be removed");
        }
    }
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

fn unless_gone<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Refuses what no backup has made.
fn require_ours(folder: &Path) -> io::Result<()> {
    // A link that leads to a folder is none.
    if !folder.symlink_metadata()?.is_dir() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let is_ours = |name: &OsString| name == LOCK || name.as_encoded_bytes().starts_with(COPY.as_bytes());
    if names(folder)?.iter().all(is_ours) { Ok(()) } else { Err(ErrorKind::AlreadyExists.into()) }
}

fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Brings the copy to disk and gives it its name, which nobody else may have taken meanwhile. Returns its size in bytes.
fn finish(copy: &Path, file: &Path) -> Result<u64, StoreError> {
    let flushed = || -> io::Result<u64> {
        let written = File::open(copy)?;
        written.sync_all()?;
        let bytes = written.metadata()?.len();
        give_name(copy, file, |copy, file| fs::hard_link(copy, file))?;
        File::open(folder(file))?.sync_all()?;
        Ok(bytes)
    };
    flushed().map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => exists(file),
        _ => cannot_write(file, &error),
    })
}

/// Gives a copy a name that no file has. Unlike a renaming, a second name never takes the place of another file. Where the
/// file system has no second names, the name is reserved by an empty file, which the copy then replaces.
fn give_name(copy: &Path, file: &Path, link: impl FnOnce(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    match link(copy, file) {
        // EPERM and EOPNOTSUPP or ENOSYS.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {}
        linked => return linked,
    }
    File::create_new(file)?;
    fs::rename(copy, file).inspect_err(|_| {
        // It is ours, and empty.
        if let Err(error) = fs::remove_file(file) {
            tracing::warn!(file = %file.display(), %error, "an empty file could not be removed");
        }
    })
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn refuse_existing(file: &Path) -> Result<(), StoreError> {
    // A link that leads nowhere is something, too.
    if file.symlink_metadata().is_ok() { Err(exists(file)) } else { Ok(()) }
}

fn exists(file: &Path) -> StoreError {
    StoreError::Fatal(format!("{} exists already and is not overwritten; name another file or move it", file.display()))
}

fn cannot_write(file: &Path, error: &dyn std::error::Error) -> StoreError {
    StoreError::Fatal(format!("the backup {} cannot be written: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file system without second names, as Linux tells of it in one of two ways.
    fn no_links(kind: ErrorKind) -> impl FnOnce(&Path, &Path) -> io::Result<()> {
        move |_, _| Err(kind.into())
    }

    #[test]
    fn a_copy_gets_its_name_where_there_are_no_hard_links_and_takes_nobodys_place() {
        let folder = tempfile::tempdir().unwrap();
        let [copy, file] = ["copy.db", "monday.db"].map(|name| folder.path().join(name));
        for kind in [ErrorKind::PermissionDenied, ErrorKind::Unsupported] {
            fs::write(&copy, "whole").unwrap();
            give_name(&copy, &file, no_links(kind)).unwrap();
            assert_eq!((fs::read_to_string(&file).unwrap().as_str(), copy.exists()), ("whole", false));
            fs::write(&copy, "another").unwrap();
            let refused = give_name(&copy, &file, no_links(kind)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
            assert_eq!(fs::read_to_string(&file).unwrap(), "whole");
            fs::remove_file(&file).unwrap();
            fs::remove_file(&copy).unwrap();
            // Nothing is reserved for a copy that is not there.
            give_name(&copy, &file, no_links(kind)).unwrap_err();
            assert!(!file.exists());
        }
        let failed = give_name(&copy, &file, no_links(ErrorKind::StorageFull)).unwrap_err();
        assert_eq!((failed.kind(), file.exists()), (ErrorKind::StorageFull, false));
    }
}
