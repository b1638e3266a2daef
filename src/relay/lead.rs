//! Leading: from where on, how the lease is kept, and what ends it.

use tokio::time::Instant;

use super::{Parts, RelayError};
use crate::ports::{Lease, OutboxStatus, Progress, SinkError, Store, StoreError};

/// After which batch publishing goes on, from what the sink holds and what the database knows.
pub(super) fn starting_point(found: Option<Progress>, status: &OutboxStatus) -> Result<Progress, Trouble> {
    let marked =
        Progress { installation: status.installation, batch: status.published_number, seq: status.published_seq };
    let Some(found) = found else { return Ok(marked) };
    let behind = |error: String| Err(Trouble::Final(RelayError::Behind(error)));
    if found.installation != status.installation {
        return behind(format!(
            "the sink holds announcements of another database ({}, this one is {}): use an empty sink or another \
             topics.prefix",
            found.installation, status.installation
        ));
    }
    if found.batch > status.last_number || found.seq > status.last_seq {
        return behind(format!(
            "the database is behind its sink: it has given seq {} and the sink holds seq {}; restore the database, or \
             use an empty sink or another topics.prefix",
            status.last_seq, found.seq
        ));
    }
    if found.batch < marked.batch {
        tracing::error!(
            sink_seq = found.seq,
            published_seq = marked.seq,
            "the sink has lost announcements that it had confirmed; they are published again from the outbox"
        );
    }
    Ok(found)
}

/// Why a step did not succeed, by what follows.
pub(super) enum Trouble {
    /// Try again.
    Passing { what: &'static str, error: String },
    /// The sink takes no record that large.
    TooLarge(String),
    /// Another relay publishes.
    Fenced(String),
    /// Give up.
    Final(RelayError),
}

impl From<SinkError> for Trouble {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Unclear(error) => Self::Passing { what: "publish", error },
            SinkError::TooLarge(error) => Self::TooLarge(error),
            SinkError::Fenced(error) => Self::Fenced(error),
            SinkError::Fatal(error) => Self::Final(RelayError::Sink(error)),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Transient(error) => Self::Passing { what: "outbox", error },
            error @ StoreError::Fatal(_) => Self::Final(RelayError::Store(error)),
        }
    }
}

/// Waits for the sink and renews the lease meanwhile. Opening and publishing may take longer than the lease lasts, and
/// relays that took it from each other in turn would fence each other and publish nothing.
pub(super) async fn renewing<T, S: Store>(
    parts: &Parts<S>,
    lease: Lease,
    renewed: &mut Instant,
    work: impl Future<Output = Result<T, SinkError>>,
) -> Result<T, Trouble> {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(parts.lease / 3, work.as_mut()).await {
            Ok(done) => return Ok(done?),
            Err(_) => parts.pulse.turn(),
        }
        let mut renewal = std::pin::pin!(renew(parts, lease, renewed));
        // The sink goes on meanwhile: it may hold what the renewal waits for, where both are one file.
        tokio::select! {
            biased;
            renewal = renewal.as_mut() => still_leads(renewal)?,
            done = work.as_mut() => {
                still_leads(renewal.await)?;
                return Ok(done?);
            }
        }
    }
}

/// While the database is away nobody else can take the lease; it is asked for again before the next step.
fn still_leads(renewal: Result<(), Trouble>) -> Result<(), Trouble> {
    match renewal {
        Ok(()) | Err(Trouble::Passing { .. }) => Ok(()),
        Err(trouble) => Err(trouble),
    }
}

/// Renews the lease, or says that it is another's by now.
pub(super) async fn renew<S: Store>(parts: &Parts<S>, lease: Lease, renewed: &mut Instant) -> Result<(), Trouble> {
    let seconds = parts.lease.as_secs().max(1) as i64;
    match parts.store.take_lease(lease.holder, seconds).await? {
        Some(own) if own == lease => {
            *renewed = Instant::now();
            Ok(())
        }
        // A higher epoch: another relay led in between, and may have published.
        Some(_) | None => Err(Trouble::Fenced("the lease was taken over".to_owned())),
    }
}
