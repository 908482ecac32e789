//! Rules that a tool keeps, not reviewers: import direction, import circles, file and folder sizes, layout, forbidden texts.
//!
//! Each rule is a function from the tracked files to what breaks it, and has tests with small bad
//! examples beside it: a rule that cannot fail is no rule. To see the notes of the sizes, run
//! `cargo test --test tidy sizes -- --nocapture`.

#[path = "tidy/bounds.rs"]
mod bounds;
#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/layout.rs"]
mod layout;
#[path = "tidy/lex.rs"]
mod lex;
#[path = "tidy/passes.rs"]
mod passes;
#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/tree.rs"]
mod tree;

use tree::{Finding, Tree};

/// Hold the checkout to one rule.
fn keep(rule: &str, check: fn(&Tree) -> Vec<Finding>) {
    let found: Vec<String> = match Tree::of_checkout() {
        Ok(tree) if tree.files.is_empty() => vec!["no files found".to_owned()],
        Ok(tree) => check(&tree).iter().map(Finding::to_string).collect(),
        Err(error) => vec![format!("the checkout cannot be read: {error}")],
    };
    assert!(
        found.is_empty(),
        "rule `{rule}` is broken in {} places:\n  {}",
        found.len(),
        found.join("\n  ")
    );
}

#[test]
fn imports_point_up_the_module_order() {
    keep("import direction", imports::direction);
    keep("declared modules", imports::declared);
}

#[test]
fn no_two_files_need_one_another() {
    keep("import circles", circles::none);
}

#[test]
fn unsafe_stays_in_its_places() {
    keep("unsafe places", imports::unsafe_places);
}

#[test]
fn files_keep_their_sizes() {
    let tree = Tree::of_checkout().expect("the checkout is readable");
    println!(
        "median of files without tests: {} lines",
        files::median(&tree)
    );
    for (path, lines) in files::long(&tree) {
        println!("note: {path} has {lines} lines; which two things is it?");
    }
    keep("file sizes", files::sizes);
    keep("folder sizes", files::folders);
    keep("main dispatches", files::short_main);
}

#[test]
fn files_say_what_they_are_for() {
    keep("module docs", files::module_docs);
}

#[test]
fn nothing_unfinished_or_private_is_tracked() {
    keep("forbidden texts", files::forbidden);
    keep("package sources", layout::sources);
}

#[test]
fn no_test_passes_without_having_run() {
    keep("silent passes", passes::silent);
}

#[test]
fn every_property_can_be_repeated() {
    keep("seeds", passes::seeded);
}

#[test]
fn scripts_are_strict() {
    keep("shell scripts", files::shell);
}

#[test]
fn the_top_level_is_as_designed() {
    keep("top level", layout::top_level);
}

#[test]
fn links_between_documents_lead_somewhere() {
    keep("relative links", layout::links);
}

#[test]
fn packages_share_the_lints_and_depend_one_way() {
    keep("manifests", layout::manifests);
}

#[test]
fn every_bound_is_in_the_table() {
    keep("table of bounds", bounds::table);
    keep("limited reads", bounds::reads);
}
