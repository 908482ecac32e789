//! The top level, the packages' manifests, the links between documents.

use super::tree::{File, Finding, Tree};
use std::collections::BTreeSet;

/// What is at the top, and nothing else: a newcomer's first page.
const TOP: [&str; 22] = [
    ".ci",
    ".config",
    ".gitignore",
    "ARCHITECTURE.md",
    "BENCHMARKS.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "coordinator",
    "deny.toml",
    "images",
    "rustfmt.toml",
    "scripts",
    "tests",
    "volumes",
    "worker-agent",
];
const TOP_MAYBE: [&str; 1] = [".cargo"];

/// The top level has exactly the entries of the lists above.
pub fn top_level(tree: &Tree) -> Vec<Finding> {
    let there: BTreeSet<&str> = tree
        .files
        .iter()
        .filter_map(|file| file.path.split('/').next())
        .collect();
    let wanted: BTreeSet<&str> = TOP.into_iter().collect();
    let missing = wanted
        .difference(&there)
        .map(|name| Finding::about(name, "is missing from the top level"));
    let extra = there
        .difference(&wanted)
        .filter(|name| !TOP_MAYBE.contains(name))
        .map(|name| Finding::about(name, "has no place at the top level (tests/tidy/layout.rs)"));
    missing.chain(extra).collect()
}

/// Packages that are read alone, and all that each may depend on, tests aside.
const ALONE: [(&str, &[&str]); 5] = [
    ("coordinator/helper/Cargo.toml", &["rustix"]),
    (
        "coordinator/model/Cargo.toml",
        &[
            "base64",
            "percent-encoding",
            "podbay-protocol",
            "schemars",
            "serde",
            "strsim",
            "thiserror",
        ],
    ),
    (
        "coordinator/mounter/Cargo.toml",
        &[
            "getrandom",
            "nix",
            "podbay-failpoints",
            "podbay-helper",
            "podbay-model",
            "podbay-protocol",
            "ring",
            "rustix",
            "serde",
            "serde_json",
            "similar",
            "thiserror",
            "tracing",
        ],
    ),
    (
        "coordinator/netguard/Cargo.toml",
        &[
            "getrandom",
            "httparse",
            "nix",
            "podbay-helper",
            "podbay-model",
            "podbay-protocol",
            "rustix",
            "serde",
            "thiserror",
            "tokio",
            "tracing",
        ],
    ),
    (
        "worker-agent/protocol/Cargo.toml",
        &["base64", "serde", "serde_json"],
    ),
];

/// Every package takes the workspace's lints and fields; the packages depend one way.
pub fn manifests(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let manifests = tree
        .files
        .iter()
        .filter(|file| file.path.ends_with("/Cargo.toml"));
    for file in manifests {
        let manifest: toml::Table = match file.text.parse() {
            Ok(manifest) => manifest,
            Err(error) => {
                found.push(Finding::about(&file.path, format!("is no TOML: {error}")));
                continue;
            }
        };
        found.extend(manifest_file(file, &manifest));
    }
    found
}

fn manifest_file(file: &File, manifest: &toml::Table) -> Vec<Finding> {
    let mut found = Vec::new();
    if !is_true(manifest, "lints", "workspace") {
        found.push(Finding::about(
            &file.path,
            "has no `[lints] workspace = true`: its code is held to no rules",
        ));
    }
    let dependencies = keys(manifest, "dependencies");
    if let Some((_, allowed)) = ALONE.iter().find(|(path, _)| *path == file.path) {
        for name in dependencies.iter().filter(|name| !allowed.contains(name)) {
            found.push(Finding::at(
                file,
                line_of(file, name),
                format!("depends on `{name}`; it is read alone: only {allowed:?}"),
            ));
        }
    }
    let below = file.path.starts_with("worker-agent/")
        || (file.path.starts_with("coordinator/") && file.path != "coordinator/Cargo.toml");
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        if below && keys(manifest, section).contains(&"coordinator") {
            found.push(Finding::at(
                file,
                line_of(file, "coordinator"),
                "never depends on the coordinator, which is built on it",
            ));
        }
    }
    found
}

fn is_true(table: &toml::Table, section: &str, key: &str) -> bool {
    table
        .get(section)
        .and_then(|section| section.get(key))
        .and_then(toml::Value::as_bool)
        == Some(true)
}

fn keys<'a>(table: &'a toml::Table, section: &str) -> Vec<&'a str> {
    table
        .get(section)
        .and_then(toml::Value::as_table)
        .map(|table| table.keys().map(String::as_str).collect())
        .unwrap_or_default()
}

