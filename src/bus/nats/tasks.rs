//! Tasks that work for as long as a source is open.

use std::collections::HashMap;

use tokio::task::{Id, JoinError, JoinSet};

use super::error::NatsFailure;

/// Some tasks with what they do, for people. Dropped, it ends them where they are.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    set: JoinSet<Result<(), NatsFailure>>,
    doing: HashMap<Id, String>,
}

impl Tasks {
    /// Starts one more.
    pub fn spawn(
        &mut self,
        doing: impl Into<String>,
        task: impl Future<Output = Result<(), NatsFailure>> + Send + 'static,
    ) {
        let id = self.set.spawn(task).id();
        self.doing.insert(id, doing.into());
    }

    /// Waits until one of them has ended or panicked, and says which and why. Waits for ever when there is none.
    /// Cancel-safe.
    pub async fn ended(&mut self) -> String {
        match self.set.join_next_with_id().await {
            Some(ended) => self.say(ended),
            None => std::future::pending().await,
        }
    }

    /// Waits until all have ended, and logs those that failed. Cancel-safe.
    pub async fn join(&mut self) {
        while let Some(ended) = self.set.join_next_with_id().await {
            if !matches!(ended, Ok((_, Ok(())))) {
                let said = self.say(ended);
                tracing::warn!(said, "closing the NATS consumer");
            }
        }
    }

    fn say(&self, ended: Result<(Id, Result<(), NatsFailure>), JoinError>) -> String {
        let (id, cause) = match ended {
            Ok((id, Ok(()))) => (id, "the NATS client ended".to_owned()),
            Ok((id, Err(failure))) => (id, failure.to_string()),
            Err(error) => (error.id(), error.to_string()),
        };
        let doing = self.doing.get(&id).map_or("a task of the NATS consumer", String::as_str);
        format!("{doing} has ended: {cause}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whichever_ends_is_named_with_the_cause() {
        let mut tasks = Tasks::default();
        tasks.spawn("waiting", std::future::pending());
        tasks.spawn("pulling from orders", async { panic!("a bug") });
        let said = tasks.ended().await;
        assert!(said.starts_with("pulling from orders has ended") && said.contains("panic"), "{said}");
        tasks.spawn("pulling from carts", async { Err(NatsFailure::NoSubject("a..b".to_owned())) });
        let said = tasks.ended().await;
        assert!(said.contains("pulling from carts") && said.contains("a..b"), "{said}");
        tasks.spawn("acknowledging", async { Ok(()) });
        assert!(tasks.ended().await.contains("acknowledging has ended"));
    }
}
