//! Reviews of upper folders made by hand, hostile ones too. As root, for whiteouts and owners.

mod bounds;
mod git;
mod metadata;
mod overlay;

use super::{apply, discard, gather, review::Review, summary};
use crate::{clock::Clock, needs::root, wire::ReviewTarget};
use podbay_model::{
    model::HostPath,
    wire::{ApplyRequest, ApplyResult, ChangeKind, Conflict, DiscardRequest},
};
use rustix::fs::{FileType, Mode, OFlags, XattrFlags, makedev, mknodat};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

const OWNER: u32 = 1234;

struct Case {
    pub dir: tempfile::TempDir,
    pub claimed: i64,
    pub live: bool,
}

impl Case {
    /// A project with these files, claimed right after.
    fn new(files: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["project", "upper"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
        }
        let mut case = Self {
            dir,
            claimed: 0,
            live: false,
        };
        chown(case.project(""), Some(OWNER), Some(OWNER)).unwrap();
        for file in files {
            case.put(case.project(file), "old\n");
        }
        case.claimed = case.later();
        case
    }

    fn project(&self, path: &str) -> PathBuf {
        self.dir.path().join("project").join(path)
    }

    fn upper(&self, path: &str) -> PathBuf {
        self.dir.path().join("upper").join(path)
    }

    fn put(&self, path: PathBuf, text: &str) {
        let mut made = Vec::new();
        for dir in path
            .parent()
            .unwrap()
            .ancestors()
            .take_while(|d| !d.exists())
        {
            made.push(dir.to_owned());
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        made.push(path);
        for path in made {
            chown(path, Some(OWNER), Some(OWNER)).unwrap();
        }
    }

    fn whiteout(&self, path: &str) {
        let parent = self.upper(path);
        fs::create_dir_all(parent.parent().unwrap()).unwrap();
        let kind = FileType::CharacterDevice;
        mknodat(rustix::fs::CWD, &parent, kind, Mode::empty(), makedev(0, 0)).unwrap();
    }

    fn opaque(&self, path: &str) {
        fs::create_dir_all(self.upper(path)).unwrap();
        let name = "trusted.overlay.opaque";
        rustix::fs::setxattr(self.upper(path), name, b"y", XattrFlags::empty()).unwrap();
    }

    /// A time after which the next write's ctime is later: the kernel's file clock is coarse.
    fn later(&self) -> i64 {
        let probe = self.dir.path().join("clock");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_nanos()).unwrap();
        loop {
            fs::write(&probe, "").unwrap();
            let m = fs::metadata(&probe).unwrap();
            if m.ctime() * 1_000_000_000 + m.ctime_nsec() > now {
                return now;
            }
        }
    }

    fn review(&self) -> Review {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let open = |path: &Path| rustix::fs::open(path, flags, Mode::empty()).unwrap();
        let target = ReviewTarget {
            worker: "0123456789ab".into(),
            project: HostPath::new(self.project("")),
            dev: 0,
            ino: 0,
            claimed_at_ns: self.claimed,
            policy: crate::wire::Policy::default(),
        };
        let (changes, lower) = (open(self.dir.path()), open(&self.project("")));
        let clock = Clock::after(self.claimed);
        Review::new(&target, changes, lower, (OWNER, OWNER), self.live, clock).unwrap()
    }

    fn list(&self) -> Vec<(String, ChangeKind, bool)> {
        let changes = self.review().list(None).unwrap();
        let line = |c: podbay_model::wire::Change| (c.path.to_string(), c.kind, c.conflict);
        changes.entries.into_iter().map(line).collect()
    }

    fn apply(&self, paths: &[&str], force: bool) -> ApplyResult {
        let paths = paths.iter().map(|p| HostPath::new(*p)).collect();
        apply::apply(&mut self.review(), &ApplyRequest { paths, force }).unwrap()
    }

    fn discard(&self, paths: &[&str]) -> usize {
        let paths = paths.iter().map(|p| HostPath::new(*p)).collect();
        discard::discard(&mut self.review(), &DiscardRequest { paths }).unwrap();
        self.list().len()
    }
}

