//! The table of faults in `tests/README.md`: which tests a row has, and what they measured last.
//!
//! With `UPDATE_FAULTS=1` the columns of tests and figures are written anew, from the sources and
//! from `target/faults`; otherwise the table must name every test, and none that is not there.

use e2e::{figures_folder, root};
use std::{collections::BTreeMap, fs, path::PathBuf};

const BEGIN: &str = "<!-- faults: begin -->";
const END: &str = "<!-- faults: end -->";
/// Number, fault, what must hold, how it is caused, tests, figures.
const COLUMNS: usize = 6;
const ROWS: std::ops::RangeInclusive<u32> = 1..=24;
const NOTHING: &str = "not yet";

fn readme() -> PathBuf {
    root().join("tests/README.md")
}

/// Tests by row, as the sources have them.
fn tests() -> BTreeMap<u32, Vec<String>> {
    let mut found: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut open = vec![root().join("tests/faults")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines() {
            let Some(rest) = line.strip_prefix("fn row_") else {
                continue;
            };
            let name = rest.split('(').next().unwrap_or_default();
            let row = name.split('_').next().and_then(|n| n.parse().ok());
            let row: u32 = row.unwrap_or_else(|| panic!("row_{name}: no number"));
            found.entry(row).or_default().push(format!("row_{name}"));
        }
    }
    for names in found.values_mut() {
        names.sort();
        names.dedup();
    }
    found
}

/// What was measured since the figures were last taken away; `None` when nothing was.
fn figures(row: u32) -> Option<String> {
    let file = figures_folder().join(format!("row-{row:02}.txt"));
    let text = fs::read_to_string(file).ok()?;
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        // Of the same words the last numbers.
        let words =
            |l: &str| -> String { l.chars().filter(|c| c.is_alphabetic()).take(40).collect() };
        lines.retain(|old| words(old) != words(line));
        lines.push(line);
    }
    (!lines.is_empty()).then(|| lines.join("<br>").replace('|', "\\|"))
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    let inner = inner.replace("\\|", "\u{1}");
    inner
        .split('|')
        .map(|cell| cell.trim().replace('\u{1}', "\\|"))
        .collect()
}

#[test]
fn the_table_of_faults_names_every_test_and_no_other() {
    let text = fs::read_to_string(readme()).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the table's beginning");
    let (table, after) = rest.split_once(END).expect("the table's end");
    let (tests, update) = (tests(), std::env::var_os("UPDATE_FAULTS").is_some());
    let (mut lines, mut seen, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for line in table.lines() {
        let mut row = cells(line);
        let Some(number) = row.first().and_then(|cell| cell.parse::<u32>().ok()) else {
            lines.push(line.to_owned());
            continue;
        };
        assert_eq!(row.len(), COLUMNS, "row {number} of the table");
        seen.push(number);
        let names = tests.get(&number).cloned().unwrap_or_default();
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let named = if names.is_empty() {
            NOTHING.to_owned()
        } else {
            names.join("<br>")
        };
        if update {
            row[4] = named;
            if let Some(figures) = figures(number) {
                row[5] = figures;
            }
        } else if row[4] != named {
            wrong.push(format!(
                "row {number} names {}, and there is {named}",
                row[4]
            ));
        }
        lines.push(format!("| {} |", row.join(" | ")));
    }
    assert_eq!(seen, ROWS.collect::<Vec<u32>>(), "rows of the table");
    let unknown: Vec<&u32> = tests.keys().filter(|row| !ROWS.contains(row)).collect();
    assert!(
        unknown.is_empty(),
        "tests of rows that there are not: {unknown:?}"
    );
    if update {
        let table = lines.join("\n");
        fs::write(readme(), format!("{before}{BEGIN}{table}\n{END}{after}")).unwrap();
    }
    assert!(
        wrong.is_empty(),
        "UPDATE_FAULTS=1 writes it anew:\n{}",
        wrong.join("\n")
    );
}
