//! Which coordinator a command speaks to.

use super::{Client, ClientError, Target, TlsTarget, engine_address};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The parent container's name when none is given.
pub const DEFAULT_PARENT: &str = "podbay-parent";
/// The API's socket inside the parent.
pub const DEFAULT_SOCKET: &str = "/var/lib/podbay/run/podbay.sock";

/// What the user said about where the coordinator is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discover {
    /// A socket to use directly; `PODBAY_SOCKET` when absent.
    pub socket: Option<PathBuf>,
    /// The parent's name; `PODBAY_PARENT`, then [`DEFAULT_PARENT`] when absent.
    pub parent: Option<String>,
    /// `https://HOST:PORT` of a coordinator; `PODBAY_HOST` when absent.
    pub host: Option<String>,
    /// Its token's file; `PODBAY_TOKEN_FILE` when absent.
    pub token_file: Option<PathBuf>,
    /// Its certificate, or the one that signed it; `PODBAY_CA_FILE` when absent.
    pub ca_file: Option<PathBuf>,
}

impl Target {
    /// Whether this process is in the parent: it has the coordinator's own socket there, and is behind
    /// an engine exec: the caller's folders and terminal are elsewhere.
    #[must_use]
    pub fn is_inside_parent(&self) -> bool {
        matches!(self, Self::Socket(path) if path == Path::new(DEFAULT_SOCKET))
    }
}

impl Discover {
    /// The parent's name.
    #[must_use]
    pub fn parent(&self) -> String {
        let from_env = || {
            std::env::var("PODBAY_PARENT")
                .ok()
                .filter(|name| !name.is_empty())
        };
        self.parent
            .clone()
            .or_else(from_env)
            .unwrap_or_else(|| DEFAULT_PARENT.to_owned())
    }

    /// The socket, when one is named or when this is the parent.
    #[must_use]
    pub fn socket(&self) -> Option<PathBuf> {
        let from_env = || std::env::var_os("PODBAY_SOCKET").filter(|path| !path.is_empty());
        let named = self
            .socket
            .clone()
            .or_else(|| from_env().map(PathBuf::from));
        named.or_else(|| {
            // A parent named on the command line is another one than this.
            let inside = self.parent.is_none() && Path::new(DEFAULT_SOCKET).exists();
            inside.then(|| PathBuf::from(DEFAULT_SOCKET))
        })
    }

    /// The target over TCP, when one is named and nothing nearer.
    fn tls(&self) -> Result<Option<TlsTarget>, ClientError> {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let nearer = self.socket.is_some() || self.parent.is_some();
        let from_env = || var("PODBAY_HOST").map(|host| host.to_string_lossy().into_owned());
        let named = self.host.clone().or_else(|| from_env().filter(|_| !nearer));
        let Some(host) = named else {
            return Ok(None);
        };
        let file = |given: &Option<PathBuf>, name: &str, option: &str| {
            given
                .clone()
                .or_else(|| var(name).map(PathBuf::from))
                .ok_or_else(|| ClientError::Unreachable {
                    target: host.clone(),
                    reason: format!("{option} is missing (or {name})"),
                })
        };
        let token = file(&self.token_file, "PODBAY_TOKEN_FILE", "--token-file")?;
        let ca = file(&self.ca_file, "PODBAY_CA_FILE", "--ca-file")?;
        TlsTarget::new(&host, &token, &ca).map(Some)
    }

    /// The target.
    ///
    /// # Errors
    /// [`ClientError::NoEngine`] when the engine is needed and not found.
    pub fn target(&self) -> Result<Target, ClientError> {
        if let Some(tls) = self.tls()? {
            return Ok(Target::Tls(Arc::new(tls)));
        }
        if let Some(socket) = self.socket() {
            return Ok(Target::Socket(socket));
        }
        let engine = engine_address::find(&engine_address::SystemEnv).map_err(|error| {
            ClientError::NoEngine {
                address: "any known place".into(),
                reason: error.to_string(),
            }
        })?;
        Ok(Target::Exec {
            engine,
            container: self.parent(),
        })
    }
}

impl Client {
    /// A client for the coordinator that this environment means: directly over the socket inside
    /// the parent, else by engine exec into the parent. Connects to nothing yet.
    ///
    /// # Errors
    /// [`ClientError::NoEngine`] when the engine is needed and not found.
    pub fn discover(options: &Discover) -> Result<Self, ClientError> {
        Ok(Self::new(options.target()?))
    }
}
