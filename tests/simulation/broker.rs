//! The bus in memory: topics of partitions, the members of one group, and what they have acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use holdfast::domain::words::Timestamp;
use holdfast::ports::{Header, Position, Record};
use tokio::time::Instant;

use super::case::Carriage;
use super::schedule::Owner;

/// How long a record waits for its acknowledgement before it is given to somebody else.
const ACK_WAIT: Duration = Duration::from_secs(3);

/// A partition of a topic.
pub type Partition = (usize, usize);

/// Where a member reads a partition: in which term of its ownership, and what comes next.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Each change of hands begins another term.
    pub term: u64,
    /// The next offset.
    pub next: i64,
}

/// The bus.
#[derive(Debug)]
pub struct Broker {
    carriage: Carriage,
    partitions: usize,
    names: Vec<Arc<str>>,
    records: BTreeMap<Partition, Vec<Stored>>,
    members: BTreeSet<Owner>,
    owners: BTreeMap<Partition, (Owner, u64)>,
    terms: u64,
    /// The next offset of each partition that the group has not acknowledged.
    committed: BTreeMap<Partition, i64>,
    /// Of a queue: what was acknowledged, and what is on its way to whom until when.
    acknowledged: BTreeSet<(Partition, i64)>,
    on_its_way: BTreeMap<(Partition, i64), OnItsWay>,
    delivered: BTreeSet<(Partition, i64)>,
    published: u64,
    last_delivered: u64,
}

/// A record of a queue that somebody was given.
#[derive(Debug)]
struct OnItsWay {
    member: Owner,
    until: Instant,
    /// Whether the member still works on it, as far as it says.
    is_kept: bool,
}

#[derive(Debug)]
struct Stored {
    record: Record,
    /// Which publication it was, over all topics.
    number: u64,
}

/// What a member was given.
#[derive(Debug, Default)]
pub struct Given {
    /// The records.
    pub records: Vec<Record>,
    /// Of partitions: where each stands afterwards.
    pub places: BTreeMap<Partition, Place>,
    /// Of a queue: what is to be acknowledged.
    pub numbers: Vec<(Partition, i64)>,
    /// How many of the records were delivered before.
    pub again: usize,
    /// Whether any came before one that was published earlier.
    pub is_reordered: bool,
}

impl Broker {
    /// An empty one.
    pub fn new(carriage: Carriage, partitions: usize) -> Self {
        Self {
            carriage,
            // A stream has none.
            partitions: if carriage == Carriage::Queue { 1 } else { partitions },
            names: Vec::new(),
            records: BTreeMap::new(),
            members: BTreeSet::new(),
            owners: BTreeMap::new(),
            terms: 0,
            committed: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            on_its_way: BTreeMap::new(),
            delivered: BTreeSet::new(),
            published: 0,
            last_delivered: 0,
        }
    }

