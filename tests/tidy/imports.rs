//! Which module may use which, and where `unsafe` may be.

use super::{
    lex::{Kind, tokens},
    paths,
    tree::{File, Finding, Tree},
};

/// The coordinator's modules, those of [`CRATES`] included. Each may use itself and the ones before it.
pub const ORDER: [&str; 14] = [
    "model",
    "wire",
    "config",
    "fleet",
    "runtime",
    "mounter_client",
    "guard_client",
    "agent",
    "store",
    "daemon",
    "api",
    "client",
    "cli",
    "dashboard",
];

/// Modules of [`ORDER`] that are in a crate of their own.
const CRATES: [&str; 2] = ["model", "wire"];

/// Earlier modules that are out of reach all the same, and why.
const NEVER: [(&str, &[&str], &str); 3] = [
    (
        "client",
        &["daemon", "api"],
        "the client knows the coordinator through the wire types alone",
    ),
    (
        "cli",
        &["fleet", "runtime", "agent", "store", "daemon", "api"],
        "commands reach the coordinator through `client` and `wire` alone",
    ),
    (
        "dashboard",
        &["fleet", "runtime", "agent", "store", "daemon", "api"],
        "the dashboard reaches the coordinator through `client` and `wire` alone",
    ),
];

const SOURCE: &str = "coordinator/src/";
/// Where the modules of [`CRATES`] are.
const MODEL: &str = "coordinator/model/src/";

/// Imports inside the coordinator point up [`ORDER`] only.
pub fn direction(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.rust() {
        let Some(modules) = module_path(&file.path) else {
            continue;
        };
        let Some(own) = modules.first() else { continue };
        if let Some(place) = ORDER.iter().position(|module| module == own) {
            for (used, line) in uses(&file.text, &modules) {
                found.extend(judge(own, place, used).map(|why| Finding::at(file, line, why)));
            }
        } else {
            found.push(Finding::at(
                file,
                1,
                format!("module `{own}` has no place in the import order (tests/tidy/imports.rs)"),
            ));
        }
    }
    found
}

/// `coordinator/src/cli/ls.rs` → `[cli, ls]`; `None` outside of the modules.
fn module_path(path: &str) -> Option<Vec<&str>> {
    let inside = path.strip_prefix(SOURCE).or(path.strip_prefix(MODEL))?;
    let inside = inside.strip_suffix(".rs")?;
    if inside == "lib" || inside == "main" || inside.starts_with("bin/") {
        return None;
    }
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    Some(inside.split('/').collect())
}

fn judge(own: &str, place: usize, used: &str) -> Option<String> {
    let used_place = ORDER.iter().position(|module| *module == used)?;
    if used_place > place {
        return Some(format!(
            "`{own}` uses `{used}`, which comes later in the import order: {}",
            ORDER.join(", ")
        ));
    }
    NEVER
        .iter()
        .find(|(module, never, _)| *module == own && never.contains(&used))
        .map(|(_, _, why)| format!("`{own}` uses `{used}`: {why}"))
}

/// Top-level modules named through `crate::` or `super::`, with their lines, tests included. `own` is
/// the file's own module.
fn uses<'a>(text: &'a str, own: &[&'a str]) -> Vec<(&'a str, usize)> {
    let mut found: Vec<(&str, usize)> = paths::read(text)
        .paths
        .iter()
        .filter_map(|named| Some((*named.absolute(own)?.first()?, named.line)))
        .collect();
    found.dedup();
    found
}

/// `lib.rs` declares the modules of [`ORDER`] that it has, in that order: it is the list people read.
pub fn declared(tree: &Tree) -> Vec<Finding> {
    let path = format!("{SOURCE}lib.rs");
    let Some(file) = tree.files.iter().find(|file| file.path == path) else {
        return vec![Finding::about(&path, "is missing")];
    };
    let tokens = tokens(&file.text);
    let modules: Vec<&str> = tokens
        .windows(4)
        .filter_map(|four| match four {
            [of, module, name, end]
                if of.kind == Kind::Word("pub")
                    && module.kind == Kind::Word("mod")
                    && end.kind == Kind::Sign(';') =>
            {
                match name.kind {
                    Kind::Word(name) => Some(name),
                    _ => None,
                }
            }
            _ => None,
        })
        .collect();
    let wanted: Vec<&str> = ORDER.into_iter().filter(|m| !CRATES.contains(m)).collect();
    if modules == wanted {
        return Vec::new();
    }
    vec![Finding::at(
        file,
        1,
        format!("declares {modules:?}; the import order is {wanted:?}"),
    )]
}

/// The places that need `unsafe`: the PTY child's set-up, Landlock's and the mount system calls.
fn may_be_unsafe(path: &str) -> bool {
    path.starts_with("worker-agent/src/pty/")
        || path == "worker-agent/src/sandbox/landlock_abi.rs"
        || path == "coordinator/mounter/src/sys.rs"
}

