//! `podbay logs`.

use super::log_filter::LogFilter;
use crate::{
    cli::{Failure, Globals, output::term},
    wire::LogsQuery,
};
use clap::Args;
use futures_util::StreamExt;
use std::{io::Write, process::ExitCode, time::Duration};

/// `podbay logs`.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// The worker.
    #[arg(value_name = "NAME")]
    name: String,
    /// Go on with what comes.
    #[arg(short, long)]
    follow: bool,
    /// Only the last N lines.
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<u64>,
    /// Only what is younger, such as 10m.
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    /// What it wrote before its last restart, or before its container was recreated.
    #[arg(short, long)]
    previous: bool,
}

/// To a terminal, text and colours alone; elsewhere every byte as it was.
pub(in crate::cli) async fn run(globals: &Globals, args: &LogsArgs) -> Result<ExitCode, Failure> {
    let query = LogsQuery {
        follow: args.follow,
        tail: args.tail,
        since_s: args.since.map(|since| since.as_secs()),
        previous: args.previous,
    };
    let mut logs = globals.client()?.logs(&args.name, &query).await?;
    let mut filter = term::stdout_is_tty().then(LogFilter::default);
    let mut safe = Vec::new();
    while let Some(piece) = logs.next().await {
        let piece = piece?;
        let mut out = std::io::stdout().lock();
        match &mut filter {
            Some(filter) => {
                safe.clear();
                filter.push(&piece, &mut safe);
                out.write_all(&safe)?;
            }
            None => out.write_all(&piece)?,
        }
        out.flush()?;
    }
    if filter.is_some() {
        term::print("\x1b[m")?;
    }
    Ok(ExitCode::SUCCESS)
}
