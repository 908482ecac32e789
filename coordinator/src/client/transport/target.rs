//! Where the coordinator is, and a connection to it.

use super::{
    connection::{Connection, Notes, unreachable},
    exec,
    tls::TlsTarget,
};
use crate::client::{ClientError, EngineAddress};
use std::{path::PathBuf, sync::Arc};
use tokio::net::UnixStream;

/// Where the coordinator is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Its socket, in this file system.
    Socket(PathBuf),
    /// In a container: `podbay relay` runs there by engine exec, and its stdio is the connection.
    Exec {
        /// The engine.
        engine: EngineAddress,
        /// The parent container's name or id.
        container: String,
    },
    /// Over TCP.
    Tls(Arc<TlsTarget>),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Tls(tls) => write!(f, "https://{}", tls.authority),
            Self::Exec { engine, container } => write!(f, "container {container} on {engine}"),
        }
    }
}

impl Target {
    /// Opens one connection.
    pub(super) async fn connect(&self) -> Result<Connection, ClientError> {
        match self {
            Self::Socket(path) => match UnixStream::connect(path).await {
                Ok(stream) => Ok(Connection::new(stream, Notes::default())),
                Err(error) => Err(self.unreachable(error)),
            },
            Self::Tls(tls) => tls.connect(&self.to_string()).await,
            Self::Exec { engine, container } => {
                exec::open(&self.to_string(), engine, container).await
            }
        }
    }

    pub(in crate::client) fn unreachable(&self, reason: impl ToString) -> ClientError {
        unreachable(&self.to_string(), reason)
    }
}
