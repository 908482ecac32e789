//! `podbay logs`.

use super::{log_filter::LogFilter, plain_log::PlainLog};
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
    /// Lines of text alone: no colours, of progress bars the last state, of full-screen programs nothing.
    #[arg(long)]
    plain: bool,
}

/// What of a recording is printed.
enum Printed {
    /// Text alone.
    Plain(Box<PlainLog>),
    /// Text and colours.
    Safe(LogFilter),
    /// Every byte as it was.
    All,
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
    let mut printed = match (args.plain, term::stdout_is_tty()) {
        (true, _) => Printed::Plain(Box::default()),
        (false, true) => Printed::Safe(LogFilter::default()),
        (false, false) => Printed::All,
    };
    let mut safe = Vec::new();
    while let Some(piece) = logs.next().await {
        let piece = piece?;
        let mut out = std::io::stdout().lock();
        safe.clear();
        match &mut printed {
            Printed::Plain(log) => log.push(&piece, &mut safe),
            Printed::Safe(filter) => filter.push(&piece, &mut safe),
            Printed::All => safe.extend_from_slice(&piece),
        }
        out.write_all(&safe)?;
        out.flush()?;
    }
    match &mut printed {
        Printed::Plain(log) => {
            safe.clear();
            log.finish(&mut safe);
            std::io::stdout().write_all(&safe)?;
        }
        Printed::Safe(_) => term::print("\x1b[m")?,
        Printed::All => {}
    }
    Ok(ExitCode::SUCCESS)
}
