//! A member of the group: what the engine reads from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast::ports::{BatchLimit, Delivery, Outcome, Source, SourceError, Taken};

use super::broker::{Given, Partition, Place};
use super::faults::Fault;
use super::invariants::Invariant;
use super::schedule::Owner;
use super::world::World;

/// How long a member waits for records before it looks again.
const LOOK: Duration = Duration::from_millis(300);

/// Reads for one life of a worker.
pub struct ModelSource {
    world: Arc<World>,
    member: Owner,
    places: BTreeMap<Partition, Place>,
    /// Settled, and not told to the broker yet.
    settled: Receipt,
}

/// What settles a batch: places in partitions, or records of a queue.
#[derive(Debug, Default)]
pub struct Receipt {
    places: BTreeMap<Partition, Place>,
    numbers: Vec<(Partition, i64)>,
}

impl ModelSource {
    /// A member that has not joined yet.
    pub fn new(world: Arc<World>, member: Owner) -> Self {
        Self { world, member, places: BTreeMap::new(), settled: Receipt::default() }
    }

    fn take(&mut self, limit: BatchLimit) -> Given {
        let world = &self.world;
        let most = world.dice(|dice| dice.usize(1..=limit.deliveries));
        let mut broker = world.broker();
        world.dice(|dice| {
            broker.join(self.member, dice);
            broker.take(self.member, &mut self.places, most, dice)
        })
    }

    /// Tells the broker what was settled.
    fn flush(&mut self) {
        if !self.world.broker_answers() {
            return;
        }
        let Receipt { places, numbers } = std::mem::take(&mut self.settled);
        let world = &self.world;
        let mut broker = world.broker();
        for (partition, place) in places {
            if !broker.commit(self.member, partition, place) {
                world.hit(Fault::SettledTooLate);
            } else if let Some(position) = world.lacks(broker.positions_before(partition, place)) {
                world.violated(Invariant::I10, format!("acknowledged and not in the database: {position}"));
            }
        }
        for number in numbers {
            broker.acknowledge(number);
            if let Some(position) = world.lacks(broker.position(number).into_iter()) {
                world.violated(Invariant::I10, format!("acknowledged and not in the database: {position}"));
            }
        }
    }
}

impl Source for ModelSource {
    type Receipt = Receipt;

    async fn next_batch(&mut self, limit: BatchLimit) -> Result<Taken<Receipt>, SourceError> {
        let world = self.world.clone();
        loop {
            world.pause().await;
            self.flush();
            let mut arrival = std::pin::pin!(world.arrivals.notified());
            arrival.as_mut().enable();
            if world.broker_answers() {
                let Given { records, places, numbers, again, is_reordered } = self.take(limit);
                (0..again).for_each(|_| world.hit(Fault::DeliveredTwice));
                if is_reordered {
                    world.hit(Fault::Reordered);
                }
                if !records.is_empty() {
                    world.note(format_args!(
                        "{:?} takes {} records, {again} of them again",
                        self.member,
                        records.len()
                    ));
                    let deliveries = records.into_iter().map(Delivery::Record).collect();
                    return Ok(Some((deliveries, Receipt { places, numbers })));
                }
            }
            tokio::select! {
                biased;
                () = arrival => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn settle(&mut self, receipt: Receipt, _outcomes: &[Outcome]) -> Result<(), SourceError> {
        self.world.pause().await;
        if self.world.armed(Fault::SettlingLost).is_some() {
            let mut broker = self.world.broker();
            if broker.let_go(&receipt.numbers) | broker.begin_again(self.member, &receipt.places) {
                self.world.hit(Fault::SettlingLost);
            }
            return Ok(());
        }
        // Of partitions the next acknowledgement says this one as well.
        self.settled.places.extend(receipt.places);
        self.settled.numbers.extend(receipt.numbers);
        // A client tells the broker when it likes.
        if self.world.dice(|dice| dice.bool()) {
            self.flush();
        }
        Ok(())
    }

    async fn close(mut self) -> Result<(), SourceError> {
        self.world.pause().await;
        self.flush();
        let world = &self.world;
        let mut broker = world.broker();
        world.dice(|dice| broker.leave(self.member, dice));
        Ok(())
    }
}
