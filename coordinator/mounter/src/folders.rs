//! The workers' folders in the state volume: made before a worker, removed after it. Owns their
//! modes and owners. Never follows a link: what is in `home/`, `log/` and `changes/upper` is a worker's.

use crate::{
    error::system,
    host::{Host, valid_id},
    remove::{DIR, remove_tree},
    tree::open_beneath,
    wire::{MounterError, PrepareRequest},
};
use rustix::{
    fs::{Gid, Mode, Uid, fchmod, fchown, mkdirat},
    io::{self, Errno},
};
use std::{os::fd::OwnedFd, path::Path};

/// Makes or corrects the folders of a worker.
///
/// # Errors
/// `BadTarget` for what is no worker's id, `System` with what could not be made.
pub(crate) fn prepare(host: &Host, request: &PrepareRequest) -> Result<(), MounterError> {
    let id = valid_id(&request.worker)?;
    drop(host.prepared.take(id));
    let failed = |name: &'static str| move |e: Errno| system(&format!("making {name}/"), e);
    let root = host.state.dir(Path::new("")).map_err(failed("."))?;
    let workers = folder(&root, "workers", None, None).map_err(failed("workers"))?;
    let worker = folder(&workers, id, Some(0o700), Some((0, 0))).map_err(failed("workers/<id>"))?;
    let owner = Some((request.uid, request.gid));
    let made = |name, mode, owner| folder(&worker, name, Some(mode), owner).map_err(failed(name));
    made("run", 0o755, Some((0, 0)))?;
    made("home", 0o700, owner)?;
    made("log", 0o700, Some((0, 0)))?;
    podbay_failpoints::failpoint!("mounter.prepare.half");
    let changes = made("changes", 0o700, Some((0, 0)))?;
    layers(&changes, owner).map_err(failed("changes"))
}

/// The folders of an overlay: a folder `name` with `upper`, `work` and `lower` in it.
pub(crate) fn make_layers(changes: &OwnedFd, name: &str) -> io::Result<()> {
    let root = Some((0, 0));
    layers(&folder(changes, name, Some(0o700), root)?, root)
}

fn layers(parent: &OwnedFd, owner: Option<(u32, u32)>) -> io::Result<()> {
    for (name, owner) in [
        ("upper", owner),
        ("work", Some((0, 0))),
        ("lower", Some((0, 0))),
    ] {
        let mode = if name == "upper" { 0o755 } else { 0o700 };
        folder(parent, name, Some(mode), owner)?;
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

/// Removes `workers/<id>` wholly; nothing there is no error.
///
/// # Errors
/// `BadTarget` for what is no worker's id, `System` with what could not be removed.
pub(crate) fn remove(host: &Host, id: &str) -> Result<(), MounterError> {
    let id = valid_id(id)?;
    drop(host.prepared.take(id));
    let workers = match host.state.dir(Path::new("workers")) {
        Ok(workers) => workers,
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(system("opening workers/", e)),
    };
    remove_tree(&workers, id.as_ref())
        .map_err(|e| system(&format!("removing workers/{id}; it is left in part"), e))
}
