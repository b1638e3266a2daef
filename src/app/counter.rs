//! The one door to stock for commands that change it beside a worker, or without one.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Failure, LONGEST_TURN, build};
use crate::bus::direct::{DirectLimits, DirectSource, DirectSubmitter, direct};
use crate::config::Settings;
use crate::engine::{self, Engine, EngineError};
use crate::health::{Liveness, Pulse};
use crate::metrics::Metrics;
use crate::store::{AnyStore, Upkeep};
use crate::wire::decode::Decoder;
use crate::wire::schemas::KnownSchemas;

/// Connections of a command: one reads while the other commits.
const CONNECTIONS: u32 = 2;

/// An engine of a command's own on the database of the settings. What it commits is announced by a worker: by one that
/// runs within a moment, otherwise by the next one that starts.
pub struct Counter {
    /// The database.
    pub store: AnyStore,
    /// The way into the engine.
    pub submitter: DirectSubmitter,
    /// What loops of the command turn; nobody watches it.
    pub pulse: Pulse,
    engine: JoinHandle<Result<(), EngineError>>,
}

impl Counter {
    /// Opens the database and starts the engine.
    ///
    /// # Errors
    /// [`Failure`] with what to do about it.
    pub async fn open(settings: &Settings) -> Result<Self, Failure> {
        let topics = build::topics(settings)?;
        let store = build::migrated_store(settings, CONNECTIONS).await?;
        let decoder = Decoder::new(topics, Arc::new(KnownSchemas::load()), None, settings.max_event_bytes);
        let (submitter, source) = direct(DirectLimits::default());
        // Nobody publishes here: the table has what is committed.
        let (relay, _) = mpsc::channel(1);
        let liveness = Liveness::new(LONGEST_TURN);
        let parts = engine::Parts {
            name: "command",
            store: store.clone(),
            decoder: Arc::new(decoder),
            bench: build::bench(settings, false),
            limit: build::batch_limit(settings),
            relay,
            metrics: Metrics::new(),
            pulse: liveness.watch("command"),
            stop: CancellationToken::new(),
        };
        let engine: Engine<DirectSource, AnyStore> = Engine::new(source, parts);
        let pulse = liveness.watch("command loop");
        Ok(Self { store, submitter, pulse, engine: tokio::spawn(engine.run()) })
    }

    /// Waits until everything that was handed in is committed and closes the database.
    ///
    /// # Errors
    /// [`Failure`] when the engine could not go on.
    pub async fn close(self) -> Result<(), Failure> {
        drop(self.submitter);
        let ended = self.engine.await.map_err(Failure::failed)?;
        self.store.close().await;
        ended.map_err(Failure::failed)
    }
}
