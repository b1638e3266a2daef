//! Whole workers on a store and a bus, seen from outside: events go in as a publisher sends them, and what is known of
//! them is what is published, what the sidecar says and what was buried. Markets are shared by all tests of a
//! combination, so that a row costs its events and not a start; every row brings names of its own.

mod combinations;
mod records;
mod seen;

use std::collections::BTreeSet;
use std::sync::Arc;

use holdfast::app::{self, TailWish};
use holdfast::bus::any::AnyPublisher;
use holdfast::bus::kafka::TailOrder;
use holdfast::bus::tail::TailStart;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

pub use combinations::{Combination, Place, PostgresKafka, PostgresNats, SqliteLocal};
pub use records::{EventRecord, of};

use self::seen::Seen;
use crate::shop::registered;
use crate::worker::installation::{Installation, WorkerOfProcess};

/// The markets that the tests of one combination share.
pub struct Markets {
    selling: OnceCell<Market>,
    reserving: OnceCell<Market>,
    crowded: OnceCell<Market>,
}

impl Markets {
    /// None is open yet.
    pub const fn new() -> Self {
        Self { selling: OnceCell::const_new(), reserving: OnceCell::const_new(), crowded: OnceCell::const_new() }
    }
}

/// One worker under the default settings.
pub async fn selling<C: Combination>() -> &'static Market {
    C::markets().selling.get_or_init(|| Market::open::<C>(1, &[])).await
}

/// One worker that takes units off when an order is confirmed, so that orders wait with a deadline.
pub async fn reserving<C: Combination>() -> &'static Market {
    C::markets().reserving.get_or_init(|| Market::open::<C>(1, &[("HOLDFAST__ORDERS__DEDUCT_ON", "confirmed")])).await
}

/// Two workers that share the work, or take turns where the bus has it so.
pub async fn crowded<C: Combination>() -> &'static Market {
    C::markets().crowded.get_or_init(|| Market::open::<C>(2, &[])).await
}

/// Workers that run until the test process ends.
pub struct Market {
    place: Place,
    workers: Vec<WorkerOfProcess>,
    publisher: Arc<AnyPublisher>,
    published: Seen,
    buried: Seen,
    /// Clients live as long as the market, and not as the test that opened it.
    runtime: Runtime,
}

