//! What a file or folder is besides its content.

use super::*;
use rustix::fs::{getxattr, setxattr};
use std::os::unix::fs::PermissionsExt;

const GROUP: u32 = 4242;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_replaced_file_keeps_its_group_attributes_and_list_and_says_what_it_does_not_keep() {
    if !root() {
        return;
    }
    let case = Case::new(&["f"]);
    let (own, theirs) = (case.project("f"), case.upper("f"));
    chown(&own, None, Some(GROUP)).unwrap();
    set_mode(&own, 0o640);
    fs::hard_link(&own, case.project("second")).unwrap();
    setxattr(&own, "user.kept", b"v", XattrFlags::empty()).unwrap();
    let case = Case {
        claimed: case.later(),
        ..case
    };
    case.put(theirs.clone(), "new\n");
    set_mode(&theirs, 0o640);
    setxattr(&theirs, "user.kept", b"v", XattrFlags::empty()).unwrap();
    // As a worker's files are: not the owner's, who may not read them.
    chown(&theirs, Some(200_000), Some(200_000)).unwrap();
    setxattr(&theirs, "trusted.mark", b"v", XattrFlags::empty()).unwrap();
    let result = case.apply(&[], false);
    assert_eq!(result.applied, [HostPath::new("f")]);
    let is = fs::metadata(&own).unwrap();
    assert_eq!(
        (is.uid(), is.gid(), is.mode() & 0o7777),
        (OWNER, GROUP, 0o640)
    );
    let mut value = [0; 8];
    let length = getxattr(&own, "user.kept", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"v");
    assert!(getxattr(&own, "trusted.mark", &mut value[..]).is_err());
    assert_eq!(fs::read_to_string(case.project("second")).unwrap(), "old\n");
    assert!(reasons(&result.notes).contains("hard links"), "{result:?}");
}

#[test]
fn all_mode_bits_are_listed_and_a_mode_alone_leaves_the_file_in_its_place() {
    if !root() {
        return;
    }
    let case = Case::new(&["tool", "dir/in"]);
    fs::hard_link(case.project("tool"), case.project("second")).unwrap();
    let case = Case {
        claimed: case.later(),
        ..case
    };
    let inode = fs::metadata(case.project("tool")).unwrap().ino();
    case.put(case.upper("tool"), "old\n");
    set_mode(&case.upper("tool"), 0o4750);
    fs::create_dir(case.upper("dir")).unwrap();
    chown(case.upper("dir"), Some(OWNER), Some(OWNER)).unwrap();
    set_mode(&case.upper("dir"), 0o1777);
    let modes: Vec<_> = case
        .review()
        .list(None)
        .unwrap()
        .entries
        .into_iter()
        .map(|change| (change.path.to_string(), change.mode.unwrap().1))
        .collect();
    assert_eq!(
        modes,
        [("dir".to_owned(), 0o1777), ("tool".to_owned(), 0o4750)]
    );
    let result = case.apply(&[], false);
    assert_eq!(
        (result.applied.len(), result.left),
        (2, 0),
        "{:?}",
        case.list()
    );
    let is = fs::metadata(case.project("tool")).unwrap();
    // Who runs it must not become its owner by a worker's word; that is said.
    assert_eq!(
        (is.ino(), is.nlink(), is.mode() & 0o7777),
        (inode, 2, 0o750)
    );
    assert!(reasons(&result.notes).contains("set-user-ID"), "{result:?}");
    assert_eq!(mode(&case.project("dir")), 0o1777);
}

#[test]
fn what_is_made_in_a_folder_of_a_group_has_that_group_and_the_bit() {
    if !root() {
        return;
    }
    let case = Case::new(&["shared/a"]);
    let shared = case.project("shared");
    chown(&shared, None, Some(GROUP)).unwrap();
    set_mode(&shared, 0o2775);
    fs::create_dir(case.upper("shared")).unwrap();
    chown(case.upper("shared"), Some(OWNER), Some(GROUP)).unwrap();
    set_mode(&case.upper("shared"), 0o2775);
    case.put(case.upper("shared/new/file"), "x");
    set_mode(&case.upper("shared/new"), 0o755);
    let result = case.apply(&[], false);
    assert_eq!(result.left, 0, "{result:?}");
    let new = fs::metadata(case.project("shared/new")).unwrap();
    assert_eq!((new.gid(), new.mode() & 0o7777), (GROUP, 0o2755));
    assert_eq!(
        fs::metadata(case.project("shared/new/file")).unwrap().gid(),
        GROUP
    );
}
