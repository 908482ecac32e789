//! Sizes, first lines, forbidden texts, shell scripts.

use super::tree::{File, Finding, Tree};
use std::collections::BTreeMap;

const MAX_LINES: usize = 500;
const ASK_LINES: usize = 400;
const MAX_MEDIAN: usize = 200;

/// No file so long that it is two things; half of them short.
pub fn sizes(tree: &Tree) -> Vec<Finding> {
    let mut found: Vec<Finding> = tree
        .rust()
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(file, lines)| {
            Finding::about(
                &file.path,
                format!("{lines} lines; over {MAX_LINES} a file is split"),
            )
        })
        .collect();
    let median = median(tree);
    if median >= MAX_MEDIAN {
        found.push(Finding::about(
            "*.rs",
            format!("the median file has {median} lines; it stays under {MAX_MEDIAN}"),
        ));
    }
    found
}

/// Rust files directly in one folder.
const MAX_FILES: usize = 15;

/// No folder so full that nobody finds anything in it: what belongs together gets one of its own.
pub fn folders(tree: &Tree) -> Vec<Finding> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for file in tree.rust() {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        *count.entry(folder).or_default() += 1;
    }
    count
        .into_iter()
        .filter(|(_, files)| *files > MAX_FILES)
        .map(|(folder, files)| {
            let why = format!("{files} Rust files; over {MAX_FILES} they are grouped in folders");
            Finding::about(folder, why)
        })
        .collect()
}

/// The median length of what is not only for tests.
pub fn median(tree: &Tree) -> usize {
    let mut lengths: Vec<usize> = tree
        .rust()
        .filter(|file| !file.is_test())
        .map(|file| file.text.lines().count())
        .collect();
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied().unwrap_or(0)
}

/// Files to ask about: long, but allowed.
pub fn long(tree: &Tree) -> Vec<(&str, usize)> {
    tree.rust()
        .map(|file| (file.path.as_str(), file.text.lines().count()))
        .filter(|(_, lines)| (ASK_LINES + 1..=MAX_LINES).contains(lines))
        .collect()
}

/// The program's entry parses, dispatches and returns an exit code.
pub fn short_main(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter(|file| file.path == "coordinator/src/main.rs")
        .filter(|file| file.text.lines().count() > 80)
        .map(|file| Finding::about(&file.path, "over 80 lines; main only dispatches"))
        .collect()
}

/// A file says first what it is for.
pub fn module_docs(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter(|file| !file.text.starts_with("//!"))
        .map(|file| {
            Finding::at(
                file,
                1,
                "does not begin with a `//!` doc: what it is for, what it owns, what it never does",
            )
        })
        .collect()
}

/// Texts that are in no tracked file, and why. Written in two parts, or this file would hold them.
const FORBIDDEN: [(&str, &str); 9] = [
    (concat!("to", "do!("), "unfinished code"),
    (concat!("unimpl", "emented!("), "unfinished code"),
    (
        concat!("#[ig", "nore"),
        "a test that never runs proves nothing",
    ),
    (concat!("db", "g!("), "left over from debugging"),
    (concat!("/wo", "rk/"), "a path of one developer's machine"),
    (concat!("/tmp", "/wt"), "a path of one developer's machine"),
    (concat!("co-auth", "ored-by"), "belongs to no file"),
    (concat!("<<<<", "<<< "), "an unresolved merge"),
    (concat!(">>>>", ">>> "), "an unresolved merge"),
];

/// None of [`FORBIDDEN`], no host that only one network knows.
pub fn forbidden(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in &tree.files {
        for (number, line) in file.lines() {
            let lower = line.to_ascii_lowercase();
            for (text, why) in FORBIDDEN {
                if contains(&lower, text) {
                    found.push(Finding::at(file, number, format!("`{text}`: {why}")));
                }
            }
            for host in hosts(line).filter(|host| is_private(host)) {
                found.push(Finding::at(
                    file,
                    number,
                    format!("`{host}` is a host that only one network knows"),
                ));
            }
        }
    }
    found
}

