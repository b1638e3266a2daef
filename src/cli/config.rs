//! `holdfast config`.

use clap::{Args, Subcommand};

use super::{Ending, output};
use crate::app::{self, Failure};
use crate::config::{BusAddress, Settings, SettingsError};

/// Check or show the settings
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  holdfast config check --config /etc/holdfast.toml
  holdfast config print > all-settings.toml")]
pub(super) struct ConfigArguments {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether a worker could start with these settings; asks no server
    Check,
    /// Show every setting as TOML, with secrets hidden
    Print,
}

pub(super) fn run(arguments: ConfigArguments, settings: &Settings) -> Result<Ending, Failure> {
    match arguments.command {
        ConfigCommand::Check => {
            check(settings)?;
            output::print("the settings are right\n")?;
        }
        ConfigCommand::Print => {
            output::print(&settings.to_toml().map_err(wrong)?)?;
        }
    }
    Ok(Ending::Done)
}

/// What `run` asks of the settings before it connects to anything.
fn check(settings: &Settings) -> Result<(), Failure> {
    settings.listen().map_err(wrong)?;
    app::topics(settings)?;
    app::registry(settings)?;
    for bus in [settings.source_bus().map_err(wrong)?, settings.sink_bus().map_err(wrong)?] {
        match bus {
            BusAddress::Kafka(address) => drop(app::kafka_connection(address)?),
            BusAddress::Nats(address) => drop(app::nats_connection(address)?),
            BusAddress::Local(_) => {}
        }
    }
    settings.nats_ack_wait_ms().map_err(wrong)?;
    Ok(())
}

fn wrong(error: SettingsError) -> Failure {
    Failure::Settings(error.to_string())
}
