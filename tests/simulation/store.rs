//! One worker's way to the database: the model store, with others coming between and connections that break.

use std::future::Future;
use std::sync::Arc;

use holdfast::domain::words::{StockKey, Timestamp};
use holdfast::ports::{
    AuditPage, Audited, Committed, DueClaim, Entry, Judge, Lease, OutboxBatch, OutboxStatus, Progress, Store,
    StoreError,
};
use holdfast::store::Retention;
use tokio::sync::mpsc::WeakSender;
use uuid::Uuid;

use super::faults::{Fault, Planned};
use super::world::World;
use crate::model::{ModelStore, Step};

/// A store that faults befall.
#[derive(Clone)]
pub struct FaultyStore {
    world: Arc<World>,
    model: ModelStore,
    /// Where committed batches go, to see whether there is room.
    hand_over: WeakSender<OutboxBatch>,
}

/// How long a run keeps things.
pub fn retention(world: &World) -> Retention {
    Retention {
        inbox_keep_days: world.settings.inbox_keep_days,
        inbox_max_days: world.settings.inbox_max_days,
        dead_letter_keep_days: 300,
        keep_published_seconds: world.settings.keep_published_seconds,
        alert_keep_days: 365,
    }
}

impl FaultyStore {
    /// A connection of its own.
    pub fn new(world: Arc<World>, hand_over: WeakSender<OutboxBatch>) -> Self {
        let model = ModelStore::on(world.database.clone(), retention(&world));
        Self { world, model, hand_over }
    }

    /// Has one statement carried out, or not, and its answer lost, or not.
    async fn statement<T: std::fmt::Debug>(
        &self,
        name: &str,
        running: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.world.pause().await;
        self.world.reach_database()?;
        self.world.set_clock();
        let answer = running.await;
        if let Err(error) = &answer {
            self.world.note(format_args!("{name}: {error}"));
        }
        self.world.pause().await;
        if answer.is_ok() && self.world.befalls(Fault::StatementUnheard) {
            return Err(StoreError::Transient(format!("the answer to {name} was lost")));
        }
        self.world.reach_database()?;
        answer
    }
}

impl Store for FaultyStore {
    async fn commit(&self, entries: &[Entry], judge: &Judge<'_>) -> Result<Committed, StoreError> {
        let world = &self.world;
        world.pause().await;
        world.reach_database()?;
        world.set_clock();
        let fault = world.armed(Fault::CommitUnheard).or_else(|| world.armed(Fault::CommitCut));
        if let Some(Planned { fault, amount, .. }) = fault {
            let step = usize::try_from(amount).ok().and_then(|step| Step::ALL.get(step));
            let before = step.copied().unwrap_or(Step::BeforeCommit);
            self.model.die_at(if fault == Fault::CommitUnheard { Step::AfterCommit } else { before });
        }
        let answer = self.model.commit(entries, judge).await;
        if let Some(planned) = fault.filter(|_| !self.model.let_live()) {
            world.hit(planned.fault);
        }
        match &answer {
            Ok(Committed { outcomes, outbox, repeats }) => {
                world.note(format_args!("commit of {outcomes:?}, batch {:?}", outbox.as_ref().map(|it| it.number)));
                (0..*repeats).for_each(|_| world.hit(Fault::Collision));
                let is_full = self.hand_over.upgrade().is_some_and(|sender| sender.capacity() == 0);
                if outbox.is_some() && is_full {
                    world.hit(Fault::HandOverFull);
                }
            }
            Err(error) => world.note(format_args!("commit: {error}")),
        }
        world.pause().await;
        if answer.is_ok() && world.reach_database().is_err() {
            world.hit(Fault::CommitUnheard);
            return Err(StoreError::Transient("the answer to COMMIT was lost".to_owned()));
        }
        answer
    }

    async fn unpublished(&self, after: i64, limit: usize) -> Result<Vec<OutboxBatch>, StoreError> {
        self.statement("unpublished", self.model.unpublished(after, limit)).await
    }

    async fn outbox_status(&self) -> Result<OutboxStatus, StoreError> {
        self.statement("outbox status", self.model.outbox_status()).await
    }

    async fn take_lease(&self, holder: Uuid, seconds: i64) -> Result<Option<Lease>, StoreError> {
        self.statement("take lease", self.model.take_lease(holder, seconds)).await
    }

    async fn give_lease(&self, lease: Lease) -> Result<(), StoreError> {
        self.statement("give lease", self.model.give_lease(lease)).await
    }

    async fn mark_published(&self, lease: Lease, progress: Progress) -> Result<bool, StoreError> {
        self.statement("mark published", self.model.mark_published(lease, progress)).await
    }

    async fn audited(&self, after: Option<&StockKey>, page: AuditPage) -> Result<Vec<Audited>, StoreError> {
        self.statement("audited", self.model.audited(after, page)).await
    }

    async fn take_turn(&self, job: &str, interval_seconds: i64) -> Result<Option<Timestamp>, StoreError> {
        self.statement("take turn", self.model.take_turn(job, interval_seconds)).await
    }

    async fn due_claims(&self, limit: usize) -> Result<Vec<DueClaim>, StoreError> {
        self.statement("due claims", self.model.due_claims(limit)).await
    }
}
