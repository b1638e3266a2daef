//! `holdfast migrate`.

use clap::Args;

use super::{Ending, output};
use crate::app::{self, Failure};
use crate::config::Settings;
use crate::store::{Migration, Upkeep};

/// Bring the database's schema up to date
///
/// Safe to run again and from several places at once. On PostgreSQL the user needs to own the schema and nothing else; a
/// SQLite file that is not there is made.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  holdfast migrate --store-url postgres://shop:secret@localhost/holdfast
  holdfast migrate --store-url sqlite://holdfast.db")]
pub(super) struct MigrateArguments {}

pub(super) async fn run(MigrateArguments {}: MigrateArguments, settings: &Settings) -> Result<Ending, Failure> {
    let store = app::connect_new_store(settings).await?;
    let before = store.migration().await.map_err(Failure::failed)?;
    if let Migration::Foreign(versions) = &before {
        return Err(Failure::Failed(format!(
            "the database has migration {} which this version does not know or knows otherwise: use the version that \
             made it, or a newer one",
            list(versions)
        )));
    }
    store.migrate().await.map_err(Failure::failed)?;
    store.close().await;
    output::print(&said(&before))?;
    Ok(Ending::Done)
}

fn said(before: &Migration) -> String {
    match before {
        Migration::Missing(versions) => format!("applied migration {}\n", list(versions)),
        Migration::Current | Migration::Foreign(_) => "the schema is up to date already\n".to_owned(),
    }
}

fn list(versions: &[i64]) -> String {
    versions.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_was_missing() {
        assert_eq!(said(&Migration::Missing(vec![1, 2])), "applied migration 1, 2\n");
        assert_eq!(said(&Migration::Current), "the schema is up to date already\n");
    }
}
