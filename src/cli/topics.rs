//! `holdfast topics`.

use std::fmt::Write;

use clap::{Args, Subcommand};

use super::{Ending, output};
use crate::app::{self, Failure};
use crate::bus::any::AnyAdmin;
use crate::bus::{TopicDifference, TopicOutcome, TopicSpec};
use crate::config::{BusAddress, Settings};
use crate::wire::topics::{Direction, Topics};

/// Make the topics of the contract, or compare them with it
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
    let specs = app::topic_specs(settings, &topics);
    let mut differing = false;
    for (admin, specs) in buses(settings, &topics, specs).await? {
        match arguments.command {
            TopicsCommand::Apply => apply(&admin, &specs).await?,
            TopicsCommand::Check => differing |= check(&admin, &specs).await?,
        }
    }
    Ok(if differing { Ending::Differences } else { Ending::Done })
}

/// The topics of each bus: those that are read belong to the source, all others to the sink, which is the same bus
/// unless the settings say otherwise.
async fn buses(
    settings: &Settings,
    topics: &Topics,
    specs: Vec<TopicSpec>,
) -> Result<Vec<(AnyAdmin, Vec<TopicSpec>)>, Failure> {
    let wrong = |error: crate::config::SettingsError| Failure::Settings(error.to_string());
    let source = settings.source_bus().map_err(wrong)?;
    let sink = settings.sink_bus().map_err(wrong)?;
    let one_bus = match (&source, &sink) {
        (BusAddress::Kafka(source), BusAddress::Kafka(sink)) => source.url == sink.url,
        (BusAddress::Local(source), BusAddress::Local(sink)) => source == sink,
        (BusAddress::Kafka(_), BusAddress::Local(_)) | (BusAddress::Local(_), BusAddress::Kafka(_)) => false,
    };
    let source = app::admin(source).await?;
    if one_bus {
        return Ok(vec![(source, specs)]);
    }
    let is_read = |spec: &TopicSpec| {
        topics.all().any(|(definition, name)| **name == *spec.name && definition.direction == Direction::In)
    };
    let (read, written) = specs.into_iter().partition(is_read);
    let sink = app::admin(sink).await?;
    Ok(vec![(source, read), (sink, written)])
}

async fn apply(admin: &AnyAdmin, specs: &[TopicSpec]) -> Result<(), Failure> {
    let outcomes = admin.apply(specs).await.map_err(Failure::failed)?;
    let differences = admin.check(specs).await.map_err(Failure::failed)?;
    output::print(&applied(specs, &outcomes, &differences))?;
    Ok(())
}

async fn check(admin: &AnyAdmin, specs: &[TopicSpec]) -> Result<bool, Failure> {
    let differences = admin.check(specs).await.map_err(Failure::failed)?;
    output::print(&checked(specs, &differences))?;
    Ok(!differences.is_empty())
}

fn applied(specs: &[TopicSpec], outcomes: &[TopicOutcome], differences: &[TopicDifference]) -> String {
    let mut text = String::new();
    for (spec, outcome) in specs.iter().zip(outcomes) {
        let said = match outcome {
            TopicOutcome::Created => "made  ",
            TopicOutcome::Existed => "exists",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{said}  {}", spec.name);
    }
    for difference in differences {
        let _ = writeln!(text, "left as it is: {difference}");
    }
    text
}

fn checked(specs: &[TopicSpec], differences: &[TopicDifference]) -> String {
    if differences.is_empty() {
        return format!("{} topics are as specified\n", specs.len());
    }
    differences.iter().map(|difference| format!("{difference}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::TopicDifferenceKind;

    fn specs() -> Vec<TopicSpec> {
        let spec = |name: &str| TopicSpec {
            name: name.to_owned(),
            partitions: 12,
            replication: None,
            config: Default::default(),
        };
        vec![spec("order-created"), spec("low-stock")]
    }

    fn difference() -> TopicDifference {
        let kind = TopicDifferenceKind::Partitions { wanted: 12, found: 1 };
        TopicDifference { topic: "low-stock".to_owned(), kind }
    }

    #[test]
    fn applying_tells_of_every_topic_and_of_what_it_left_alone() {
        let text = applied(&specs(), &[TopicOutcome::Created, TopicOutcome::Existed], &[difference()]);
        let expected = "made    order-created\nexists  low-stock\n\
                        left as it is: topic low-stock has 1 partitions instead of 12\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn checking_tells_of_every_difference() {
        assert_eq!(checked(&specs(), &[]), "2 topics are as specified\n");
        assert_eq!(checked(&specs(), &[difference()]), "topic low-stock has 1 partitions instead of 12\n");
    }
}
