//! The coordinator itself.

use super::pool::PoolView;
use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The package's version.
    pub version: String,
    /// The API's version.
    pub api: u32,
}

/// Body of `POST /v1/upgrade`: become the version of a parent image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeRequest {
    /// The image; it must be on the engine's host.
    pub image: String,
}

/// Answer of `POST /v1/upgrade`, given before the coordinator is started anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeView {
    /// Name of the binary that is put in force; `Status::binary` of a coordinator that runs it.
    pub binary: String,
    /// Whether that is another one than before; else nothing happens.
    pub changed: bool,
}

/// Answer of `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Versions.
    pub version: Version,
    /// The instance's name: the parent container's name.
    pub instance: String,
    /// The parent container's id.
    pub parent: Option<String>,
    /// Name of the binary that runs, made of its content.
    #[serde(default)]
    pub binary: String,
    /// Milliseconds since the coordinator started.
    pub uptime_ms: u64,
    /// The engine.
    pub engine: EngineView,
    /// Whether projects get into warm workers.
    pub hot_mounts: HotMounts,
    /// Whether where workers connect to is kept.
    #[serde(default)]
    pub guard: GuardView,
    /// The pools.
    pub pools: Vec<PoolView>,
    /// Workers by state.
    pub workers: std::collections::BTreeMap<String, u32>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// The engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineView {
    /// Where it is.
    pub endpoint: String,
    /// `Docker` or `Podman`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The API version in use.
    pub api: String,
    /// Whether it answers now.
    pub reachable: bool,
    /// Why not; of an engine that answers, what of it does not work.
    pub error: Option<String>,
}

/// Whether where workers connect to is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardView {
    /// Whether rules are in force.
    pub available: bool,
    /// Why not; or what does not work although they are.
    pub reason: Option<String>,
}

/// The reason of hot mounts that the user turned off.
pub const HOT_MOUNTS_OFF: &str = "workspace.hot_mounts is off in the configuration";

/// Whether projects get into warm workers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotMounts {
    /// Whether they do.
    pub available: bool,
    /// Whether mounts are id-mapped.
    pub idmapped: bool,
    /// Why not.
    pub reason: Option<String>,
}
