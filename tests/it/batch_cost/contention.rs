//! Many workers that want the same rows.

use std::time::Instant;

use holdfast::domain::rules::Rules;
use holdfast::ports::Outcome;
use holdfast::store::Upkeep;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::{QuietServer, sku_name};
use crate::shop::{Shop, fresh, lines, ordered, registered};

const WORKERS: usize = 4;
const BATCHES: usize = 2_500;
/// Few, so that most batches share rows.
const SKUS: usize = 12;
/// How many batches each worker has of orders that wait, and of what they wait for.
const SCARCE_BATCHES: usize = 150;
const SCARCE_SKUS: usize = 4;

/// Numbers that look random, the same for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        // Xorshift: fine for tests.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("it is below a usize")
    }
}

/// One or two orders of one to three lines, SKUs in any order.
fn batch(draw: &mut Draw, worker: usize, number: usize) -> Vec<Value> {
    (0..1 + draw.below(2))
        .map(|order| {
            let names: Vec<String> = (0..1 + draw.below(3)).map(|_| sku_name(draw.below(SKUS))).collect();
            let wanted: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
            ordered(&format!("O-{worker}-{number}-{order}"), &wanted)
        })
        .collect()
}

/// Commits this worker's batches. Returns how many orders were placed.
async fn work(mut shop: Shop, worker: usize, seed: u64) -> usize {
    let mut draw = Draw(seed + worker as u64 + 1);
    let mut placed = 0;
    for number in 0..BATCHES {
        let outcomes = shop.send(batch(&mut draw, worker, number)).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
        placed += outcomes.len();
    }
    shop.store.close().await;
    placed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_transactions_of_four_workers_on_the_same_rows_never_deadlock() {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    println!("seed {seed}");
    let server = QuietServer::start().await;
    let shop = server.shop(SKUS).await;
    let started = Instant::now();
    let mut workers = Vec::new();
    for worker in 0..WORKERS {
        let shop = Shop::at(shop.url.clone(), Rules::default()).await;
        workers.push(tokio::spawn(work(shop, worker, seed)));
    }
    let mut placed = 0;
    for worker in workers {
        placed += worker.await.expect("a worker should come to its end");
    }
    println!("{placed} orders in {} transactions took {:?}", WORKERS * BATCHES, started.elapsed());
    let mut connection = PgConnection::connect(&shop.url).await.expect("it should connect");
    assert_no_deadlock(&mut connection).await;
    let orders: i64 = sqlx::query_scalar("select count(*) from claim").fetch_one(&mut connection).await.unwrap();
    assert_eq!(usize::try_from(orders), Ok(placed));
    shop.assert_sound().await;
}

async fn assert_no_deadlock(connection: &mut PgConnection) {
    // A session tells what it counted when it ends.
    let counted = "select deadlocks, xact_rollback from pg_stat_database where datname = current_database()";
    let (deadlocks, rolled_back): (i64, i64) =
        sqlx::query_as(counted).fetch_one(connection).await.expect("statistics should be readable");
    assert_eq!(deadlocks, 0);
    println!("{rolled_back} transactions were rolled back");
}

/// An order of one to three lines that waits for what is missing, goods for those who wait, or an order called off.
fn scarce_batch(draw: &mut Draw, worker: usize, number: usize) -> Vec<Value> {
    let names: Vec<String> = (0..1 + draw.below(3)).map(|_| sku_name(draw.below(SCARCE_SKUS))).collect();
    let wanted: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 2)).collect();
    let event = match draw.below(4) {
        0 => fresh("stock-received", json!({"receipt_id": format!("R-{worker}-{number}"), "lines": lines(&wanted)})),
        1 => fresh(
            "order-cancelled",
            json!({"order_id": format!("O-{}-{}", draw.below(WORKERS), draw.below(number + 1))}),
        ),
        _ => {
            let order = format!("O-{worker}-{number}");
            fresh("order-created", json!({"order_id": order, "policy": "backorder", "lines": lines(&wanted)}))
        }
    };
    vec![event]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_on_rows_that_many_wait_for_never_deadlock() {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    println!("seed {seed}");
    let server = QuietServer::start().await;
    let mut shop = Shop::at(server.databases.create().await, Rules::default()).await;
    shop.send((0..SCARCE_SKUS).map(|sku| registered(&sku_name(sku), 0)).collect()).await;
    let started = Instant::now();
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..WORKERS {
        let mut shop = Shop::at(shop.url.clone(), Rules::default()).await;
        workers.spawn(async move {
            let mut draw = Draw(seed + worker as u64 + 1);
            for number in 0..SCARCE_BATCHES {
                shop.send(scarce_batch(&mut draw, worker, number)).await;
            }
            shop.store.close().await;
        });
    }
    workers.join_all().await;
    println!("{} transactions took {:?}", WORKERS * SCARCE_BATCHES, started.elapsed());
    assert_no_deadlock(&mut PgConnection::connect(&shop.url).await.expect("it should connect")).await;
    let kept = shop.kept().await;
    assert!(!kept.waiting_lines.is_empty(), "nobody waits at the end of seed {seed}");
    shop.assert_sound().await;
}
