//! The command line: one file a command.

mod backup;
mod config;
mod decision;
mod demo;
mod migrate;
mod output;
mod progress;
mod publish;
mod reconcile;
mod repair;
mod replay;
mod run;
mod settings;
mod signals;
mod subscribe;
mod topics;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

pub use settings::SettingsArguments;

use crate::app::Failure;
use crate::config::{LogSettings, Settings};

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong usage or settings
  3  a check found differences

Settings come from a TOML file (--config, else holdfast.toml when it is there), then from the environment
(HOLDFAST__SECTION__KEY), then from flags. `holdfast config print` shows all of them.

Examples:
  holdfast migrate --store-url postgres://shop:secret@localhost/holdfast
  holdfast topics apply --source-url kafka://localhost:9092
  holdfast run --config /etc/holdfast.toml --set orders.ttl_s=3600";

/// An inventory worker that reserves, deducts and releases stock exactly once.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, after_help = AFTER_HELP)]
pub struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArguments),
    Demo(demo::DemoArguments),
    Migrate(migrate::MigrateArguments),
    Topics(topics::TopicsArguments),
    Publish(publish::PublishArguments),
    Subscribe(subscribe::SubscribeArguments),
    Verify(verify::VerifyArguments),
    Reconcile(reconcile::ReconcileArguments),
    Replay(replay::ReplayArguments),
    Backup(backup::BackupArguments),
    Config(config::ConfigArguments),
}

/// How a command that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It did what it was asked to.
    Done,
    /// It compared, and what it compared differs.
    Differences,
}

impl Ending {
    /// The exit code of the contract.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::Differences => ExitCode::from(3),
        }
    }
}

impl Failure {
    /// The exit code of the contract.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(1),
            Self::Settings(_) => ExitCode::from(2),
        }
    }
}

impl Arguments {
    /// The flags about settings.
    pub fn settings(&self) -> &SettingsArguments {
        &self.settings
    }

    /// The settings of log lines for this command.
    pub fn log(&self, settings: &Settings) -> LogSettings {
        match &self.command {
            Command::Demo(arguments) => arguments.log(&settings.log),
            _ => settings.log.clone(),
        }
    }

    /// Runs the command until it is done or a signal ends it. The first signal ends commands that can end in good
    /// order in that way, and all others as they are; a second one ends everything at once.
    ///
    /// # Errors
    /// [`Failure`] with what to do about it.
    pub async fn run(self, settings: Settings) -> Result<Ending, Failure> {
        let stop = CancellationToken::new();
        let drains =
            matches!(self.command, Command::Run(_) | Command::Demo(_) | Command::Publish(_) | Command::Subscribe(_));
        if let Command::Demo(arguments) = &self.command {
            arguments.check(&self.settings.flags()?)?;
        }
        tokio::select! {
            ending = self.command.run(settings, stop.clone()) => ending,
            failure = signals::watch(stop, drains) => Err(failure),
        }
    }
}

impl Command {
    async fn run(self, settings: Settings, stop: CancellationToken) -> Result<Ending, Failure> {
        match self {
            Self::Run(arguments) => run::run(arguments, settings, stop).await,
            Self::Demo(arguments) => demo::run(arguments, settings, stop).await,
            Self::Migrate(arguments) => migrate::run(arguments, &settings).await,
            Self::Topics(arguments) => topics::run(arguments, &settings).await,
            Self::Publish(arguments) => publish::run(arguments, &settings, stop).await,
            Self::Subscribe(arguments) => subscribe::run(arguments, &settings, stop).await,
            Self::Replay(arguments) => replay::run(arguments, &settings).await,
            Self::Verify(arguments) => verify::run(arguments, &settings).await,
            Self::Reconcile(arguments) => reconcile::run(arguments, &settings).await,
            Self::Backup(arguments) => backup::run(arguments, &settings).await,
            Self::Config(arguments) => config::run(arguments, &settings),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_command_line_is_consistent_and_every_command_is_explained() {
        let command = Arguments::command();
        command.clone().debug_assert();
        for subcommand in command.get_subcommands() {
            assert!(subcommand.get_about().is_some(), "{}", subcommand.get_name());
            let examples = subcommand.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.contains("Examples:"), "{}", subcommand.get_name());
        }
    }
}