fn line_of(file: &File, start: &str) -> usize {
    file.lines()
        .find(|(_, line)| line.starts_with(start))
        .map_or(1, |(number, _)| number)
}

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The lock file names crates.io and nothing else as a source.
pub fn sources(tree: &Tree) -> Vec<Finding> {
    tree.files
        .iter()
        .filter(|file| file.path == "Cargo.lock")
        .flat_map(|file| {
            file.lines()
                .filter_map(|(number, line)| {
                    let source = line.strip_prefix("source = ")?.trim_matches('"');
                    (source != CRATES_IO)
                        .then(|| Finding::at(file, number, format!("`{source}` is not crates.io")))
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Relative links of the documents at the top point to tracked files.
pub fn links(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let documents = tree
        .files
        .iter()
        .filter(|file| file.path.ends_with(".md") && !file.path.contains('/'));
    for file in documents {
        let mut code = false;
        for (number, line) in file.lines() {
            if line.trim_start().starts_with("```") {
                code = !code;
            }
            if code {
                continue;
            }
            for path in code_paths(line).filter(|path| !tree.has(path)) {
                let message = format!("names `{path}`, which is not there");
                found.push(Finding::at(file, number, message));
            }
            for target in targets(line) {
                let path = target.split('#').next().unwrap_or(target);
                let path = path.trim_start_matches("./");
                if !path.is_empty() && !tree.has(path) {
                    found.push(Finding::at(
                        file,
                        number,
                        format!("links to `{target}`, which is not there"),
                    ));
                }
            }
        }
    }
    found
}

/// Targets of `[text](target)` that are relative.
/// What a line names between back quotes that can only be a path of the checkout.
fn code_paths(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(|text| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let ours = |top: &&str| {
            text.strip_prefix(*top)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        text.chars().all(plain) && OURS.iter().any(ours)
    })
}

/// Folders of the top level that no other thing in the documents begins with.
const OURS: [&str; 5] = ["coordinator", "worker-agent", "scripts", "tests", "volumes"];

fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](").filter_map(|(at, opening)| {
        let rest = line.get(at + opening.len()..)?;
        let target = rest.get(..rest.find([')', ' '])?)?;
        let absolute = target.contains("://") || target.starts_with("mailto:");
        (!absolute).then_some(target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Vec<(&'static str, &'static str)> {
        TOP.into_iter().map(|name| (name, "")).collect()
    }

    #[test]
    fn the_top_level_is_exact() {
        assert!(top_level(&Tree::of(&whole())).is_empty());
        let mut more = whole();
        more.push((".cargo/config.toml", ""));
        assert!(top_level(&Tree::of(&more)).is_empty());
        more.push(("notes/a.md", ""));
        assert_eq!(top_level(&Tree::of(&more)).len(), 1);
        let mut less = whole();
        less.pop();
        assert_eq!(top_level(&Tree::of(&less)).len(), 1);
    }

    #[test]
    fn a_package_without_the_lints_is_found() {
        let count = |path: &str, text: &str| manifests(&Tree::of(&[(path, text)])).len();
        assert_eq!(count("a/Cargo.toml", "[lints]\nworkspace = true\n"), 0);
        assert_eq!(count("a/Cargo.toml", "[package]\nname = 'a'\n"), 1);
        assert_eq!(count("a/Cargo.toml", "[lints]\nworkspace = false\n"), 1);
        assert_eq!(count("a/Cargo.toml", "[["), 1);
    }

    #[test]
    fn what_is_read_alone_depends_on_what_is_named() {
        let lints = "[lints]\nworkspace = true\n[dependencies]\n";
        for (path, allowed) in ALONE {
            let of = |tail: &str| manifests(&Tree::of(&[(path, &format!("{lints}{tail}"))]));
            let all: String = allowed
                .iter()
                .map(|name| format!("{name} = '1'\n"))
                .collect();
            assert!(of(&all).is_empty());
            let found = of("serde = '1'\naxum.workspace = true\n");
            let places: Vec<_> = found.iter().map(|finding| finding.place.as_str()).collect();
            assert!(places.contains(&format!("{path}:5").as_str()), "{places:?}");
        }
    }

    #[test]
    fn the_agent_never_depends_on_the_coordinator() {
        let text = "[lints]\nworkspace = true\n[dev-dependencies]\ncoordinator = '1'\n";
        assert_eq!(
            manifests(&Tree::of(&[("worker-agent/Cargo.toml", text)])).len(),
            1
        );
        assert!(manifests(&Tree::of(&[("tests/Cargo.toml", text)])).is_empty());
    }

    #[test]
    fn another_source_of_packages_is_found() {
        let good = format!("source = \"{CRATES_IO}\"\n");
        let bad = format!("{good}source = \"git+https://example.com/x\"\n");
        assert!(sources(&Tree::of(&[("Cargo.lock", &good)])).is_empty());
        assert_eq!(sources(&Tree::of(&[("Cargo.lock", &bad)])).len(), 1);
    }

    #[test]
    fn dead_links_are_found() {
        let text = "[a](images/README.md#x) [b](images/) [c](https://a.b/c) [d](#here)\n\
                    ```\n[e](nowhere.md)\n```\n[f](gone.md) [g](imag)\n\
                    `images/none` `tests/none.rs` `tests/README.md` `tests/{a,b}` `scripts/`\n";
        let tree = Tree::of(&[
            ("README.md", text),
            ("images/README.md", "[h](nowhere)"),
            ("tests/README.md", ""),
            ("scripts/a", ""),
        ]);
        let places: Vec<_> = links(&tree).into_iter().map(|f| f.place).collect();
        assert_eq!(places, ["README.md:5", "README.md:5", "README.md:6"]);
    }
}
