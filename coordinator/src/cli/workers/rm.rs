//! `podbay rm`.

use crate::cli::{Failure, Globals, output};
use clap::Args;
use std::process::ExitCode;

/// `podbay rm`.
#[derive(Debug, Clone, Args)]
pub struct RmArgs {
    /// The workers.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Also those that are running, and those with unapplied changes.
    #[arg(short, long)]
    force: bool,
}

pub(in crate::cli) async fn run(globals: &Globals, args: &RmArgs) -> Result<ExitCode, Failure> {
    let client = globals.client()?;
    let removals = args.names.iter().map(|name| {
        let client = &client;
        async move {
            (
                name,
                client.remove(name, args.force).await.map(|()| name.clone()),
            )
        }
    });
    output::each(futures_util::future::join_all(removals).await, |name| name)
}
