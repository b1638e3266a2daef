//! Every input that a fuzzer starts from or once found, held to what the fuzzer holds it to.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::checks;

/// The files of one target, by folder.
fn inputs(folder: &str, target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz")).join(folder).join(target);
    let Ok(files) = fs::read_dir(&folder) else { return Vec::new() };
    let path = |file: std::io::Result<fs::DirEntry>| file.expect("the folder should be readable").path();
    files.map(path).map(|path| fs::read(path).expect("the input should be readable")).collect()
}

#[test]
fn every_input_that_was_ever_found_holds() {
    for (target, _) in checks::TARGETS {
        let seeds = inputs("seeds", target);
        assert!(!seeds.is_empty(), "{target} starts from nothing: add a file to fuzz/seeds/{target}");
        let understood = seeds.iter().filter(|input| checks::understands(target, input)).count();
        assert!(understood > 0, "{target} understands none of fuzz/seeds/{target}: a fuzzer would begin outside");
        inputs("findings", target).iter().for_each(|input| checks::check(target, input));
    }
}

#[test]
fn every_target_is_built_and_every_folder_of_inputs_is_a_targets() {
    let manifest = include_str!("../../fuzz/Cargo.toml");
    let built: BTreeSet<&str> = manifest.lines().filter_map(|line| line.strip_prefix("path = \"targets/")).collect();
    let known: BTreeSet<String> = checks::TARGETS.iter().map(|(target, _)| format!("{target}.rs\"")).collect();
    assert_eq!(built, known.iter().map(String::as_str).collect());
    for folder in ["seeds", "findings"] {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz")).join(folder);
        for entry in fs::read_dir(root).into_iter().flatten() {
            let name = entry.expect("the folder should be readable").file_name();
            assert!(checks::TARGETS.iter().any(|(target, _)| *target == name), "{folder}/{name:?} is no target's");
        }
    }
}
