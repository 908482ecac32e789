//! What this mounter can do, found by trying. Owns nothing. Never leaves anything mounted.

use super::overlay::new_overlay;
use crate::{
    error::unsupported,
    host::{IdPair, Place},
    remove::{random, remove_tree},
    sys::{MountChange, set_mount},
    wire::{MounterCaps, MounterError},
};
use rustix::{
    fs::{Mode, mkdirat},
    mount::{OpenTreeFlags, open_tree},
};
use std::{os::fd::AsFd, path::Path};

/// Tries everything once. Leaves nothing behind.
pub(crate) fn probe(place: &mut Place) -> MounterCaps {
    let mut caps = MounterCaps::default();
    match try_bind(place) {
        Ok(()) => caps.bind = true,
        Err(e) => caps.reasons.push(format!("bind: {e}")),
    }
    match try_overlay(place) {
        Ok(()) => caps.overlay = true,
        Err(e) => caps.reasons.push(format!("overlay: {e}")),
    }
    match try_idmap(place) {
        Ok(()) => caps.idmap = true,
        Err(e) => caps.reasons.push(format!("id-map: {e}")),
    }
    caps
}

fn try_bind(place: &mut Place) -> Result<(), MounterError> {
    place.enter_engine()?;
    clone(Path::new("/")).map(drop)
}

fn clone(path: &Path) -> Result<std::os::fd::OwnedFd, MounterError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(rustix::fs::CWD, path, flags)
        .map_err(|e| unsupported(format!("a mount cannot be cloned (open_tree: {e})")))
}

fn try_overlay(place: &mut Place) -> Result<(), MounterError> {
    place.enter_staging()?;
    let failed = |e| unsupported(format!("the state volume cannot be written ({e})"));
    let root = place.host.state.dir(Path::new("")).map_err(failed)?;
    let name = format!(".probe-{:016x}", random());
    mkdirat(&root, name.as_str(), Mode::RWXU).map_err(failed)?;
    let dir = place.host.state_path.join(&name);
    let made = ["lower", "upper", "work"]
        .into_iter()
        .try_for_each(|sub| mkdirat(rustix::fs::CWD, dir.join(sub), Mode::RWXU).map_err(failed))
        .and_then(|()| {
            new_overlay(
                &dir.join("lower"),
                &dir.join("upper"),
                &dir.join("work"),
                false,
            )
        });
    // The overlay goes before its folders do.
    let made = made.map(drop);
    if let Err(e) = remove_tree(&root, name.as_ref()) {
        tracing::warn!(error = %e, folder = %name, "the probe's folder stays");
    }
    made
}

fn try_idmap(place: &mut Place) -> Result<(), MounterError> {
    place.enter_staging()?;
    let pair = IdPair {
        owner: (1000, 1000),
        worker: (20_000, 20_000),
    };
    let userns = place
        .host
        .id_map(pair)
        .map_err(|e| unsupported(format!("no user namespace ({e}); SETUID and SETGID?")))?;
    let mount = clone(&place.host.state_path)?;
    let change = MountChange {
        idmap: Some(userns.as_fd()),
        recursive: false,
    };
    set_mount(&mount, &change).map_err(|e| {
        unsupported(format!(
            "the state volume's filesystem refused an id-map ({e}); a project's may not"
        ))
    })
}
