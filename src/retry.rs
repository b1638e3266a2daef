//! How often and how fast something is tried again, apart from what is tried.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

/// Waits between attempts: each twice the one before, up to a cap, plus a random part of up to the same length, so
/// that workers that failed together do not come back together. Attempts are not counted: what is worth trying again
/// is tried until it works or the process stops.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    first_delay: Duration,
    longest_delay: Duration,
}

impl RetryPolicy {
    /// For databases and brokers that are away: quick enough that a restart of one is hardly seen, slow enough that a
    /// hundred workers do not keep it from starting.
    pub const AWAY: Self = Self::new(Duration::from_millis(50), Duration::from_secs(4));
    /// For collisions with other workers, which are over in milliseconds.
    pub const COLLISION: Self = Self::new(Duration::from_millis(2), Duration::from_millis(250));

    /// A policy with these waits before the second attempt and at most, each plus up to the same as jitter.
    pub const fn new(first_delay: Duration, longest_delay: Duration) -> Self {
        Self { first_delay, longest_delay }
    }

    /// The waits, without an end.
    pub fn delays(&self) -> Delays {
        let backoff = ExponentialBuilder::new()
            .with_min_delay(self.first_delay)
            .with_max_delay(self.longest_delay)
            .without_max_times()
            .with_jitter()
            .build();
        Delays { backoff, longest_delay: self.longest_delay }
    }

    /// Runs `attempt` until it succeeds, `judge` says that its error is not worth another try, or `stop` is set.
    /// `stop` is looked at only between attempts: a running one is never cancelled. `noted` hears of every failed
    /// attempt that will be repeated, with its error and the wait to come; it is the place to log and count.
    pub async fn run<T, E, Attempt, Running>(
        &self,
        stop: &CancellationToken,
        judge: impl Fn(&E) -> Verdict,
        mut noted: impl FnMut(&E, Duration),
        mut attempt: Attempt,
    ) -> Result<T, GaveUp<E>>
    where
        Attempt: FnMut() -> Running,
        Running: Future<Output = Result<T, E>>,
    {
        let mut delays = self.delays();
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match judge(&error) {
                Verdict::GiveUp => return Err(GaveUp::Final(error)),
                Verdict::TryAgain if stop.is_cancelled() => return Err(GaveUp::Stopped(error)),
                Verdict::TryAgain => {}
            }
            let delay = delays.next_delay();
            noted(&error, delay);
            if stop.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
                return Err(GaveUp::Stopped(error));
            }
        }
    }
}

/// The waits of one series of attempts.
#[derive(Debug)]
pub struct Delays {
    backoff: ExponentialBackoff,
    longest_delay: Duration,
}

impl Delays {
    /// The next wait.
    pub fn next_delay(&mut self) -> Duration {
        self.backoff.next().unwrap_or(self.longest_delay)
    }
}

/// Whether an error is worth another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be over soon.
    TryAgain,
    /// It never will.
    GiveUp,
}

/// Why there was no further attempt, with the last error.
#[derive(Debug, PartialEq, Eq)]
pub enum GaveUp<E> {
    /// The error is not worth another attempt.
    Final(E),
    /// The process stops.
    Stopped(E),
}

impl<E: fmt::Display> fmt::Display for GaveUp<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Final(error) => error.fmt(formatter),
            Self::Stopped(error) => write!(formatter, "stopped while trying again after: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for GaveUp<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: RetryPolicy = RetryPolicy::new(Duration::from_millis(1), Duration::from_millis(2));

    #[test]
    fn waits_double_up_to_the_cap_with_jitter_on_top() {
        let mut delays = RetryPolicy::new(Duration::from_millis(100), Duration::from_millis(400)).delays();
        for least in [100, 200, 400, 400, 400] {
            let delay = delays.next_delay().as_millis();
            assert!((least..=2 * least).contains(&delay), "{delay} after {least}");
        }
    }

    #[tokio::test]
    async fn it_tries_until_it_works_and_tells_of_every_failure() {
        let stop = CancellationToken::new();
        let (mut attempts, mut failures) = (0, Vec::new());
        let result = QUICK
            .run(
                &stop,
                |_| Verdict::TryAgain,
                |error: &u32, _| failures.push(*error),
                || {
                    attempts += 1;
                    std::future::ready(if attempts < 4 { Err(attempts) } else { Ok("done") })
                },
            )
            .await;
        assert_eq!(result, Ok("done"));
        assert_eq!(failures, [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_final_error_ends_it_at_once() {
        let stop = CancellationToken::new();
        let result: Result<(), _> =
            QUICK.run(&stop, |_| Verdict::GiveUp, |_, _| {}, || std::future::ready(Err("no"))).await;
        assert_eq!(result, Err(GaveUp::Final("no")));
    }

    #[tokio::test]
    async fn a_stop_ends_the_wait_and_never_an_attempt() {
        let stop = CancellationToken::new();
        let slow = RetryPolicy::new(Duration::from_secs(3_600), Duration::from_secs(3_600));
        let mut attempts = 0;
        let result: Result<(), _> = slow
            .run(
                &stop,
                |_| Verdict::TryAgain,
                |_: &&str, _| stop.cancel(),
                || {
                    attempts += 1;
                    std::future::ready(Err("away"))
                },
            )
            .await;
        assert_eq!(result, Err(GaveUp::Stopped("away")));
        assert_eq!(attempts, 1);
    }
}
