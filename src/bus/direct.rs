//! The source of work that does not come over a bus: HTTP bodies and this worker's own commands. It goes through the
//! same door as everything else, and whoever submitted it is told how it ended.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::ports::{BatchLimit, Delivery, Outcome, Source, SourceError, StoreError};

/// What a delivery costs beside its payload, in bytes: its envelope, headers and place in the queue.
const DELIVERY_OVERHEAD_BYTES: usize = 512;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct DirectLimits {
    /// Submissions.
    pub submissions: usize,
    /// Bytes of all of them together; a single larger submission is taken when nothing else waits.
    pub bytes: u32,
}

impl Default for DirectLimits {
    /// 256 submissions and 32 MiB: some batches ahead of the database, and little beside what the batches take.
    fn default() -> Self {
        Self { submissions: 256, bytes: 32 * 1024 * 1024 }
    }
}

/// Why a submission was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// It was not taken: too much waits already. Try again.
    #[error("too much work waits already")]
    Busy,
    /// It was not taken: the worker stops.
    #[error("the worker takes no more work")]
    Closed,
    /// It was taken and the worker stopped before answering: it may have been committed. The same events may be
    /// submitted again under the same ids.
    #[error("the worker stopped before it could say how the work ended")]
    Unanswered,
}

impl From<SubmitError> for StoreError {
    /// For work of our own: it is handed in again, under the same ids.
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Busy | SubmitError::Closed | SubmitError::Unanswered => Self::Transient(error.to_string()),
        }
    }
}

/// A queue's two ends.
pub fn direct(limits: DirectLimits) -> (DirectSubmitter, DirectSource) {
    let (sender, receiver) = mpsc::channel(limits.submissions.max(1));
    let room = Arc::new(Semaphore::new(limits.bytes as usize));
    let submitter = DirectSubmitter { queue: sender, room, room_bytes: limits.bytes };
    (submitter, DirectSource { queue: receiver, untaken: VecDeque::new(), unanswered: VecDeque::new() })
}

/// Where work is submitted. Cheap to clone; the source ends when every clone is gone.
#[derive(Clone, Debug)]
pub struct DirectSubmitter {
    queue: mpsc::Sender<Submission>,
    room: Arc<Semaphore>,
    room_bytes: u32,
}

impl DirectSubmitter {
    /// Submits deliveries together and waits until all of them are committed; outcomes stand in their order. Never
    /// waits for room. A cancelled wait cancels nothing: the work goes on and only its answer is lost.
    pub async fn submit(&self, deliveries: Vec<Delivery>) -> Result<Vec<Outcome>, SubmitError> {
        if deliveries.is_empty() {
            return Ok(Vec::new());
        }
        let room = self.reserve(&deliveries)?;
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Submission { deliveries, answer, room }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => SubmitError::Busy,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Closed,
        })?;
        answered.await.map_err(|_| SubmitError::Unanswered)
    }

    fn reserve(&self, deliveries: &[Delivery]) -> Result<OwnedSemaphorePermit, SubmitError> {
        let bytes: usize = deliveries.iter().map(|delivery| size(delivery) + DELIVERY_OVERHEAD_BYTES).sum();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.room_bytes);
        Arc::clone(&self.room).try_acquire_many_owned(bytes).map_err(|_| SubmitError::Busy)
    }
}

#[derive(Debug)]
struct Submission {
    deliveries: Vec<Delivery>,
    answer: oneshot::Sender<Vec<Outcome>>,
    room: OwnedSemaphorePermit,
}

/// Gives submitted work to the engine. Batches are settled in the order in which they were taken, so the outcomes
/// that arrive always belong to the submission that has waited longest.
#[derive(Debug)]
pub struct DirectSource {
    queue: mpsc::Receiver<Submission>,
    /// Deliveries of the submissions at the end of `unanswered` that no batch has taken yet.
    untaken: VecDeque<Delivery>,
    unanswered: VecDeque<Unanswered>,
}

#[derive(Debug)]
struct Unanswered {
    deliveries: usize,
    outcomes: Vec<Outcome>,
    answer: oneshot::Sender<Vec<Outcome>>,
    /// Given back when the submission is answered.
    _room: OwnedSemaphorePermit,
}

