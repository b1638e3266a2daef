//! Whether the worker's loops turn, and whether it is ready.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a loop shows that it turns while something else has not answered.
const TURN: Duration = Duration::from_secs(1);
/// The turn of a loop that has ended as it should.
const ENDED: u64 = u64::MAX;

/// Watches loops: each says when it turns, and one that has not turned for too long is stalled. Clones share the same
/// loops.
#[derive(Clone, Debug)]
pub struct Liveness {
    started: Instant,
    longest_turn: Duration,
    loops: Arc<Mutex<Vec<Watched>>>,
}

#[derive(Debug)]
struct Watched {
    name: &'static str,
    turned_ms: Arc<AtomicU64>,
}

/// What a loop turns. Dropped when the loop ends, which is no stall.
#[derive(Debug)]
pub struct Pulse {
    started: Instant,
    turned_ms: Arc<AtomicU64>,
}

impl Liveness {
    /// Watches loops of which every turn must take less than `longest_turn`. A loop that waits for something without
    /// an end has to wake up and turn in between; one that tries something again turns with each attempt.
    pub fn new(longest_turn: Duration) -> Self {
        Self { started: Instant::now(), longest_turn, loops: Arc::default() }
    }

    /// Watches one more loop from now on.
    pub fn watch(&self, name: &'static str) -> Pulse {
        let turned_ms = Arc::new(AtomicU64::new(0));
        let pulse = Pulse { started: self.started, turned_ms: Arc::clone(&turned_ms) };
        pulse.turn();
        self.loops.lock().unwrap_or_else(PoisonError::into_inner).push(Watched { name, turned_ms });
        pulse
    }

    /// The loops that are stalled at `now`, with how long ago they turned last.
    pub fn stalled(&self, now: Instant) -> Vec<(&'static str, Duration)> {
        let now = now.saturating_duration_since(self.started);
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let ago = |watched: &Watched| match watched.turned_ms.load(Ordering::Relaxed) {
            ENDED => None,
            turned => Some((watched.name, now.saturating_sub(Duration::from_millis(turned)))),
        };
        loops.iter().filter_map(ago).filter(|(_, ago)| *ago > self.longest_turn).collect()
    }
}

impl Pulse {
    /// Says that the loop turns.
    pub fn turn(&self) {
        // Milliseconds since the start fit for half a billion years.
        self.turned_ms.store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Waits for something that has a pulse of its own, and turns meanwhile: that the engine waits for the database is
    /// told by the engine. As cancel-safe as `work`.
    pub async fn turn_while<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            match tokio::time::timeout(TURN, work.as_mut()).await {
                Ok(done) => return done,
                Err(_) => self.turn(),
            }
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.turned_ms.store(ENDED, Ordering::Relaxed);
    }
}

/// How one part of the worker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartState {
    /// It works.
    Up,
    /// It does not work yet.
    Starting,
    /// It works, and something is wrong; what, for people, without secrets.
    Degraded(Arc<str>),
    /// It does not work; why, for people, without secrets.
    Down(Arc<str>),
}

impl PartState {
    /// The word in answers.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Starting => "starting",
            Self::Degraded(_) => "degraded",
            Self::Down(_) => "down",
        }
    }

    /// What is wrong, for people.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Up | Self::Starting => None,
            Self::Degraded(why) | Self::Down(why) => Some(why),
        }
    }

    /// Whether it works, however well.
    pub fn works(&self) -> bool {
        matches!(self, Self::Up | Self::Degraded(_))
    }
}

/// How the parts are, as far as they know themselves; the database is asked when somebody wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// The source and the sink.
    pub bus: PartState,
    /// The database's schema.
    pub migrations: PartState,
    /// Publishing, by this worker or by another.
    pub relay: PartState,
}

impl Readiness {
    /// Nothing has come up yet.
    pub const STARTING: Self =
        Self { bus: PartState::Starting, migrations: PartState::Starting, relay: PartState::Starting };

    /// Every part with its name.
    pub fn parts(&self) -> [(&'static str, &PartState); 3] {
        [("bus", &self.bus), ("migrations", &self.migrations), ("relay", &self.relay)]
    }

    /// Whether every part works.
    pub fn is_ready(&self) -> bool {
        self.parts().iter().all(|(_, state)| state.works())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_stalled_when_it_has_not_turned_for_too_long() {
        let liveness = Liveness::new(Duration::from_secs(10));
        let engine = liveness.watch("engine");
        let relay = liveness.watch("relay");
        let now = Instant::now();
        assert_eq!(liveness.stalled(now + Duration::from_secs(9)), []);
        let names = |now| liveness.stalled(now).iter().map(|(name, _)| *name).collect::<Vec<_>>();
        assert_eq!(names(now + Duration::from_secs(11)), ["engine", "relay"]);
        drop(relay);
        assert_eq!(names(now + Duration::from_secs(11)), ["engine"]);
        engine.turn();
        assert_eq!(names(Instant::now()), Vec::<&str>::new());
    }
}
