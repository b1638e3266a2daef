//! What a batch costs: statements, bytes of log, rows, deadlocks. These reproduce; times do not, and are measured
//! elsewhere.

mod contention;
mod counting_proxy;

use holdfast::domain::rules::{DeductOn, Rules};
use holdfast::ports::Outcome;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use self::counting_proxy::CountingProxy;
use crate::servers::Servers;
use crate::shop::{Databases, PostgresAddress, Shop, fresh, lines, new_database, ordered, registered, shared_postgres};

/// The most statements that a batch of orders may take, BEGIN and COMMIT included.
const MOST_STATEMENTS: usize = 12;
/// The most bytes of log that one line may cost.
const MOST_BYTES_A_LINE: i64 = 1_000;
/// The most bytes of log that each further line of an order may cost.
const MOST_BYTES_A_FURTHER_LINE: i64 = 750;
/// The most bytes of log that a repetition may cost.
const MOST_BYTES_A_DUPLICATE: i64 = 5;
/// The most that an order of ten lines may cost, in orders of one line.
const MOST_OF_TEN_LINES: f64 = 6.5;

/// A server that nobody else writes to, and that writes nothing by itself.
struct QuietServer {
    _server: Servers,
    databases: Databases,
}

impl QuietServer {
    async fn start() -> Self {
        // What is counted here does not depend on how long the disk takes.
        let options = ["autovacuum=off", "checkpoint_timeout=1h", "fsync=off"]
            .map(|option| format!("--postgres-option={option}"));
        let start = move || Servers::start_with(&["postgres"], &options);
        let server = tokio::task::spawn_blocking(start).await.expect("the server should start");
        let databases = Databases::on(server.address("postgres")).await;
        Self { _server: server, databases }
    }

    async fn shop(&self, skus: usize) -> Shop {
        let mut shop = Shop::at(self.databases.create().await, Rules::default()).await;
        shop.send((0..skus).map(|sku| registered(&sku_name(sku), 1_000_000)).collect()).await;
        shop
    }
}

fn sku_name(sku: usize) -> String {
    format!("SKU-{sku:05}")
}

/// Orders that follow each other, each of some SKUs once.
fn orders(first: usize, count: usize, lines: usize, skus: usize) -> Vec<Value> {
    (first..first + count)
        .map(|order| {
            let names: Vec<String> = (0..lines).map(|line| sku_name((order * 31 + line * 7) % skus)).collect();
            let wanted: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
            ordered(&format!("ORDER-{order:07}"), &wanted)
        })
        .collect()
}

async fn log_position(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint")
        .fetch_one(connection)
        .await
        .expect("the position should be readable")
}

/// A shop behind a proxy that counts.
async fn counted(rules: Rules) -> (Shop, CountingProxy) {
    let url = new_database().await;
    let server: PostgresAddress = tokio::task::spawn_blocking(shared_postgres).await.expect("the server should start");
    let proxy = CountingProxy::before(server.port).await;
    let (_, name) = url.rsplit_once('/').expect("a URL ends with the database");
    let through = format!("postgres://shopkeeper@127.0.0.1:{}/{name}?sslmode=disable", proxy.port);
    (Shop::at(through, rules).await, proxy)
}

#[tokio::test]
async fn a_batch_takes_as_many_statements_for_one_order_as_for_two_thousand() {
    for (deduct_on, expected) in [(DeductOn::Created, 10), (DeductOn::Confirmed, 11)] {
        let (mut shop, proxy) = counted(Rules { deduct_on, ..Rules::default() }).await;
        shop.send((0..100).map(|sku| registered(&sku_name(sku), 1_000_000)).collect()).await;
        shop.send(orders(0, 1, 2, 100)).await;
        let mut first = 1;
        for count in [1, 10, 2_000] {
            let batch = orders(first, count, 2, 100);
            first += count;
            proxy.take();
            let outcomes = shop.send(batch.clone()).await;
            let statements = proxy.take();
            assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
            assert_eq!(statements.len(), expected, "{count} orders under {deduct_on:?}: {statements:#?}");
            assert!(statements.len() <= MOST_STATEMENTS);
            // Duplicates: BEGIN, the look-up, the clock, COMMIT.
            shop.send(batch).await;
            let statements = proxy.take();
            assert_eq!(statements.len(), 4, "{count} duplicates: {statements:#?}");
        }
        shop.assert_sound().await;
    }
}

/// One of everything, for the round with this number.
fn everything(round: usize) -> Vec<Value> {
    let name = |kind: &str| format!("{kind}-{round:05}");
    let (order, late, sku) = (name("ORDER"), name("LATE"), sku_name(round % 100));
    let wanted = lines(&[(&sku, 3)]);
    vec![
        registered(&name("NEW"), 5),
        fresh("sku-registered", json!({"sku": sku, "name": name("NAME")})),
        fresh("stock-received", json!({"receipt_id": name("RECEIPT"), "lines": wanted})),
        fresh("cart-updated", json!({"cart_id": name("CART"), "cart_version": 1, "lines": wanted})),
        fresh("order-created", json!({"order_id": order, "cart_id": name("CART"), "lines": wanted})),
        fresh("order-confirmed", json!({"order_id": order})),
        fresh("order-shipped", json!({"order_id": order, "shipment_id": "S", "lines": lines(&[(&sku, 1)])})),
        fresh("order-cancelled", json!({"order_id": order})),
        fresh("order-cancelled", json!({"order_id": late, "lines": lines(&[(&sku, 1)])})),
        fresh("order-created", json!({"order_id": late, "lines": wanted})),
        fresh("order-created", json!({"order_id": name("POISON"), "lines": []})),
    ]
}

