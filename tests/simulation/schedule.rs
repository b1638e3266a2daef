//! Who goes on next: an executor that polls one task at a time and has the seed choose among those that can go on.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use fastrand::Rng;

use super::trace::Trace;

/// Whose a task is. Owners are killed and frozen as a whole: one life of a worker is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner(pub u64);

/// The owner of what is no worker's: publishers, callers, whoever makes the faults.
pub const OUTSIDE: Owner = Owner(0);

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task {
    number: u64,
    owner: Owner,
    work: Work,
    alarm: Arc<Alarm>,
}

/// Tells that a task can go on, and wakes whoever drives all of them.
struct Alarm {
    is_ready: AtomicBool,
    driver: Arc<Mutex<Option<Waker>>>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_ready.store(true, Ordering::Relaxed);
        if let Some(driver) = self.driver.lock().unwrap_or_else(PoisonError::into_inner).take() {
            driver.wake();
        }
    }
}

enum Order {
    Spawn(Owner, Work),
    Kill(Owner),
    Freeze(Owner),
    Thaw(Owner),
    End,
}

/// Gives orders to the executor; they are carried out before the next task goes on.
#[derive(Clone, Default)]
pub struct Orders(Arc<Mutex<Vec<Order>>>);

impl Orders {
    /// Starts a task.
    pub fn spawn(&self, owner: Owner, work: impl Future<Output = ()> + Send + 'static) {
        self.give(Order::Spawn(owner, Box::pin(work)));
    }

    /// Drops every task of an owner wherever it waits, as when its process is killed.
    pub fn kill(&self, owner: Owner) {
        self.give(Order::Kill(owner));
    }

    /// Has no task of an owner go on, as when its process is stopped.
    pub fn freeze(&self, owner: Owner) {
        self.give(Order::Freeze(owner));
    }

    /// Lets the tasks of an owner go on again.
    pub fn thaw(&self, owner: Owner) {
        self.give(Order::Thaw(owner));
    }

    /// Drops everything.
    pub fn end(&self) {
        self.give(Order::End);
    }

    fn give(&self, order: Order) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(order);
    }

    fn take(&self) -> Vec<Order> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How a run of the executor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Somebody said so.
    Told,
    /// It went on for ever.
    TooLong,
}

/// The executor.
pub struct Schedule {
    orders: Orders,
    tasks: Vec<Task>,
    frozen: Vec<Owner>,
    dice: Rng,
    /// How many times of a hundred the task that went on last goes on again, if it can.
    stickiness: u8,
    driver: Arc<Mutex<Option<Waker>>>,
    spawned: u64,
    last: u64,
    polls: u64,
    most_polls: u64,
}

impl Schedule {
    /// An executor that chooses by a seed.
    pub fn new(orders: Orders, seed: u64, stickiness: u8, most_polls: u64) -> Self {
        Self {
            orders,
            tasks: Vec::new(),
            frozen: Vec::new(),
            dice: Rng::with_seed(seed),
            stickiness,
            driver: Arc::default(),
            spawned: 0,
            last: 0,
            polls: 0,
            most_polls,
        }
    }

    /// Runs until somebody orders the end. Whenever no task can go on, the runtime's clock goes to the next timer.
    pub async fn run(mut self, trace: &Mutex<Trace>) -> (Ending, u64) {
        let ending = poll_fn(|context| {
            loop {
                if self.carry_out() {
                    return Poll::Ready(Ending::Told);
                }
                let Some(index) = self.choose() else {
                    *self.driver.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
                    return Poll::Pending;
                };
                if self.polls >= self.most_polls {
                    return Poll::Ready(Ending::TooLong);
                }
                self.poll(index, trace);
            }
        })
        .await;
        (ending, self.polls)
    }

    /// Whether the end was ordered.
    fn carry_out(&mut self) -> bool {
        for order in self.orders.take() {
            match order {
                Order::Spawn(owner, work) => {
                    self.spawned += 1;
                    let alarm = Alarm { is_ready: AtomicBool::new(true), driver: self.driver.clone() };
                    self.tasks.push(Task { number: self.spawned, owner, work, alarm: Arc::new(alarm) });
                }
                Order::Kill(owner) => self.tasks.retain(|task| task.owner != owner),
                Order::Freeze(owner) => self.frozen.push(owner),
                Order::Thaw(owner) => self.frozen.retain(|frozen| *frozen != owner),
                Order::End => {
                    self.tasks.clear();
                    return true;
                }
            }
        }
        false
    }

    fn choose(&mut self) -> Option<usize> {
        let can_go_on = |task: &Task| task.alarm.is_ready.load(Ordering::Relaxed) && !self.frozen.contains(&task.owner);
        let ready: Vec<usize> =
            self.tasks.iter().enumerate().filter(|(_, task)| can_go_on(task)).map(|(index, _)| index).collect();
        if ready.is_empty() {
            return None;
        }
        if self.dice.u8(0..100) < self.stickiness
            && let Some(again) = ready.iter().copied().find(|index| self.tasks[*index].number == self.last)
        {
            return Some(again);
        }
        Some(ready[self.dice.usize(0..ready.len())])
    }

    fn poll(&mut self, index: usize, trace: &Mutex<Trace>) {
        let task = &mut self.tasks[index];
        self.polls += 1;
        self.last = task.number;
        trace.lock().unwrap_or_else(PoisonError::into_inner).step(task.number);
        task.alarm.is_ready.store(false, Ordering::Relaxed);
        let waker = Waker::from(task.alarm.clone());
        if task.work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.tasks.remove(index);
        }
    }
}
