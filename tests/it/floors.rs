//! The floors of the crate: who may name whom. Read off the `use` lines and paths, since one crate has no other fence.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module with what it may see of the crate. What is not listed may see nothing.
const FLOORS: [(&str, &[&str]); 31] = [
    ("planted_bug.rs", &[]),
    ("domain", &["domain", "planted_bug"]),
    ("ports", &["domain"]),
    ("fail_point", &[]),
    ("health", &[]),
    ("retry", &[]),
    ("config", &["config"]),
    ("telemetry", &["config"]),
    ("metrics", &["domain", "ports"]),
    ("wire", &["domain", "ports", "wire"]),
    ("one_file.rs", &["ports", "wire"]),
    ("store/sqlite", &["domain", "ports", "wire", "store", "one_file"]),
    ("store", &["domain", "ports", "wire", "store"]),
    ("bus/mod.rs", &["bus"]),
    ("bus/publish.rs", &[]),
    ("bus/replay.rs", &["domain"]),
    ("bus/tail.rs", &["domain"]),
    ("bus/any.rs", &["ports"]),
    ("bus/direct.rs", &["domain", "ports"]),
    ("bus/local", &["domain", "ports", "wire", "bus", "one_file"]),
    ("bus/kafka", &["domain", "ports", "wire", "bus", "fail_point"]),
    ("bus/nats", &["domain", "ports", "wire", "bus"]),
    ("engine", &["domain", "ports", "wire", "engine", "fail_point", "health", "metrics", "planted_bug", "retry"]),
    ("relay", &["domain", "ports", "wire", "relay", "fail_point", "health", "metrics", "planted_bug", "retry"]),
    ("sweeper.rs", &["domain", "ports", "wire", "bus", "health", "metrics", "retry"]),
    ("reconcile", &["domain", "ports", "wire", "bus", "health", "metrics", "retry", "sweeper"]),
    ("http", &["domain", "ports", "wire", "bus", "health", "metrics", "http"]),
    (
        "app",
        &[
            "domain",
            "ports",
            "wire",
            "store",
            "bus",
            "engine",
            "relay",
            "sweeper",
            "reconcile",
            "http",
            "config",
            "telemetry",
            "metrics",
            "health",
            "retry",
            "app",
        ],
    ),
    ("cli", &["domain", "ports", "wire", "store", "bus", "reconcile", "config", "telemetry", "app", "cli", "demo"]),
    // A caller like any other: it knows the sidecar by its address.
    ("demo", &[]),
    ("lib.rs", &[]),
];

/// What the ground floor must not name: no I/O, no clock, no other crate.
const NOT_IN_DOMAIN: [&str; 7] = ["tokio", "serde", "tracing", "sqlx", "SystemTime", "Instant::now", "std::fs"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the sources should be readable") {
        let path = entry.expect("the sources should be readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The top-level modules that a file names: `crate::a`, and each of `crate::{a, b}`.
fn named(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let word =
        |rest: &str| rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect::<String>();
    code.match_indices("crate::")
        .map(|(at, found)| word(&code[at + found.len()..]))
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn every_module_sees_only_the_floors_below_it() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let mut files = Vec::new();
    sources(root, &mut files);
    assert!(files.len() > 50, "only {} files were found", files.len());
    for file in files {
        let path = file.strip_prefix(root).expect("it was found there").to_string_lossy().into_owned();
        if path == "main.rs" {
            continue;
        }
        let (_, allowed) = FLOORS
            .iter()
            .find(|(module, _)| path.starts_with(module))
            .unwrap_or_else(|| panic!("{path} stands on no floor: add it here and to ARCHITECTURE.md"));
        let text = fs::read_to_string(&file).expect("the sources should be readable");
        assert!(
            !text.contains("use crate::{"),
            "{path}: one `use crate::module` a line, so that this test can read it"
        );
        for name in named(&text) {
            assert!(allowed.contains(&name.as_str()), "{path} names crate::{name}, which is not below it");
        }
        if path.starts_with("domain") {
            for word in NOT_IN_DOMAIN {
                assert!(!text.contains(word), "{path} names {word}");
            }
        }
    }
}

#[test]
fn adapters_do_not_see_each_other() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    for (folder, strangers) in [
        ("store", ["rdkafka", "axum", "reqwest"]),
        ("bus/kafka", ["sqlx", "axum", "reqwest"]),
        ("bus/local", ["rdkafka", "axum", "reqwest"]),
        ("http", ["sqlx", "rdkafka", "reqwest"]),
    ] {
        let mut files = Vec::new();
        sources(&root.join(folder), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).expect("the sources should be readable");
            for stranger in strangers {
                assert!(!text.contains(&format!("use {stranger}")), "{} names {stranger}", file.display());
            }
        }
    }
}