#[tokio::test]
async fn a_batch_of_everything_takes_a_constant_number_of_statements_too() {
    let (mut shop, proxy) = counted(Rules::default()).await;
    shop.send((0..100).map(|sku| registered(&sku_name(sku), 1_000_000)).collect()).await;
    shop.send(everything(0)).await;
    let mut counts = Vec::new();
    for rounds in [1..2, 2..12, 12..112] {
        let batch: Vec<Value> = rounds.flat_map(everything).collect();
        proxy.take();
        shop.send(batch).await;
        counts.push(proxy.take().len());
    }
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    shop.assert_sound().await;
}

#[tokio::test]
async fn serving_who_waits_takes_as_many_statements_for_one_order_as_for_five_hundred() {
    let (mut shop, proxy) = counted(Rules::default()).await;
    shop.send(vec![registered("A", 0), registered("B", 0)]).await;
    shop.send(vec![backordered("ORDER-WARM")]).await;
    shop.send(vec![received("RECEIPT-WARM", 1)]).await;
    let mut counts = Vec::new();
    for orders in [1_usize, 10, 500] {
        shop.send((0..orders).map(|order| backordered(&format!("ORDER-{orders}-{order}"))).collect()).await;
        proxy.take();
        shop.send(vec![received(&format!("RECEIPT-{orders}"), orders)]).await;
        counts.push(proxy.take());
        assert_eq!(shop.stock("A").await.waiting, 0);
    }
    // What any receipt takes, and three that read, lock and let go of those who waited, and one that writes their claims.
    assert_eq!(counts.iter().map(Vec::len).collect::<Vec<_>>(), [14, 14, 14], "{:#?}", counts[2]);
    shop.assert_sound().await;
}

fn backordered(order: &str) -> Value {
    fresh("order-created", json!({"order_id": order, "policy": "backorder", "lines": lines(&[("A", 1)])}))
}

fn received(receipt: &str, units: usize) -> Value {
    let units = i64::try_from(units).expect("few units");
    fresh("stock-received", json!({"receipt_id": receipt, "lines": lines(&[("A", units)])}))
}

/// The least bytes of log that a batch took, of three that follow a warm one.
async fn bytes_of_log(shop: &mut Shop, orders_in_batch: usize, lines: usize) -> i64 {
    let mut connection = PgConnection::connect(&shop.url).await.expect("it should connect");
    let prefix = lines * 1_000_000;
    shop.send(orders(prefix, orders_in_batch, lines, 10_000)).await;
    let mut least = i64::MAX;
    for round in 1..=3 {
        let batch = orders(prefix + round * orders_in_batch, orders_in_batch, lines, 10_000);
        let before = log_position(&mut connection).await;
        shop.send(batch).await;
        least = least.min(log_position(&mut connection).await - before);
    }
    least
}

#[tokio::test]
async fn a_line_costs_at_most_a_thousand_bytes_of_log_and_ten_cost_less_than_seven_alone() {
    let server = QuietServer::start().await;
    let mut shop = server.shop(10_000).await;
    let single = bytes_of_log(&mut shop, 2_000, 1).await / 2_000;
    let ten = bytes_of_log(&mut shop, 200, 10).await / 200;
    println!("bytes of log: {single} an order of one line, {ten} an order of ten");
    assert!(single <= MOST_BYTES_A_LINE, "{single}");
    assert!(ten <= 10 * MOST_BYTES_A_LINE, "{ten}");
    assert!((ten - single) / 9 <= MOST_BYTES_A_FURTHER_LINE, "{ten} of ten, {single} of one");
    let ratio = ten as f64 / single as f64;
    assert!(ratio <= MOST_OF_TEN_LINES, "an order of ten lines costs {ratio:.2} times one of one");
    shop.assert_sound().await;
}

#[tokio::test]
async fn duplicates_write_no_row_and_next_to_no_log() {
    let server = QuietServer::start().await;
    let mut shop = server.shop(100).await;
    let mut connection = PgConnection::connect(&shop.url).await.expect("it should connect");
    let batch = orders(0, 2_000, 1, 100);
    shop.send(batch.clone()).await;
    // Readers may tidy pages that the first delivery left behind; once.
    shop.send(batch.clone()).await;
    let (log, transactions) = (log_position(&mut connection).await, next_transaction(&mut connection).await);
    let outcomes = shop.send(batch).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Duplicate));
    let bytes = log_position(&mut connection).await - log;
    println!("bytes of log for two thousand duplicates: {bytes}");
    assert!(bytes <= 2_000 * MOST_BYTES_A_DUPLICATE, "{bytes}");
    // A transaction that writes a row takes a number.
    assert_eq!(next_transaction(&mut connection).await, transactions);
}

/// The number that the next transaction which writes would take.
async fn next_transaction(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        .fetch_one(connection)
        .await
        .expect("the number should be readable")
}
