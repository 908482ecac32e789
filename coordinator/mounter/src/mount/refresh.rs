//! Makes the host's later edits of a project visible in a worker's overlay. Owns nothing: the kernel drops
//! the names that the overlay has looked up. Never touches a mount that is not a live overlay of the
//! worker's.

use super::{live, project::OVERLAY};
use crate::{
    error::{bad_target, system},
    host::{Place, hold, open_plain},
    wire::MounterError,
};
use podbay_protocol::paths::WORKSPACE;
use rustix::{
    fs::{OFlags, fstatfs},
    mount::{FsPickFlags, fsconfig_reconfigure, fspick},
};

type Result<T> = std::result::Result<T, MounterError>;

/// Has a worker's overlay look its names up again.
///
/// An overlay remembers what it found, and what it did not find: a name that the host made or replaced
/// later stays absent or old. To reconfigure its file system without any new parameter makes the kernel
/// drop all names that nobody has open; neither its flags nor the mount's change.
pub(crate) fn refresh(place: &mut Place, id: &str, pid: i32) -> Result<()> {
    let _turn = place.host.mounts.take(id);
    let worker = place.host.worker(id)?;
    if !live::is_live(&place.host, &worker) {
        return Err(bad_target(
            "the worker has no copy-on-write project mounted".into(),
        ));
    }
    let process = hold(pid)?;
    place.enter_worker(&process, &worker)?;
    let workspace = open_plain(WORKSPACE, OFlags::PATH)
        .map_err(|e| bad_target(format!("{WORKSPACE} in the worker is not a folder ({e})")))?;
    let found = fstatfs(&workspace).map_err(|e| system("looking at the overlay", e))?;
    if u64::try_from(found.f_type).ok() != Some(OVERLAY) {
        return Err(bad_target(format!(
            "{WORKSPACE} in the worker is no overlay"
        )));
    }
    // Where this is no mount's root the kernel refuses: the container's own root is not ours to change.
    fspick(
        &workspace,
        "",
        FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH,
    )
    .and_then(fsconfig_reconfigure)
    .map_err(|e| system("making the host's edits visible in the overlay", e))
}
