//! Where the agent finds things.
//!
//! Owns: the variables of its environment. It opens nothing.

use crate::connection::dialer::Dialer;
use podbay_protocol::paths;
use std::path::PathBuf;

/// Where the agent finds things.
#[derive(Debug, Clone)]
pub struct Config {
    /// How the coordinator is reached.
    pub dialer: Dialer,
    /// Folder of the recordings.
    pub log: PathBuf,
    /// Folder of passwd and group, when they may be changed.
    pub accounts: Option<PathBuf>,
    /// Folders to try for the hooks' socket.
    pub hooks: Vec<PathBuf>,
    /// Whether it is the whole of a container: then it restricts itself, and so its sessions.
    pub container: bool,
}

impl Config {
    /// From the environment. `PODBAY_AGENT_SOCKET`, `_TOKEN`, `_LOG` and `_ETC` are for running
    /// outside of a container; without the last the account files are only touched by a PID 1
    /// that nothing was overridden for.
    #[must_use]
    pub fn from_env() -> Self {
        let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let (socket, token, log) = (
            var("PODBAY_AGENT_SOCKET"),
            var("PODBAY_AGENT_TOKEN"),
            var("PODBAY_AGENT_LOG"),
        );
        let container = std::process::id() == 1 && socket.is_none();
        let log = log.unwrap_or_else(|| paths::LOG.into());
        Self {
            dialer: Dialer {
                socket: socket.unwrap_or_else(|| paths::SOCKET.into()),
                token: token.unwrap_or_else(|| paths::TOKEN.into()),
                worker: std::env::var("PODBAY_WORKER").unwrap_or_default(),
            },
            accounts: var("PODBAY_AGENT_ETC").or_else(|| container.then(|| "/etc".into())),
            hooks: vec!["/tmp".into(), "/dev/shm".into(), "/run".into(), log.clone()],
            log,
            container,
        }
    }
}
