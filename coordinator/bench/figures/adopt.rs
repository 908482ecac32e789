//! How soon a new coordinator has its running workers again.

use crate::{
    instance::Bench,
    process,
    report::Figure,
    stats::{Series, ms},
};
use coordinator::{
    cli::Failure,
    model::{Isolation, WorkerState},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Workers.
pub const WORKERS: u32 = 32;
/// Milliseconds allowed.
const LIMIT: f64 = 1000.0;
/// Workers claimed between two refills.
const ROUND: u32 = 8;
/// Between two kills: one that ran for less than 5 s is started again after a pause.
const SETTLE: Duration = Duration::from_secs(6);
/// They are not coming any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// The coordinator's process as the host counts.
pub fn coordinator(bench: &Bench) -> Result<i32, Failure> {
    process::child_with_argument(bench.parent_pid, "serve")
        .ok_or_else(|| Failure::new(1, "the parent's PID 1 has no child `podbay serve` here"))
}

/// Processes of the sessions, by worker; only of those that are known to run.
async fn sessions(bench: &Bench) -> Result<BTreeMap<String, i32>, Failure> {
    let workers = bench.client.workers(false).await?;
    let running = workers.into_iter().filter_map(|worker| {
        let known = worker.state == WorkerState::Running && worker.name.starts_with("bench-");
        Some((worker.id, worker.pid.filter(|_| known)?))
    });
    Ok(running.collect())
}

/// Claims the workers; their names.
async fn claim(bench: &Bench) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    let project = bench.scratch.folder("adopt")?;
    while names.len() < WORKERS as usize {
        bench.fill(ROUND).await?;
        for _ in 0..ROUND {
            let request = bench.request(&project, Isolation::Bind, "exec sleep 3600");
            names.push(bench.client.spawn(&request).await?.worker.name);
        }
    }
    bench.scale(0).await?;
    Ok(names)
}

/// The figure.
pub async fn measure(bench: &Bench) -> Result<Vec<Figure>, Failure> {
    let rounds = if bench.quick { 2 } else { 8 };
    let names = claim(bench).await?;
    let (mut adopted, mut answered) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        tokio::time::sleep(SETTLE).await;
        let before = sessions(bench).await?;
        if before.len() < names.len() {
            let message = format!("only {} of {} sessions run", before.len(), names.len());
            return Err(Failure::new(1, message));
        }
        let pid = coordinator(bench)?;
        let began = Instant::now();
        kill(Pid::from_raw(pid), Signal::SIGKILL)
            .map_err(|errno| Failure::new(1, format!("killing the coordinator: {errno}")))?;
        let mut first = None;
        loop {
            if let Ok(after) = sessions(bench).await {
                first.get_or_insert_with(|| began.elapsed());
                if after == before {
                    break;
                }
            }
            if began.elapsed() > PATIENCE {
                let message = format!("not all sessions are back after {PATIENCE:?}");
                return Err(Failure::new(1, message));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        adopted.push(ms(began.elapsed()));
        answered.push(ms(first.unwrap_or_default()));
        bench.say(&format!("adopt: {} of {rounds}", round + 1));
    }
    bench.remove(names).await?;
    let note = format!(
        "from kill -9 to the API showing the same 32 sessions running with the same processes; it \
         answered after {} ms",
        Series::of(answered).p50
    );
    Ok(vec![Figure::limited(
        ("adopt", "32 running workers", "ms"),
        &Series::of(adopted),
        (LIMIT, false),
        note,
    )])
}
