//! One event applied to the loaded rows: the only function that changes stock.

use std::sync::Arc;

use super::books::{Broken, Fold, Work};
use super::claim::{Claim, ClaimKind};
use super::event::{Cause, ClaimExpired, Envelope, Event, ToldAt, Trace};
use super::orders::{self, Conclusion, IGNORED};
use super::verdict::Verdict;
use super::{carts, goods};

/// How long a claim that cannot be released waits for its next turn, in seconds: time for a person to look at it.
const BROKEN_CLAIM_DELAY_SECONDS: i64 = 3_600;

impl Fold<'_> {
    /// Applies one event that was not seen before, then the events that waited for it. Rows, ledger and announcements
    /// collect in `self`; applying N events in one fold gives exactly what N folds of one give.
    ///
    /// # Errors
    /// [`Broken`] when a counter would leave its range. The fold must then be thrown away.
    pub fn apply(&mut self, envelope: &Envelope) -> Result<Verdict, Broken> {
        let verdict = self.apply_one(&envelope.cause, &envelope.trace, &envelope.event, envelope.told_at)?;
        if let Event::OrderCreated(_) = envelope.event {
            self.apply_remembered(&envelope.event)?;
        }
        Ok(verdict)
    }

    fn apply_one(
        &mut self,
        cause: &Arc<Cause>,
        trace: &Trace,
        event: &Event,
        told_at: ToldAt,
    ) -> Result<Verdict, Broken> {
        let mut work = self.begin(cause, trace, event);
        let (verdict, answer) = match event {
            Event::OrderCreated(event) => orders::created(&mut work, event)?,
            Event::CartUpdated(event) => carts::updated(&mut work, event, told_at)?,
            Event::OrderCancelled(event) => orders::cancelled(&mut work, event)?,
            Event::OrderConfirmed { order } => orders::confirmed(&mut work, order)?,
            Event::OrderShipped(event) => orders::shipped(&mut work, event)?,
            Event::SkuRegistered(event) => goods::registered(&mut work, event)?,
            Event::StockReceived(event) => goods::received(&mut work, event)?,
            Event::ClaimExpired(event) => expired(&mut work, event)?,
        };
        let filled = orders::fill(&mut work)?;
        work.finish(answer, filled);
        Ok(verdict)
    }

    /// Applies what overtook an order, in the order in which it came, each with its own cause and answer.
    fn apply_remembered(&mut self, created: &Event) -> Result<(), Broken> {
        let Some(key) = created.claim_key() else { return Ok(()) };
        let Some(claim) = self.books.claims.get_mut(&key) else { return Ok(()) };
        for remembered in std::mem::take(&mut claim.remembered) {
            self.apply_one(&remembered.cause, &remembered.trace, &remembered.event, ToldAt::Unknown)?;
        }
        Ok(())
    }
}

/// Applies `claim-expired` when the claim still has the deadline that was seen and it has passed. A claim that says it
/// holds what its stock rows do not have set aside keeps everything and gets a later deadline: it stops no other, and
/// the comparison of claims with counters tells of it.
fn expired(work: &mut Work<'_, '_>, event: &ClaimExpired) -> Result<Conclusion, Broken> {
    let due = work.claim(&event.claim).and_then(|claim| claim.expires_at);
    if due != Some(event.deadline) || event.deadline > work.now() {
        return Ok(IGNORED);
    }
    let Some(mut claim) = work.take_claim(&event.claim) else { return Ok(IGNORED) };
    let before = claim.clone();
    let released = match claim.key.kind {
        ClaimKind::Cart => carts::expired(work, &mut claim),
        ClaimKind::Order => orders::expired(work, &mut claim),
        ClaimKind::Receipt => Ok(IGNORED),
    };
    match released {
        Ok(conclusion) => {
            work.put_claim(claim);
            Ok(conclusion)
        }
        Err(Broken { .. }) => {
            work.undo();
            let again = work.now().plus_seconds(BROKEN_CLAIM_DELAY_SECONDS);
            work.put_claim(Claim { expires_at: Some(again), ..before });
            Ok((Verdict::Refused(None), None))
        }
    }
}
