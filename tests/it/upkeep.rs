//! What keeps the store going by itself: old rows dropped, time limits survived, connections left clean, a sweeper that
//! waits and shows that it lives.

use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use holdfast::bus::direct::{DirectLimits, direct};
use holdfast::health::Liveness;
use holdfast::metrics::Metrics;
use holdfast::ports::{DeadLetter, DeadLetterReason, Delivery, Entry, Judge, Judged, Store, StoreError};
use holdfast::store::Upkeep;
use holdfast::store::postgres::{PostgresSettings, PostgresStore};
use holdfast::sweeper::{self, Sweeper};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::shop::{Shop, fresh, lines, new_database, record, registered, settings};

/// Longer than anything here takes on a slow machine.
const DEADLINE: Duration = Duration::from_secs(60);

async fn execute(url: &str, statement: &str) {
    let mut connection = PgConnection::connect(url).await.expect("it should connect");
    let statement = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await;
    statement.expect("the statement should run");
}

async fn number(url: &str, query: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.expect("it should connect");
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&mut connection).await.expect("a number")
}

/// A batch of one dead letter: the least that a transaction can hold.
fn entries() -> Vec<Entry> {
    let Delivery::Record(record) = record(b"poison".to_vec()) else { panic!("a record") };
    let letter = DeadLetter { record, reason: DeadLetterReason::Undecodable, detail: "poison".into() };
    vec![Entry::DeadLetter(Box::new(letter))]
}

/// Buries everything.
fn judge(entries: &[Entry]) -> Box<Judge<'_>> {
    Box::new(move |loaded| {
        let letter = |entry: &Entry| match entry {
            Entry::DeadLetter(letter) => Some((**letter).clone()),
            Entry::Event { .. } => None,
        };
        Ok(Judged {
            outcomes: Vec::new(),
            fresh: Vec::new(),
            books: loaded.books,
            effects: Default::default(),
            dead_letters: entries.iter().filter_map(letter).collect(),
        })
    })
}

#[tokio::test]
async fn published_batches_are_dropped_after_their_grace_period_however_many_and_no_others() {
    let url = new_database().await;
    let store = PostgresStore::connect(settings(url.clone())).await.expect("it should connect");
    let batches = |numbers: &str, age: &str| {
        format!(
            "insert into outbox (number, first_seq, announcements, recorded_at, content)
             select n, n, 0, clock_timestamp() - interval '{age}', '' from generate_series({numbers}) n"
        )
    };
    execute(&url, &batches("1, 25000", "8 days")).await;
    execute(&url, &batches("25001, 25010", "1 day")).await;
    execute(&url, &batches("25011, 25020", "8 days")).await;
    execute(&url, "update outbox_counter set last_number = 25020").await;
    execute(&url, "update relay set published_number = 25010").await;
    let (mut rounds, mut deleted) = (1, 0);
    loop {
        let report = store.maintain().await.expect("maintenance should run");
        deleted += report.batches_deleted;
        if !report.is_unfinished {
            break;
        }
        rounds += 1;
    }
    assert_eq!((rounds, deleted), (3, 25_000));
    assert_eq!(number(&url, "select min(number) from outbox").await, 25_001);
    assert_eq!(number(&url, "select count(*) from outbox").await, 20, "young ones and unpublished ones stay");
}

#[tokio::test]
async fn a_statement_that_ran_into_a_time_limit_is_tried_again() {
    let url = new_database().await;
    let limited =
        PostgresSettings { url: format!("{url}?options[statement_timeout]=300").into(), ..settings(url.clone()) };
    let store = PostgresStore::connect(limited).await.expect("it should connect");
    let mut holder = PgConnection::connect(&url).await.expect("it should connect");
    let mut lock = holder.begin().await.expect("a transaction");
    sqlx::query("select * from outbox_counter for update").execute(&mut *lock).await.expect("a lock");
    let entries = entries();
    let refused = store.commit(&entries, &*judge(&entries)).await.expect_err("the counter is locked");
    assert!(matches!(&refused, StoreError::Transient(text) if text.contains("57014")), "{refused}");
    lock.rollback().await.expect("a rollback");
    store.commit(&entries, &*judge(&entries)).await.expect("nothing is locked any more");
}

