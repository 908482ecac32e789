//! `podbay refresh`.

use crate::cli::{
    Failure, Globals,
    output::{self, term, text},
};
use clap::Args;
use std::process::ExitCode;

/// `podbay refresh`.
#[derive(Debug, Clone, Args)]
pub struct RefreshArgs {
    /// The workers.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

pub(in crate::cli) async fn run(
    globals: &Globals,
    args: &RefreshArgs,
) -> Result<ExitCode, Failure> {
    let client = globals.client()?;
    let calls = args.names.iter().map(|name| {
        let client = &client;
        async move { (name, client.refresh(name).await) }
    });
    output::each(futures_util::future::join_all(calls).await, |refreshed| {
        if let Some(note) = &refreshed.note {
            term::note(&text::escape(&format!(
                "podbay: {}: {note}",
                refreshed.worker
            )));
        }
        refreshed.worker
    })
}
