//! Opens what a review needs. Owns the lock of what changes something. Never reads what is inside.

use crate::{
    clock::Clock,
    error::{busy, system},
    host::{Host, Place},
    mount::{
        live,
        project::{Reopened, reopen},
    },
    wire::{MounterError, ReviewClaim},
};
use rustix::{
    fs::{FlockOperation, OFlags, flock},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
        fsopen,
    },
};
use std::{
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

/// How long another change of the same worker is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_STEP: Duration = Duration::from_millis(20);

/// The two trees, and what only the mounter can tell of them.
pub(crate) struct Opened {
    /// The worker's `changes/`, with the lock if something is to be changed.
    pub changes: OwnedFd,
    pub project: OwnedFd,
    pub owner: (u32, u32),
    /// The overlay is mounted in a living worker.
    pub live: bool,
    /// `project` is an empty folder, since the project is gone.
    pub project_missing: bool,
    /// What is after the claim.
    pub clock: Clock,
}

impl Opened {
    /// Opens both; `change` takes the lock, which goes with the last copy of the descriptor. With
    /// `without_project` an empty folder stands for a project that is gone or that is another one now.
    ///
    /// # Errors
    /// `BadTarget` when the worker has no folder, `NotAFolder` or `Refused` when the project is
    /// gone or another folder now, `Busy` when something else changes the worker's changes.
    pub(crate) fn new(
        place: &mut Place,
        claim: &ReviewClaim,
        change: bool,
        without_project: bool,
    ) -> Result<Self, MounterError> {
        let failed = |e| system("opening the worker's changes/", e);
        let target = &claim.target;
        let worker = place.host.worker(&target.worker)?;
        let (project, owner, project_missing) = match reopen(place, claim)? {
            Reopened::Same(project) => (project.fd, (project.meta.uid, project.meta.gid), false),
            Reopened::Gone(_) if without_project => (empty_folder()?, (0, 0), true),
            Reopened::Gone(error) => return Err(with_way_out(error)),
        };
        let changes = worker.dir(Path::new("changes")).map_err(failed)?;
        if change {
            lock(&changes)?;
        }
        // With the lock that a mount takes as well.
        let live = live::is_live(&place.host, &worker);
        Ok(Self {
            changes,
            owner,
            project,
            live,
            project_missing,
            clock: place.host.since(target.claimed_at_ns),
        })
    }
}

fn with_way_out(mut error: MounterError) -> MounterError {
    error.message.push_str(
        "; without it `podbay diff` shows what was changed as added, and `podbay discard` without a \
         path throws all of it away",
    );
    error
}

/// A folder that is empty, and stays so.
fn empty_folder() -> Result<OwnedFd, MounterError> {
    let made = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).and_then(|fs| {
        fsconfig_set_string(&fs, "source", "podbay")?;
        fsconfig_create(&fs)?;
        let flags = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, flags)
    });
    made.map_err(|e| system("making an empty folder in place of the project", e))
}

impl Opened {
    /// Opens a worker's folder to be measured: the second tree is `/proc`, and nothing is changed.
    ///
    /// # Errors
    /// `BadTarget` when the worker has no folder.
    pub(crate) fn measured(host: &Host, worker: &str) -> Result<Self, MounterError> {
        let failed = |e| system("opening the worker's folder", e);
        let folder = host.worker(worker)?;
        Ok(Self {
            changes: folder.dir(Path::new("")).map_err(failed)?,
            project: host
                .proc(".", OFlags::RDONLY | OFlags::DIRECTORY)
                .map_err(|e| system("opening /proc", e))?,
            owner: (0, 0),
            live: false,
            project_missing: false,
            clock: Clock::default(),
        })
    }
}

/// Waits a bounded time for another change of the same worker.
fn lock(changes: &OwnedFd) -> Result<(), MounterError> {
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match flock(changes, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if Instant::now() < until => {
                std::thread::park_timeout(LOCK_STEP);
            }
            Err(Errno::WOULDBLOCK) => {
                return Err(busy(
                    "its changes are being applied or discarded already; try again when that is done"
                        .to_owned(),
                ));
            }
            Err(e) => return Err(system("locking the worker's changes", e)),
        }
    }
}