/// `unsafe` only where [`may_be_unsafe`] says.
pub fn unsafe_places(tree: &Tree) -> Vec<Finding> {
    let outside = |file: &&File| !may_be_unsafe(&file.path);
    tree.rust()
        .filter(outside)
        .flat_map(|file| {
            tokens(&file.text)
                .into_iter()
                .filter(|token| token.kind == Kind::Word("unsafe"))
                .map(|token| {
                    Finding::at(
                        file,
                        token.line,
                        "`unsafe` outside of worker-agent/src/pty, worker-agent/src/sandbox/landlock_abi.rs \
                         and mounter/src/sys.rs, the places that are reviewed for it",
                    )
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(path: &str, text: &str) -> Vec<String> {
        direction(&Tree::of(&[(path, text)]))
            .into_iter()
            .map(|finding| finding.place)
            .collect()
    }

    #[test]
    fn a_later_module_is_out_of_reach() {
        let bad = "use crate::model::X;\nuse crate::daemon::Y;\n";
        assert_eq!(
            places("coordinator/src/fleet/mod.rs", bad),
            ["coordinator/src/fleet/mod.rs:2"]
        );
        assert!(places("coordinator/src/api/mod.rs", bad).is_empty());
    }

    #[test]
    fn groups_and_inline_paths_are_seen() {
        let bad =
            "use crate::{\n  model::{self, daemon},\n  api::Z,\n};\nfn f() { crate::cli::g() }";
        assert_eq!(
            places("coordinator/src/store.rs", bad),
            ["coordinator/src/store.rs:3", "coordinator/src/store.rs:5"]
        );
    }

    #[test]
    fn super_paths_that_reach_the_root_are_seen() {
        let at = "coordinator/src/model/name.rs";
        assert_eq!(
            places(at, "use super::super::wire::X;"),
            [format!("{at}:1")]
        );
        let own = "coordinator/model/src/model/name.rs";
        assert_eq!(places(own, "use crate::wire::X;"), [format!("{own}:1")]);
        assert!(places(at, "use super::wire::X;").is_empty());
        let nested = "mod tests { use super::super::wire::X; }\nuse super::super::wire::Y;";
        assert_eq!(places(at, nested), [format!("{at}:2")]);
        let nested = "mod tests {\n fn f() {}\n use super::super::super::wire::X; }";
        assert_eq!(places(at, nested), [format!("{at}:3")]);
    }

    #[test]
    fn the_front_ends_never_reach_behind_the_client() {
        for module in ["cli", "dashboard"] {
            for used in ["daemon", "runtime", "fleet", "agent", "store", "api"] {
                let text = format!("use crate::{used}::X;");
                let path = format!("coordinator/src/{module}/a.rs");
                assert_eq!(places(&path, &text).len(), 1, "{module} uses {used}");
            }
            let path = format!("coordinator/src/{module}/a.rs");
            assert!(places(&path, "use crate::{client, wire, config};").is_empty());
        }
        let path = "coordinator/src/client/mod.rs";
        assert_eq!(places(path, "use crate::{api, daemon, runtime};").len(), 2);
        assert_eq!(
            places("coordinator/src/cli/a.rs", "use crate::dashboard;").len(),
            1
        );
    }

    #[test]
    fn comments_strings_and_visibility_are_no_imports() {
        let good = "// crate::api::x\npub(crate) fn f() { g(\"crate::api\"); }";
        assert!(places("coordinator/src/model/mod.rs", good).is_empty());
    }

    #[test]
    fn a_module_without_a_place_is_named() {
        assert_eq!(places("coordinator/src/util/mod.rs", "").len(), 1);
        assert!(places("coordinator/src/main.rs", "use crate::api;").is_empty());
    }

    #[test]
    fn the_declared_order_is_the_import_order() {
        let own = ORDER.iter().filter(|m| !CRATES.contains(m));
        let text: String = own.map(|m| format!("pub mod {m};\n")).collect();
        let lib = |text: &str| declared(&Tree::of(&[("coordinator/src/lib.rs", text)])).len();
        assert_eq!(lib(&text), 0);
        assert_eq!(lib(&format!("{text}mod tests_only;\n")), 0);
        assert_eq!(lib("pub mod runtime;\npub mod fleet;\n"), 1);
        assert_eq!(declared(&Tree::of(&[])).len(), 1);
    }

    #[test]
    fn unsafe_is_found_outside_of_its_places() {
        let block = "fn f() {\n  unsafe { g() }\n}";
        let count = |path: &str, text: &str| unsafe_places(&Tree::of(&[(path, text)])).len();
        assert_eq!(count("coordinator/src/api/mod.rs", block), 1);
        assert_eq!(count("worker-agent/src/pty/mod.rs", block), 0);
        assert_eq!(count("worker-agent/src/pty/spawn.rs", block), 0);
        assert_eq!(count("worker-agent/src/sandbox/landlock_abi.rs", block), 0);
        assert_eq!(count("worker-agent/src/sandbox/confine.rs", block), 1);
        assert_eq!(count("coordinator/mounter/src/sys.rs", block), 0);
        assert_eq!(
            count("coordinator/src/api/mod.rs", "// unsafe\n\"unsafe\""),
            0
        );
    }
}
