//! Why the demo cannot go on.

use std::io;

use reqwest::StatusCode;

/// Why the demo ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The orders in the binary are not what they were when it was made.
    #[error("the demo's orders cannot be read: {0}")]
    Orders(io::Error),
    /// The worker did not come up.
    #[error("the worker was not ready after {0} s")]
    NotReady(u64),
    /// The sidecar is gone, or slower than any request may be.
    #[error("the worker's sidecar does not answer: {0}")]
    Unreachable(#[from] reqwest::Error),
    /// The sidecar answered something else than was asked for.
    #[error("the worker answered {status}: {body}")]
    Refused {
        /// What it answered.
        status: StatusCode,
        /// What it said about it.
        body: String,
    },
    /// What came is no stream of announcements.
    #[error("the worker's stream cannot be read: {0}")]
    Stream(String),
    /// There is no terminal, or it is gone.
    #[error("the terminal cannot be used: {0}; --no-tui does without it")]
    Terminal(io::Error),
    /// What was to be printed could not be.
    #[error("{0}")]
    Print(String),
    /// A task or a thread of the demo panicked.
    #[error("a part of the demo broke: {0}")]
    Broken(#[from] tokio::task::JoinError),
}