/// Settles one batch of a [`DirectSource`].
#[derive(Debug)]
pub struct DirectReceipt {
    deliveries: usize,
}

impl DirectSource {
    fn accept(&mut self, submission: Submission) {
        let Submission { deliveries, answer, room } = submission;
        self.unanswered.push_back(Unanswered {
            deliveries: deliveries.len(),
            outcomes: Vec::with_capacity(deliveries.len()),
            answer,
            _room: room,
        });
        self.untaken.extend(deliveries);
    }

    /// Moves what is there into a batch, without waiting.
    fn take(&mut self, limit: BatchLimit) -> Vec<Delivery> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < limit.deliveries.max(1) && (batch.is_empty() || bytes < limit.bytes) {
            let Some(delivery) = self.untaken.pop_front() else {
                match self.queue.try_recv() {
                    Ok(submission) => self.accept(submission),
                    Err(_) => break,
                }
                continue;
            };
            bytes += size(&delivery);
            batch.push(delivery);
        }
        batch
    }
}

impl Source for DirectSource {
    type Receipt = DirectReceipt;

    async fn next_batch(&mut self, limit: BatchLimit) -> Result<Option<(Vec<Delivery>, DirectReceipt)>, SourceError> {
        if self.untaken.is_empty() {
            // The only wait; a submission that was received is kept in `self` before anything else can happen.
            match self.queue.recv().await {
                Some(submission) => self.accept(submission),
                None => return Ok(None),
            }
        }
        let batch = self.take(limit);
        let receipt = DirectReceipt { deliveries: batch.len() };
        Ok(Some((batch, receipt)))
    }

    async fn settle(&mut self, receipt: DirectReceipt, outcomes: &[Outcome]) -> Result<(), SourceError> {
        if outcomes.len() != receipt.deliveries {
            return Err(SourceError::Fatal(format!(
                "a batch of {} deliveries was settled with {} outcomes",
                receipt.deliveries,
                outcomes.len()
            )));
        }
        let mut outcomes = outcomes.iter().cloned();
        while let Some(first) = self.unanswered.front_mut() {
            let missing = first.deliveries - first.outcomes.len();
            first.outcomes.extend(outcomes.by_ref().take(missing));
            if first.outcomes.len() < first.deliveries {
                break;
            }
            if let Some(done) = self.unanswered.pop_front() {
                // Whoever asked may have stopped waiting.
                let _ = done.answer.send(done.outcomes);
            }
        }
        Ok(())
    }

    async fn close(self) -> Result<(), SourceError> {
        Ok(())
    }
}

