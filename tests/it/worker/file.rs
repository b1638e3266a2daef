//! A worker whose database is a file, with Kafka around it.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

use super::installation::{DEADLINE, Installation, Worker};
use crate::servers::shared_kafka;
use crate::shop::{event, lines};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_on_a_file_is_migrated_killed_verified_and_backed_up_like_any_other() {
    let kafka = tokio::task::spawn_blocking(shared_kafka).await.expect("Kafka should start");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let file = folder.path().join("shop.db");
    let installation = Installation::bare(format!("sqlite://{}", file.display()), kafka.url());
    installation.succeed(&["topics", "apply"]);
    let refused = installation.output(&["run"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.contains("holdfast migrate") && said.contains("shop.db"), "{said}");
    assert!(!file.exists(), "only migrate makes the file");
    assert_eq!(installation.succeed(&["migrate"]), "applied migration 1, 2, 3, 4, 6\n");
    assert_eq!(installation.succeed(&["migrate"]), "the schema is up to date already\n");

    let order = |number: usize| {
        let order = json!({"order_id": format!("O-{number}"), "lines": lines(&[("A", 2)])});
        event("order-created", &format!("o-{number}"), order)
    };
    installation.publish(&[event("sku-registered", "r-A", json!({"sku": "A", "initial": 10_000}))]);
    let mut first = installation.worker();
    installation.wait_until_handled(1).await;
    installation.publish(&(0..200).map(order).collect::<Vec<_>>());
    first.signal("KILL");
    assert_eq!(first.wait(), None);
    let mut second = installation.worker();
    installation.wait_until_handled(201).await;
    second.wait_for("/readyz", 200).await;
    let (status, stock) = second.ask("/api/v1/stock/A").await.expect("the sidecar should answer");
    let stock: Value = serde_json::from_str(&stock).expect("JSON");
    assert_eq!((status, &stock["on_hand"]), (200, &json!(9_600)));
    // While it runs.
    let copy = folder.path().join("copy.db");
    let copy = copy.to_str().expect("UTF-8");
    assert!(installation.succeed(&["backup", copy]).starts_with(&format!("wrote {copy} (")));
    let again = installation.output(&["backup", copy]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("not overwritten"));
    second.signal("TERM");
    assert_eq!(second.wait(), Some(0));
    let published = installation.assert_sound().await;
    assert_eq!(published.iter().filter(|event| event["type"] == "reservation-result").count(), 200);
    installation.succeed(&["verify", "--store-url", &format!("sqlite://{copy}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_a_signal_ends_leaves_nothing_and_one_that_was_killed_is_in_nobodys_way() {
    let (installation, _place) = Installation::embedded();
    installation.succeed(&["migrate"]);
    // So much that no copy is whole before a signal comes.
    let fill = "with recursive n (number) as (select 1 union all select number + 1 from n where number < 256)
                insert into outbox select number, number, 0, 1, zeroblob(1048576) from n";
    installation.execute(fill).await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let copy = folder.path().join("copy.db");
    let arguments = ["backup", copy.to_str().expect("UTF-8")];
    let left = || fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    for (signal, code) in [("INT", Some(1)), ("TERM", Some(1)), ("KILL", None)] {
        let child = installation.command(&arguments).spawn().expect("the binary should run");
        let mut backup = Worker { child, http_port: 0 };
        let started = Instant::now();
        while !folder.path().join("copy.db.partial/copy.db").exists() {
            assert!(started.elapsed() < DEADLINE, "no copy was begun");
            std::thread::yield_now();
        }
        backup.signal(signal);
        assert_eq!(backup.wait(), code, "{signal}");
        assert_eq!(left().count(), usize::from(signal == "KILL"), "{signal}: {:?}", left().collect::<Vec<_>>());
    }
    assert!(installation.succeed(&arguments).starts_with("wrote "));
    assert_eq!(left().collect::<Vec<_>>(), ["copy.db"]);
}
