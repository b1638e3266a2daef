//! The commands that the README prints, as it prints them.

use std::fs;

use serde_json::Value;

use super::installation::Installation;

/// The fenced blocks of a language in a document.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("{}/{document}", env!("CARGO_MANIFEST_DIR"))).expect("it should be there");
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|rest| Some(rest.split("```").next()?.to_owned())).collect()
}

/// The commands of a block, without what a shell would do.
fn commands(block: &str) -> Vec<String> {
    block
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_readme_does_what_it_says() {
    let installation = Installation::new().await;
    let printed: Vec<String> = blocks("README.md", "sh").iter().flat_map(|block| commands(block)).collect();
    let folder = tempfile::tempdir().expect("a folder");
    for (name, events) in ["skus.jsonl", "orders.jsonl"].iter().zip(blocks("README.md", "json")) {
        fs::write(folder.path().join(name), events).expect("a file");
    }
    let mut published = 0;
    let mut worker = None;
    let mut ran = 0;
    for command in &printed {
        ran += 1;
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            // `make run` and `make test` are run by the continuous integration and the retail test.
            ["make", "run" | "test"] | ["export", _] => ran -= 1,
            ["holdfast", "run"] => worker = Some(installation.worker()),
            ["curl", url] => {
                let worker = worker.as_ref().expect("the README starts a worker first");
                let path = url.strip_prefix("http://127.0.0.1:8080").expect("the default address");
                let (status, body) = worker.ask(path).await.expect("the sidecar should answer");
                assert_eq!(status, 200, "{body}");
                let stock: Value = serde_json::from_str(&body).expect("JSON");
                assert_eq!(stock["available"], 4, "{body}");
            }
            ["holdfast", arguments @ ..] => {
                let output =
                    installation.command(arguments).current_dir(folder.path()).output().expect("the binary should run");
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{command}: {errors}");
                if arguments[0] == "publish" {
                    published += 1;
                    installation.wait_until_handled(published).await;
                }
                if arguments[0] == "subscribe" {
                    let lines = String::from_utf8_lossy(&output.stdout).lines().count();
                    assert!(lines >= 3, "{command} printed {lines} lines");
                }
            }
            other => panic!("no test knows how to run {other:?}"),
        }
    }
    assert!(ran >= 7, "only {ran} commands were found in {printed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_changes_nothing_that_was_applied_and_refuses_while_workers_run() {
    replays(Installation::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_on_nats_does_so_as_well() {
    replays(Installation::on_nats().await).await;
}

async fn replays(installation: Installation) {
    let events = blocks("README.md", "json").concat();
    installation.publish_lines(&["publish", "-"], &events);
    let mut worker = installation.worker();
    installation.wait_until_handled(2).await;
    let refused = installation.output(&["replay", "--from", "start"]);
    assert!(!refused.status.success(), "a replay must not pull offsets from under a worker");
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    let movements = installation.number("select count(*) from movement").await;
    let seq = installation.number("select last_seq from outbox_counter").await;
    installation.succeed(&["replay", "--from", "start", "--dry-run"]);
    installation.succeed(&["replay", "--from", "start"]);
    let mut again = installation.worker();
    let duplicates = r#"holdfast_events_total{type="order-created",outcome="duplicate"} 1"#;
    let started = std::time::Instant::now();
    while !again.ask("/metrics").await.is_some_and(|(_, text)| text.contains(duplicates)) {
        assert!(started.elapsed() < super::installation::DEADLINE, "the replay never came");
    }
    again.signal("TERM");
    assert_eq!(again.wait(), Some(0));
    assert_eq!(installation.number("select count(*) from movement").await, movements);
    assert_eq!(installation.number("select last_seq from outbox_counter").await, seq);
    installation.assert_sound().await;
}