#[tokio::test]
async fn a_commit_that_is_dropped_at_any_moment_leaves_no_transaction_open() {
    let url = new_database().await;
    let one = PostgresSettings { connections: 1, ..settings(url.clone()) };
    let store = PostgresStore::connect(one).await.expect("it should connect");
    let open = "select count(*) from pg_stat_activity
                where datname = current_database() and state like 'idle in transaction%'";
    let mut polls = 1;
    loop {
        let entries = entries();
        let judge = judge(&entries);
        let mut commit = pin!(store.commit(&entries, &*judge));
        let mut left = polls;
        let finished = std::future::poll_fn(|context| match commit.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 1 => Poll::Ready(None),
            Poll::Pending => {
                left -= 1;
                Poll::Pending
            }
        });
        if let Some(done) = finished.await {
            done.expect("a commit that is not dropped should succeed");
            break;
        }
        commit.set(store.commit(&[], &|_| panic!("it is never polled")));
        // The next statement on the only connection must stand by itself: within a transaction that nobody ends, the
        // lease would never be seen by anybody else.
        let lease = store.take_lease(uuid::Uuid::new_v4(), 1).await.expect("a lease").expect("a free lease");
        assert_eq!(number(&url, "select epoch from relay").await, lease.epoch, "dropped after {polls} polls");
        store.give_lease(lease).await.expect("it should be given back");
        let deadline = Instant::now() + DEADLINE;
        while number(&url, open).await > 0 {
            assert!(Instant::now() < deadline, "a transaction stays open after {polls} polls");
        }
        polls += 1;
    }
    // How often it waits is the machine's affair: an answer may be there before it is looked for.
    assert!(polls > 1, "a commit should wait for the database at all");
}

#[tokio::test]
async fn a_sweeper_that_waits_for_the_engine_shows_that_it_turns() {
    let mut shop = Shop::open().await;
    shop.send_one(registered("A", 10)).await;
    shop.send_one(fresh("cart-updated", json!({"cart_id": "C-1", "lines": lines(&[("A", 1)])}))).await;
    execute(&shop.url, "update claim set expires_at = clock_timestamp() - interval '1 hour'").await;
    // Nobody takes what is submitted, as while the database is away.
    let (submitter, _engine) = direct(DirectLimits::default());
    let liveness = Liveness::new(Duration::ZERO);
    let mut sweeper = Sweeper::new(sweeper::Parts {
        store: shop.store.clone(),
        submitter,
        metrics: Metrics::new(),
        pulse: liveness.watch("sweeper"),
        stop: CancellationToken::new(),
    });
    let round = sweeper.step();
    let turned = async {
        let (deadline, mut longest, mut turns) = (Instant::now() + DEADLINE, Duration::ZERO, 0);
        while turns < 3 {
            assert!(Instant::now() < deadline, "it does not turn");
            let now = liveness.stalled(Instant::now()).first().map_or(Duration::ZERO, |(_, ago)| *ago);
            turns += u32::from(now + Duration::from_millis(500) < longest);
            longest = if now + Duration::from_millis(500) < longest { now } else { longest.max(now) };
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        swept = round => panic!("nobody answered: {swept:?}"),
        () = turned => {}
    }
}

/// The value of a metric; 0 while it is not there.
fn metric(shop: &Shop, name: &str) -> f64 {
    let text = shop.metrics.encode();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().expect("a number"))
}

#[tokio::test]
async fn the_duration_of_a_batch_is_that_of_the_whole_step() {
    let mut shop = Shop::open().await;
    shop.send_one(registered("A", 10)).await;
    assert_eq!(metric(&shop, "holdfast_batch_duration_seconds_count"), 1.0);
    let (batch, commit) =
        (metric(&shop, "holdfast_batch_duration_seconds_sum"), metric(&shop, "holdfast_commit_duration_seconds_sum"));
    assert!(batch > commit, "{batch} includes {commit}, decoding and settling");
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_another_writer_beat_are_counted() {
    let mut one = Shop::open().await;
    let mut other = Shop::at(one.url.clone(), Default::default()).await;
    let beaten = "holdfast_retries_total{what=\"conflict\"}";
    let started = Instant::now();
    let mut rounds = 0;
    while metric(&one, beaten) + metric(&other, beaten) == 0.0 {
        assert!(started.elapsed() < DEADLINE, "nobody was beaten in {rounds} rounds");
        rounds += 1;
        let event = registered(&format!("A-{rounds}"), 1);
        tokio::join!(one.send_one(event.clone()), other.send_one(event));
    }
    one.assert_sound().await;
}
