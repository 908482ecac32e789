//! The workers' folders in the state volume: made before a worker, removed after it.
//!
//! What is inside `home/`, `log/` and `changes/upper` belongs to a worker that may be hostile:
//! nothing here follows a link, and removal holds a bounded number of descriptors however deep
//! the tree is.

use super::host::{Host, valid_id};
use crate::workspace::{
    MounterError, PrepareRequest,
    error::system,
    tree::{next_name, open_beneath},
};
use rustix::{
    fs::{AtFlags, Dir, Gid, Mode, OFlags, Uid, fchmod, fchown, mkdirat, renameat, unlinkat},
    io::{self, Errno},
};
use std::{ffi::OsString, os::fd::OwnedFd, path::Path};

/// Makes or corrects the folders of a worker.
///
/// # Errors
/// `BadTarget` for what is no worker's id, `System` with what could not be made.
pub(super) fn prepare(host: &Host, request: &PrepareRequest) -> Result<(), MounterError> {
    let id = valid_id(&request.worker)?;
    let failed = |name: &'static str| move |e: Errno| system(&format!("making {name}/"), e);
    let root = host.state.dir(Path::new("")).map_err(failed("."))?;
    let workers = folder(&root, "workers", None, None).map_err(failed("workers"))?;
    let worker = folder(&workers, id, Some(0o700), Some((0, 0))).map_err(failed("workers/<id>"))?;
    let owner = Some((request.uid, request.gid));
    let made = |name, mode, owner| folder(&worker, name, Some(mode), owner).map_err(failed(name));
    made("run", 0o755, Some((0, 0)))?;
    made("home", 0o700, owner)?;
    made("log", 0o700, Some((0, 0)))?;
    worker_agent::failpoint!("mounter.prepare.half");
    let changes = made("changes", 0o700, Some((0, 0)))?;
    for (name, owner) in [
        ("upper", owner),
        ("work", Some((0, 0))),
        ("lower", Some((0, 0))),
    ] {
        let mode = if name == "upper" { 0o755 } else { 0o700 };
        folder(&changes, name, Some(mode), owner).map_err(failed("changes"))?;
    }
    Ok(())
}

fn folder(
    parent: &OwnedFd,
    name: &str,
    mode: Option<u32>,
    owner: Option<(u32, u32)>,
) -> io::Result<OwnedFd> {
    match mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(e),
    }
    let dir = open_beneath(parent, Path::new(name), DIR)?;
    if let Some((uid, gid)) = owner {
        fchown(&dir, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    if let Some(mode) = mode {
        fchmod(&dir, Mode::from_raw_mode(mode))?;
    }
    Ok(dir)
}

const DIR: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK);

/// Removes `workers/<id>` wholly; nothing there is no error.
///
/// # Errors
/// `BadTarget` for what is no worker's id, `System` with what could not be removed.
pub(super) fn remove(host: &Host, id: &str) -> Result<(), MounterError> {
    let id = valid_id(id)?;
    let workers = match host.state.dir(Path::new("workers")) {
        Ok(workers) => workers,
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(system("opening workers/", e)),
    };
    remove_tree(&workers, id.as_ref())
        .map_err(|e| system(&format!("removing workers/{id}; it is left in part"), e))
}

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
    worker_agent::failpoint!("mounter.remove.began");
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
pub(super) fn random() -> u64 {
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
    use rustix::fs::{CWD, openat};

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
