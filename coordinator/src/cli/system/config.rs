//! `podbay config`.

use crate::cli::{ConfigHandlers, Failure, Globals, output::term};
use clap::{Args, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// The configuration file in the state volume.
const DEFAULT_FILE: &str = "/var/lib/podbay/config/podbay.toml";

/// `podbay config`.
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Prints the configuration in force.
    Show,
    /// Checks a file.
    Check {
        /// The file [default: the one `path` prints].
        file: Option<PathBuf>,
    },
    /// Prints where the file is, as seen from inside the parent.
    Path,
    /// Prints the JSON schema.
    Schema,
}

fn path() -> PathBuf {
    let named = std::env::var_os("PODBAY_CONFIG").filter(|path| !path.is_empty());
    named.map_or_else(|| DEFAULT_FILE.into(), PathBuf::from)
}

pub(in crate::cli) async fn run(
    globals: &Globals,
    args: &ConfigArgs,
    handlers: &ConfigHandlers,
) -> Result<ExitCode, Failure> {
    match &args.what {
        None | Some(What::Show) => {
            let mut text = globals.client()?.config().await?;
            if !text.ends_with('\n') {
                text.push('\n');
            }
            term::print(&text)?;
        }
        Some(What::Check { file }) => {
            let file = file.clone().unwrap_or_else(path);
            (handlers.check)(&file).map_err(|message| Failure::new(2, message))?;
            term::print(&format!("{}: ok\n", file.display()))?;
        }
        Some(What::Path) => term::print(&format!("{}\n", path().display()))?,
        Some(What::Schema) => {
            let schema = (handlers.schema)();
            term::print(&format!("{}\n", schema.trim_end()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
