//! The checked configuration.

use super::dashboard::{Notifications, ThemeChoice};
use crate::model::{Egress, Isolation, Limits, keys::Preset};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

/// Everything, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[log]`
    pub log: LogConfig,
    /// `[engine]`
    pub engine: EngineConfig,
    /// `[workspace]`
    pub workspace: WorkspaceConfig,
    /// `[attach]`
    pub attach: AttachConfig,
    /// `[dashboard]`
    pub dashboard: DashboardConfig,
    /// `[api]`
    pub api: ApiConfig,
    /// `[pool]`
    pub pool: PoolConfig,
    /// `[defaults]`
    pub defaults: Defaults,
    /// `[profiles.NAME]`, and `profiles/NAME.toml` beside the file.
    pub profiles: BTreeMap<String, Profile>,
}

/// Logging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A `tracing` filter: `info`, `coordinator=debug`.
    pub level: String,
    /// Text or JSON, on stderr and in the file alike.
    pub format: LogFormat,
    /// Rotated files kept in `logs/`.
    pub keep_files: u32,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Deadline of an ordinary call.
    pub timeout: Duration,
    /// Deadline of creating or starting a container.
    pub create_timeout: Duration,
    /// How often everything is listed again, events or not.
    pub relist_interval: Duration,
    /// Most creations under way at once.
    pub max_parallel: u32,
}

/// Which folders may be projects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkspaceConfig {
    /// When set, projects must be inside one of these.
    pub roots: Vec<PathBuf>,
    /// Folders allowed although a built-in rule refuses them.
    pub allow: Vec<PathBuf>,
    /// Whether projects are mounted into warm workers. Off: every claim with a project is a cold
    /// start.
    pub hot_mounts: bool,
}

/// Attaching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachConfig {
    /// Key sequences that detach, as Docker writes them: `ctrl-p,ctrl-q`.
    pub detach_keys: Vec<String>,
}

/// The dashboard. It is read by the dashboard's process, not by the coordinator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DashboardConfig {
    /// The keys to begin with.
    pub keymap: Preset,
    /// Keys of single actions, by the action's name; they take the place of the preset's.
    pub keys: BTreeMap<String, Vec<String>>,
    /// Key sequences that give the keys back to the dashboard, as Docker writes them; at least one.
    pub leave_keys: Vec<String>,
    /// The colours.
    pub theme: ThemeChoice,
    /// Whether the mouse is the dashboard's.
    pub mouse: bool,
    /// How it tells that a worker waits.
    pub notifications: Notifications,
    /// Whether programs in workers may write the clipboard of the terminal (OSC 52).
    pub clipboard: bool,
    /// What the list is sorted by within its groups: one of [`super::SORTS`].
    pub sort: &'static str,
}

/// The API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiConfig {
    /// Largest request body in bytes.
    pub max_body: usize,
    /// The API over TCP, when it is wanted. Read at the start alone.
    pub tcp: Option<TcpConfig>,
}

/// The API over TCP: with TLS and a token, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpConfig {
    /// Address and port, inside the parent.
    pub listen: SocketAddr,
    /// Certificates, PEM, the server's first.
    pub cert: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// The token's file: 64 hexadecimal digits, mode 0600; made when it is missing.
    pub token_file: PathBuf,
    /// Names by which clients may call it, besides the address and localhost.
    pub hosts: Vec<String>,
    /// Web pages that may call it, by origin.
    pub origins: Vec<String>,
}

/// All pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolConfig {
    /// Keep warm workers; when false every profile's bounds are 0 to 0.
    pub enabled: bool,
    /// Never pull images; wins over `lazy_image_pull`.
    pub skip_image_pull: bool,
    /// Pull an image when it is first needed, not at the start.
    pub lazy_image_pull: bool,
}

/// What a spawn that says nothing gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// The profile.
    pub profile: String,
}

/// What a worker is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The image.
    pub image: String,
    /// The session's command when none is given.
    pub command: Vec<String>,
    /// The session's environment.
    pub env: BTreeMap<String, String>,
    /// Fewest warm workers.
    pub min_warm: u32,
    /// Most warm workers.
    pub max_warm: u32,
    /// A warm worker above the minimum is removed after so long without a claim; zero = never.
    pub idle_timeout: Duration,
    /// A warm worker older than this is replaced; zero = never.
    pub max_age: Duration,
    /// How often a warm worker's health is checked.
    pub check_interval: Duration,
    /// How long a worker may take from creation to ready.
    pub ready_timeout: Duration,
    /// TERM to KILL at a stop.
    pub stop_grace: Duration,
    /// `memory`, `cpus` and `pids`.
    pub limits: Limits,
    /// Bytes that a worker may keep on the state volume; `None` is no limit of its own.
    pub disk: Option<u64>,
    /// How the project gets in when the request does not say.
    pub isolation: Isolation,
    /// What the worker may do.
    pub security: SecurityProfile,
    /// Read-only root with tmpfs on /tmp, /var/tmp and /run.
    pub read_only: bool,
    /// Where it may connect to.
    pub egress: Egress,
    /// Whether a lost session moves to a new container.
    pub rehome: Rehome,
    /// The command of a session whose container was made anew; empty: its own again.
    pub resume: Vec<String>,
    /// Which network the worker has.
    pub network: Network,
    /// The engine's name of an OCI runtime; `None` is the engine's default.
    pub runtime: Option<String>,
}

/// Whether a session whose worker was lost (its network, its container) moves to a new container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rehome {
    /// When a person restarts it.
    Ask,
    /// At once.
    Auto,
    /// Not at all: it is looked at and removed.
    Never,
}

impl Rehome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ask, Self::Auto, Self::Never];

    /// The word used in configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Auto => "auto",
            Self::Never => "never",
        }
    }
}

/// What a worker may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecurityProfile {
    /// No capability for sessions, no new privileges.
    Strict,
    /// CHOWN, DAC_OVERRIDE, FOWNER, SETUID, SETGID: apt and sudo work.
    Build,
    /// As strict, and a session may make namespaces and mounts of its own: bubblewrap works.
    NestedSandbox,
}

impl SecurityProfile {
    /// The word used in configuration and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Build => "build",
            Self::NestedSandbox => "nested-sandbox",
        }
    }

    /// All of them.
    pub const ALL: [Self; 3] = [Self::Strict, Self::Build, Self::NestedSandbox];

    /// The one of that word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// Which network a worker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// The parent's, together with all other workers.
    Shared,
    /// One of its own, on a bridge of the instance where workers do not reach each other.
    Isolated,
    /// Loopback alone.
    None,
}

impl Network {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Shared, Self::Isolated, Self::None];

    /// The word used in configuration and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Isolated => "isolated",
            Self::None => "none",
        }
    }

    /// The one of that word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

impl LogFormat {
    /// The word used in configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}
