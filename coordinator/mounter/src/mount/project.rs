//! Opens a project in the engine's mount namespace: resolved once with links, judged by where that
//! led, opened again without. Owns the use of the policy. Never follows a link that was swapped in
//! between: that is refused.

use crate::{
    error::{not_a_folder, refused, system, unsupported},
    host::Place,
    policy::{self, Rules},
    tree::Meta,
    wire::{MounterError, Policy, ReviewClaim},
};
use podbay_model::model::HostPath;
use rustix::{
    fs::{
        AtFlags, Mode, OFlags, ResolveFlags, StatVfsMountFlags, StatxFlags, fstatfs, fstatvfs,
        openat2, statx,
    },
    io::Errno,
};
use std::{
    io::Read,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

type Result<T> = std::result::Result<T, MounterError>;

/// An open project.
pub(crate) struct Project {
    /// `O_PATH`.
    pub fd: OwnedFd,
    /// Canonical.
    pub path: PathBuf,
    pub meta: Meta,
    /// Whether nothing on its mount may be executed.
    pub noexec: bool,
    /// What its file system is known by, whatever device it is on.
    pub fsid: Option<u64>,
}

impl Project {
    fn new(fd: OwnedFd, path: PathBuf, meta: Meta) -> Result<Self> {
        let failed = |e| system("reading the project's mount", e);
        let (mount, kind) = (
            fstatvfs(&fd).map_err(failed)?,
            fstatfs(&fd).map_err(failed)?.f_type,
        );
        Ok(Self {
            fd,
            path,
            meta,
            noexec: mount.f_flag.contains(StatVfsMountFlags::NOEXEC),
            fsid: lasting(mount.f_fsid, kind.try_into().unwrap_or_default()),
        })
    }

    /// The id of its mount in the engine's list, where the kernel tells.
    pub(crate) fn mount_id(&self) -> Option<u64> {
        let mask = StatxFlags::MNT_ID;
        let found = statx(&self.fd, "", AtFlags::EMPTY_PATH, mask).ok()?;
        (found.stx_mask & mask.bits() != 0).then_some(found.stx_mnt_id)
    }
}

/// `statfs::f_type` of FUSE: `FUSE_SUPER_MAGIC` of the kernel.
const FUSE: u64 = 0x6573_5546;
/// What to do where only the owner of a FUSE file system gets in: root is refused, too.
const ALLOW_OTHER: &str = "a FUSE file system without allow_other can be read by its owner alone; \
                           mount it with -o allow_other";

/// `statfs::f_type` of an overlay: `OVERLAYFS_SUPER_MAGIC` of the kernel.
pub(super) const OVERLAY: u64 = 0x794c_7630;
/// `statfs::f_type` of a tmpfs: `TMPFS_MAGIC` of the kernel.
const TMPFS: u64 = 0x0102_1994;

/// A file system's id, where it is one that lasts and is its own: 0 is none, an overlay has that of the
/// file system of its upper folder, and a tmpfs does not outlive its mount.
fn lasting(fsid: u64, kind: u64) -> Option<u64> {
    (fsid != 0 && !matches!(kind, OVERLAY | TMPFS)).then_some(fsid)
}

/// The most of a passwd file that is read, in bytes.
const PASSWD_LIMIT: u64 = 1 << 20;

/// Finds, judges and opens a project.
///
/// # Errors
/// `NotAFolder`, `Refused` with the rule's name, `Unsupported` when the engine is out of reach.
pub(crate) fn open(place: &mut Place, path: &HostPath, policy: &Policy) -> Result<Project> {
    place.enter_engine()?;
    if !path.as_path().is_absolute() {
        return Err(not_a_folder(format!(
            "{path} is not an absolute path; give the project's full path on the engine's host"
        )));
    }
    let root = place.host.engine_root()?;
    let first =
        open_in(root, path.as_path(), ResolveFlags::empty()).map_err(|e| absent(root, path, e))?;
    let seen = Meta::of(&first).map_err(|e| unreadable(&first, e))?;
    let canonical = place
        .host
        .path_of(&first)
        .map_err(|e| system("finding the project's real path", e))?;
    judge(place, &canonical, &seen, policy)?;
    let shown = HostPath::new(canonical.as_path());
    let swapped = || {
        refused(format!(
            "{shown} was replaced while it was being opened; try again"
        ))
    };
    let fd = open_in(root, &canonical, ResolveFlags::NO_SYMLINKS).map_err(|_| swapped())?;
    let meta = Meta::of(&fd).map_err(|e| unreadable(&fd, e))?;
    if (meta.dev, meta.ino) != (seen.dev, seen.ino) {
        return Err(swapped());
    }
    Project::new(fd, canonical, meta)
}

/// The project of a claim, as it is now.
pub(crate) enum Reopened {
    /// The same folder.
    Same(Project),
    /// It is gone (`NotAFolder`), or another folder is there (`Refused`).
    Gone(MounterError),
}

/// Opens the project of a claim again, for review: it must be the same folder still, and one that
/// may be a project by the same rules as at the claim.
///
/// # Errors
/// `Refused` when the policy refuses it.
pub(crate) fn reopen(place: &mut Place, claim: &ReviewClaim) -> Result<Reopened> {
    let target = &claim.target;
    let path = &target.project;
    place.enter_engine()?;
    if !path.as_path().is_absolute() {
        return Err(not_a_folder(format!("{path} is not an absolute path")));
    }
    let root = place.host.engine_root()?;
    let fd = match open_in(root, path.as_path(), ResolveFlags::NO_SYMLINKS) {
        Ok(fd) => fd,
        Err(e) => return Ok(Reopened::Gone(absent(root, path, e))),
    };
    let meta = Meta::of(&fd).map_err(|e| unreadable(&fd, e))?;
    let project = Project::new(fd, path.as_path().to_owned(), meta)?;
    // A file system that is mounted again, or after a reboot, may have another device number.
    let known = project.fsid.is_some() && project.fsid == claim.fsid;
    if meta.ino != target.ino || !(meta.dev == target.dev || known) {
        return Ok(Reopened::Gone(refused(format!(
            "another folder is at {path} than the one that was claimed; move that one back to review"
        ))));
    }
    // By where it is, not by what it is called.
    let canonical = place
        .host
        .path_of(&project.fd)
        .map_err(|e| system("finding the project's real path", e))?;
    judge(place, &canonical, &meta, &target.policy)?;
    Ok(Reopened::Same(project))
}

/// Why a folder that is open cannot be looked at.
fn unreadable(fd: impl AsFd, e: Errno) -> MounterError {
    match e {
        Errno::ACCESS if is_fuse(fd) => unsupported(format!(
            "reading the project's folder: Permission denied: {ALLOW_OTHER}"
        )),
        e => system("reading the project's folder", e),
    }
}

/// Why a folder cannot be opened.
fn absent(root: impl AsFd, path: &HostPath, e: Errno) -> MounterError {
    // What is refused is in the deepest folder that is not.
    let reached = || {
        let above = path.as_path().ancestors().skip(1);
        let mut above = above.map(|folder| open_in(&root, folder, ResolveFlags::empty()));
        above.find_map(std::result::Result::ok)
    };
    match e {
        Errno::ACCESS if reached().is_some_and(is_fuse) => {
            unsupported(format!("{path}: Permission denied: {ALLOW_OTHER}"))
        }
        e => missing(path, e),
    }
}

fn is_fuse(fd: impl AsFd) -> bool {
    fstatfs(fd).is_ok_and(|found| u64::try_from(found.f_type) == Ok(FUSE))
}

pub(crate) fn missing(path: &HostPath, e: Errno) -> MounterError {
    let why = match e {
        Errno::NOENT => "there is no such folder on the engine's host".to_owned(),
        Errno::NOTDIR => "it is not a folder".to_owned(),
        Errno::LOOP => "its symbolic links lead nowhere".to_owned(),
        e => e.to_string(),
    };
    not_a_folder(format!("{path}: {why}; give an existing folder"))
}

/// Absolute paths and links count from the engine's root.
pub(crate) fn open_in(
    root: impl AsFd,
    path: &Path,
    more: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    openat2(
        root,
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more,
    )
}

/// A folder's canonical path and what it is; `None` when it cannot be opened.
fn real(place: &Place, root: &OwnedFd, path: &HostPath) -> Option<(PathBuf, Meta)> {
    let fd = open_in(root, path.as_path(), ResolveFlags::empty()).ok()?;
    Some((place.host.path_of(&fd).ok()?, Meta::of(&fd).ok()?))
}

/// The given policy with canonical paths.
pub(crate) fn real_rules(place: &Place, root: &OwnedFd, given: &Policy) -> Rules {
    let real_or_given = |path: &HostPath| {
        real(place, root, path).map_or_else(|| path.as_path().to_owned(), |(path, _)| path)
    };
    let mut rules = Rules {
        roots: given.roots.iter().map(real_or_given).collect(),
        allow: given.allow.iter().map(real_or_given).collect(),
        refuse: Vec::new(),
        homes: homes(root),
    };
    for (path, rule) in &given.refuse {
        rules.refuse.push((path.as_path().to_owned(), rule.clone()));
        if let Some((path, _)) = real(place, root, path) {
            rules.refuse.push((path, rule.clone()));
        }
    }
    rules
}

fn judge(place: &Place, canonical: &Path, seen: &Meta, given: &Policy) -> Result<()> {
    let root = place.host.engine_root()?;
    let same = |meta: &Meta| (meta.dev, meta.ino) == (seen.dev, seen.ino);
    let rules = real_rules(place, root, given);
    let mut alias = Meta::of(root).ok().filter(same).map(|_| "root".to_owned());
    for (path, rule) in &given.refuse {
        // A bind mount shows the same folder under another name.
        if real(place, root, path).is_some_and(|(_, meta)| same(&meta)) {
            alias = Some(rule.clone());
        }
    }
    policy::check(canonical, &rules).map_err(|refusal| refused(refusal.message))?;
    match alias {
        None => Ok(()),
        Some(rule) => Err(refused(format!(
            "{} is refused by the rule `{rule}`: it is that folder under another name; keep \
             projects elsewhere",
            HostPath::new(canonical)
        ))),
    }
}

/// The homes in the host's passwd file, if it can be read.
fn homes(root: impl AsFd) -> Vec<PathBuf> {
    let mut text = Vec::new();
    let file = openat2(
        root,
        "etc/passwd",
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    );
    let read = file.map_err(std::io::Error::from).and_then(|fd| {
        std::fs::File::from(fd)
            .take(PASSWD_LIMIT)
            .read_to_end(&mut text)
    });
    match read {
        Ok(_) => policy::homes_of(&text),
        Err(_) => Vec::new(),
    }
}
