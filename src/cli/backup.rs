//! `holdfast backup`.

use std::path::PathBuf;

use clap::Args;

use super::{Ending, output};
use crate::app::{self, Failure};
use crate::config::Settings;
use crate::store::Upkeep;

/// Copy a SQLite database into a file while workers go on
///
/// The copy is one moment of the database, whole and on disk when the file appears under its name. A file that exists is
/// never overwritten. It is made in a folder beside it, whose name has .partial behind it; nothing is left of that when a
/// signal ends the command. To restore, stop every worker and put the copy in the place of the database, without the files
/// that end in -wal and -shm. A PostgreSQL database is backed up with pg_dump.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  holdfast backup --store-url sqlite://holdfast.db holdfast-monday.db")]
pub(super) struct BackupArguments {
    /// The file to write; it must not exist
    file: PathBuf,
}

pub(super) async fn run(arguments: BackupArguments, settings: &Settings) -> Result<Ending, Failure> {
    let store = app::migrated_store(settings, 1).await?;
    let bytes = store.backup(&arguments.file).await.map_err(Failure::failed)?;
    store.close().await;
    output::print(&format!("wrote {} ({bytes} bytes)\n", arguments.file.display()))?;
    Ok(Ending::Done)
}