fn reasons(conflicts: &[Conflict]) -> String {
    conflicts
        .iter()
        .map(|c| format!("{}: {}\n", c.path, c.reason))
        .collect()
}

use ChangeKind::{Added, Deleted, Modified, TypeChanged};

#[test]
fn every_kind_of_change_is_listed_and_applied() {
    if !root() {
        return;
    }
    let case = Case::new(&[
        "edit",
        "same",
        "mode",
        "gone",
        "dir/a",
        "dir/b/c",
        "opaque/kept",
        "opaque/lost",
        "to-dir",
        "to-file/x",
        "to-link",
    ]);
    for (path, text) in [
        ("edit", "new\n"),
        ("same", "old\n"),
        ("mode", "old\n"),
        ("opaque/kept", "old\n"),
        ("to-dir/new", "n"),
        ("to-file", "f"),
        ("added/deep/file", "x"),
    ] {
        case.put(case.upper(path), text);
    }
    fs::set_permissions(case.upper("mode"), fs::Permissions::from_mode(0o4755)).unwrap();
    case.whiteout("gone");
    case.whiteout("dir");
    case.whiteout("never-there");
    case.opaque("opaque");
    symlink("/etc/passwd", case.upper("to-link")).unwrap();
    let expected = [
        ("added", Added),
        ("added/deep", Added),
        ("added/deep/file", Added),
        ("dir", Deleted),
        ("dir/a", Deleted),
        ("dir/b", Deleted),
        ("dir/b/c", Deleted),
        ("edit", Modified),
        ("gone", Deleted),
        ("mode", Modified),
        ("opaque/lost", Deleted),
        ("to-dir", TypeChanged),
        ("to-dir/new", Added),
        ("to-file", TypeChanged),
        ("to-file/x", Deleted),
        ("to-link", TypeChanged),
    ];
    assert_eq!(case.list(), expected.map(|(p, k)| (p.to_owned(), k, false)));
    let result = case.apply(&[], false);
    assert_eq!(reasons(&result.conflicts), "");
    assert_eq!((result.applied.len(), result.left), (expected.len(), 0));
    assert_eq!(fs::read_to_string(case.project("edit")).unwrap(), "new\n");
    assert!(!case.project("dir").exists() && !case.project("gone").exists());
    assert!(!case.project("opaque/lost").exists() && case.project("opaque/kept").exists());
    assert!(case.project("to-dir/new").is_file() && case.project("to-file").is_file());
    assert_eq!(
        fs::metadata(case.project("mode")).unwrap().mode() & 0o7777,
        0o755
    );
    assert_eq!(fs::metadata(case.project("added")).unwrap().uid(), OWNER);
    let link = fs::read_link(case.project("to-link")).unwrap();
    assert_eq!(link, Path::new("/etc/passwd"));
    assert_eq!(case.list(), []);
    assert!(case.apply(&[], false).applied.is_empty());
    for path in ["edit", "gone", "dir", "added", "to-link"] {
        assert!(
            fs::symlink_metadata(case.upper(path)).is_err(),
            "{path} is in the upper folder"
        );
    }
}

#[test]
fn what_changed_underneath_is_a_conflict_and_nothing_is_written() {
    if !root() {
        return;
    }
    let case = Case::new(&["edit", "gone", "dir/a", "fine"]);
    case.put(case.upper("edit"), "worker\n");
    case.put(case.upper("fine"), "worker\n");
    case.put(case.upper("both-new"), "worker\n");
    case.whiteout("gone");
    case.whiteout("dir");
    for path in ["edit", "gone", "dir/late", "both-new"] {
        case.put(case.project(path), "mine\n");
    }
    let touched: Vec<_> = case
        .list()
        .into_iter()
        .filter(|c| c.2)
        .map(|c| c.0)
        .collect();
    assert_eq!(touched, ["both-new", "dir/late", "edit", "gone"]);
    let result = case.apply(&[], false);
    assert_eq!((result.applied.len(), result.conflicts.len()), (0, 4));
    assert_eq!(fs::read_to_string(case.project("fine")).unwrap(), "old\n");
    assert_eq!(case.apply(&["fine"], false).applied.len(), 1);
    let result = case.apply(&[], true);
    assert_eq!((reasons(&result.conflicts).as_str(), result.left), ("", 0));
    assert_eq!(
        fs::read_to_string(case.project("edit")).unwrap(),
        "worker\n"
    );
    assert!(!case.project("dir").exists());
}

