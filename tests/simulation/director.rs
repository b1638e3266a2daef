//! Has everything happen that a case says, at its time: events are told, and faults befall whom they are planned for.

use std::sync::Arc;
use std::time::Duration;

use holdfast::ports::{Delivery, Header, Position, Record};
use holdfast::store::{MaintenanceReport, Upkeep};
use holdfast::wire::instant;
use serde_json::{Value, json};

use super::case::{Item, What};
use super::faults::{Fault, Planned};
use super::schedule::OUTSIDE;
use super::store;
use super::stories::COUNTED_AGO;
use super::worker;
use super::workload::{Id, Input, Malformed, Manner, Readable, Time, Told};
use super::world::{World, step};
use crate::model::ModelStore;

/// The topic of what comes without a bus.
pub const SUBMITTED: &str = "http";
/// How long a caller waits for an answer before it asks another worker.
const PATIENCE: Duration = Duration::from_secs(3);

/// Has all of it happen.
pub async fn direct(world: &Arc<World>, items: Vec<Item>) {
    for Item { at_ms, after_steps, what } in items {
        let at = world.started() + Duration::from_millis(at_ms);
        if at > tokio::time::Instant::now() {
            tokio::time::sleep_until(at).await;
        }
        for _ in 0..after_steps {
            step().await;
        }
        if world.is_over() {
            return;
        }
        match what {
            What::Told(number, input) => tell(world, number, input),
            What::Befalls(planned) => befall(world, planned).await,
        }
    }
}

/// Tells one more event once everything has healed: what a bus has lost is noticed by whoever writes to it next.
pub fn tell_last(world: &World) {
    let event = json!({"event_id": "last", "sku": "last", "initial": 1});
    let headers = vec![header("content-type", "application/json")];
    publish(world, ("sku-registered", "last"), headers, Some(event.to_string().into_bytes()), Readable::Event);
}

fn tell(world: &Arc<World>, number: u32, input: Input) {
    match input {
        Input::Event(told) => {
            let (headers, payload) = written(world, number, &told);
            if told.is_direct {
                let record = submission(world, number, &told.key, headers, Some(payload));
                submit(world, vec![(record.clone(), told.readable)]);
                world.remember(number, record, told.readable);
            } else {
                let record = publish(world, (told.event_type, &told.key), headers, Some(payload), told.readable);
                world.remember(number, record, told.readable);
            }
        }
        Input::Together(events) => {
            let mut submissions = Vec::new();
            for (number, told) in events {
                let (headers, payload) = written(world, number, &told);
                let record = submission(world, number, &told.key, headers, Some(payload));
                world.remember(number, record.clone(), told.readable);
                submissions.push((record, told.readable));
            }
            submit(world, submissions);
        }
        Input::Repetition { of, manner } => repeat(world, number, of, manner),
        Input::Malformed(Malformed { topic, event_type, payload, readable, is_direct }) => {
            world.hit(Fault::Malformed);
            let headers = vec![header("ce_type", event_type)];
            if is_direct {
                let record = submission(world, number, "nobody", headers, payload);
                submit(world, vec![(record, readable)]);
            } else {
                publish(world, (topic, "nobody"), headers, payload, readable);
            }
        }
    }
}

/// Something that is submitted to a worker, known by its number.
fn submission(world: &World, number: u32, key: &str, headers: Vec<Header>, payload: Option<Vec<u8>>) -> Record {
    let position = Position { topic: SUBMITTED.into(), partition: 0, offset: number.into() };
    Record { position, key: Some(key.as_bytes().to_vec()), headers, payload, timestamp: Some(world.now()) }
}

