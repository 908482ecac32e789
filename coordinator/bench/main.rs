//! `podbay-bench`: what is promised, measured against a named rival in the same run.
//!
//! A tool of this repository, in no image. Runs on the engine's host as root, since it reads other
//! processes and speaks to the coordinator over its socket directly. It owns what it makes (workers,
//! containers, a tmux server, projects) and removes all of it at its end, a failure or an interrupt
//! included. It changes the size of the pool it measures, and restores it.

mod arguments;
mod figures;
mod instance;
mod outer;
mod process;
mod raw;
mod report;
mod rivals;
mod scratch;
mod stats;
mod threads;

use arguments::{BenchArgs, GROUPS, Then, What};
use clap::Parser;
use coordinator::cli::{
    Failure,
    output::{term, text},
};
use figures::{adopt, attach, claim, cold, dashboard, idle, ready, refill, scale};
use instance::Bench;
use report::{Figure, Machine, NotMeasured, Report};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

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
        Some(Then::Table { file, .. }) => {
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
    } else if let Some(Then::Table { page: true, .. }) = args.then {
        term::print(&report.page())?;
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

async fn measure_group(what: What, bench: &Bench) -> Result<Vec<Figure>, Failure> {
    match what {
        What::Ready => ready::measure(bench).await,
        What::Claim => claim::measure(bench).await,
        What::Cold => cold::measure(bench).await,
        What::Refill => refill::measure(bench).await,
        What::Attach => attach::measure(bench).await,
        What::Dashboard => dashboard::measure(bench).await,
        What::Adopt => adopt::measure(bench).await,
        What::Idle => idle::measure(bench).await,
        What::Scale => scale::measure(bench).await,
        What::All => Ok(Vec::new()),
    }
}

/// One group after the other; a group that fails does not take the others with it.
async fn groups(bench: &Bench, args: &BenchArgs) -> (Vec<Figure>, Vec<NotMeasured>) {
    let all = args.what.is_empty() || args.what.contains(&What::All);
    let (mut figures, mut failures) = (Vec::new(), Vec::new());
    for group in GROUPS {
        if !all && !args.what.contains(&group) {
            continue;
        }
        match measure_group(group, bench).await {
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
