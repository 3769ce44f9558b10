//! What SPECIFICATION.md promises about speed and density, and what `make bench` judges by
//! (`benches/targets.toml`), are the same numbers. A promise changed in one of the two places only
//! fails here.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const SECTIONS: [&str; 2] = ["Hot paths", "Density"];

#[derive(Deserialize)]
struct File {
    promise: Vec<Promise>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Promise {
    section: String,
    text: String,
    check: Vec<Check>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    row: String,
    at_most: Option<f64>,
    at_least: Option<f64>,
    unit: String,
    than: Option<String>,
}

/// A promised number and what follows it, up to a space or comma.
type Number = (f64, String);

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn targets() -> Vec<Promise> {
    let file: File = toml::from_str(&read("benches/targets.toml")).expect("targets.toml");
    file.promise
}

/// "100,000 at 16 KiB each" is 100000 and 16 KiB: the word after a number is its unit, unless it
/// is a word of the sentence.
fn numbers(text: &str) -> Vec<Number> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        if before.ends_with(char::is_alphabetic) {
            // A name, such as wasm2c.
            rest = from.trim_start_matches(|c: char| c.is_ascii_digit());
            continue;
        }
        // A comma belongs to the number if three digits follow.
        let groups = |at: usize| {
            let next = from.get(at + 1..at + 4);
            next.is_some_and(|n| n.chars().all(|d| d.is_ascii_digit()))
        };
        let belongs =
            |(at, c): &(usize, char)| c.is_ascii_digit() || *c == '.' || (*c == ',' && groups(*at));
        let end = from.char_indices().find(|c| !belongs(c)).map_or(from.len(), |(at, _)| at);
        let (number, after) = from.split_at(end);
        let value = number.replace(',', "").parse().unwrap_or_else(|e| panic!("{number}: {e}"));
        let unit = after.trim_start().split([' ', ',', ';']).next().unwrap_or("");
        let unit = if ["at", "each", "+"].contains(&unit) { "" } else { unit };
        found.push((value, unit.to_owned()));
        rest = after;
    }
    found
}

/// The promises of the sections that benches measure: text to number column.
fn promises() -> BTreeMap<(String, String), String> {
    let spec = read("SPECIFICATION.md");
    let mut section = String::new();
    let mut all = BTreeMap::new();
    for line in spec.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title.trim().to_owned();
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, text, number, _, _] = cells.as_slice() else { continue };
        if SECTIONS.contains(&section.as_str()) && *text != "promise" && !text.starts_with("---") {
            let key = (section.clone(), (*text).to_owned());
            assert!(all.insert(key, (*number).to_owned()).is_none(), "promised twice: {text}");
        }
    }
    assert!(all.len() > 20, "SPECIFICATION.md promises {} things only", all.len());
    all
}

#[test]
fn promised_numbers_are_the_targets_of_the_benches() {
    let mut promised = promises();
    let mut broken = Vec::new();
    for target in targets() {
        let key = (target.section.clone(), target.text.clone());
        let Some(number) = promised.remove(&key) else {
            broken.push(format!("targets.toml only: {} | {}", target.section, target.text));
            continue;
        };
        let wanted: Vec<Number> = target
            .check
            .iter()
            .map(|c| (c.at_most.or(c.at_least).unwrap_or(f64::NAN), c.unit.clone()))
            .collect();
        if numbers(&number) != wanted {
            broken.push(format!("{}: promised {number}, targets.toml {wanted:?}", target.text));
        }
    }
    for ((section, text), _) in promised {
        broken.push(format!("SPECIFICATION.md only: {section} | {text}"));
    }
    assert!(broken.is_empty(), "\n  {}", broken.join("\n  "));
}

#[test]
fn each_target_is_one_bound_of_one_row() {
    let mut seen = BTreeMap::new();
    for target in targets() {
        assert!(!target.check.is_empty(), "{}: no check", target.text);
        for c in target.check {
            let bounds = usize::from(c.at_most.is_some()) + usize::from(c.at_least.is_some());
            assert_eq!(bounds, 1, "{}: at_most or at_least", c.row);
            assert_eq!(c.than.is_some(), c.unit == "x", "{}: a ratio is in x", c.row);
            let key = (c.row.clone(), c.than.clone());
            assert!(seen.insert(key, target.text.clone()).is_none(), "{}: twice", c.row);
        }
    }
}

#[test]
fn numbers_are_read_as_people_read_them() {
    let n = |v: f64, u: &str| (v, u.to_owned());
    assert_eq!(numbers("0.30 µs, 8x wasm2c's best"), [n(0.3, "µs"), n(8.0, "x")]);
    assert_eq!(numbers("1,000,000 at 10 KiB each"), [n(1e6, ""), n(10.0, "KiB")]);
    assert_eq!(numbers("60 µs + 1 ms/MB"), [n(60.0, "µs"), n(1.0, "ms/MB")]);
    assert_eq!(numbers("25 µs; 3; 16 KiB"), [n(25.0, "µs"), n(3.0, ""), n(16.0, "KiB")]);
    assert_eq!(numbers("3 million"), [n(3.0, "million")]);
    assert_eq!(numbers("–"), []);
}
