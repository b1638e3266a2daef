//! `holdfast replay`.

use std::fmt::Write;
use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};

use super::{Ending, output, progress};
use crate::app::{self, Failure};
use crate::bus::replay::{PartitionOffset, ReplayMove, ReplayPlan, ReplayTarget};
use crate::bus::{kafka, local, nats};
use crate::config::{BusAddress, KafkaAddress, Settings};
use crate::domain::words::Timestamp;
use crate::wire::instant;
use crate::wire::topics::Topics;

/// Let the group go on elsewhere
///
/// Sets the consumer group's offsets and prints what that means. Refuses while the group has members: stop its workers
/// first. Events that were applied before are found to be duplicates, so going back changes nothing that was applied
/// and applies what was missed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  holdfast replay --from start --dry-run
  holdfast replay --from 2026-11-21T00:00:00Z
  holdfast replay --from order-created/0@1200,order-created/1@1187")]
pub(super) struct ReplayArguments {
    /// `start`, a time in RFC 3339, or offsets as TOPIC/PARTITION@OFFSET with commas between; partitions that are not
    /// named stay where they are
    #[arg(long, value_name = "start|TIME|OFFSETS")]
    from: From,
    /// Only print what would be done
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Where the group is to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum From {
    Start,
    Time(Timestamp),
    Offsets(Vec<PartitionOffset>),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "start" {
            return Ok(Self::Start);
        }
        if let Some(time) = instant::parse(text) {
            return Ok(Self::Time(time));
        }
        let offsets: Option<Vec<PartitionOffset>> = text.split(',').map(partition_offset).collect();
        offsets.map(Self::Offsets).ok_or_else(|| {
            "it must be start, a time like 2026-11-21T15:45:00Z, or offsets like order-created/0@1200,order-created/1@7"
                .to_owned()
        })
    }
}

fn partition_offset(text: &str) -> Option<PartitionOffset> {
    let (topic, place) = text.trim().rsplit_once('/')?;
    let (partition, offset) = place.split_once('@')?;
    let partition = partition.parse().ok().filter(|partition| *partition >= 0)?;
    let offset = offset.parse().ok().filter(|offset| *offset >= 0)?;
    (!topic.is_empty()).then(|| PartitionOffset { topic: topic.to_owned(), partition, offset })
}

pub(super) async fn run(arguments: ReplayArguments, settings: &Settings) -> Result<Ending, Failure> {
    let topics = app::topics(settings)?;
    let address = settings.source_bus().map_err(|error| Failure::Settings(error.to_string()))?;
    let inputs: Vec<String> = topics.inputs().iter().map(ToString::to_string).collect();
    let target = target(arguments.from, &topics);
    let (group, dry_run) = (settings.source.group.clone(), arguments.dry_run);
    let plan = match address {
        BusAddress::Kafka(address) => on_kafka(address, group, inputs, target, dry_run).await?,
        BusAddress::Nats(address) => {
            let connection = app::nats_connection(address)?;
            let plan = nats::plan_replay(&connection, &group, &inputs, &target).await.map_err(Failure::failed)?;
            if !dry_run {
                nats::apply_replay(&connection, &plan).await.map_err(Failure::failed)?;
            }
            plan
        }
        BusAddress::Local(file) => {
            let log = app::local_log(&file).await?;
            let plan = local::plan_replay(&log, &group, &inputs, &target).await.map_err(Failure::failed)?;
            if !dry_run {
                local::apply_replay(&log, &plan).await.map_err(Failure::failed)?;
            }
            plan
        }
    };
    if arguments.json {
        output::print_json(&as_json(&plan, dry_run))?;
    } else {
        output::print(&as_text(&plan, dry_run))?;
    }
    Ok(Ending::Done)
}

async fn on_kafka(
    address: KafkaAddress,
    group: String,
    inputs: Vec<String>,
    target: ReplayTarget,
    dry_run: bool,
) -> Result<ReplayPlan, Failure> {
    let connection = app::kafka_connection(address)?;
    let bar = progress::steps(0);
    let shown = bar.clone();
    // Both calls block for as long as the broker takes.
    let work = move || {
        let plan = kafka::plan_replay(&connection, &group, &inputs, &target, |looked_at, of| {
            shown.set_message("partitions looked at");
            shown.set_length(of as u64);
            shown.set_position(looked_at as u64);
        })?;
        if !dry_run {
            kafka::apply_replay(&connection, &plan)?;
        }
        Ok(plan)
    };
    let planned = tokio::task::spawn_blocking(work).await.map_err(Failure::failed)?;
    bar.finish_and_clear();
    planned.map_err(|error: kafka::ReplayError| Failure::failed(error))
}

