//! Writers that die within a commit.

use std::sync::{Arc, Mutex, PoisonError};

use holdfast::ports::StoreError;

/// A moment of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing was read.
    Begun,
    /// What the batch touches was read.
    Loaded,
    /// The batch was judged, nothing was written.
    Judged,
    /// What is to be written is found to be in order.
    BeforeCommit,
    /// Everything is written for good, and nobody was told so.
    AfterCommit,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 5] = [Self::Begun, Self::Loaded, Self::Judged, Self::BeforeCommit, Self::AfterCommit];
}

/// What is to befall a store.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Option<Step>>>);

impl Faults {
    /// Once, at this step.
    pub fn arm(&self, step: Step) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
    }

    /// Has nothing happen any more. Whether something was still to happen.
    pub fn disarm(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// Comes to a step.
    ///
    /// # Errors
    /// [`StoreError::Transient`], as when a connection is cut, where the writer is to die.
    pub fn reach(&self, step: Step) -> Result<(), StoreError> {
        let mut armed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *armed == Some(step) {
            *armed = None;
            return Err(StoreError::Transient(format!("the connection was cut: {step:?}")));
        }
        Ok(())
    }
}