/// An event as its publisher writes it: a structured CloudEvent, or a body that holds its own id.
fn written(world: &World, number: u32, told: &Told) -> (Vec<Header>, Vec<u8>) {
    let now = world.now();
    let id = match &told.id {
        Id::Text(text) => text.clone(),
        Id::Ordered(bits) => {
            let random = [bits.to_be_bytes().as_slice(), &number.to_be_bytes()].concat();
            let mut tail = [0; 10];
            tail.copy_from_slice(&random[..10]);
            let milliseconds = u64::try_from(now.0 / 1_000).unwrap_or_default();
            uuid::Builder::from_unix_timestamp_millis(milliseconds, &tail).into_uuid().to_string()
        }
    };
    let time = match told.time {
        Time::Ago(seconds) => Some(instant::format(now.plus_seconds(-seconds))),
        Time::Unsaid => None,
    };
    let trace = told.is_traced.then(|| format!("00-{number:032x}-{number:016x}-01"));
    let mut data = told.data.clone();
    if let Some(ago) = data.as_object_mut().and_then(|fields| fields.remove(COUNTED_AGO)) {
        let ago = ago.as_i64().unwrap_or_default();
        data["counted_at"] = json!(instant::format(now.plus_seconds(-ago)));
    }
    if number.is_multiple_of(4) {
        let mut body = data;
        body["event_id"] = json!(id);
        body["event_source"] = json!(told.source);
        if let Some(time) = time {
            body["event_time"] = json!(time);
        }
        let mut headers = vec![header("content-type", "application/json"), header("ce_type", told.event_type)];
        headers.extend(trace.map(|trace| header("traceparent", &trace)));
        return (headers, body.to_string().into_bytes());
    }
    let mut event = json!({
        "specversion": "1.0", "type": told.event_type, "id": id, "source": told.source, "data": data,
    });
    if let Some(time) = time {
        event["time"] = json!(time);
    }
    if let Some(trace) = trace {
        event["traceparent"] = json!(trace);
        event["tracestate"] = json!("shop=1");
    }
    (vec![header("content-type", "application/cloudevents+json")], event.to_string().into_bytes())
}

fn header(name: &str, value: &str) -> Header {
    (name.to_owned(), Some(value.as_bytes().to_vec()))
}

fn publish(
    world: &World,
    (topic, key): (&str, &str),
    headers: Vec<Header>,
    payload: Option<Vec<u8>>,
    readable: Readable,
) -> Record {
    let now = world.now();
    let record = world.broker().publish(topic, key, headers, payload, now);
    world.stands(&record.position, readable);
    world.note(format_args!("published {}", record.position));
    world.arrivals.notify_waiters();
    record
}

/// Tells what was told before. What was submitted comes over the bus this time, and the other way round.
fn repeat(world: &Arc<World>, number: u32, of: u32, manner: Manner) {
    let Some((record, readable)) = world.remembered(of) else { return };
    let Record { position, key, headers, payload: Some(payload), .. } = record else { return };
    let (key, mut payload) = (key.unwrap_or_default(), payload);
    world.hit(match manner {
        Manner::Same => Fault::Repeated,
        Manner::OtherId => Fault::ToldAgain,
        Manner::OtherContent => Fault::IdReused,
        Manner::OtherSource => Fault::OtherSource,
    });
    if manner != Manner::Same {
        let Ok(mut event) = serde_json::from_slice::<Value>(&payload) else { return };
        match manner {
            Manner::OtherContent => change_content(&mut event),
            Manner::OtherSource => {
                let name = if event.get("event_source").is_some() { "event_source" } else { "source" };
                event[name] = json!("/elsewhere");
            }
            Manner::OtherId | Manner::Same => {
                let name = if event.get("event_id").is_some() { "event_id" } else { "id" };
                event[name] = json!(format!("again-{number}"));
            }
        }
        payload = event.to_string().into_bytes();
    }
    let event_type = serde_json::from_slice::<Value>(&payload).ok().and_then(|event| {
        let in_body = event.get("type").and_then(Value::as_str).map(str::to_owned);
        in_body.or_else(|| headers.iter().find(|(name, _)| name == "ce_type").and_then(|(_, value)| text(value)))
    });
    let Some(event_type) = event_type else { return };
    if *position.topic == *SUBMITTED {
        publish(world, (&event_type, &String::from_utf8_lossy(&key)), headers, Some(payload), readable);
    } else {
        let record = submission(world, number, &String::from_utf8_lossy(&key), headers, Some(payload));
        submit(world, vec![(record, readable)]);
    }
}

fn text(value: &Option<Vec<u8>>) -> Option<String> {
    String::from_utf8(value.clone()?).ok()
}

/// Another reference makes it another event, whatever it is.
fn change_content(event: &mut Value) {
    let body = if event.get("data").is_some() { &mut event["data"] } else { event };
    for name in ["order_id", "cart_id", "receipt_id", "sku"] {
        if body.get(name).is_some() {
            body[name] = json!("another");
        }
    }
}

