//! The stores and buses that are offered together.

use std::fs;
use std::future::Future;
use std::path::Path;

use tempfile::TempDir;

use super::Markets;
use crate::worker::installation::Installation;

/// A database and topics of their own, kept until this is dropped.
pub struct Place {
    pub installation: Installation,
    _folder: Option<TempDir>,
}

/// A store and a bus.
pub trait Combination: 'static {
    /// What tells it from the others.
    const NAME: &'static str;
    /// Every fail point of the path of an event, in its order.
    const FAIL_POINTS: &'static [&'static str];

    /// A new place on them, ready for a worker.
    fn place() -> impl Future<Output = Place> + Send;

    /// Those that all tests share.
    fn markets() -> &'static Markets;
}

/// Where a relay publishes what was committed.
const WITH_RELAY: [&str; 9] = [
    "after_poll",
    "after_commit",
    "before_hand_over",
    "before_settle",
    "after_settle",
    "before_publish",
    "after_publish",
    "before_mark",
    "after_publish:2",
];

/// Servers for both.
pub struct PostgresKafka;

impl Combination for PostgresKafka {
    const NAME: &'static str = "postgres-kafka";
    const FAIL_POINTS: &'static [&'static str] = &WITH_RELAY;

    async fn place() -> Place {
        Place { installation: Installation::new().await, _folder: None }
    }

    fn markets() -> &'static Markets {
        static MARKETS: Markets = Markets::new();
        &MARKETS
    }
}

/// Servers for both.
pub struct PostgresNats;

impl Combination for PostgresNats {
    const NAME: &'static str = "postgres-nats";
    const FAIL_POINTS: &'static [&'static str] = &WITH_RELAY;

    async fn place() -> Place {
        Place { installation: Installation::on_nats().await, _folder: None }
    }

    fn markets() -> &'static Markets {
        static MARKETS: Markets = Markets::new();
        &MARKETS
    }
}

/// One file.
pub struct SqliteLocal;

impl Combination for SqliteLocal {
    const NAME: &'static str = "sqlite-local";
    // Announcements are published by the commit itself.
    const FAIL_POINTS: &'static [&'static str] =
        &["after_poll", "after_commit", "before_settle", "after_settle", "after_poll:2"];

    async fn place() -> Place {
        let folder = folder();
        let url = format!("sqlite://{}", folder.path().join("holdfast.db").display());
        let installation = Installation::bare(url, "local:".to_owned());
        installation.succeed(&["migrate"]);
        installation.succeed(&["topics", "apply"]);
        Place { installation, _folder: Some(folder) }
    }

    fn markets() -> &'static Markets {
        static MARKETS: Markets = Markets::new();
        &MARKETS
    }
}

/// A new folder. Shared markets are never dropped: what processes that are gone have left is removed here.
fn folder() -> TempDir {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for entry in fs::read_dir(all).expect("the folder is there").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix("market-").and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // Another test process may be at it as well.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("market-{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(all).expect("a folder")
}