#[test]
fn a_live_upper_is_only_read_and_settled_changes_stay_hidden() {
    if !root() {
        return;
    }
    let mut case = Case::new(&["edit", "gone", "other"]);
    case.live = true;
    case.put(case.upper("edit"), "one\n");
    case.put(case.upper("other"), "o\n");
    case.put(case.upper("new/file"), "n\n");
    case.whiteout("gone");
    assert_eq!(case.discard(&["other"]), 4);
    let result = case.apply(&[], false);
    assert_eq!((result.applied.len(), result.left), (4, 0), "{result:?}");
    assert_eq!(fs::read_to_string(case.project("other")).unwrap(), "old\n");
    assert!(case.upper("edit").exists() && case.upper("new/file").exists());
    // The user goes on in the project: the worker's old version is not offered again.
    case.put(case.project("edit"), "user\n");
    case.put(case.project("gone"), "back\n");
    assert_eq!(case.list(), []);
    // The worker goes on: its new version is, and the user's change is a conflict.
    case.put(case.upper("edit"), "two two\n");
    case.put(case.upper("new/file"), "more\n");
    assert_eq!(
        case.list(),
        [
            ("edit".into(), Modified, true),
            ("new/file".into(), Modified, false)
        ]
    );
}

#[test]
fn discard_brings_the_projects_own_back() {
    if !root() {
        return;
    }
    let case = Case::new(&["edit", "gone", "dir/a", "dir/b", "o/x", "o/y", "was/f"]);
    case.put(case.upper("edit"), "w");
    case.put(case.upper("new/deep/f"), "w");
    case.put(case.upper("o/x"), "w");
    case.put(case.upper("was"), "file now");
    case.opaque("o");
    case.whiteout("gone");
    case.whiteout("dir");
    let before = case.list().len();
    // One path of several that has no change: nothing is discarded.
    let paths = ["gone", "typo"].map(HostPath::new).to_vec();
    let refused = discard::discard(&mut case.review(), &DiscardRequest { paths }).unwrap_err();
    assert_eq!(
        refused.kind,
        crate::wire::MounterErrorKind::NoChange,
        "{refused}"
    );
    assert_eq!(case.list().len(), before);
    assert_eq!(case.discard(&["gone", "dir", "new/deep"]), before - 6);
    assert!(!case.upper("new/deep").exists());
    assert!(fs::symlink_metadata(case.upper("dir")).is_err());
    assert_eq!(case.discard(&["o/x"]), before - 7);
    assert_eq!(case.discard(&[]), 0);
    assert_eq!(case.list(), []);
    assert_eq!(fs::read_to_string(case.project("was/f")).unwrap(), "old\n");
}

#[test]
fn only_named_paths_are_applied_with_the_folders_they_need() {
    if !root() {
        return;
    }
    let case = Case::new(&["a"]);
    case.put(case.upper("new/deep/one"), "1");
    case.put(case.upper("new/deep/two"), "2");
    case.put(case.upper("a"), "w");
    let result = case.apply(&["new/deep/one", "nothing"], false);
    let applied: Vec<_> = result.applied.iter().map(ToString::to_string).collect();
    assert_eq!(applied, ["new", "new/deep", "new/deep/one"]);
    assert_eq!(
        reasons(&result.conflicts),
        "nothing: there is no change at this path\n"
    );
    assert_eq!(result.left, 2);
    assert!(!case.project("new/deep/two").exists());
}