/// Submits events in one request and asks again, here or there, until somebody says how they ended.
fn submit(world: &Arc<World>, submissions: Vec<(Record, Readable)>) {
    let caller = world.clone();
    for (record, readable) in &submissions {
        world.hit(Fault::Submitted);
        world.stands(&record.position, *readable);
    }
    let records: Vec<Record> = submissions.into_iter().map(|(record, _)| record).collect();
    world.callers(|callers| *callers += 1);
    world.orders.spawn(OUTSIDE, async move {
        loop {
            let lives: Vec<_> = caller.lives().into_iter().flatten().collect();
            if let Some(life) = caller.dice(|dice| dice.choice(&lives).cloned()) {
                let waiting = life.submitter.submit(records.iter().cloned().map(Delivery::Record).collect());
                match tokio::time::timeout(PATIENCE, waiting).await {
                    Ok(Ok(outcomes)) => {
                        caller.answered(&records, outcomes);
                        break;
                    }
                    Ok(Err(holdfast::bus::direct::SubmitError::Busy)) => caller.hit(Fault::SubmissionRefused),
                    Ok(Err(holdfast::bus::direct::SubmitError::Closed)) => {}
                    Ok(Err(holdfast::bus::direct::SubmitError::Unanswered)) | Err(_) => {
                        caller.hit(Fault::SubmissionUnanswered);
                    }
                }
            }
            let wait_ms = caller.dice(|dice| dice.u64(20..500));
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
        caller.callers(|callers| *callers -= 1);
    });
}

async fn befall(world: &Arc<World>, planned: Planned) {
    let Planned { fault, worker, amount } = planned;
    let milliseconds = Duration::from_millis(amount.unsigned_abs());
    world.note(format_args!("fault: {planned}"));
    let did = match fault {
        Fault::Crash => worker::crash(world, worker, milliseconds),
        Fault::Stop => worker::stop(world, worker),
        Fault::Freeze => worker::freeze(world, worker, milliseconds),
        Fault::ClockAhead => {
            world.move_clock(amount);
            true
        }
        Fault::ClockBack => {
            world.move_clock(-amount);
            true
        }
        Fault::Maintenance => {
            maintain(world).await.is_some_and(|report| report.days_dropped + report.batches_deleted > 0)
        }
        Fault::Replay => world.broker().replay(),
        Fault::Rebalance => {
            let mut broker = world.broker();
            world.dice(|dice| broker.rebalance(dice))
        }
        Fault::Redelivery => {
            let mut broker = world.broker();
            world.dice(|dice| broker.redeliver(dice))
        }
        Fault::DatabaseAway => {
            world.take_database(milliseconds);
            true
        }
        Fault::BrokerAway => {
            world.take_broker(milliseconds);
            true
        }
        Fault::TailLost => lose_tail(world, amount.unsigned_abs() as usize),
        Fault::CommitUnheard
        | Fault::CommitCut
        | Fault::StatementUnheard
        | Fault::PublicationUnheard
        | Fault::PublicationCut
        | Fault::SettlingLost => {
            // Counted when it befalls somebody.
            world.arm(planned);
            false
        }
        // What is only counted is never planned.
        Fault::DeliveredTwice
        | Fault::Reordered
        | Fault::SettledTooLate
        | Fault::Repeated
        | Fault::ToldAgain
        | Fault::IdReused
        | Fault::OtherSource
        | Fault::Malformed
        | Fault::Submitted
        | Fault::SubmissionRefused
        | Fault::SubmissionUnanswered
        | Fault::HandOverFull
        | Fault::Collision
        | Fault::Fenced
        | Fault::DayClosed
        | Fault::PublishedAgain
        | Fault::Expired => false,
    };
    if did {
        world.hit(fault);
    }
}

/// A round of maintenance. Not while the bus lacks what the database calls published: what is kept for that is promised
/// for a time, and the clock of this world jumps past it.
pub async fn maintain(world: &Arc<World>) -> Option<MaintenanceReport> {
    let held = world.stream().progress().map_or(0, |progress| progress.batch);
    if held < world.database.look(|tables| tables.mark.number) {
        return None;
    }
    world.set_clock();
    let model = ModelStore::on(world.database.clone(), store::retention(world));
    match model.maintain().await {
        Ok(report) => {
            world.note(format_args!("{report:?}"));
            Some(report)
        }
        Err(error) => {
            world.note(format_args!("maintenance: {error}"));
            None
        }
    }
}

/// Has the broker lose what the outbox still keeps. Not all of it: who finds nothing takes the sink for a new one.
fn lose_tail(world: &World, publications: usize) -> bool {
    let mut stream = world.stream();
    let Some(left) = stream.progress_without(publications).map(|progress| progress.batch) else { return false };
    let is_kept =
        world.database.look(|tables| (left + 1..=tables.last_number).all(|it| tables.outbox.contains_key(&it)));
    is_kept && stream.lose(publications)
}
