//! Options of every command: which coordinator it speaks to.

use super::output::Failure;
use crate::client::{Client, Discover};
use clap::Args;
use std::path::PathBuf;

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct Globals {
    /// The parent container to speak to [default: $PODBAY_PARENT, else podbay-parent].
    #[arg(long, global = true, value_name = "NAME", display_order = 900)]
    pub parent: Option<String>,
    /// A coordinator's socket to use directly [default: $PODBAY_SOCKET].
    #[arg(long, global = true, value_name = "PATH", hide = true)]
    pub socket: Option<PathBuf>,
    /// A coordinator over TCP, https://HOST:PORT [default: $PODBAY_HOST].
    #[arg(long, global = true, value_name = "URL", display_order = 901, conflicts_with_all = ["parent", "socket"])]
    pub host: Option<String>,
    /// With --host, the file of its token [default: $PODBAY_TOKEN_FILE].
    #[arg(long, global = true, value_name = "FILE", display_order = 902)]
    pub token_file: Option<PathBuf>,
    /// With --host, its certificate or the one that signed it [default: $PODBAY_CA_FILE].
    #[arg(long, global = true, value_name = "FILE", display_order = 903)]
    pub ca_file: Option<PathBuf>,
}

impl Globals {
    /// The same for the client module.
    #[must_use]
    pub fn discover(&self) -> Discover {
        Discover {
            socket: self.socket.clone(),
            parent: self.parent.clone(),
            host: self.host.clone(),
            token_file: self.token_file.clone(),
            ca_file: self.ca_file.clone(),
        }
    }

    /// The coordinator that they name.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::discover(&self.discover())?)
    }
}
