//! `podbay stop`.

use crate::{
    cli::{
        Failure, Globals,
        output::{self, term},
    },
    wire::StopRequest,
};
use clap::Args;
use std::{process::ExitCode, time::Duration};

/// `podbay stop`.
#[derive(Debug, Clone, Args)]
pub struct StopArgs {
    /// The workers.
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,
    /// Every claimed worker.
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Time between TERM and KILL, such as 5s [default: the profile's].
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    grace: Option<Duration>,
}

pub(in crate::cli) async fn run(globals: &Globals, args: &StopArgs) -> Result<ExitCode, Failure> {
    let client = globals.client()?;
    let grace_ms = args
        .grace
        .map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
    let request = StopRequest { grace_ms };
    if args.all {
        for name in client.stop_all(&request).await? {
            term::print(&format!("{name}\n"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let stops = args.names.iter().map(|name| {
        let (client, request) = (&client, &request);
        async move { (name, client.stop(name, request).await) }
    });
    output::each(futures_util::future::join_all(stops).await, |worker| {
        worker.name
    })
}