/// Whether `line` has `text`; an absolute path only where a path begins.
fn contains(line: &str, text: &str) -> bool {
    line.match_indices(text).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        !text.starts_with('/')
            || !before.is_some_and(|c| c.is_alphanumeric() || "_-.~/}*$".contains(c))
    })
}

/// Hosts of the URLs in a line, without user and port.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("://").filter_map(|(at, scheme)| {
        let rest = line.get(at + scheme.len()..)?;
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || ".-_@:".contains(c)))
            .unwrap_or(rest.len());
        let authority = rest.get(..end)?;
        let host = authority.rsplit('@').next()?;
        host.split(':').next()
    })
}

fn is_private(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let suffix = [".internal", ".corp", ".intranet", ".lan"];
    let numbers: Vec<u8> = host
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect();
    suffix.iter().any(|suffix| host.ends_with(suffix))
        || matches!(
            numbers.as_slice(),
            [10, _, _, _] | [192, 168, _, _] | [172, 16..=31, _, _]
        )
}

/// Scripts fail at the first error, say which interpreter they need, and can be run.
pub fn shell(tree: &Tree) -> Vec<Finding> {
    tree.files
        .iter()
        .filter(|file| is_shell(file))
        .flat_map(shell_file)
        .collect()
}

fn is_shell(file: &File) -> bool {
    let by_name = file.path.ends_with(".sh") || file.path == ".ci/run";
    by_name || (file.text.starts_with("#!") && first_line(file).contains("sh"))
}

fn first_line(file: &File) -> &str {
    file.text.lines().next().unwrap_or("")
}

