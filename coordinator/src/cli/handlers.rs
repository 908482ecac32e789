//! What `main` passes in: the commands that need more than the client.

use crate::client::Discover;
use clap::Args;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// `podbay serve`.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// The configuration file [default: $PODBAY_CONFIG, else config/podbay.toml of the state].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The state volume's folder.
    #[arg(
        long,
        value_name = "DIR",
        env = "PODBAY_STATE",
        default_value = crate::model::STATE_DIR
    )]
    pub state: PathBuf,
}

/// `podbay mounter`.
#[derive(Debug, Clone, Default, Args)]
pub struct MounterArgs {
    /// Arguments of the mount helper, which the coordinator alone gives.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<std::ffi::OsString>,
}

/// `podbay dashboard`.
#[derive(Debug, Clone, Default, Args)]
pub struct DashboardArgs {
    /// Open with this worker selected.
    #[arg(value_name = "NAME")]
    pub worker: Option<String>,
}

/// Functions for the commands that the command line cannot carry out itself. They report their own
/// errors.
#[derive(Clone, Copy)]
pub struct Handlers {
    /// Runs the coordinator.
    pub serve: fn(ServeArgs) -> ExitCode,
    /// Runs the mount helper.
    pub mounter: fn(MounterArgs) -> ExitCode,
    /// Puts this version into the state volume.
    pub install: fn(ServeArgs) -> ExitCode,
    /// Runs the network guard.
    pub netguard: fn() -> ExitCode,
    /// Opens the dashboard.
    pub dashboard: fn(Discover, DashboardArgs) -> ExitCode,
    /// The configuration's checker.
    pub config: ConfigHandlers,
}

/// What `podbay config` needs of the configuration module.
#[derive(Clone, Copy)]
pub struct ConfigHandlers {
    /// Checks a file; the error has the file, line, key, and what would be right.
    pub check: fn(&Path) -> Result<(), String>,
    /// The JSON schema.
    pub schema: fn() -> String,
}
