//! The text is what git and patch take.

use super::*;
use proptest::prelude::*;
use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

fn file(text: &[u8]) -> Side {
    Side::new("100644", 0o644, text.to_vec(), false)
}

fn diff(path: &str, before: Option<&Side>, after: Option<&Side>) -> Difference {
    let deadline = Instant::now() + Duration::from_secs(1);
    compare(Path::new(path), before, after, deadline, true)
}

/// Applies a patch with a tool in a folder where `path` holds `before`; what it then holds.
fn applied(tool: &[&str], patch: &str, path: &str, before: Option<&[u8]>) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let file: PathBuf = dir.path().join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    if let Some(before) = before {
        fs::write(&file, before).unwrap();
    }
    let mut child = Command::new(tool[0])
        .args(&tool[1..])
        .current_dir(dir.path())
        .env("GIT_DIR", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(patch.as_bytes())
        .unwrap();
    assert!(
        child.wait().unwrap().success(),
        "{tool:?} refused:\n{patch}"
    );
    fs::read(file).ok()
}

const GIT: &[&str] = &["git", "apply", "-p1", "--unidiff-zero", "-"];
const PATCH: &[&str] = &["patch", "-p1", "--no-backup-if-mismatch"];

#[test]
fn odd_names_and_all_kinds_of_change_can_be_applied() {
    let (old, new) = (b"a\nb\nc\n".as_slice(), b"a\nB\nc\nd".as_slice());
    for path in [
        "x",
        "a b/c d",
        "tab\there",
        "new\nline",
        "quo\"te",
        "b\\s",
        "ü/é",
    ] {
        let edit = diff(path, Some(&file(old)), Some(&file(new))).unified;
        let add = diff(path, None, Some(&file(new))).unified;
        let delete = diff(path, Some(&file(old)), None).unified;
        let empty = diff(path, None, Some(&file(b""))).unified;
        for tool in [GIT, PATCH] {
            assert_eq!(
                applied(tool, &edit, path, Some(old)).as_deref(),
                Some(new),
                "{edit}"
            );
            assert_eq!(
                applied(tool, &add, path, None).as_deref(),
                Some(new),
                "{add}"
            );
            assert_eq!(applied(tool, &delete, path, Some(old)), None, "{delete}");
        }
        assert_eq!(
            applied(GIT, &empty, path, None).as_deref(),
            Some(&b""[..]),
            "{empty}"
        );
    }
}

#[test]
fn modes_links_and_types_are_as_git_shows_them() {
    let script = Side::new("100755", 0o755, b"x\n".to_vec(), false);
    let link = Side::new("120000", 0o777, b"../target".to_vec(), false);
    assert_eq!(
        diff("x", Some(&file(b"x\n")), Some(&script)).unified,
        "diff --git a/x b/x\nold mode 100644\nnew mode 100755\n"
    );
    assert_eq!(
        diff("l", None, Some(&link)).unified,
        "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n\
         +../target\n\\ No newline at end of file\n"
    );
    let turned = diff("l", Some(&file(b"x\n")), Some(&link)).unified;
    assert!(turned.contains("deleted file mode 100644") && turned.contains("new file mode 120000"));
}

#[test]
fn binary_and_large_files_are_flagged() {
    let binary = diff("b", Some(&file(b"a")), Some(&file(b"a\0b")));
    assert!(binary.binary && binary.added.is_none());
    assert!(
        binary
            .unified
            .ends_with("Binary files a/b and b/b differ\n")
    );
    let large = Side::new("100644", 0o644, b"text".to_vec(), true);
    let cut = diff("b", Some(&file(b"a")), Some(&large));
    assert!(cut.truncated && cut.added.is_none() && !cut.unified.contains("@@"));
}

#[test]
fn a_past_deadline_still_gives_a_right_difference() {
    let old: Vec<u8> = (0..20_000)
        .flat_map(|i| format!("{}\n", i % 97).into_bytes())
        .collect();
    let new: Vec<u8> = (0..20_000)
        .flat_map(|i| format!("{}\n", i * 31 % 89).into_bytes())
        .collect();
    let start = Instant::now();
    let text = compare(
        Path::new("f"),
        Some(&file(&old)),
        Some(&file(&new)),
        start,
        true,
    )
    .unified;
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(applied(GIT, &text, "f", Some(&old)), Some(new));
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"ab\n\n\r ".to_vec()), 0..60)
}

proptest! {
    #![proptest_config(crate::seeds::cases(24))]
    #[test]
    fn any_text_becomes_any_other(old in text(), new in text()) {
        let found = diff("f", Some(&file(&old)), Some(&file(&new)));
        if old == new {
            prop_assert_eq!(found.added, Some(0));
        } else {
            prop_assert_eq!(applied(GIT, &found.unified, "f", Some(&old)), Some(new));
        }
    }

    #[test]
    fn quoting_leaves_one_line_of_text(bytes in prop::collection::vec(1u8.., 1..30)) {
        use std::os::unix::ffi::OsStringExt;
        let name = quoted("a/", Path::new(&std::ffi::OsString::from_vec(bytes)));
        prop_assert!(!name.chars().any(|c| c.is_ascii_control()));
    }
}
