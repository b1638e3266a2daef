//! The flags that are settings.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::app::Failure;
use crate::config::{DEFAULT_FILE, FlagSetting, Settings, SettingsError, Sources};

/// Flags about settings; every command takes them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArguments {
    /// Settings file in TOML; must exist
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Any setting; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE", global = true)]
    set: Vec<String>,
    /// Database: postgres://… or sqlite://FILE (store.url)
    #[arg(long, value_name = "URL", global = true)]
    store_url: Option<String>,
    /// Bus that events come from: kafka://…, nats://… or local: (source.url)
    #[arg(long, value_name = "URL", global = true)]
    source_url: Option<String>,
    /// Bus that announcements go to (sink.url)
    #[arg(long, value_name = "URL", global = true)]
    sink_url: Option<String>,
    /// Consumer group (source.group)
    #[arg(long, value_name = "NAME", global = true)]
    group: Option<String>,
    /// Address and port of the sidecar (http.listen)
    #[arg(long, value_name = "ADDRESS", global = true)]
    http_listen: Option<String>,
    /// Level of log lines: error, warn, info, debug, trace (log.level)
    #[arg(long, value_name = "LEVEL", global = true)]
    log_level: Option<String>,
}

impl SettingsArguments {
    /// Reads the settings from the file, these environment variables and the flags.
    ///
    /// # Errors
    /// [`Failure::Settings`] that names what is wrong, where it was written and what would be right.
    pub fn load(&self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Settings, Failure> {
        let sources = Sources {
            file: self.config.clone(),
            optional_file: Some(DEFAULT_FILE.into()),
            environment: environment.into_iter().collect(),
            flags: self.flags()?,
        };
        Settings::load(&sources).map_err(wrong)
    }

    /// The flags in order of strength: what has a flag of its own goes over `--set`.
    ///
    /// # Errors
    /// [`Failure::Settings`] for a `--set` that names no setting.
    pub(super) fn flags(&self) -> Result<Vec<FlagSetting>, Failure> {
        let mut flags: Vec<FlagSetting> =
            self.set.iter().map(|text| FlagSetting::parse(text)).collect::<Result<_, _>>().map_err(wrong)?;
        for (flag, key, value) in [
            ("--store-url", "store.url", &self.store_url),
            ("--source-url", "source.url", &self.source_url),
            ("--sink-url", "sink.url", &self.sink_url),
            ("--group", "source.group", &self.group),
            ("--http-listen", "http.listen", &self.http_listen),
            ("--log-level", "log.level", &self.log_level),
        ] {
            flags.extend(value.clone().map(|value| FlagSetting { flag: flag.to_owned(), key: key.to_owned(), value }));
        }
        Ok(flags)
    }
}

fn wrong(error: SettingsError) -> Failure {
    Failure::Settings(error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Arguments;

    fn load(arguments: &[&str]) -> Result<Settings, Failure> {
        let arguments = std::iter::once("holdfast").chain(arguments.iter().copied());
        Arguments::try_parse_from(arguments).unwrap().settings().load([])
    }

    #[test]
    fn flags_are_settings_wherever_they_stand() {
        let settings = load(&[
            "--set",
            "orders.ttl_s=60",
            "config",
            "print",
            "--store-url",
            "postgres://a@b/c",
            "--set",
            "source.url=kafka://x:1",
            "--source-url=kafka://y:1",
        ])
        .unwrap();
        assert_eq!(settings.store.url.expose(), "postgres://a@b/c");
        assert_eq!(settings.source.url.expose(), "kafka://y:1");
        let message = load(&["config", "print", "--group", ""]).unwrap_err().to_string();
        assert_eq!(message, "setting source.group = \"\" (from --group) must be 1 to 249 printable characters");
    }
}
