//! `podbay apply`.

use super::diff;
use crate::{
    cli::{
        Failure, Globals,
        output::{term, text},
    },
    model::HostPath,
    wire::{ApplyRequest, CHANGED_SINCE_CLAIM, Conflict, GIT_CHANGED_SINCE_CLAIM},
};
use clap::Args;
use std::{path::PathBuf, process::ExitCode};

/// `podbay apply`.
#[derive(Debug, Clone, Args)]
pub struct ApplyArgs {
    /// The worker.
    #[arg(value_name = "NAME")]
    name: String,
    /// Only these, relative to the project; folders with all below.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Also where the project's file changed since the claim; the worker's version wins.
    #[arg(short, long)]
    force: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

pub(in crate::cli) async fn run(globals: &Globals, args: ApplyArgs) -> Result<ExitCode, Failure> {
    let paths = args
        .paths
        .iter()
        .map(|path| HostPath::new(diff::relative(path)))
        .collect();
    let request = ApplyRequest {
        paths,
        force: args.force,
    };
    let result = globals.client()?.apply(&args.name, &request).await?;
    if args.json {
        term::print_json(&result)?;
    } else {
        let mut out = String::new();
        for path in &result.applied {
            out.push_str(&format!("applied {path}\n"));
        }
        term::print(&out)?;
        for conflict in &result.conflicts {
            term::note(&format!(
                "conflict {}: {}",
                conflict.path,
                text::escape(&conflict.reason)
            ));
        }
        for note in &result.notes {
            term::note(&format!(
                "note {}: {}",
                note.path,
                text::escape(&note.reason)
            ));
        }
        let left = if result.left == 0 {
            "nothing left to review".to_owned()
        } else if result.left_more {
            format!("more than {} left to review", result.left)
        } else {
            format!("{} left to review", result.left)
        };
        term::note(&format!("{} applied, {left}", result.applied.len()));
    }
    not_applied(&args.name, &result.conflicts)
}

/// The exit code says it; each path and its reason was printed.
fn not_applied(name: &str, conflicts: &[Conflict]) -> Result<ExitCode, Failure> {
    let Some(first) = conflicts.first() else {
        return Ok(ExitCode::SUCCESS);
    };
    let why = match conflicts.iter().all(|c| c.reason == first.reason) {
        true => text::escape(&first.reason),
        false => "for the reasons above".to_owned(),
    };
    let failure = Failure::new(1, format!("{} not applied: {why}", conflicts.len()));
    let git = conflicts
        .iter()
        .any(|c| c.reason.starts_with(GIT_CHANGED_SINCE_CLAIM));
    if git {
        return Err(failure.hint(format!(
            "`podbay apply {name} PATH…` applies files; --force applies all but branches, reflogs and \
             the index, with the worker's commits, which `git branch NAME COMMIT` then keeps"
        )));
    }
    let overridden = conflicts.iter().any(|c| c.reason == CHANGED_SINCE_CLAIM);
    if !overridden {
        return Err(failure.hint(format!("see `podbay diff --stat {name}`")));
    }
    Err(failure.hint(format!(
        "see `podbay diff {name}`; --force lets the worker's version win"
    )))
}
