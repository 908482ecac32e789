//! `podbay down`.

use super::up;
use crate::{
    cli::{
        Failure, Globals,
        output::{term, text},
    },
    client::{
        Client, Target,
        engine::{Engine, LABEL_ROLE},
    },
    model::WorkerState,
    wire::WorkerView,
};
use clap::Args;
use std::process::ExitCode;

/// `podbay down`.
#[derive(Debug, Clone, Args)]
pub struct DownArgs {
    /// Remove the state volume too: records, recordings, agents' homes, unapplied changes.
    #[arg(long)]
    volumes: bool,
    /// Also when sessions are running or changes are unapplied.
    #[arg(short, long)]
    force: bool,
}

/// Seconds the parent has to stop by itself once its workers are gone.
const GRACE_S: i32 = 10;

pub(in crate::cli) async fn run(globals: &Globals, args: &DownArgs) -> Result<ExitCode, Failure> {
    let name = globals.discover().parent();
    let engine = up::engine().await?;
    let parent = engine.container(&name).await?;
    if let Some(found) = &parent
        && up::label(found, LABEL_ROLE).as_deref() != Some("parent")
    {
        return Err(Failure::new(
            1,
            format!("container {name} is not a parent of Podbay's"),
        ));
    }
    let running = parent.as_ref().is_some_and(up::is_running);
    if running {
        ask_coordinator(&engine, &name, args).await?;
    }
    leftovers(&engine, &name, running || args.force).await?;
    engine.remove_networks(&name).await?;
    let Some(parent) = parent else {
        return Err(Failure::new(3, format!("no parent named {name}"))
            .hint("another is named with --parent"));
    };
    term::slowly("removing the parent", engine.remove(&name, GRACE_S)).await?;
    term::note(&format!("{name} is down"));
    if args.volumes {
        let mounts = parent.mounts.into_iter().flatten();
        let state = mounts.filter(|mount| mount.typ.as_deref() == Some("volume"));
        for volume in state.filter_map(|mount| mount.name) {
            engine.remove_volume(&volume).await?;
            term::note(&format!("volume {volume} is removed"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Has the coordinator stop everything, unless something would be lost.
async fn ask_coordinator(engine: &Engine, name: &str, args: &DownArgs) -> Result<(), Failure> {
    let target = Target::Exec {
        engine: engine.address().clone(),
        container: name.to_owned(),
    };
    let client = Client::new(target);
    if !args.force {
        let workers = client.workers(true).await.map_err(|error| {
            let failure = Failure::from(error);
            let message = format!(
                "not known whether sessions are running: {}",
                failure.message
            );
            Failure::new(failure.code.max(1), message).hint("--force takes it down all the same")
        })?;
        refuse(&workers)?;
    }
    match term::slowly("stopping workers", client.down()).await {
        Err(error) if !args.force => Err(error.into()),
        Err(error) => {
            term::note(&format!("podbay: {error}; removing what is there"));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn refuse(workers: &[WorkerView]) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for worker in workers {
        let busy = matches!(
            worker.state,
            WorkerState::Running | WorkerState::Claiming | WorkerState::Lost
        );
        let what = match (busy, worker.unapplied) {
            (true, true) => "running, with unapplied changes",
            (true, false) => "running",
            (false, true) => "unapplied changes",
            (false, false) => continue,
        };
        lines.push(format!("  {}: {what}", text::escape(&worker.name)));
    }
    if lines.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        1,
        format!("not taken down, because of\n{}", lines.join("\n")),
    )
    .hint("stop or review them (`podbay stop`, `podbay diff`), or give --force"))
}

/// Removes what belongs to the parent and is still there. Without a coordinator to ask, only when
/// forced: sessions may be running.
async fn leftovers(engine: &Engine, name: &str, allowed: bool) -> Result<(), Failure> {
    let left = engine.children(name).await?;
    if left.is_empty() {
        return Ok(());
    }
    if !allowed {
        let message = format!(
            "{} containers of {name} are there, and no coordinator to ask about them",
            left.len()
        );
        return Err(
            Failure::new(1, message).hint("`podbay up` first, or give --force to remove them")
        );
    }
    for container in left {
        if let Some(id) = container.id {
            engine.remove(&id, 0).await?;
        }
    }
    Ok(())
}
