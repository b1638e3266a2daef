//! `holdfast run`.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::Ending;
use crate::app::{self, Failure};
use crate::config::Settings;

/// Run a worker until SIGTERM or Ctrl-C
///
/// Takes events from the source, applies them to the database and publishes what changed. Without any setting it is
/// embedded: database and bus are the file holdfast.db, which it makes by itself. Otherwise it needs a database that
/// `holdfast migrate` has prepared and topics that `holdfast topics apply` has made. The first signal drains: the
/// running batch is committed, acknowledged and published. A second one ends it at once; nothing is lost then either.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  holdfast run
  holdfast run --store-url postgres://shop:secret@localhost/holdfast --source-url kafka://localhost:9092
  HOLDFAST__STORE__URL_FILE=/run/secrets/database holdfast run --config holdfast.toml")]
pub(super) struct RunArguments {}

pub(super) async fn run(
    RunArguments {}: RunArguments,
    settings: Settings,
    stop: CancellationToken,
) -> Result<Ending, Failure> {
    app::run(settings, stop).await?;
    Ok(Ending::Done)
}
