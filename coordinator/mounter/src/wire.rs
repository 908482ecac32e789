//! What requests and answers are made of. Owns the serialised names, those of `mount.json` included.
//! Never has behaviour.

use podbay_model::model::HostPath;
use serde::{Deserialize, Serialize};

/// The path policy's input: which folders may be projects. Built-in rules are the mounter's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// When not empty, projects must be inside one of these.
    pub roots: Vec<HostPath>,
    /// Folders allowed although a built-in rule refuses them.
    pub allow: Vec<HostPath>,
    /// Folders refused besides the built-in ones, each with the rule's name: the engine's data
    /// root, the state volume.
    pub refuse: Vec<(HostPath, String)>,
}

/// Makes a new worker's folders ready, before its container is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrepareRequest {
    /// The worker's id: names the folder `workers/<id>` of the state volume.
    pub worker: String,
    /// Owner of `home/`.
    pub uid: u32,
    /// Group of `home/`.
    pub gid: u32,
}

/// How the project gets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountMode {
    /// The project itself.
    Bind,
    /// An overlay over the project with `workers/<id>/changes/{upper,work}`.
    Overlay,
}

/// Puts a project at `/workspace` of a running worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRequest {
    /// The worker's id.
    pub worker: String,
    /// Process id of the worker's PID 1 as the host counts.
    pub pid: i32,
    /// The project's folder on the host.
    pub project: HostPath,
    /// How.
    pub mode: MountMode,
    /// The worker's own uid; the project's owner appears as this one where id-maps are to be had.
    pub uid: u32,
    /// The worker's own gid.
    pub gid: u32,
    /// Which folders may be projects.
    pub policy: Policy,
}

/// Makes an overlay ahead of a claim, for a worker that waits. One that was made for it before is given
/// up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayRequest {
    /// The worker's id.
    pub worker: String,
    /// The project's folder on the host.
    pub project: HostPath,
    /// The worker's own uid, as in [`MountRequest`].
    pub uid: u32,
    /// The worker's own gid.
    pub gid: u32,
    /// Which folders may be projects.
    pub policy: Policy,
}

/// A project that was mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounted {
    /// The project's canonical path.
    pub project: HostPath,
    /// Device of the project's folder on the host.
    pub dev: u64,
    /// Inode of the project's folder on the host.
    pub ino: u64,
    /// What its file system is known by, whatever device it is on; `None` where that does not last.
    #[serde(default)]
    pub fsid: Option<u64>,
    /// The project's owner on the host.
    pub owner_uid: u32,
    /// The project's group on the host.
    pub owner_gid: u32,
    /// What the session must run as: the worker's own uid when id-mapped, else the owner.
    pub session_uid: u32,
    /// The same for the group.
    pub session_gid: u32,
    /// Whether the mount is id-mapped.
    pub idmapped: bool,
    /// Why it is not.
    pub idmap_reason: Option<String>,
    /// Of an overlay: whether it was made ahead, by [`OverlayRequest`].
    #[serde(default)]
    pub prepared: Option<bool>,
    /// Of an overlay: what is mounted below the project, which it does not show; so many at most.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// Whether there are more of them.
    #[serde(default)]
    pub left_out_more: bool,
    /// Microseconds it took in the mounter.
    pub took_us: u64,
}

/// A mount below a project, which an overlay on the project does not show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its path in the project.
    pub path: HostPath,
    /// Whether it is a file, or else a folder.
    pub file: bool,
}

/// A project that could be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedProject {
    /// The project's canonical path.
    pub project: HostPath,
    /// Device of the project's folder on the host.
    pub dev: u64,
    /// Inode of the project's folder on the host.
    pub ino: u64,
    /// As in [`Mounted`].
    #[serde(default)]
    pub fsid: Option<u64>,
}

/// What the mounter notes of a mount in the worker's folder of the state volume: who claims what it
/// is, whatever the worker's agent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountFacts {
    /// The worker's id.
    pub worker: String,
    /// The project, canonical, as in [`Mounted`].
    pub project: HostPath,
    /// Device of the project's folder on the host.
    pub dev: u64,
    /// Inode of the project's folder on the host.
    pub ino: u64,
    /// Identity of its file system, as in [`Mounted`].
    #[serde(default)]
    pub fsid: Option<u64>,
    /// How it got in.
    pub mode: MountMode,
    /// What the session runs as, as in [`Mounted`].
    pub uid: u32,
    /// The same for the group.
    pub gid: u32,
    /// Unix nanoseconds of the first mount of this folder into this worker.
    pub claimed_ns: i64,
}

impl MountFacts {
    /// The file's name in the worker's folder.
    pub const FILE: &str = "mount.json";
}

/// What this mounter can do, tried at its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MounterCaps {
    /// It reaches the engine's mount namespace.
    pub bind: bool,
    /// Overlays work on the state volume's filesystem.
    pub overlay: bool,
    /// Id-mapped mounts work in general; a project's filesystem may still refuse.
    pub idmap: bool,
    /// Why something does not work.
    pub reasons: Vec<String>,
}

/// Whose changes are reviewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewTarget {
    /// The worker's id.
    pub worker: String,
    /// The project, canonical, as in [`Mounted`].
    pub project: HostPath,
    /// Device and inode of the project's folder at the claim: another folder at that path now is
    /// refused.
    pub dev: u64,
    /// See `dev`.
    pub ino: u64,
    /// Unix nanoseconds of the claim: what changed in the project after it is a conflict.
    pub claimed_at_ns: i64,
    /// Which folders may be projects: the claim was judged by it, and so is each review.
    #[serde(default)]
    pub policy: Policy,
}

/// Whose changes are reviewed, and on which file system the project was at the claim: its device may
/// have got another number since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewClaim {
    /// Whose.
    #[serde(flatten)]
    pub target: ReviewTarget,
    /// As in [`Mounted`]; absent in claims of older versions.
    #[serde(default)]
    pub fsid: Option<u64>,
}

/// Asks how much of the state volume a worker uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRequest {
    /// The worker's id.
    pub worker: String,
    /// Process id of its PID 1 as the host counts: what its processes have open and deleted is
    /// measured, too.
    pub pid: Option<i32>,
    /// Whether its project is in an overlay, whose upper folder is the worker's.
    pub overlay: bool,
    /// The most entries worth the work.
    pub most: u64,
    /// The most milliseconds worth the work.
    pub most_ms: u64,
}

/// How much of the state volume a worker uses: its home, its changes and its recordings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes of allocated blocks, what is shared by hard links counted once.
    pub bytes: u64,
    /// Files and folders that were looked at.
    pub entries: u64,
    /// Whether that is all; otherwise `bytes` is a lower bound.
    pub complete: bool,
}

/// Why the mounter refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct MounterError {
    /// What kind of refusal.
    pub kind: MounterErrorKind,
    /// For people: what was wrong, where, and what would be right.
    pub message: String,
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MounterErrorKind {
    /// There is no such folder, or it is not a folder.
    NotAFolder,
    /// There is no change at a path that was named.
    NoChange,
    /// The path policy refuses it; the message names the rule.
    Refused,
    /// The target is not a worker of ours, or is gone.
    BadTarget,
    /// The kernel or filesystem cannot do it; a cold start may.
    Unsupported,
    /// Too much is waiting or running already; nothing was done.
    Busy,
    /// More than fits into one request; it has to be named in parts.
    TooMany,
    /// The mounter cannot be reached.
    Unreachable,
    /// Anything else; the message names the call.
    System,
}
