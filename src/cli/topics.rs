//! `holdfast topics`.

use std::fmt::Write;

use clap::{Args, Subcommand};

use super::{Ending, output};
use crate::app::{self, Failure, streams};
use crate::bus::kafka::KafkaAdmin;
use crate::bus::local::LocalAdmin;
use crate::bus::nats::{NatsAdmin, NatsDifference, StreamSpec};
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
    for cluster in clusters(settings, &topics).await? {
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

/// What should be on one bus.
enum Cluster {
    Kafka(KafkaAdmin, Vec<TopicSpec>),
    Nats(NatsAdmin, Vec<StreamSpec>),
    Local(LocalAdmin, Vec<TopicSpec>),
}

/// The topics of each bus: those that are read belong to the source, all others to the sink, which is the same bus
/// unless the settings say otherwise.
async fn clusters(settings: &Settings, topics: &Topics) -> Result<Vec<Cluster>, Failure> {
    let wrong = |error: crate::config::SettingsError| Failure::Settings(error.to_string());
    let (from, to) = (settings.source_bus().map_err(wrong)?, settings.sink_bus().map_err(wrong)?);
    let is_one = match (&from, &to) {
        (BusAddress::Kafka(from), BusAddress::Kafka(to)) => from.url == to.url,
        (BusAddress::Nats(from), BusAddress::Nats(to)) => from.url == to.url,
        (BusAddress::Local(from), BusAddress::Local(to)) => from == to,
        (BusAddress::Kafka(_) | BusAddress::Nats(_) | BusAddress::Local(_), _) => false,
    };
    let is_read = |spec: &TopicSpec| {
        topics.all().any(|(definition, name)| **name == *spec.name && definition.direction == Direction::In)
    };
    let (read, written): (Vec<_>, Vec<_>) = app::topic_specs(settings, topics).into_iter().partition(is_read);
    let (read_streams, written_streams) = (streams::read(settings, topics)?, streams::written(settings, topics));
    if is_one {
        let (specs, streams) = ([read, written].concat(), [read_streams, written_streams].concat());
        return Ok(vec![Cluster::of(from, specs, streams).await?]);
    }
    Ok(vec![Cluster::of(from, read, read_streams).await?, Cluster::of(to, written, written_streams).await?])
}

impl Cluster {
    /// A bus with what should be there, said as topics and as streams.
    async fn of(address: BusAddress, specs: Vec<TopicSpec>, streams: Vec<StreamSpec>) -> Result<Self, Failure> {
        Ok(match address {
            BusAddress::Kafka(address) => Self::Kafka(KafkaAdmin::new(app::kafka_connection(address)?), specs),
            BusAddress::Nats(address) => Self::Nats(NatsAdmin::new(app::nats_connection(address)?), streams),
            BusAddress::Local(file) => Self::Local(LocalAdmin::new(app::local_log(&file).await?), specs),
        })
    }

    /// How many topics or streams it has.
    fn size(&self) -> usize {
        match self {
            Self::Kafka(_, specs) | Self::Local(_, specs) => specs.len(),
            Self::Nats(_, specs) => specs.len(),
        }
    }

    /// Makes what is missing: what became of each, and what differs.
    async fn apply(&self) -> Result<(Vec<(String, TopicOutcome)>, Vec<String>), Failure> {
        let named = |specs: &[TopicSpec], outcomes: Vec<TopicOutcome>| {
            specs.iter().map(|spec| spec.name.clone()).zip(outcomes).collect()
        };
        let outcomes = match self {
            Self::Kafka(admin, specs) => named(specs, admin.apply(specs).await.map_err(Failure::failed)?),
            Self::Local(admin, specs) => named(specs, admin.apply(specs).await.map_err(Failure::failed)?),
            Self::Nats(admin, specs) => admin.apply(specs).await.map_err(Failure::failed)?,
        };
        Ok((outcomes, self.check().await?))
    }

    /// What differs, a line each.
    async fn check(&self) -> Result<Vec<String>, Failure> {
        Ok(match self {
            Self::Kafka(admin, specs) => lines(&admin.check(specs).await.map_err(Failure::failed)?),
            Self::Local(admin, specs) => lines(&admin.check(specs).await.map_err(Failure::failed)?),
            Self::Nats(admin, specs) => {
                let found = admin.check(specs).await.map_err(Failure::failed)?;
                let (limits, differences): (Vec<_>, Vec<_>) = found.into_iter().partition(NatsDifference::is_limit);
                for limit in limits {
                    output::tell(&limit.to_string());
                }
                lines(&differences)
            }
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
