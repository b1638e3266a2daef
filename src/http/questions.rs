//! Asking the store within a deadline.

use std::future::Future;

use axum::http::StatusCode;

use super::problem::{Code, Problem};
use super::router::Sidecar;
use crate::ports::QueryError;

impl<Q> Sidecar<Q> {
    /// The answer to a question, or why there is none.
    pub(super) async fn ask<T>(&self, question: impl Future<Output = Result<T, QueryError>>) -> Result<T, Problem> {
        match tokio::time::timeout(self.limits.request_timeout, question).await {
            Ok(Ok(answer)) => Ok(answer),
            // What the database says may name hosts and users; callers get the outcome, the log gets the cause.
            Ok(Err(QueryError::Unavailable(cause))) => {
                tracing::warn!(cause, "a question was not answered");
                Err(Problem::unavailable("the database does not answer").retry_after(1))
            }
            Ok(Err(QueryError::Broken(cause))) => {
                tracing::error!(cause, "a question cannot be answered");
                let detail = "the stored data cannot be read; the log says why";
                Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unavailable, detail))
            }
            Err(_) => Err(Problem::unavailable("the database did not answer in time").retry_after(1)),
        }
    }
}
