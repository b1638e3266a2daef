//! A copy of the database, taken while workers go on.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions, Connection};

use super::{error, options};
use crate::ports::StoreError;

/// Copies one snapshot of `database` into `file`. The copy is made beside it, under the name with `.partial` behind it,
/// and gets its own name when all of it is on disk.
pub(super) async fn write(database: &Path, file: &Path) -> Result<u64, StoreError> {
    refuse_existing(file)?;
    let partial = partial(file);
    refuse_existing(&partial)?;
    let Some(name) = partial.to_str() else {
        return Err(StoreError::Fatal(format!("the name {} is not UTF-8", file.display())));
    };
    // A connection of its own: it reads for long, and readers of the pool may write no file.
    let mut connection = options(database).create_if_missing(false).connect().await.map_err(error::classify)?;
    let copied = sqlx::query("vacuum into ?1").bind(name).execute(&mut connection).await;
    connection.close().await.map_err(error::classify)?;
    let finished = match copied {
        Ok(_) => finish(&partial, file),
        Err(error) => Err(StoreError::Fatal(format!("the backup {name} cannot be written: {error}"))),
    };
    // With its own name or without one, nobody needs the first one any more.
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(file = name, %error, "what is left of a backup could not be removed");
        }
        _ => {}
    }
    finished
}

/// Brings the copy to disk and gives it its name, which nobody else may have taken meanwhile.
fn finish(partial: &Path, file: &Path) -> Result<u64, StoreError> {
    let flushed = || -> std::io::Result<u64> {
        let copy = File::open(partial)?;
        copy.sync_all()?;
        let bytes = copy.metadata()?.len();
        // Unlike a renaming, a second name never takes the place of another file.
        fs::hard_link(partial, file)?;
        File::open(folder(file))?.sync_all()?;
        Ok(bytes)
    };
    flushed().map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => exists(file),
        _ => StoreError::Fatal(format!("the backup {} cannot be written: {error}", file.display())),
    })
}

fn partial(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".partial");
    name.into()
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
