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
    /// A new place on them, ready for a worker.
    fn place() -> impl Future<Output = Place> + Send;

    /// Those that all tests share.
    fn markets() -> &'static Markets;
}

/// Servers for both.
pub struct PostgresKafka;

impl Combination for PostgresKafka {
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
