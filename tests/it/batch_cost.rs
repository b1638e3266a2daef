//! What a batch costs: statements, bytes of log, rows. These reproduce; times do not, and are measured elsewhere.

use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::shop::{Shop, ordered, registered};

/// The most statements that a batch of orders may take, BEGIN and COMMIT included.
const MOST_STATEMENTS: i64 = 12;
/// The most bytes of log that one line may cost when each order has one line.
const MOST_BYTES_A_LINE: i64 = 1_000;

async fn log_position(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint")
        .fetch_one(connection)
        .await
        .expect("the position should be readable")
}

async fn stocked(skus: usize) -> Shop {
    let mut shop = Shop::open().await;
    shop.send((0..skus).map(|sku| registered(&format!("SKU-{sku:05}"), 1_000_000)).collect()).await;
    shop
}

fn orders(first: usize, count: usize, lines: usize, skus: usize) -> Vec<Value> {
    (first..first + count)
        .map(|order| {
            let names: Vec<String> =
                (0..lines).map(|line| format!("SKU-{:05}", (order * 31 + line * 7) % skus)).collect();
            let wanted: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
            ordered(&format!("ORDER-{order:07}"), &wanted)
        })
        .collect()
}

/// Bytes of log a line, of a batch that follows a warm one. Nothing else may write to the server meanwhile: it is
/// measured three times and the least counts, since the server is shared.
async fn bytes_a_line(orders_in_batch: usize, lines: usize) -> i64 {
    let mut shop = stocked(10_000).await;
    let mut connection = PgConnection::connect(&shop.url).await.expect("it should connect");
    shop.send(orders(0, orders_in_batch, lines, 10_000)).await;
    let mut least = i64::MAX;
    for round in 1..=3 {
        let batch = orders(round * orders_in_batch, orders_in_batch, lines, 10_000);
        let before = log_position(&mut connection).await;
        shop.send(batch).await;
        let after = log_position(&mut connection).await;
        least = least.min((after - before) / (orders_in_batch * lines) as i64);
    }
    shop.assert_sound().await;
    least
}

#[tokio::test]
async fn a_line_of_a_batch_of_two_thousand_costs_at_most_a_thousand_bytes_of_log() {
    let single = bytes_a_line(2_000, 1).await;
    let ten = bytes_a_line(200, 10).await;
    println!("bytes of log a line: {single} with one line an order, {ten} with ten");
    assert!(ten <= MOST_BYTES_A_LINE, "{ten}");
    assert!(single <= MOST_BYTES_A_LINE, "{single}");
}
