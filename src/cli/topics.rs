//! `holdfast topics`.

use std::fmt::Write;

use clap::{Args, Subcommand};

use super::{Ending, output};
use crate::app::{self, Bus, Failure};
use crate::bus::kafka::KafkaAdmin;
use crate::bus::nats::{NatsAdmin, StreamSpec};
use crate::bus::{TopicOutcome, TopicSpec};
use crate::config::{BusAddress, Settings};
use crate::wire::topics::{Direction, Topics};

/// Make the topics of the contract, or compare them with it
///
/// On NATS these are streams, and the durable consumers of the group.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  holdfast topics apply --source-url kafka://localhost:9092
  holdfast topics check --set topics.prefix=eu. || echo 'not as specified'")]
pub(super) struct TopicsArguments {
    #[command(subcommand)]
    command: TopicsCommand,
}

#[derive(Debug, Subcommand)]
enum TopicsCommand {
    /// Make the topics that are missing; those that exist are left as they are
    Apply,
    /// Compare partitions, replication and retention; exit code 3 when something differs
    Check,
}

pub(super) async fn run(arguments: TopicsArguments, settings: &Settings) -> Result<Ending, Failure> {
    let topics = app::topics(settings)?;
    let mut differing = false;
    for cluster in clusters(settings, &topics)? {
        match arguments.command {
            TopicsCommand::Apply => {
                let (outcomes, differences) = cluster.apply().await?;
                output::print(&applied(&outcomes, &differences))?;
            }
            TopicsCommand::Check => {
                let differences = cluster.check().await?;
                output::print(&checked(cluster.size(), &differences))?;
                differing |= !differences.is_empty();
            }
        }
    }
    Ok(if differing { Ending::Differences } else { Ending::Done })
}

/// What should be on the servers of one address.
enum Cluster {
    Kafka(KafkaAdmin, Vec<TopicSpec>),
    Nats(NatsAdmin, Vec<StreamSpec>),
}

/// The topics of each cluster: those that are read belong to the source, all others to the sink, which is the same
/// cluster unless the settings say otherwise.
fn clusters(settings: &Settings, topics: &Topics) -> Result<Vec<Cluster>, Failure> {
    let (source, sink) = (app::source_bus(settings)?, app::sink_bus(settings)?);
    let wrong = |error: crate::config::SettingsError| Failure::Settings(error.to_string());
    let (from, to) = (settings.source_bus().map_err(wrong)?, settings.sink_bus().map_err(wrong)?);
    let is_one = match (from, to) {
        (BusAddress::Kafka(from), BusAddress::Kafka(to)) => from.url == to.url,
        (BusAddress::Nats(from), BusAddress::Nats(to)) => from.url == to.url,
        (BusAddress::Kafka(_), BusAddress::Nats(_)) | (BusAddress::Nats(_), BusAddress::Kafka(_)) => false,
    };
    let is_read = |spec: &TopicSpec| {
        topics.all().any(|(definition, name)| **name == *spec.name && definition.direction == Direction::In)
    };
    let (read, written): (Vec<_>, Vec<_>) = app::topic_specs(settings, topics).into_iter().partition(is_read);
    let mut clusters = vec![match source {
        Bus::Kafka(connection) => Cluster::Kafka(KafkaAdmin::new(connection), read),
        Bus::Nats(connection) => Cluster::Nats(NatsAdmin::new(connection), app::read_streams(settings, topics)?),
    }];
    match (sink, clusters.first_mut()) {
        (Bus::Kafka(_), Some(Cluster::Kafka(_, specs))) if is_one => specs.extend(written),
        (Bus::Nats(_), Some(Cluster::Nats(_, specs))) if is_one => specs.extend(app::written_streams(settings, topics)),
        (Bus::Kafka(connection), _) => clusters.push(Cluster::Kafka(KafkaAdmin::new(connection), written)),
        (Bus::Nats(connection), _) => {
            clusters.push(Cluster::Nats(NatsAdmin::new(connection), app::written_streams(settings, topics)));
        }
    }
    Ok(clusters)
}

impl Cluster {
    /// How many topics or streams it has.
    fn size(&self) -> usize {
        match self {
            Self::Kafka(_, specs) => specs.len(),
            Self::Nats(_, specs) => specs.len(),
        }
    }

    /// Makes what is missing: what became of each, and what differs.
    async fn apply(&self) -> Result<(Vec<(String, TopicOutcome)>, Vec<String>), Failure> {
        let outcomes = match self {
            Self::Kafka(admin, specs) => {
                let outcomes = admin.apply(specs).await.map_err(Failure::failed)?;
                specs.iter().map(|spec| spec.name.clone()).zip(outcomes).collect()
            }
            Self::Nats(admin, specs) => admin.apply(specs).await.map_err(Failure::failed)?,
        };
        Ok((outcomes, self.check().await?))
    }

    /// What differs, a line each.
    async fn check(&self) -> Result<Vec<String>, Failure> {
        Ok(match self {
            Self::Kafka(admin, specs) => lines(&admin.check(specs).await.map_err(Failure::failed)?),
            Self::Nats(admin, specs) => lines(&admin.check(specs).await.map_err(Failure::failed)?),
        })
    }
}

fn lines<D: ToString>(differences: &[D]) -> Vec<String> {
    differences.iter().map(ToString::to_string).collect()
}

fn applied(outcomes: &[(String, TopicOutcome)], differences: &[String]) -> String {
    let mut text = String::new();
    for (name, outcome) in outcomes {
        let said = match outcome {
            TopicOutcome::Created => "made  ",
            TopicOutcome::Existed => "exists",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{said}  {name}");
    }
    for difference in differences {
        let _ = writeln!(text, "left as it is: {difference}");
    }
    text
}

fn checked(size: usize, differences: &[String]) -> String {
    if differences.is_empty() {
        return format!("{size} topics are as specified\n");
    }
    differences.iter().map(|difference| format!("{difference}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference() -> String {
        "topic low-stock has 1 partitions instead of 12".to_owned()
    }

    #[test]
    fn applying_tells_of_every_topic_and_of_what_it_left_alone() {
        let outcomes = [("order-created", TopicOutcome::Created), ("low-stock", TopicOutcome::Existed)];
        let outcomes = outcomes.map(|(name, outcome)| (name.to_owned(), outcome));
        let expected = "made    order-created\nexists  low-stock\n\
                        left as it is: topic low-stock has 1 partitions instead of 12\n";
        assert_eq!(applied(&outcomes, &[difference()]), expected);
    }

    #[test]
    fn checking_tells_of_every_difference() {
        assert_eq!(checked(2, &[]), "2 topics are as specified\n");
        assert_eq!(checked(2, &[difference()]), "topic low-stock has 1 partitions instead of 12\n");
    }
}
