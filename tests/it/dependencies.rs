//! What `deny.toml` bans is not locked. `make deny` checks the rest of it, and needs a tool of its own.

use std::collections::BTreeSet;
use std::fs;

use toml::Value;

fn read(name: &str) -> Value {
    let text = fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).expect("it should be there");
    toml::from_str(&text).expect("it should be TOML")
}

fn list<'v>(value: &'v Value, path: &[&str]) -> &'v [Value] {
    path.iter().fold(value, |value, key| &value[*key]).as_array().expect("a list")
}

fn names(entries: &[Value]) -> BTreeSet<&str> {
    entries.iter().map(|entry| entry["name"].as_str().expect("a name")).collect()
}

#[test]
fn no_banned_crate_is_locked() {
    let (deny, lock) = (read("deny.toml"), read("Cargo.lock"));
    let banned = names(list(&deny, &["bans", "deny"]));
    let locked = names(list(&lock, &["package"]));
    assert!(banned.len() > 3 && locked.len() > 100, "{} bans and {} crates were found", banned.len(), locked.len());
    assert_eq!(banned.intersection(&locked).collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn every_crate_comes_from_one_registry_and_none_from_a_repository() {
    let lock = read("Cargo.lock");
    let sources: BTreeSet<&str> =
        list(&lock, &["package"]).iter().filter_map(|package| package.get("source")?.as_str()).collect();
    assert_eq!(sources.len(), 1, "{sources:?}");
    assert!(sources.iter().all(|source| source.starts_with("registry+")), "{sources:?}");
}
