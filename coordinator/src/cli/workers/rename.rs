//! `podbay rename`.

use crate::{
    cli::{
        Failure, Globals,
        output::{term, text},
    },
    model::WorkerName,
};
use clap::Args;
use std::process::ExitCode;

/// `podbay rename`.
#[derive(Debug, Clone, Args)]
pub struct RenameArgs {
    /// The worker.
    #[arg(value_name = "OLD")]
    old: String,
    /// Its new name. The session goes on; $PODBAY_NAME in it stays as it was.
    #[arg(value_name = "NEW")]
    new: WorkerName,
}

pub(in crate::cli) async fn run(globals: &Globals, args: &RenameArgs) -> Result<ExitCode, Failure> {
    let client = globals.client()?;
    let worker = client.rename(&args.old, args.new.as_str()).await?;
    term::print(&format!("{}\n", text::escape(&worker.name)))?;
    Ok(ExitCode::SUCCESS)
}
