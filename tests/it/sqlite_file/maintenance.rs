//! A round of maintenance deletes a bounded number of rows, and says when more are due.

use holdfast::store::Upkeep;

use crate::shop::{OnSqlite, ShopOn};

type Shop = ShopOn<OnSqlite>;

/// Rounds until nothing is left, and how many batches they deleted.
async fn rounds(shop: &Shop) -> (u32, u64) {
    let (mut rounds, mut deleted) = (1, 0);
    loop {
        let report = shop.store.maintain().await.expect("maintenance should run");
        deleted += report.batches_deleted;
        if !report.is_unfinished {
            return (rounds, deleted);
        }
        rounds += 1;
    }
}

#[tokio::test]
async fn published_batches_are_deleted_after_their_grace_period_however_many_and_no_others() {
    let shop = Shop::open().await;
    for (from, to, days) in [(1, 1_250, 8), (1_251, 1_260, 1), (1_261, 1_270, 8)] {
        shop.execute(&format!(
            "with recursive n (number) as (select {from} union all select number + 1 from n where number < {to})
             insert into outbox (number, first_seq, announcements, recorded_at, content)
             select number, number, 0, (unixepoch() - {days} * 86400) * 1000000, x'' from n"
        ))
        .await;
    }
    shop.execute("update outbox_counter set last_number = 1270").await;
    shop.execute("update relay set published_number = 1260").await;
    // A batch may be megabytes: a round takes few of them.
    assert_eq!(rounds(&shop).await, (3, 1_250));
    assert_eq!(shop.number("select min(number) from outbox").await, 1_251);
    assert_eq!(shop.number("select count(*) from outbox").await, 20, "young ones and unpublished ones stay");
}

#[tokio::test]
async fn keys_of_dropped_days_go_however_many_and_no_others() {
    let shop = Shop::open().await;
    shop.execute("insert into inbox_day values (1000, 1000, 1), (1001, 1001, 1), (30000, 30000, null)").await;
    shop.execute(
        "with recursive n (number) as (select 1 union all select number + 1 from n where number < 12000)
         insert into inbox (event_day, source, event_key, fingerprint, outcome)
         select day.value, 1, unhex(printf('%032x', number)), 0, 1 from n, json_each('[1000, 1001, 30000]') day",
    )
    .await;
    assert_eq!(rounds(&shop).await, (3, 0));
    assert_eq!(shop.number("select count(*) from inbox").await, 12_000);
    assert_eq!(shop.number("select min(event_day) from inbox").await, 30_000);
}