fn shell_file(file: &File) -> Vec<Finding> {
    let mut found = Vec::new();
    // What is seeded into workers runs in images that may have no bash.
    let in_worker = file.path.starts_with("volumes/");
    let (interpreter, strict): (&[&str], &[&str]) = if in_worker {
        (
            &["#!/bin/sh", "#!/usr/bin/env bash"],
            &["set -eu", "set -euo pipefail"],
        )
    } else {
        (&["#!/usr/bin/env bash"], &["set -euo pipefail"])
    };
    if !interpreter.contains(&first_line(file)) {
        found.push(Finding::at(
            file,
            1,
            format!("begins with none of {interpreter:?}"),
        ));
    }
    let first_command = file
        .lines()
        .find(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    match first_command {
        Some((_, line)) if strict.contains(&line) => {}
        Some((_, line)) if line.starts_with("source ") && line.ends_with("/lib.sh\"") => {}
        Some((number, _)) => found.push(Finding::at(
            file,
            number,
            format!(
                "the first command is neither one of {strict:?} nor sources lib.sh, which does it"
            ),
        )),
        None => found.push(Finding::at(file, 1, "has no command")),
    }
    if !file.executable && !file.path.ends_with("/lib.sh") {
        found.push(Finding::about(&file.path, "is not executable"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_501_lines_is_too_long() {
        let lines = "x\n".repeat(501);
        let tree = Tree::of(&[("a.rs", &lines), ("b.rs", ""), ("c.rs", "")]);
        assert_eq!(sizes(&tree).len(), 1);
        let lines = "x\n".repeat(500);
        let tree = Tree::of(&[("a.rs", &lines), ("b.rs", ""), ("c.rs", "")]);
        assert!(sizes(&tree).is_empty());
        assert_eq!(long(&tree), [("a.rs", 500)]);
    }

    #[test]
    fn a_folder_of_16_files_is_too_full() {
        let files = |folder: &str, count: usize| -> Vec<(String, &str)> {
            let path = |n| (format!("{folder}/f{n}.rs"), "");
            (0..count).map(path).collect()
        };
        let full = |all: &[(String, &str)]| {
            let all: Vec<(&str, &str)> = all.iter().map(|(p, t)| (p.as_str(), *t)).collect();
            let found = folders(&Tree::of(&all));
            found
                .into_iter()
                .map(|found| found.place)
                .collect::<Vec<_>>()
        };
        let fits = [
            files("a", 15),
            files("a/b", 15),
            vec![("a/c.md".into(), "")],
        ]
        .concat();
        assert_eq!(full(&fits), [""; 0]);
        assert_eq!(full(&[fits, files("d", 16)].concat()), ["d"]);
    }

    #[test]
    fn the_median_counts_no_tests() {
        let lines = "x\n".repeat(200);
        let all = [
            ("src/a.rs", lines.as_str()),
            ("tests/b.rs", ""),
            ("tests/c.rs", ""),
        ];
        let tree = Tree::of(&all);
        assert_eq!(median(&tree), 200);
        assert_eq!(sizes(&tree).len(), 1);
    }

    #[test]
    fn main_only_dispatches() {
        let lines = "x\n".repeat(81);
        assert_eq!(
            short_main(&Tree::of(&[("coordinator/src/main.rs", &lines)])).len(),
            1
        );
    }

    #[test]
    fn a_missing_module_doc_is_found() {
        let tree = Tree::of(&[("a.rs", "//! Yes.\n"), ("b.rs", "// no\n"), ("c.md", "")]);
        let places: Vec<_> = module_docs(&tree).into_iter().map(|f| f.place).collect();
        assert_eq!(places, ["b.rs:1"]);
    }

    #[test]
    fn each_forbidden_text_is_found_in_any_file() {
        for (text, _) in FORBIDDEN {
            let tree = Tree::of(&[("notes.txt", &format!("fine\na {text}b"))]);
            let found = forbidden(&tree);
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(found.first().map(|f| f.place.as_str()), Some("notes.txt:2"));
            let upper = text.to_uppercase();
            assert_eq!(forbidden(&Tree::of(&[("a", &upper)])).len(), 1, "{upper}");
        }
    }

    #[test]
    fn a_path_that_only_ends_alike_is_fine() {
        let fine = concat!("~/wo", "rk/x target/wo", "rk/y /workspace/z");
        assert!(forbidden(&Tree::of(&[("a.md", fine)])).is_empty());
    }

    #[test]
    fn private_hosts_are_found() {
        for host in ["reg.corp", "u:p@10.1.2.3:80", "172.20.0.1", "npm.internal"] {
            let text = format!("see https:{}{host}/x", "//");
            assert_eq!(forbidden(&Tree::of(&[("a", &text)])).len(), 1, "{host}");
        }
        let fine = "https://docs.rs/x http://127.0.0.1:80 http://172.200.0.1 unix:///run/x";
        assert!(forbidden(&Tree::of(&[("a", fine)])).is_empty());
    }

    #[test]
    fn scripts_are_strict_and_executable() {
        let count = |path: &str, text: &str| shell(&Tree::of(&[(path, text)])).len();
        let head = "#!/usr/bin/env bash\n# Why.\n";
        assert_eq!(
            count("scripts/a.sh", &format!("{head}set -euo pipefail\n")),
            0
        );
        let sourced = format!("{head}source \"$(dirname \"$0\")/lib.sh\"\n");
        assert_eq!(count("scripts/a.sh", &sourced), 0);
        assert_eq!(count("scripts/a.sh", &format!("{head}set -e\n")), 1);
        assert_eq!(
            count("scripts/a.sh", &format!("{head}cd /\nset -euo pipefail\n")),
            1
        );
        assert_eq!(count("scripts/a.sh", head), 1);
        assert_eq!(count("scripts/a.sh", "#!/bin/bash\nset -euo pipefail\n"), 1);
        assert_eq!(count(".ci/run", "exec scripts/test.sh\n"), 2);
        assert_eq!(count("volumes/homes/hook.sh", "#!/bin/sh\nset -eu\n"), 0);
        assert_eq!(count("scripts/tool", "#!/bin/sh\nset -eu\n"), 2);
        assert_eq!(count("scripts/tool", "#!/usr/bin/python3\n"), 0);

        let mut tree = Tree::of(&[("scripts/a.sh", &sourced)]);
        for file in &mut tree.files {
            file.executable = false;
        }
        assert_eq!(shell(&tree).len(), 1);
    }
}