#[test]
fn links_and_special_files_lead_nowhere() {
    if !root() {
        return;
    }
    let case = Case::new(&["dir/file", "plain"]);
    let outside = case.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "safe").unwrap();
    // The project's folder and file became links since.
    case.put(case.upper("dir/file"), "evil");
    case.put(case.upper("plain"), "evil");
    fs::remove_dir_all(case.project("dir")).unwrap();
    symlink(&outside, case.project("dir")).unwrap();
    fs::remove_file(case.project("plain")).unwrap();
    symlink(outside.join("file"), case.project("plain")).unwrap();
    // The worker's own links and devices.
    symlink("/etc", case.upper("etc")).unwrap();
    let fifo = case.upper("fifo");
    mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
    let device = case.upper("null");
    let kind = FileType::CharacterDevice;
    mknodat(rustix::fs::CWD, &device, kind, Mode::RUSR, makedev(1, 3)).unwrap();
    let result = case.apply(&[], true);
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "safe");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(case.project("plain")).unwrap(), "evil");
    assert!(
        fs::symlink_metadata(case.project("plain"))
            .unwrap()
            .is_file()
    );
    assert!(!case.project("fifo").exists() && !case.project("null").exists());
    let why = reasons(&result.notes);
    assert!(why.contains("fifo: ") && why.contains("null: "), "{why}");
    // Nobody has to decide about them.
    assert_eq!(
        (reasons(&result.conflicts), result.left),
        (String::new(), 0)
    );
}

#[test]
fn the_owner_must_be_allowed_and_failures_leave_the_old_file() {
    if !root() {
        return;
    }
    let case = Case::new(&["locked/file", "open"]);
    case.put(case.upper("locked/file"), "w");
    case.put(case.upper("open"), "w");
    // The folder is root's: the project's owner may not write there, so neither may we.
    chown(case.project("locked"), Some(0), Some(0)).unwrap();
    let result = case.apply(&[], false);
    assert_eq!(result.applied, [HostPath::new("open")]);
    let why = reasons(&result.conflicts);
    assert!(
        why.starts_with("locked/file: not applied: Permission denied"),
        "{why}"
    );
    assert_eq!(result.left, 1);
    let locked = case.project("locked");
    assert_eq!(fs::read_to_string(locked.join("file")).unwrap(), "old\n");
    assert_eq!(fs::read_dir(locked).unwrap().count(), 1);
}

#[test]
fn sparse_deep_and_oddly_named_things_are_bounded() {
    if !root() {
        return;
    }
    let case = Case::new(&[]);
    let sparse = fs::File::create(case.upper("sparse")).unwrap();
    sparse.set_len(1 << 36).unwrap();
    let mut deep = rustix::fs::open(case.upper(""), OFlags::PATH, Mode::empty()).unwrap();
    for _ in 0..2_500 {
        rustix::fs::mkdirat(&deep, "dd", Mode::RWXU).unwrap();
        deep = rustix::fs::openat(&deep, "dd", OFlags::PATH, Mode::empty()).unwrap();
    }
    case.put(case.upper("new\nline \u{202e}"), "x");
    let result = case.apply(&[], false);
    let copied = fs::metadata(case.project("sparse")).unwrap();
    assert_eq!(copied.len(), 1 << 36);
    assert!(copied.blocks() < 1_000);
    assert!(case.project("new\nline \u{202e}").is_file());
    assert!(reasons(&result.conflicts).contains("too deep"));
}

#[test]
fn a_journal_that_was_torn_loses_nothing() {
    if !root() {
        return;
    }
    let mut case = Case::new(&["edit"]);
    case.live = true;
    case.put(case.upper("edit"), "w");
    case.discard(&[]);
    assert_eq!(case.list(), []);
    let journal = case.dir.path().join("journal.bin");
    let text = fs::read(&journal).unwrap();
    fs::write(&journal, &text[..text.len() / 2]).unwrap();
    assert_eq!(case.list().len(), 1);
}
