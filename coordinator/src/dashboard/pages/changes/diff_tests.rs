//! Taking differences apart: numbers, pairs, sides.

use super::*;
use crate::{
    model::HostPath,
    wire::{Change, ChangeKind, EntryType, FileDiff},
};
use proptest::prelude::*;

fn diff(unified: &str) -> FileDiff {
    FileDiff {
        change: Change {
            path: HostPath::new("src/a.rs"),
            kind: ChangeKind::Modified,
            before: Some(EntryType::File),
            after: Some(EntryType::File),
            mode: None,
            added: None,
            removed: None,
            binary: false,
            conflict: false,
        },
        unified: unified.to_owned(),
        truncated: false,
    }
}

const HEAD: &str = "diff --git a/src/a.rs b/src/a.rs\n--- a/src/a.rs\n+++ b/src/a.rs\n";

fn file(hunks: &str) -> FileText {
    FileText::new(&diff(&format!("{HEAD}{hunks}")))
}

fn sides_of(file: &FileText) -> Vec<(String, String)> {
    let text = |row: &Option<usize>| {
        row.and_then(|r| file.line(r))
            .map_or(String::new(), |l| l.text.clone())
    };
    file.sides
        .iter()
        .filter_map(|side| match side {
            Side::Pair(old, new) => Some((text(old), text(new))),
            Side::Whole(_) => None,
        })
        .collect()
}

#[test]
fn lines_have_the_numbers_of_their_files() {
    let file = file("@@ -10,3 +20,4 @@ fn main() {\n same\n-old\n+new\n+more\n same\n");
    let numbers: Vec<_> = (0..file.rows.len())
        .filter_map(|i| file.line(i))
        .map(|l| (l.old, l.new))
        .collect();
    assert_eq!(
        numbers,
        [
            (Some(10), Some(20)),
            (Some(11), None),
            (None, Some(21)),
            (None, Some(22)),
            (Some(12), Some(23)),
        ]
    );
    assert!(matches!(&file.rows[0], DiffRow::Hunk { place, above }
        if place == "@@ -10,3 +20,4 @@" && above == "fn main() {"));
}

#[test]
fn a_line_that_looks_like_a_header_is_content_inside_of_a_hunk() {
    let file = file("@@ -1,2 +1,2 @@\n--- a/x\n+++ b/x\n same\n");
    assert_eq!(file.line(1).map(|l| l.text.as_str()), Some("-- a/x"));
    assert_eq!(file.line(2).map(|l| l.text.as_str()), Some("++ b/x"));
}

#[test]
fn side_by_side_a_line_is_beside_what_it_became() {
    let file = file(concat!(
        "@@ -1,2 +1,4 @@\n",
        "-let a = one(1);\n-let b = two(2);\n",
        "+// entirely new\n+let a = one(10);\n+let b = two(20);\n+last\n",
    ));
    let expected = [
        ("", "// entirely new"),
        ("let a = one(1);", "let a = one(10);"),
        ("let b = two(2);", "let b = two(20);"),
        ("", "last"),
    ];
    let expected = expected.map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(sides_of(&file), expected);
    assert_eq!(file.changed(1).len(), 1);
}

#[test]
fn what_only_went_or_only_came_has_an_empty_side() {
    let file = file("@@ -1,2 +1,1 @@\n-gone\n kept\n@@ -9,0 +8,1 @@\n+came\n");
    let expected = [("gone", ""), ("kept", "kept"), ("", "came")];
    let expected = expected.map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(sides_of(&file), expected);
    assert_eq!(file.hunks(false), [0, 3]);
    assert_eq!(file.hunks(true), [0, 3]);
}

#[test]
fn modes_links_and_binaries_are_remarks() {
    let notes = |unified: &str| -> Vec<String> {
        FileText::new(&diff(unified))
            .rows
            .into_iter()
            .map(|row| match row {
                DiffRow::Note(text) => text,
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(
        notes("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n"),
        ["mode 100644 to 100755"]
    );
    assert_eq!(
        notes("diff --git a/x b/x\nBinary files a/x and b/x differ\n"),
        ["a binary file: its content is not shown"]
    );
    assert_eq!(notes(""), ["no line differs"]);
}

#[test]
fn a_missing_newline_does_not_part_a_line_from_what_it_became() {
    let file = file("@@ -1 +1 @@\n-end\n\\ No newline at end of file\n+end.\n");
    assert_eq!(sides_of(&file), [("end".to_owned(), "end.".to_owned())]);
    assert!(
        file.rows
            .contains(&DiffRow::Note("no newline at the end".into()))
    );
}

#[test]
fn a_line_end_is_shown_only_where_it_changed() {
    let same = file("@@ -1 +1 @@\n-a b c\r\n+a b d\r\n");
    assert_eq!(same.line(1).map(|l| l.text.as_str()), Some("a b c"));
    let changed = file("@@ -1 +1 @@\n-a b c\r\n+a b c\n");
    assert_eq!(changed.line(1).map(|l| l.text.as_str()), Some("a b c\r"));
}

#[test]
fn comments_over_lines_are_known_within_a_hunk() {
    let file = file("@@ -1,2 +1,3 @@\n /* a\n+b\n c */\n");
    assert_eq!(file.line(2).map(|l| l.inside), Some(Inside::Comment(1)));
}

fn hunks() -> impl Strategy<Value = String> {
    let line = (
        prop::sample::select(vec![' ', '+', '-', '\\', '@']),
        "[ab(){};\t\r世]{0,12}",
    );
    let lines = prop::collection::vec(line, 0..40);
    (0u32..2000, 0u32..2000, lines).prop_map(|(old, new, lines)| {
        let mut text = format!("@@ -{old},9 +{new},9 @@ above\n");
        for (sign, rest) in lines {
            text.push_str(&format!("{sign}{rest}\n"));
        }
        text
    })
}

proptest! {
    #![proptest_config(crate::seeds::config())]

    #[test]
    fn every_row_is_on_exactly_one_side_row_and_in_order(hunks in prop::collection::vec(hunks(), 0..4)) {
        let file = file(&hunks.concat());
        let mut seen = vec![0; file.rows.len()];
        let (mut last_old, mut last_new) = (0, 0);
        for side in &file.sides {
            match *side {
                Side::Whole(row) => seen[row] += 1,
                Side::Pair(old, new) => {
                    prop_assert!(old.is_some() || new.is_some());
                    if let Some(row) = old {
                        seen[row] += 1;
                        prop_assert!(row >= last_old);
                        last_old = row;
                    }
                    if let Some(row) = new.filter(|_| old != new) {
                        seen[row] += 1;
                        prop_assert!(row >= last_new);
                        last_new = row;
                    }
                }
            }
        }
        prop_assert!(seen.iter().all(|n| *n == 1), "{seen:?}");
        for row in 0..file.rows.len() {
            if let Some(pair) = file.line(row).and_then(|l| l.pair) {
                prop_assert_eq!(file.line(pair).and_then(|l| l.pair), Some(row));
            }
            let _ranges = file.changed(row);
            let there = file.translate(row, true);
            prop_assert!(there < file.sides.len());
        }
    }

    #[test]
    fn any_text_is_taken_apart(unified in "(@@ -1 \\+1 @@|[-+ \\\\@d\n]|.){0,80}") {
        let file = FileText::new(&diff(&unified));
        prop_assert!(!file.rows.is_empty());
    }
}
