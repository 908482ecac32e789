//! `podbay completions SHELL`.

use crate::cli::{Failure, output::term};
use clap::Args;
use clap_complete::Shell;
use std::process::ExitCode;

/// `podbay completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(in crate::cli) fn run(
    args: &CompletionsArgs,
    mut command: clap::Command,
) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "podbay", &mut script);
    term::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
