//! Reviews of more than can be listed, and the way out of them. As root, for owners.

use super::{Case, OWNER, apply, gather, reasons, root, summary};
use crate::wire::MounterErrorKind;
use podbay_model::{
    model::HostPath,
    wire::{ApplyRequest, ChangeKind},
};
use std::{fs, os::unix::fs::MetadataExt};

/// More files than are listed, in folders of one, and something beside them.
fn giant() -> Case {
    let case = Case::new(&["kept"]);
    let folders = 11;
    let files = gather::MAX_ENTRIES / 10;
    for d in 0..folders {
        fs::create_dir_all(case.upper(&format!("nm/d{d}"))).unwrap();
        for f in 0..files {
            fs::File::create(case.upper(&format!("nm/d{d}/{f}"))).unwrap();
        }
    }
    case.put(case.upper("real"), "real\n");
    case.put(case.upper("zz/last"), "last\n");
    case
}

fn path(path: &str) -> HostPath {
    HostPath::new(path)
}

#[test]
fn over_the_bound_paths_are_reviewed_folders_are_counted_and_all_can_be_discarded() {
    if !root() {
        return;
    }
    let mut case = giant();
    let each = gather::MAX_ENTRIES as u64 / 10;
    let review = case.review();
    assert!(review.any().unwrap());
    assert_eq!(review.count(200).unwrap(), None);

    // Everything: some of each top-level folder, and it says so.
    let list = review.list(None).unwrap();
    let listed = |name: &str| list.entries.iter().any(|c| c.path == path(name));
    assert!(
        list.truncated && list.entries.len() < 100,
        "{}",
        list.entries.len()
    );
    assert!(listed("real") && listed("nm") && listed("zz/last"));

    // By folder, all of it.
    let sums = summary::summary(&review, None).unwrap();
    assert_eq!(
        (sums.changes, sums.truncated),
        (11 * each + 11 + 1 + 3, false)
    );
    let rows: Vec<_> = sums
        .folders
        .iter()
        .map(|f| (f.path.to_string(), f.changes))
        .collect();
    let expected = [(".", 1), ("nm", 11 * each + 12), ("zz", 2)];
    assert_eq!(rows, expected.map(|(name, n)| (name.to_owned(), n)));
    let sums = summary::summary(&review, Some(&path("nm"))).unwrap();
    assert_eq!(
        (sums.folders.len(), sums.folders[1].changes),
        (12, each + 1)
    );

    // By path, whatever is beside it.
    let one = review.list(Some(&path("real"))).unwrap();
    assert_eq!((one.entries.len(), one.truncated), (1, false));
    assert_eq!(one.entries[0].added, Some(1));
    let folder = review.list(Some(&path("nm/d1"))).unwrap();
    assert_eq!(
        (folder.entries.len() as u64, folder.truncated),
        (each + 1, false)
    );
    assert!(review.list(Some(&path("nm"))).unwrap().truncated);
    drop(review);

    // Applying everything is refused before anything is written; a path is applied.
    let all = apply::apply(&mut case.review(), &ApplyRequest::default()).unwrap_err();
    assert_eq!(all.kind, MounterErrorKind::TooMany, "{all}");
    assert!(!case.project("real").exists());
    let result = case.apply(&["real"], false);
    assert_eq!(
        (result.applied.len(), reasons(&result.conflicts).as_str()),
        (1, "")
    );
    assert!(result.left_more);
    assert_eq!(fs::read_to_string(case.project("real")).unwrap(), "real\n");
    assert!(
        case.review()
            .list(Some(&path("real")))
            .unwrap()
            .entries
            .is_empty()
    );

    // While it runs, what is there now is hidden, and nothing else.
    case.live = true;
    case.discard(&["nm/d1"]);
    assert!(
        case.review()
            .list(Some(&path("nm/d1")))
            .unwrap()
            .entries
            .is_empty()
    );
    assert!(case.upper("nm/d1/7").exists());
    assert_eq!(case.discard(&[]), 0);
    case.put(case.upper("nm/d1/7"), "written since");
    case.put(case.upper("fresh"), "new");
    assert_eq!(
        case.list(),
        [("fresh", ChangeKind::Added), ("nm/d1/7", ChangeKind::Added)].map(|(name, kind)| (
            name.to_owned(),
            kind,
            false
        ))
    );

    // Once it has ended they are taken out, a folder or everything.
    case.live = false;
    case.discard(&["nm/d1"]);
    assert!(!case.upper("nm/d1").exists() && case.upper("nm/d2").exists());
    let before = fs::metadata(case.upper("")).unwrap();
    assert_eq!(case.discard(&[]), 0);
    assert_eq!(fs::read_dir(case.upper("")).unwrap().count(), 0);
    let after = fs::metadata(case.upper("")).unwrap();
    assert_eq!((before.uid(), before.mode()), (after.uid(), after.mode()));
    assert!(!case.dir.path().join(".discarded").exists());
    assert!(case.project("kept").exists());
}

#[test]
fn a_discard_that_was_cut_short_is_finished_by_the_next_one() {
    if !root() {
        return;
    }
    let case = Case::new(&["kept"]);
    case.put(case.upper("new"), "n");
    case.put(case.dir.path().join(".discarded/left/over"), "x");
    assert_eq!(case.discard(&["new"]), 0);
    assert!(!case.dir.path().join(".discarded").exists() && !case.upper("new").exists());
}

#[test]
fn what_a_recreated_folder_hides_below_its_subfolders_is_deleted_too() {
    if !root() {
        return;
    }
    // `rm -r a; mkdir -p a/b`: the kernel marks `a` alone.
    let case = Case::new(&["a/b/c", "a/b/d/e", "a/f"]);
    case.opaque("a");
    fs::create_dir(case.upper("a/b")).unwrap();
    for made in ["a", "a/b"] {
        std::os::unix::fs::chown(case.upper(made), Some(OWNER), Some(OWNER)).unwrap();
    }
    let gone: Vec<_> = case
        .list()
        .into_iter()
        .map(|(path, kind, _)| (path, kind))
        .collect();
    let expected = ["a/b/c", "a/b/d", "a/b/d/e", "a/f"];
    assert_eq!(gone, expected.map(|p| (p.to_owned(), ChangeKind::Deleted)));
    assert_eq!(case.apply(&["a/b/d"], false).applied.len(), 2);
    assert!(case.project("a/b/c").exists() && !case.project("a/b/d").exists());
    assert_eq!(case.apply(&[], false).left, 0);
    assert!(case.project("a/b").is_dir() && !case.project("a/b/c").exists());
}
