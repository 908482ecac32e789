//! Against the kernel: whatever is done in a real overlay, applying it makes the project equal to
//! what the overlay showed. Needs root and overlay mounts.

use super::{Case, OWNER, reasons, root};
use crate::sys::set_fs_ids;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

/// Unmounts when dropped.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).unwrap();
    }
}

/// With root there is every mount that these tests make: anything else is a failure.
fn mounted(kind: &str, at: PathBuf, options: &str) -> Mount {
    fs::create_dir_all(&at).unwrap();
    mount(Some(kind), &at, Some(kind), MsFlags::empty(), Some(options)).unwrap();
    Mount(at)
}

#[derive(Debug, Clone)]
enum Op {
    Write(String, String),
    Remove(String),
    Folder(String),
    Rename(String, String),
    Mode(String, u32),
    Link(String, String),
}

fn path() -> impl Strategy<Value = String> {
    let name = || prop::sample::select(vec!["a", "b", "c d", "e\n"]);
    prop::collection::vec(name(), 1..4).prop_map(|parts| parts.join("/"))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (path(), "[xy\n]{0,6}").prop_map(|(p, t)| Op::Write(p, t)),
        path().prop_map(Op::Remove),
        path().prop_map(Op::Folder),
        (path(), path()).prop_map(|(a, b)| Op::Rename(a, b)),
        (path(), prop::sample::select(vec![0o600, 0o755, 0o644])).prop_map(|(p, m)| Op::Mode(p, m)),
        (path(), path()).prop_map(|(p, t)| Op::Link(p, t)),
    ]
}

/// Does what can be done; links are not followed, so that nothing outside is reached.
fn perform(root: &Path, op: &Op) {
    let plain = |path: &Path| fs::symlink_metadata(path).is_ok_and(|m| !m.is_symlink());
    let inside = |path: &str| {
        let full = root.join(path);
        let parents = || full.ancestors().skip(1).take_while(|p| p.starts_with(root));
        parents()
            .all(|p| fs::symlink_metadata(p).is_ok_and(|m| m.is_dir()))
            .then_some(full)
    };
    let done = match op {
        Op::Write(path, text) => inside(path)
            .filter(|p| plain(p) || !p.exists() && fs::symlink_metadata(p).is_err())
            .map(|p| fs::write(p, text)),
        Op::Remove(path) => inside(path).map(|p| {
            if p.is_dir() && plain(&p) {
                fs::remove_dir_all(p)
            } else {
                fs::remove_file(p)
            }
        }),
        Op::Folder(path) => inside(path).map(fs::create_dir),
        Op::Rename(from, to) => inside(from).zip(inside(to)).map(|(a, b)| fs::rename(a, b)),
        Op::Mode(path, mode) => inside(path).filter(|p| plain(p)).map(|p| {
            let execute = if p.is_dir() { 0o700 } else { 0 };
            fs::set_permissions(p, fs::Permissions::from_mode(mode | execute))
        }),
        Op::Link(path, target) => inside(path).map(|p| symlink(target, p)),
    };
    // Many cannot be done; that is part of the mix.
    drop(done);
}

/// Everything below a folder: kind, mode and content.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut seen = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_symlink() {
                fs::read_link(&path)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
                    .into_bytes()
            } else if meta.is_file() {
                fs::read(&path).unwrap()
            } else {
                todo.push(path.clone());
                Vec::new()
            };
            let path = path.strip_prefix(root).unwrap().to_owned();
            seen.insert(path, (meta.mode() & !0o7000, content));
        }
    }
    seen
}

proptest! {
    #![proptest_config(crate::seeds::cases(48))]
    #[test]
    fn applying_makes_the_project_what_the_overlay_showed(
        before in prop::collection::vec(op(), 0..25), after in prop::collection::vec(op(), 0..25),
    ) {
        if !root() {
            return Ok(());
        }
        let mut case = Case::new(&[]);
        let as_owner = |root: &Path, ops: &[Op]| {
            set_fs_ids(OWNER, OWNER).unwrap();
            ops.iter().for_each(|op| perform(root, op));
            set_fs_ids(0, 0).unwrap();
        };
        fs::set_permissions(case.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        as_owner(&case.project(""), &before);
        case.claimed = case.later();
        fs::create_dir(case.dir.path().join("work")).unwrap();
        let own = |path| std::os::unix::fs::chown(path, Some(OWNER), Some(OWNER)).unwrap();
        own(case.upper(""));
        let at = case.dir.path().join("merged");
        let options = format!(
            "lowerdir={},upperdir={},workdir={},redirect_dir=nofollow,metacopy=off,index=off",
            case.project("").display(),
            case.upper("").display(),
            case.dir.path().join("work").display(),
        );
        let overlay = mounted("overlay", at.clone(), &options);
        as_owner(&at, &after);
        let shown = snapshot(&at);
        drop(overlay);
        let listed = case.list();
        prop_assert!(listed.iter().all(|c| !c.2), "{listed:?}");
        // A path has what the whole has at and below it.
        let all = case.review().list(None).unwrap().entries;
        for path in all.iter().map(|change| &change.path) {
            let of = case.review().list(Some(path)).unwrap().entries;
            let mut below = all.clone();
            below.retain(|change| change.path.as_path().starts_with(path.as_path()));
            prop_assert_eq!(of, below);
        }
        let result = case.apply(&[], false);
        prop_assert_eq!(reasons(&result.conflicts), "");
        prop_assert_eq!(&snapshot(&case.project("")), &shown);
        prop_assert_eq!(result.applied.len(), listed.len());
        prop_assert_eq!(result.left, 0);
        prop_assert_eq!(case.list(), []);
    }
}

#[test]
fn a_full_disk_fails_one_file_and_leaves_the_old_one() {
    if !root() {
        return;
    }
    let case = Case::new(&[]);
    let options = format!("size=256k,uid={OWNER},gid={OWNER},mode=755");
    let _mount = mounted("tmpfs", case.project(""), &options);
    case.put(case.project("big"), "old\n");
    case.put(case.upper("big"), &"x".repeat(1 << 20));
    case.put(case.upper("small"), "fits");
    let result = case.apply(&[], true);
    assert_eq!(result.applied.len(), 1, "{result:?}");
    let why = reasons(&result.conflicts);
    assert!(why.starts_with("big: not applied: No space left"), "{why}");
    assert_eq!(fs::read_to_string(case.project("big")).unwrap(), "old\n");
    assert_eq!(fs::read_dir(case.project("")).unwrap().count(), 2);
    assert_eq!(result.left, 1);
}
