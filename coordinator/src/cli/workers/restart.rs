//! `podbay restart`.

use crate::{
    cli::{
        Failure, Globals,
        output::{self, term, text},
    },
    wire::StopRequest,
};
use clap::Args;
use std::{process::ExitCode, time::Duration};

/// `podbay restart`.
#[derive(Debug, Clone, Args)]
pub struct RestartArgs {
    /// The workers. One that runs keeps its container, project and changes; one that has ended
    /// is claimed again under its name.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Time between TERM and KILL, such as 5s [default: the profile's].
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    grace: Option<Duration>,
}

pub(in crate::cli) async fn run(
    globals: &Globals,
    args: &RestartArgs,
) -> Result<ExitCode, Failure> {
    let client = globals.client()?;
    let grace_ms = args
        .grace
        .map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
    let request = StopRequest { grace_ms };
    let restarts = args.names.iter().map(|name| {
        let (client, request) = (&client, &request);
        async move { (name, client.restart(name, request).await) }
    });
    output::each(futures_util::future::join_all(restarts).await, |worker| {
        if let Some(why) = &worker.why {
            term::note(&text::escape(&format!("podbay: {}: {why}", worker.name)));
        }
        worker.name
    })
}
