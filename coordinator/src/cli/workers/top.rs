//! `podbay top`.

use crate::{
    cli::{
        Failure, Globals,
        output::{
            term::{self, Paint},
            text::{self, Cell, Table},
        },
    },
    wire::WorkerView,
};
use clap::Args;
use serde::Serialize;
use std::{collections::HashMap, process::ExitCode, time::Duration};
use tokio::time::Instant;

/// `podbay top`.
#[derive(Debug, Clone, Args)]
pub struct TopArgs {
    /// Time between two readings, such as 2s; a worker's readings may be a few seconds old.
    #[arg(short, long, value_name = "DUR", default_value = "5s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// Measure once and end [default: when stdout is no terminal].
    #[arg(long)]
    once: bool,
    /// Measure once and print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What one worker uses.
#[derive(Debug, Serialize)]
struct Usage {
    name: String,
    /// Hundredths of one CPU; `None` when it was not read twice.
    cpu_percent: Option<f64>,
    memory_bytes: Option<u64>,
    memory_limit_bytes: Option<u64>,
    pids: Option<u64>,
}

pub(in crate::cli) async fn run(globals: &Globals, args: &TopArgs) -> Result<ExitCode, Failure> {
    let client = globals.client()?;
    let once = args.once || args.json || !term::stdout_is_tty();
    let interval = args.interval.max(Duration::from_millis(500));
    let mut before: HashMap<String, u64> = HashMap::new();
    let mut at = Instant::now();
    loop {
        let workers = client.workers(false).await?;
        let usage = measure(&workers, &before, at.elapsed());
        let measured = !before.is_empty() || workers.is_empty();
        if args.json && measured {
            term::print_json(&usage)?;
        } else if !once {
            term::print(&format!("\x1b[H\x1b[2J{}", render(&usage)))?;
        } else if measured {
            term::print(&render(&usage))?;
        }
        if once && measured {
            return Ok(ExitCode::SUCCESS);
        }
        before = workers
            .iter()
            .filter_map(|w| Some((w.id.clone(), w.readings.cpu_us?)))
            .collect();
        if once && before.is_empty() {
            // Nothing to compare with will come.
            before.insert(String::new(), 0);
        }
        at = Instant::now();
        tokio::time::sleep(interval).await;
    }
}

fn measure(workers: &[WorkerView], before: &HashMap<String, u64>, passed: Duration) -> Vec<Usage> {
    let mut usage: Vec<Usage> = workers
        .iter()
        .map(|worker| {
            let used = before.get(&worker.id).zip(worker.readings.cpu_us);
            let cpu = used.map(|(before, now)| now.saturating_sub(*before) as f64);
            Usage {
                name: worker.name.clone(),
                cpu_percent: cpu.map(|us| us * 100.0 / passed.as_micros().max(1) as f64),
                memory_bytes: worker.readings.memory_bytes,
                memory_limit_bytes: worker.readings.memory_limit_bytes,
                pids: worker.readings.pids,
            }
        })
        .collect();
    let busy = |usage: &Usage| usage.cpu_percent.unwrap_or(-1.0);
    usage.sort_by(|a, b| {
        busy(b)
            .total_cmp(&busy(a))
            .then_with(|| a.name.cmp(&b.name))
    });
    usage
}

fn render(usage: &[Usage]) -> String {
    let mut table = Table::new(&["NAME", "CPU", "MEM", "LIMIT", "PIDS"], &[0]);
    let dash = || "-".to_owned();
    for worker in usage {
        table.row(vec![
            Cell::painted(&worker.name, Paint::Bold),
            Cell::new(
                worker
                    .cpu_percent
                    .map_or_else(dash, |percent| format!("{percent:.0}%")),
            ),
            Cell::new(worker.memory_bytes.map_or_else(dash, text::bytes)),
            Cell::new(worker.memory_limit_bytes.map_or_else(dash, text::bytes)),
            Cell::new(worker.pids.map_or_else(dash, |pids| pids.to_string())),
        ]);
    }
    table.render(term::width(), term::colours())
}
