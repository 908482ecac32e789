//! `podbay-bench`: what is promised, measured against a named rival in the same run.
//!
//! A tool of this repository, in no image. Runs on the engine's host as root, since it reads other
//! processes and speaks to the coordinator over its socket directly. It owns what it makes (workers,
//! containers, a tmux server, projects) and removes all of it at its end, a failure or an interrupt
//! included. It changes the size of the pool it measures, and restores it.

mod figures;
mod instance;
mod outer;
mod process;
mod raw;
mod report;
mod rivals;
mod scratch;
mod stats;

use clap::{Parser, Subcommand, ValueEnum};
use coordinator::cli::{
    Failure, Globals,
    output::{term, text},
};
use figures::{adopt, attach, claim, cold, dashboard, idle, ready, refill};
use instance::Bench;
use report::{Figure, Machine, NotMeasured, Report};
use std::{path::PathBuf, process::ExitCode};
use tokio::signal::unix::{SignalKind, signal};

/// Measures what Podbay promises: claims, spawns, attach, memory.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "podbay-bench",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
struct BenchArgs {
    #[command(flatten)]
    globals: Globals,
    /// What to measure [default: all].
    #[arg(value_name = "WHAT", value_enum)]
    what: Vec<What>,
    /// Warm claims to measure in each mode.
    #[arg(short = 'c', long, default_value_t = 200, value_name = "N")]
    count: u32,
    /// Fewer rounds and shorter waits, for a first look.
    #[arg(long)]
    quick: bool,
    /// The profile whose pool is measured [default: the only one, or the one named default].
    #[arg(short, long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Print JSON, with every sample.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    then: Option<Then>,
}

#[derive(Debug, Clone, Subcommand)]
enum Then {
    /// Prints the JSON of an earlier run as a table.
    Table {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// A group of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// All of them.
    All,
    /// A coordinator without workers: exec to answer.
    Ready,
    /// Warm claims with a project, against fork and exec, docker run and docker exec.
    Claim,
    /// Cold spawns, against the engine's create and start.
    Cold,
    /// Refilling the pool, against the engine's best rate.
    Refill,
    /// Attached sessions, against tmux.
    Attach,
    /// The dashboard with 32 workers: start, keys while some flood, rest.
    Dashboard,
    /// A killed coordinator: until 32 workers are there again.
    Adopt,
    /// Memory and processor time of 32 idle workers.
    Idle,
}

const GROUPS: [What; 8] = [
    What::Ready,
    What::Claim,
    What::Cold,
    What::Refill,
    What::Attach,
    What::Dashboard,
    What::Adopt,
    What::Idle,
];

impl What {
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    async fn measure(self, bench: &Bench) -> Result<Vec<Figure>, Failure> {
        match self {
            Self::Ready => ready::measure(bench).await,
            Self::Claim => claim::measure(bench).await,
            Self::Cold => cold::measure(bench).await,
            Self::Refill => refill::measure(bench).await,
            Self::Attach => attach::measure(bench).await,
            Self::Dashboard => dashboard::measure(bench).await,
            Self::Adopt => adopt::measure(bench).await,
            Self::Idle => idle::measure(bench).await,
            Self::All => Ok(Vec::new()),
        }
    }
}

fn main() -> ExitCode {
    let args = match BenchArgs::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version go to stdout with 0, mistakes to stderr with 2.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(1, format!("cannot start threads: {error}")));
    let outcome = runtime.and_then(|runtime| {
        let outcome = runtime.block_on(run(&args));
        // A thread may still wait for a command of the engine's; it must not hold the exit up.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(code) => code,
        Err(failure) => failure.report(args.json),
    }
}

async fn run(args: &BenchArgs) -> Result<ExitCode, Failure> {
    let report = match &args.then {
        Some(Then::Table { file }) => {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Failure::new(1, format!("{}: {error}", file.display())))?;
            serde_json::from_str(&text).map_err(|error| {
                Failure::new(1, format!("{}: no report: {error}", file.display()))
            })?
        }
        None => measure(args).await?,
    };
    if args.json {
        term::print_json(&report)?;
    } else {
        term::print(&report.table(term::width(), term::colours()))?;
    }
    // A missed target is a result; a figure that is missing is a failure.
    let complete = report.failures.is_empty() || args.then.is_some();
    Ok(ExitCode::from(u8::from(!complete)))
}

async fn measure(args: &BenchArgs) -> Result<Report, Failure> {
    let bench = Bench::open(args).await?;
    let at_ms = text::now_ms();
    let load_before = process::load();
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let outcome = tokio::select! {
        outcome = groups(&bench, args) => Ok(outcome),
        _ = interrupt.recv() => Err(Failure::silent(130)),
        _ = terminate.recv() => Err(Failure::silent(143)),
    };
    bench.say("cleaning up");
    let cleaned = bench.clean().await;
    let (figures, mut failures) = outcome?;
    if let Err(failure) = cleaned {
        failures.push(NotMeasured {
            what: "clean-up".to_owned(),
            reason: failure.message,
        });
    }
    Ok(Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        at_ms,
        machine: Machine {
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: process::kernel(),
            engine: bench.engine.description.clone(),
            load_before,
            load_after: process::load(),
        },
        figures,
        failures,
    })
}

/// One group after the other; a group that fails does not take the others with it.
async fn groups(bench: &Bench, args: &BenchArgs) -> (Vec<Figure>, Vec<NotMeasured>) {
    let all = args.what.is_empty() || args.what.contains(&What::All);
    let (mut figures, mut failures) = (Vec::new(), Vec::new());
    for group in GROUPS {
        if !all && !args.what.contains(&group) {
            continue;
        }
        match group.measure(bench).await {
            Ok(found) => figures.extend(found),
            Err(failure) => {
                let what = group.name();
                bench.say(&format!("{what}: {}", failure.message));
                failures.push(NotMeasured {
                    what,
                    reason: failure.message,
                });
            }
        }
    }
    (figures, failures)
}

#[cfg(test)]
mod tests {
    use super::{BenchArgs, What};
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_consistent() {
        BenchArgs::command().debug_assert();
        let parse = |words: &[&str]| {
            BenchArgs::try_parse_from(["podbay-bench"].iter().chain(words)).unwrap()
        };
        let args = parse(&["--parent", "p", "claim", "cold", "--json", "-c", "8"]);
        assert_eq!((args.count, args.json), (8, true));
        assert!(args.then.is_none() && args.what == [What::Claim, What::Cold]);
        assert!(parse(&["table", "bench.json"]).then.is_some());
    }
}
