//! The coordinator itself.

use super::PoolView;
use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The package's version.
    pub version: String,
    /// The API's version.
    pub api: u32,
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
    /// Milliseconds since the coordinator started.
    pub uptime_ms: u64,
    /// The engine.
    pub engine: EngineView,
    /// Whether projects get into warm workers.
    pub hot_mounts: HotMounts,
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
    /// Why not.
    pub error: Option<String>,
}

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