impl Market {
    async fn open<C: Combination>(workers: usize, environment: &'static [(&'static str, &'static str)]) -> Self {
        let mut place = C::place().await;
        let more = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        place.installation.environment.extend(more);
        let workers: Vec<WorkerOfProcess> = (0..workers).map(|_| place.installation.worker_of_process()).collect();
        for worker in &workers {
            worker.wait_until_ready().await;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let settings = place.installation.settings();
        let opened = runtime.spawn(async move {
            let topics = app::topics(&settings).expect("names of topics");
            let names = |names: Vec<Arc<str>>| names.iter().map(ToString::to_string).collect::<Vec<_>>();
            let source = settings.source_bus().expect("an address");
            let publisher = app::publisher(source, &names(topics.inputs())).await.expect("a publisher");
            let tail = async |topics: Vec<String>, order| {
                let sink = settings.sink_bus().expect("an address");
                let wish = TailWish { topics, from: TailStart::Start, until_end: false, order };
                app::tail(sink, wish).await.expect("a subscriber")
            };
            let published = tail(names(topics.outputs()), TailOrder::Gapless { first: Some(1) }).await;
            let buried = tail(vec![topics.dead_letters().to_string()], TailOrder::Growing).await;
            (publisher, Seen::follow(published), Seen::follow(buried))
        });
        let (publisher, published, buried) = opened.await.expect("clients should open");
        Self { place, workers, publisher: Arc::new(publisher), published, buried, runtime }
    }

    /// What stands behind it.
    pub fn installation(&self) -> &Installation {
        &self.place.installation
    }

    /// Publishes events in their order and waits for nothing.
    pub async fn publish(&self, events: &[EventRecord]) {
        let records: Vec<_> = events.iter().map(|event| event.output(self.installation())).collect();
        let publisher = self.publisher.clone();
        let sent = self.runtime.spawn(async move {
            for record in records {
                publisher.send(record).await.expect("the bus should take it");
            }
        });
        sent.await.expect("publishing should end");
    }

    /// Publishes events and waits until the one worker has handled them and announced what they did: behind each key
    /// goes an event that announces itself.
    pub async fn send(&self, events: &[EventRecord]) {
        assert_eq!(self.workers.len(), 1, "several workers keep no order");
        self.publish(events).await;
        let lanes: BTreeSet<(&str, &str)> = events.iter().map(EventRecord::lane).collect();
        let mut flags = BTreeSet::new();
        let mut raised = Vec::new();
        for (topic, key) in lanes {
            let flag = format!("flag-{}", uuid::Uuid::new_v4().simple());
            raised.push(EventRecord::at(topic, key, &registered(&flag, 1)));
            flags.insert(flag);
        }
        self.publish(&raised).await;
        self.published
            .until("the events are handled", |seen| {
                flags.iter().all(|flag| {
                    seen.iter().rev().any(|event| event["type"] == "stock-changed" && event["data"]["sku"] == **flag)
                })
            })
            .await;
    }

    /// Registers SKUs with units on hand.
    pub async fn stock(&self, units: &[(&str, i64)]) {
        let events: Vec<EventRecord> = units.iter().map(|(sku, units)| of(&registered(sku, *units))).collect();
        self.publish(&events).await;
        let names: BTreeSet<&str> = units.iter().filter(|(_, units)| *units > 0).map(|(sku, _)| *sku).collect();
        self.published
            .until("the stock is there", |seen| {
                let there = seen.iter().filter(|event| event["type"] == "stock-changed");
                let there: BTreeSet<&str> = there.filter_map(|event| event["data"]["sku"].as_str()).collect();
                names.is_subset(&there)
            })
            .await;
    }

    /// Waits until there are so many answers to a reference; returns all of them as sentences.
    pub async fn told_at_least(&self, reference: &str, count: usize) -> Vec<String> {
        self.published
            .until(&format!("{reference} has {count} answers"), |seen| answers(seen, reference).count() >= count)
            .await;
        self.told(reference)
    }

    /// The answers to a reference so far, each as `outcome, state (reason): lines`, a line as
    /// `sku requested -> granted of available (reason), units wait`.
    pub fn told(&self, reference: &str) -> Vec<String> {
        self.published.now(|seen| answers(seen, reference).map(records::sentence).collect())
    }

    /// How many times the stock of a SKU was announced so far.
    pub fn changes(&self, sku: &str) -> usize {
        let of_sku = |event: &&Value| event["type"] == "stock-changed" && event["data"]["sku"] == *sku;
        self.published.now(|seen| seen.iter().filter(of_sku).count())
    }

    /// Waits until so many dead letters carry a text; returns their reasons.
    pub async fn buried(&self, text: &str, count: usize) -> Vec<String> {
        let reasons = |seen: &[Value]| -> Vec<String> {
            let about = seen.iter().filter(|letter| letter["body"].as_str().is_some_and(|body| body.contains(text)));
            about.map(|letter| letter["reason"].as_str().unwrap_or("none").to_owned()).collect()
        };
        self.buried.until(&format!("{count} dead letters about {text}"), |seen| reasons(seen).len() >= count).await;
        self.buried.now(reasons)
    }

    /// `(on_hand, cart_held, order_reserved, available)` of a SKU, as the sidecar says.
    pub async fn units(&self, sku: &str) -> (i64, i64, i64, i64) {
        let stock = self.shown(&format!("/api/v1/stock/{sku}")).await.unwrap_or_else(|| panic!("{sku} is not there"));
        let number = |name: &str| stock[name].as_i64().unwrap_or_else(|| panic!("{name} of {stock}"));
        (number("on_hand"), number("cart_held"), number("order_reserved"), number("available"))
    }

    /// The state of an order, as the sidecar says.
    pub async fn order_state(&self, order: &str) -> Option<String> {
        self.shown(&format!("/api/v1/orders/{order}")).await.map(|claim| claim["state"].as_str().unwrap().to_owned())
    }

    /// The state of a cart, as the sidecar says.
    pub async fn cart_state(&self, cart: &str) -> Option<String> {
        self.shown(&format!("/api/v1/carts/{cart}")).await.map(|claim| claim["state"].as_str().unwrap().to_owned())
    }

    async fn shown(&self, path: &str) -> Option<Value> {
        let (status, body) = self.workers[0].ask(path).await.expect("the sidecar should answer");
        match status {
            404 => None,
            200 => Some(serde_json::from_str(&body).expect("JSON")),
            other => panic!("{path}: {other}: {body}"),
        }
    }

    /// What must hold at every moment: the database is sound, and what was published has neither hole nor repetition.
    pub async fn assert_sound(&self) {
        self.published.now(|seen| {
            for (event, expected) in seen.iter().zip(1_i64..) {
                assert_eq!(event["data"]["seq"], expected, "the stream has a hole or a repetition: {event}");
            }
        });
        let mut verify = self.installation().command(&["verify"]);
        let output = tokio::task::spawn_blocking(move || verify.output()).await.expect("it should run");
        let output = output.expect("the binary should run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

fn answers<'a>(seen: &'a [Value], reference: &'a str) -> impl Iterator<Item = &'a Value> {
    let about = move |event: &&Value| event["type"] == "reservation-result" && event["data"]["reference"] == *reference;
    seen.iter().filter(about).map(|event| &event["data"])
}
