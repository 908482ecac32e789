//! Removes a tree that a worker filled. Owns nothing. Never follows a link, and holds a bounded number
//! of descriptors and names, however deep or wide the tree is.

use crate::tree::{next_name, open_beneath};
use rustix::{
    fs::{AtFlags, Dir, OFlags, renameat, unlinkat},
    io::{self, Errno},
};
use std::{ffi::OsString, os::fd::OwnedFd, path::Path};

/// How a folder is opened whose names are read.
pub(crate) const DIR: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK);

/// Deeper than this a folder is moved up before it is emptied, so that neither the descriptors
/// held nor a path's length grow with a tree's depth.
const DEEP: usize = 32;

/// Passes over a folder: deep folders are moved up for the next one, and a file system may pass names
/// over while others are removed.
const MAX_PASSES: usize = 1_000_000;

/// Removes a file or a folder with all in it; nothing there is no error. The memory it takes depends
/// neither on the number of names nor on the depth.
pub(crate) fn remove_tree(parent: &OwnedFd, name: &std::ffi::OsStr) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e),
    }
    let top = open_beneath(parent, Path::new(name), DIR)?;
    let mut moved = 0u64;
    podbay_failpoints::failpoint!("mounter.remove.began");
    for _ in 0..MAX_PASSES {
        let removed = empty(&top, &mut moved)?;
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) if removed => {}
            result => return result,
        }
    }
    Err(Errno::NOTEMPTY)
}

/// So that a hostile worker cannot have put something in the way beforehand.
pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}

/// One pass of removing what is in `top`: whether anything was removed or moved up.
fn empty(top: &OwnedFd, moved: &mut u64) -> io::Result<bool> {
    let mut removed = false;
    let mut names = Dir::read_from(top)?;
    // Each open folder below `top` with the names in it that are still to be looked at.
    let mut stack: Vec<(OsString, OwnedFd, Dir)> = Vec::new();
    loop {
        let depth = stack.len();
        let next = match stack.last_mut() {
            None => next_name(&mut names)?,
            Some((_, _, names)) => next_name(names)?,
        };
        let Some(name) = next else {
            let Some((name, _, _)) = stack.pop() else {
                return Ok(removed);
            };
            let parent = stack.last().map_or(top, |(_, dir, _)| dir);
            match unlinkat(parent, &name, AtFlags::REMOVEDIR) {
                Ok(()) => removed = true,
                // What was passed over is there for the next pass.
                Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => {}
                Err(e) => return Err(e),
            }
            continue;
        };
        let dir = stack.last().map_or(top, |(_, dir, _)| dir);
        match unlinkat(dir, &name, AtFlags::empty()) {
            Ok(()) => {
                removed = true;
                continue;
            }
            Err(Errno::NOENT) => continue,
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(e) => return Err(e),
        }
        if depth >= DEEP {
            *moved += 1;
            let up = format!(".podbay-{:016x}-{moved}", random());
            renameat(dir, &name, top, up.as_str())?;
            removed = true;
            continue;
        }
        let child = open_beneath(dir, Path::new(&name), DIR)?;
        let names = Dir::read_from(&child)?;
        stack.push((name, child, names));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, mkdirat, openat};

    #[test]
    fn trees_of_any_depth_go_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        std::fs::write(dir.path().join("outside/kept"), "x").unwrap();
        std::fs::create_dir(dir.path().join("tree")).unwrap();
        let parent = openat(CWD, dir.path(), DIR, Mode::empty()).unwrap();
        let mut at = openat(&parent, "tree", DIR, Mode::empty()).unwrap();
        for i in 0..400 {
            rustix::fs::symlinkat("../outside", &at, format!("link{i}").as_str()).unwrap();
            mkdirat(&at, ".podbay-removed-1", Mode::RWXU).unwrap();
            mkdirat(&at, "d\n", Mode::RWXU).unwrap();
            at = openat(&at, "d\n", DIR, Mode::empty()).unwrap();
        }
        remove_tree(&parent, "tree".as_ref()).unwrap();
        assert!(!dir.path().join("tree").exists());
        assert!(dir.path().join("outside/kept").exists());
        remove_tree(&parent, "tree".as_ref()).unwrap();
    }
}