fn size(delivery: &Delivery) -> usize {
    match delivery {
        Delivery::Record(record) => record.payload.as_ref().map_or(0, Vec::len),
        Delivery::Command(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::ports::{Position, Record};

    const ANY: BatchLimit = BatchLimit { deliveries: 100, bytes: 1_000_000 };

    fn record(offset: i64, bytes: usize) -> Delivery {
        let position = Position { topic: "http".into(), partition: 0, offset };
        let payload = Some(vec![b' '; bytes]);
        Delivery::Record(Record { position, key: None, headers: Vec::new(), payload, timestamp: None })
    }

    fn records(offsets: std::ops::Range<i64>) -> Vec<Delivery> {
        offsets.map(|offset| record(offset, 10)).collect()
    }

    fn offsets(batch: &[Delivery]) -> Vec<i64> {
        let offset = |delivery: &Delivery| match delivery {
            Delivery::Record(record) => record.position.offset,
            Delivery::Command(_) => -1,
        };
        batch.iter().map(offset).collect()
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn submissions_share_a_batch_and_each_gets_its_own_outcomes() {
        let (submitter, mut source) = direct(DirectLimits::default());
        let mut first = pin!(submitter.submit(records(0..2)));
        let mut second = pin!(submitter.submit(records(2..3)));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        let (batch, receipt) = source.next_batch(ANY).await.unwrap().unwrap();
        assert_eq!(offsets(&batch), [0, 1, 2]);
        source.settle(receipt, &[Outcome::Applied, Outcome::Refused(None), Outcome::Ignored]).await.unwrap();
        assert_eq!(first.await, Ok(vec![Outcome::Applied, Outcome::Refused(None)]));
        assert_eq!(second.await, Ok(vec![Outcome::Ignored]));
    }

    #[tokio::test]
    async fn a_submission_larger_than_a_batch_is_answered_when_its_last_batch_is() {
        let (submitter, mut source) = direct(DirectLimits::default());
        let mut waiting = pin!(submitter.submit(records(0..5)));
        assert!(poll(waiting.as_mut()).is_pending());
        let limit = BatchLimit { deliveries: 3, ..ANY };
        let (batch, first) = source.next_batch(limit).await.unwrap().unwrap();
        assert_eq!(offsets(&batch), [0, 1, 2]);
        let (batch, second) = source.next_batch(limit).await.unwrap().unwrap();
        assert_eq!(offsets(&batch), [3, 4]);
        source.settle(first, &vec![Outcome::Applied; 3]).await.unwrap();
        assert!(poll(waiting.as_mut()).is_pending());
        source.settle(second, &vec![Outcome::Duplicate; 2]).await.unwrap();
        let outcomes = waiting.await.unwrap();
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Applied).count(), 3);
        assert_eq!(outcomes.len(), 5);
    }

    #[tokio::test]
    async fn bytes_end_a_batch_after_the_delivery_that_crosses_the_line() {
        let (submitter, mut source) = direct(DirectLimits::default());
        let mut waiting = pin!(submitter.submit(vec![record(0, 60), record(1, 60), record(2, 60)]));
        assert!(poll(waiting.as_mut()).is_pending());
        let limit = BatchLimit { deliveries: 100, bytes: 100 };
        let (batch, _) = source.next_batch(limit).await.unwrap().unwrap();
        assert_eq!(offsets(&batch), [0, 1]);
        let (batch, _) = source.next_batch(limit).await.unwrap().unwrap();
        assert_eq!(offsets(&batch), [2]);
    }

    #[tokio::test]
    async fn too_much_waiting_work_is_refused_until_some_is_answered() {
        let by_count = DirectLimits { submissions: 1, ..DirectLimits::default() };
        let by_bytes = DirectLimits { bytes: 1_000, ..DirectLimits::default() };
        for limits in [by_count, by_bytes] {
            let (submitter, mut source) = direct(limits);
            let mut first = pin!(submitter.submit(vec![record(0, 5_000)]));
            assert!(poll(first.as_mut()).is_pending());
            assert_eq!(submitter.submit(records(1..2)).await, Err(SubmitError::Busy));
            let (_, receipt) = source.next_batch(ANY).await.unwrap().unwrap();
            source.settle(receipt, &[Outcome::Applied]).await.unwrap();
            assert_eq!(first.await, Ok(vec![Outcome::Applied]));
            let mut third = pin!(submitter.submit(records(2..3)));
            assert!(poll(third.as_mut()).is_pending());
        }
    }

    #[tokio::test]
    async fn a_caller_that_stops_waiting_cancels_nothing() {
        let (submitter, mut source) = direct(DirectLimits::default());
        {
            let mut impatient = pin!(submitter.submit(records(0..1)));
            assert!(poll(impatient.as_mut()).is_pending());
        }
        let (batch, receipt) = source.next_batch(ANY).await.unwrap().unwrap();
        assert_eq!(offsets(&batch), [0]);
        source.settle(receipt, &[Outcome::Applied]).await.unwrap();
    }

    #[tokio::test]
    async fn both_ends_notice_that_the_other_is_gone() {
        let (submitter, mut source) = direct(DirectLimits::default());
        let mut waiting = pin!(submitter.submit(records(0..1)));
        assert!(poll(waiting.as_mut()).is_pending());
        let _ = source.next_batch(ANY).await.unwrap().unwrap();
        source.close().await.unwrap();
        assert_eq!(waiting.await, Err(SubmitError::Unanswered));
        assert_eq!(submitter.submit(records(1..2)).await, Err(SubmitError::Closed));

        let (submitter, mut source) = direct(DirectLimits::default());
        drop(submitter);
        assert!(source.next_batch(ANY).await.unwrap().is_none());
    }
}
