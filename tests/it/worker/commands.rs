//! The commands that documents print, as they print them.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::installation::Installation;

/// The fenced blocks of a language in a document.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("{}/{document}", env!("CARGO_MANIFEST_DIR"))).expect("it should be there");
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|rest| Some(rest.split("```").next()?.to_owned())).collect()
}

/// The commands in the text of a document, between backticks.
fn inline_commands(document: &str) -> Vec<String> {
    const PROGRAMS: [&str; 6] = ["cargo", "curl", "docker", "holdfast", "make", "python3"];
    let text = fs::read_to_string(format!("{}/{document}", env!("CARGO_MANIFEST_DIR"))).expect("it should be there");
    let prose: String = text.split("```").step_by(2).collect();
    let is_command = |span: &&str| {
        let mut words = span.split_whitespace();
        words.next().is_some_and(|program| PROGRAMS.contains(&program)) && words.next().is_some()
    };
    prose.split('`').skip(1).step_by(2).filter(is_command).map(str::to_owned).collect()
}

/// The commands of a block, without what a shell would do.
fn commands(block: &str) -> Vec<String> {
    block
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// The commands of a section of the README.
fn section(title: &str) -> Vec<String> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("it should be there");
    let (_, rest) = text.split_once(&format!("\n## {title}\n")).expect("the README should have the section");
    let text = rest.split("\n## ").next().unwrap_or_default();
    text.split("```sh\n").skip(1).flat_map(|rest| commands(rest.split("```").next().unwrap_or_default())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_readme_does_what_it_says_on_a_laptop() {
    let (installation, _folder) = Installation::embedded();
    does_what_it_says(&installation, &section("Try it on a laptop"), 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_readme_does_what_it_says_on_servers() {
    let installation = Installation::new().await;
    let mut printed = section("Run it on your own servers");
    printed.extend(section("Try it on a laptop").into_iter().filter(|command| command != "holdfast run"));
    does_what_it_says(&installation, &printed, 8).await;
}

/// Runs commands one after the other, as somebody does who reads the page.
async fn does_what_it_says(installation: &Installation, printed: &[String], least: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, events) in ["skus.jsonl", "orders.jsonl"].iter().zip(blocks("README.md", "json")) {
        fs::write(folder.path().join(name), events).expect("a file");
    }
    let mut published = 0;
    let mut worker = None;
    let mut ran = 0;
    for command in printed {
        ran += 1;
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            // `make run` and `make test` are the tests of the demo and this very run.
            ["make", "run" | "test"] | ["export", _] => ran -= 1,
            ["holdfast", "run"] => {
                let started = installation.worker();
                started.wait_for("/readyz", 200).await;
                worker = Some(started);
            }
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
    assert!(ran >= least, "only {ran} commands were found in {printed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_in_the_text_of_a_document_does_what_it_says() {
    let documents = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "examples/retail/README.md", "tools/README.md"];
    for document in &documents[1..] {
        assert_eq!(blocks(document, "sh"), Vec::<String>::new(), "no test runs the blocks of {document}");
    }
    let installation = Installation::new().await;
    let printed: BTreeSet<String> = documents.into_iter().flat_map(inline_commands).collect();
    assert!(printed.len() >= 8, "only {printed:?} were found");
    for command in &printed {
        let words: Vec<&str> = command.split_whitespace().collect();
        let mut process = match words.as_slice() {
            // Whether the file is valid is checked by `make test`; a daemon is not to be had in a test.
            ["docker", "compose", "up"] => continue,
            ["make", "help"] => Command::new("make"),
            // These run this very test, or for minutes what the retail test runs a cut of: here they only have to exist.
            ["make", ..] => {
                let mut make = Command::new("make");
                make.arg("--dry-run");
                make
            }
            // What it runs is a part of what runs it.
            ["cargo", "test", "--no-default-features"] => continue,
            ["python3", ..] => Command::new("python3"),
            ["holdfast", ..] => installation.command(&[]),
            other => panic!("no test knows how to run {other:?}"),
        };
        // The demo goes on until somebody leaves.
        let end: &[&str] = if words == ["holdfast", "demo"] { &["--for", "1s"] } else { &[] };
        process.args(&words[1..]).args(end).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = process.output().expect("it should run");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
