//! `podbay discard`.

use super::diff;
use crate::{
    cli::{Failure, Globals, output::term},
    client::ClientError,
    model::{HostPath, WorkerState},
    wire::{DiscardRequest, ErrorKind, WorkerView},
};
use clap::Args;
use std::{io::Write, path::PathBuf, process::ExitCode};

/// `podbay discard`.
#[derive(Debug, Clone, Args)]
pub struct DiscardArgs {
    /// The worker.
    #[arg(value_name = "NAME")]
    name: String,
    /// Only these, relative to the project; folders with all below.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Do not ask before everything is thrown away.
    #[arg(short, long, alias = "force")]
    yes: bool,
}

pub(in crate::cli) async fn run(globals: &Globals, args: DiscardArgs) -> Result<ExitCode, Failure> {
    let client = globals.client()?;
    if args.paths.is_empty() && !args.yes {
        // What cannot be counted can be thrown away all the same.
        let changes = match client.change_summary(&args.name, None).await {
            Ok(sums) if sums.changes == 0 && !sums.truncated => {
                term::note("nothing to discard");
                return Ok(ExitCode::SUCCESS);
            }
            Ok(sums) if sums.truncated => format!("more than {} changes", sums.changes),
            Ok(sums) => format!("{} changes", sums.changes),
            Err(ClientError::Api(error)) if error.kind == ErrorKind::Internal => {
                "changes (they could not be counted)".to_owned()
            }
            Err(error) => return Err(error.into()),
        };
        let question = format!("throw away all {changes} of {}?", args.name);
        if !(term::stdin_is_tty() && term::stderr_is_tty()) {
            return Err(
                Failure::usage("not asked whether to throw everything away: no terminal")
                    .hint("give -y, or the paths to discard"),
            );
        }
        if !tokio::task::spawn_blocking(move || ask(&question))
            .await
            .unwrap_or(false)
        {
            return Err(Failure::new(1, "nothing was discarded"));
        }
    }
    let paths = args
        .paths
        .iter()
        .map(|path| HostPath::new(diff::relative(path)))
        .collect();
    let left = client
        .discard(&args.name, &DiscardRequest { paths })
        .await?;
    match left.entries.len() {
        0 => term::note("discarded; nothing left to review"),
        n if left.truncated => term::note(&format!("discarded; more than {n} left to review")),
        n => term::note(&format!("discarded; {n} left to review")),
    }
    let live = |worker: WorkerView| worker.state == WorkerState::Running && worker.exit.is_none();
    if client.worker(&args.name).await.is_ok_and(live) {
        term::note("the running session still has what was discarded, until it ends");
    }
    Ok(ExitCode::SUCCESS)
}

fn ask(question: &str) -> bool {
    let mut err = std::io::stderr().lock();
    if write!(err, "{question} [y/N] ")
        .and_then(|()| err.flush())
        .is_err()
    {
        return false;
    }
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
