//! What an instance costs that does nothing.

use super::adopt::{WORKERS, coordinator};
use crate::{
    instance::Bench,
    process::{self, Resident},
    report::Figure,
    stats::Series,
};
use coordinator::cli::Failure;
use std::time::{Duration, Instant};

/// Megabytes of the coordinator.
const COORDINATOR: f64 = 24.0;
/// Percent of one processor.
const PERCENT: f64 = 0.5;
/// Megabytes of each agent.
const AGENT: f64 = 4.0;
/// What a refill leaves to do is done by then.
const SETTLE: Duration = Duration::from_secs(5);

fn gone() -> Failure {
    Failure::new(1, "a process went away while it was idle")
}

/// The figures.
pub async fn measure(bench: &Bench) -> Result<Vec<Figure>, Failure> {
    let window = Duration::from_secs(if bench.quick { 15 } else { 60 });
    bench.fill(WORKERS).await?;
    let mut agents = Vec::new();
    for worker in bench.warm().await? {
        let container = worker.container.ok_or_else(gone)?;
        let found = bench.engine.container(&container).await?;
        let pid = found.and_then(|found| found.state?.pid).ok_or_else(gone)?;
        agents.push(i32::try_from(pid).map_err(|_| gone())?);
    }
    bench.say(&format!("idle: {window:?} with {WORKERS} warm workers"));
    tokio::time::sleep(SETTLE).await;
    let pid = coordinator(bench)?;
    let (began, before) = (Instant::now(), process::cpu_seconds(pid).ok_or_else(gone)?);
    let agents_before = total(&agents)?;
    tokio::time::sleep(window).await;
    let used = process::cpu_seconds(pid).ok_or_else(gone)? - before;
    let agents_used = total(&agents)? - agents_before;
    let percent = |seconds: f64| (seconds / began.elapsed().as_secs_f64() * 1e5).round() / 1e3;
    let memory = process::resident(pid).ok_or_else(gone)?;
    let each: Vec<Resident> = agents
        .iter()
        .map(|pid| process::resident(*pid).ok_or_else(gone))
        .collect::<Result<_, _>>()?;
    let median = |part: fn(&Resident) -> f64| Series::of(each.iter().map(part).collect()).p50;
    Ok(vec![
        Figure::limited(
            ("idle", "coordinator's memory", "MB"),
            &Series::one(memory.total),
            (COORDINATOR, true),
            format!(
                "resident, 32 warm workers: {:.2} its own, {:.2} of files",
                memory.anon, memory.file
            ),
        ),
        Figure::limited(
            ("idle", "coordinator's processor", "%"),
            &Series::one(percent(used)),
            (PERCENT, true),
            format!(
                "of one processor over {window:?}; all 32 agents together {} %",
                percent(agents_used)
            ),
        ),
        Figure::limited(
            ("idle", "an agent's memory", "MB"),
            &Series::of(each.iter().map(|memory| memory.total).collect()),
            (AGENT, true),
            format!(
                "resident, the largest of 32: {:.2} its own, {:.2} of files, which all share",
                median(|memory| memory.anon),
                median(|memory| memory.file)
            ),
        ),
    ])
}

fn total(agents: &[i32]) -> Result<f64, Failure> {
    let mut sum = 0.0;
    for pid in agents {
        sum += process::cpu_seconds(*pid).ok_or_else(gone)?;
    }
    Ok(sum)
}
