//! What is wrong with the settings, with the place and the remedy.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A settings file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
    /// Nowhere: it is the default, or follows from several keys.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, " (in {})", path.display()),
            Self::Environment(variable) => write!(formatter, " (from {variable})"),
            Self::Flag(flag) => write!(formatter, " (from {flag})"),
            Self::Default => Ok(()),
        }
    }
}

/// What is wrong with the settings. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A settings file cannot be read.
    #[error("settings file {} cannot be read: {cause}; name a file that exists with --config", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// A settings file is no TOML.
    #[error("settings file {} is not TOML: {cause}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        cause: String,
    },
    /// A flag is no `key=value`.
    #[error("--set {0} is not of the form section.key=value")]
    Flag(String),
    /// A variable holds bytes that are no text.
    #[error("environment variable {0} is not UTF-8 text")]
    NotText(String),
    /// No such key.
    #[error("unknown setting {key}{origin}{}", nearest_hint(nearest.as_deref()))]
    UnknownKey {
        /// The key.
        key: String,
        /// Where it was written.
        origin: Origin,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// A value that the key does not take.
    #[error("setting {key} = {shown}{origin} {expected}")]
    WrongValue {
        /// The key.
        key: String,
        /// The value as it may be shown.
        shown: String,
        /// Where it was written.
        origin: Origin,
        /// What would be right; begins with a verb.
        expected: String,
    },
    /// A file that holds a secret cannot be read.
    #[error("setting {key}{origin} names {}, which cannot be read: {cause}", path.display())]
    SecretFile {
        /// The key.
        key: String,
        /// Where it was written.
        origin: Origin,
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// A setting that this command needs.
    #[error("{0}")]
    Missing(String),
}

fn nearest_hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean {nearest}?"),
        None => "; holdfast config print shows every setting".to_owned(),
    }
}
