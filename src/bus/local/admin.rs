//! Topics: made where they are missing, compared where they exist, never altered.

use super::error::LocalFailure;
use super::log::LocalLog;
use super::topics::{self, Topic};
use crate::bus::{TopicDifference, TopicDifferenceKind, TopicOutcome, TopicSpec};

/// The setting that the log knows, by the brokers' name: how long records are kept, in milliseconds, -1 for ever.
const RETENTION: &str = "retention.ms";

/// Makes and compares topics. A topic of the embedded log has one partition and no copies, whatever is specified.
#[derive(Clone, Debug)]
pub struct LocalAdmin {
    log: LocalLog,
}

impl LocalAdmin {
    /// On an open log.
    pub fn new(log: LocalLog) -> Self {
        Self { log }
    }

    /// Makes the topics that are missing and says of each, in the same order, whether it was made. Topics that exist are
    /// left as they are. All or none. Safe to repeat.
    pub async fn apply(&self, specs: &[TopicSpec]) -> Result<Vec<TopicOutcome>, LocalFailure> {
        let doing = || LocalFailure::database("creating topics");
        let mut transaction = self.log.begin_writing().await.map_err(doing())?;
        let mut outcomes = Vec::with_capacity(specs.len());
        for spec in specs {
            let done =
                sqlx::query("insert into log_topic (name, retention_ms) values (?1, ?2) on conflict (name) do nothing")
                    .bind(&spec.name)
                    .bind(retention_of(spec))
                    .execute(&mut *transaction)
                    .await
                    .map_err(doing())?;
            outcomes.push(match done.rows_affected() {
                0 => TopicOutcome::Existed,
                _ => TopicOutcome::Created,
            });
        }
        transaction.commit().await.map_err(doing())?;
        Ok(outcomes)
    }

    /// Looks whether the topics are there.
    ///
    /// # Errors
    /// [`LocalFailure::MissingTopics`] with the names of those that are not.
    pub async fn require(&self, names: &[String]) -> Result<(), LocalFailure> {
        topics::all(&self.log, names).await.map(drop)
    }

    /// Every way in which the topics are not as specified.
    pub async fn check(&self, specs: &[TopicSpec]) -> Result<Vec<TopicDifference>, LocalFailure> {
        let names: Vec<String> = specs.iter().map(|spec| spec.name.clone()).collect();
        let found =
            topics::known(self.log.readers(), &names).await.map_err(LocalFailure::database("looking for topics"))?;
        let difference = |spec: &TopicSpec| {
            let topic = found.iter().find(|topic| *topic.name == *spec.name);
            let kind = topic.map_or(Some(TopicDifferenceKind::Missing), |topic| retention_difference(spec, topic))?;
            Some(TopicDifference { topic: spec.name.clone(), kind })
        };
        Ok(specs.iter().filter_map(difference).collect())
    }
}

/// How long the records of a specified topic are kept; for ever where nothing is said.
fn retention_of(spec: &TopicSpec) -> i64 {
    spec.config.get(RETENTION).and_then(|value| value.parse().ok()).unwrap_or(-1)
}

fn retention_difference(spec: &TopicSpec, found: &Topic) -> Option<TopicDifferenceKind> {
    let wanted = retention_of(spec);
    (wanted != found.retention_ms).then(|| TopicDifferenceKind::Setting {
        name: RETENTION.to_owned(),
        wanted: wanted.to_string(),
        found: Some(found.retention_ms.to_string()),
    })
}