    /// Publishes a record behind the others of its key. Returns where it stands.
    pub fn publish(
        &mut self,
        topic: &str,
        key: &str,
        headers: Vec<Header>,
        payload: Option<Vec<u8>>,
        now: Timestamp,
    ) -> Record {
        let index = self.names.iter().position(|name| **name == *topic).unwrap_or_else(|| {
            self.names.push(topic.into());
            self.names.len() - 1
        });
        let hash = key.bytes().fold(7_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        let partition = (index, hash % self.partitions);
        self.published += 1;
        let records = self.records.entry(partition).or_default();
        let position =
            Position { topic: self.names[index].clone(), partition: partition.1 as i32, offset: records.len() as i64 };
        let key = Some(key.as_bytes().to_vec());
        let record = Record { position, key, headers, payload, timestamp: Some(now) };
        records.push(Stored { record: record.clone(), number: self.published });
        if self.carriage == Carriage::Partitions && !self.owners.contains_key(&partition) {
            self.assign(partition, self.members.iter().next().copied());
        }
        record
    }

    /// Everything that was published, in no order that matters.
    pub fn positions(&self) -> impl Iterator<Item = &Position> {
        self.records.values().flatten().map(|stored| &stored.record.position)
    }

    /// One more member: partitions change hands.
    pub fn join(&mut self, member: Owner, dice: &mut Rng) {
        if self.members.insert(member) {
            self.rebalance(dice);
        }
    }

    /// One member less.
    pub fn leave(&mut self, member: Owner, dice: &mut Rng) {
        if self.members.remove(&member) {
            self.rebalance(dice);
        }
    }

    /// Gives partitions out anew: all of them begin another term, or only those that change hands. Whether any does.
    pub fn rebalance(&mut self, dice: &mut Rng) -> bool {
        if self.carriage == Carriage::Queue {
            return false;
        }
        let before = self.terms;
        let is_eager = dice.bool();
        let mut members: Vec<Owner> = self.members.iter().copied().collect();
        dice.shuffle(&mut members);
        let partitions: Vec<Partition> = self.records.keys().copied().collect();
        for (index, partition) in partitions.into_iter().enumerate() {
            let owner = (!members.is_empty()).then(|| members[index % members.len()]);
            let stays = owner.is_some() && self.owners.get(&partition).map(|(owner, _)| *owner) == owner;
            if is_eager || !stays {
                self.assign(partition, owner);
            }
        }
        self.terms > before
    }

    fn assign(&mut self, partition: Partition, owner: Option<Owner>) {
        self.terms += 1;
        match owner {
            Some(owner) => self.owners.insert(partition, (owner, self.terms)),
            None => self.owners.remove(&partition),
        };
    }

    /// Gives a member what waits for it, at most so much. `places` are where it reads.
    pub fn take(
        &mut self,
        member: Owner,
        places: &mut BTreeMap<Partition, Place>,
        most: usize,
        dice: &mut Rng,
    ) -> Given {
        match self.carriage {
            Carriage::Partitions => self.take_partitions(member, places, most, dice),
            Carriage::Queue => self.take_queued(member, most, dice),
        }
    }

    fn take_partitions(
        &mut self,
        member: Owner,
        places: &mut BTreeMap<Partition, Place>,
        most: usize,
        dice: &mut Rng,
    ) -> Given {
        let mine: Vec<(Partition, u64)> = self
            .owners
            .iter()
            .filter(|(_, (owner, _))| *owner == member)
            .map(|(partition, (_, term))| (*partition, *term))
            .collect();
        places.retain(|partition, place| mine.contains(&(*partition, place.term)));
        for (partition, term) in &mine {
            let next = self.committed.get(partition).copied().unwrap_or(0);
            places.entry(*partition).or_insert(Place { term: *term, next });
        }
        let mut given = Given::default();
        while given.records.len() < most {
            let waiting: Vec<Partition> = places
                .iter()
                .filter(|(partition, place)| (place.next as usize) < self.records[*partition].len())
                .map(|(partition, _)| *partition)
                .collect();
            let Some(partition) = dice.choice(&waiting).copied() else { break };
            let Some(place) = places.get_mut(&partition) else { break };
            let offset = place.next;
            place.next += 1;
            given.places.insert(partition, *place);
            self.hand_out(&mut given, partition, offset);
        }
        given
    }

    fn take_queued(&mut self, member: Owner, most: usize, dice: &mut Rng) -> Given {
        let now = Instant::now();
        let mut given = Given::default();
        let mut partitions: Vec<Partition> = self.records.keys().copied().collect();
        dice.shuffle(&mut partitions);
        for partition in partitions {
            for offset in 0..self.records[&partition].len() as i64 {
                let place = (partition, offset);
                let is_free = self.on_its_way.get(&place).is_none_or(|it| it.until <= now);
                if given.records.len() < most && is_free && !self.acknowledged.contains(&place) {
                    self.on_its_way.insert(place, OnItsWay { member, until: now + ACK_WAIT, is_kept: true });
                    given.numbers.push(place);
                    self.hand_out(&mut given, partition, offset);
                }
            }
        }
        given
    }

    fn hand_out(&mut self, given: &mut Given, partition: Partition, offset: i64) {
        let Some(stored) = self.records.get(&partition).and_then(|records| records.get(offset as usize)) else {
            return;
        };
        given.again += usize::from(!self.delivered.insert((partition, offset)));
        given.is_reordered |= stored.number < self.last_delivered;
        self.last_delivered = self.last_delivered.max(stored.number);
        given.records.push(stored.record.clone());
    }

    /// Says that a member still works on what it was given.
    pub fn keep(&mut self, member: Owner) {
        let until = Instant::now() + ACK_WAIT;
        let of_member = self.on_its_way.values_mut().filter(|it| it.member == member && it.is_kept);
        of_member.for_each(|it| it.until = until);
    }

    /// Says no more that a member works on these, and not that it is done with them either. Whether it worked on any.
    pub fn let_go(&mut self, places: &[(Partition, i64)]) -> bool {
        let mut did = false;
        for place in places {
            if let Some(it) = self.on_its_way.get_mut(place) {
                did |= std::mem::replace(&mut it.is_kept, false);
            }
        }
        did
    }

    /// Has a member read these partitions again from where it acknowledged them last, as after an acknowledgement that did
    /// not arrive and a rebalance that gave them to nobody else. Whether any is the member's.
    pub fn begin_again(&mut self, member: Owner, places: &BTreeMap<Partition, Place>) -> bool {
        let mut did = false;
        for (partition, place) in places {
            if self.owners.get(partition) == Some(&(member, place.term)) {
                self.assign(*partition, Some(member));
                did = true;
            }
        }
        did
    }

    /// Acknowledges everything of a partition before a place. `false`: the partition is another's by now.
    pub fn commit(&mut self, member: Owner, partition: Partition, place: Place) -> bool {
        let is_owner = self.owners.get(&partition) == Some(&(member, place.term));
        if is_owner {
            self.committed.insert(partition, place.next);
        }
        is_owner
    }

    /// Acknowledges one record of a queue, whoever does it.
    pub fn acknowledge(&mut self, place: (Partition, i64)) {
        self.on_its_way.remove(&place);
        self.acknowledged.insert(place);
    }

    /// The records that the group has acknowledged and had not before this place.
    pub fn positions_before(&self, partition: Partition, place: Place) -> impl Iterator<Item = &Position> {
        let records = self.records.get(&partition).map(Vec::as_slice).unwrap_or_default();
        records.iter().take(place.next as usize).map(|stored| &stored.record.position)
    }

    /// The position of one record of a queue.
    pub fn position(&self, (partition, offset): (Partition, i64)) -> Option<&Position> {
        Some(&self.records.get(&partition)?.get(offset as usize)?.record.position)
    }

    /// Delivers again: everything on its way, or of one partition what was acknowledged last as well. Whether anything
    /// that was delivered is.
    pub fn redeliver(&mut self, dice: &mut Rng) -> bool {
        let was_on_its_way = !std::mem::take(&mut self.on_its_way).is_empty();
        let partitions: Vec<Partition> = self.records.keys().copied().collect();
        let Some(partition) = dice.choice(&partitions).copied() else { return false };
        if let Some(next) = self.committed.get_mut(&partition) {
            *next = (*next - dice.i64(0..4)).max(0);
        }
        let Some((owner, _)) = self.owners.get(&partition).copied() else { return was_on_its_way };
        self.assign(partition, Some(owner));
        let next = self.committed.get(&partition).copied().unwrap_or(0);
        self.delivered.range((partition, next)..=(partition, i64::MAX)).next().is_some()
    }

    /// Has the group begin again at the start. Whether it had come any further.
    pub fn replay(&mut self) -> bool {
        self.on_its_way.clear();
        let had_acknowledged = !std::mem::take(&mut self.acknowledged).is_empty();
        let had_committed = std::mem::take(&mut self.committed).values().any(|next| *next > 0);
        let owners: Vec<(Partition, Owner)> =
            self.owners.iter().map(|(partition, (owner, _))| (*partition, *owner)).collect();
        for (partition, owner) in owners {
            self.assign(partition, Some(owner));
        }
        had_acknowledged || had_committed
    }

    /// Everything that the group has acknowledged.
    pub fn acknowledged(&self) -> Vec<Position> {
        let in_partitions = self.committed.iter().flat_map(|(partition, next)| {
            let records = self.records.get(partition).map(Vec::as_slice).unwrap_or_default();
            records.iter().take(*next as usize).map(|stored| stored.record.position.clone())
        });
        in_partitions.chain(self.acknowledged.iter().filter_map(|place| self.position(*place).cloned())).collect()
    }

    /// How many records are not acknowledged.
    pub fn lag(&self) -> usize {
        match self.carriage {
            Carriage::Partitions => self
                .records
                .iter()
                .map(|(partition, records)| {
                    records.len() - self.committed.get(partition).copied().unwrap_or(0) as usize
                })
                .sum(),
            Carriage::Queue => self.published as usize - self.acknowledged.len(),
        }
    }
}
