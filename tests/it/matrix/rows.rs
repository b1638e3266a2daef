//! Whether the page has a row that nobody tests.

use std::collections::BTreeSet;

/// The sentence of a row as a name: its letters and digits, with one underscore for everything between.
fn name(sentence: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { ' ' };
    let words: String = sentence.chars().map(plain).collect();
    let name = words.split_whitespace().collect::<Vec<_>>().join("_");
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

#[test]
fn every_row_of_the_page_is_a_test() {
    let page = include_str!("../../../docs/semantics.md");
    let (_, section) = page.split_once("## 10. The matrix").expect("the section is there");
    let section = section.split("\n## ").next().expect("there is a first part");
    let rows: BTreeSet<String> = section.trim().trim_end_matches('.').split(';').map(name).collect();
    let sources = [
        include_str!("bad_input.rs"),
        include_str!("changes.rs"),
        include_str!("goods.rs"),
        include_str!("overtaken.rs"),
        include_str!("races.rs"),
        include_str!("same_events.rs"),
        include_str!("starts.rs"),
    ];
    let tests = sources.iter().flat_map(|source| source.split("#[tokio::test").skip(1));
    let tests: BTreeSet<String> = tests
        .filter_map(|test| test.split_once("async fn ")?.1.split_once('(').map(|(name, _)| name.to_owned()))
        .collect();
    assert_eq!(rows.difference(&tests).collect::<Vec<_>>(), [""; 0], "nobody tests these rows of the page");
    assert_eq!(tests.difference(&rows).collect::<Vec<_>>(), [""; 0], "these are no rows of the page");
}