/// The target with the topics as the broker names them; both names are taken.
fn target(from: From, topics: &Topics) -> ReplayTarget {
    match from {
        From::Start => ReplayTarget::Start,
        From::Time(time) => ReplayTarget::Time(time),
        From::Offsets(mut offsets) => {
            for offset in &mut offsets {
                if let Some(name) = topics.name_of(&offset.topic) {
                    offset.topic = name.to_string();
                }
            }
            ReplayTarget::Offsets(offsets)
        }
    }
}

fn as_text(plan: &ReplayPlan, dry_run: bool) -> String {
    let widest = plan.moves.iter().map(|it| place(it).chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for it in &plan.moves {
        let current = it.current.map_or_else(|| "nothing".to_owned(), |current| current.to_string());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:widest$}  from {current} to {}: up to {} records", place(it), it.new, it.records);
    }
    let records: i64 = plan.moves.iter().map(|it| it.records).sum();
    let did = if dry_run { "would go on" } else { "goes on" };
    let _ = writeln!(
        text,
        "group {} {did} elsewhere in {} partitions, with up to {records} records ahead",
        plan.group,
        plan.moves.len()
    );
    text
}

fn place(it: &ReplayMove) -> String {
    format!("{}/{}", it.topic, it.partition)
}

fn as_json(plan: &ReplayPlan, dry_run: bool) -> Value {
    let moves: Vec<Value> = plan
        .moves
        .iter()
        .map(|it| {
            json!({
                "topic": it.topic,
                "partition": it.partition,
                "current": it.current,
                "new": it.new,
                "records": it.records,
            })
        })
        .collect();
    json!({ "group": plan.group, "dry_run": dry_run, "moves": moves })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn offset(topic: &str, partition: i32, offset: i64) -> PartitionOffset {
        PartitionOffset { topic: topic.to_owned(), partition, offset }
    }

    #[test]
    fn a_target_is_the_start_a_time_or_offsets() {
        assert_eq!("start".parse(), Ok(From::Start));
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(From::Time(Timestamp(1_000_000))));
        let offsets = vec![offset("order-created", 0, 12), offset("eu.a/b", 11, 0)];
        assert_eq!("order-created/0@12, eu.a/b/11@0".parse(), Ok(From::Offsets(offsets)));
        for wrong in ["", "end", "order-created", "order-created/0", "a/x@1", "a/0@-1", "a/-1@0", "a/0@1,", "/0@1"] {
            assert!(wrong.parse::<From>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn topics_are_taken_under_both_of_their_names() {
        let names = BTreeMap::from([("order-created".to_owned(), "orders".to_owned())]);
        let topics = Topics::new("eu.", &names, "").unwrap();
        let from = From::Offsets(vec![offset("order-created", 0, 1), offset("eu.orders", 1, 2)]);
        let expected = vec![offset("eu.orders", 0, 1), offset("eu.orders", 1, 2)];
        assert_eq!(target(from, &topics), ReplayTarget::Offsets(expected));
    }

    #[test]
    fn the_plan_is_shown_by_partition() {
        let one = ReplayMove { topic: "a".to_owned(), partition: 0, current: Some(9), new: 0, records: 12 };
        let other = ReplayMove { topic: "a".to_owned(), partition: 10, current: None, new: 3, records: 4 };
        let plan = ReplayPlan { group: "g".to_owned(), moves: vec![one, other] };
        let expected = "a/0   from 9 to 0: up to 12 records\na/10  from nothing to 3: up to 4 records\n\
                        group g would go on elsewhere in 2 partitions, with up to 16 records ahead\n";
        assert_eq!(as_text(&plan, true), expected);
        assert_eq!(as_json(&plan, false)["moves"][1]["current"], Value::Null);
    }
}
