//! How soon a new coordinator has its running workers again.

use super::{
    instance::Bench,
    process,
    report::Figure,
    stats::{Series, ms},
};
use crate::{cli::Failure, wire::WorkerView};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// Warm workers.
pub(super) const WORKERS: u32 = 32;
/// Milliseconds allowed.
const LIMIT: f64 = 1000.0;
/// They are not coming any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// The coordinator's process as the host counts.
pub(super) fn coordinator(bench: &Bench) -> Result<i32, Failure> {
    process::child_with_argument(bench.parent_pid, "serve")
        .ok_or_else(|| Failure::new(1, "the parent's PID 1 has no child `podbay serve` here"))
}

fn ids(workers: Vec<WorkerView>) -> BTreeSet<String> {
    workers.into_iter().map(|worker| worker.id).collect()
}

/// The figure.
pub(super) async fn measure(bench: &Bench) -> Result<Vec<Figure>, Failure> {
    let rounds = if bench.quick { 3 } else { 10 };
    let (mut adopted, mut answered) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        bench.fill(WORKERS).await?;
        let before = ids(bench.warm().await?);
        let pid = coordinator(bench)?;
        let began = Instant::now();
        kill(Pid::from_raw(pid), Signal::SIGKILL)
            .map_err(|errno| Failure::new(1, format!("killing the coordinator: {errno}")))?;
        let mut first = None;
        loop {
            if let Ok(pool) = bench.pool().await {
                first.get_or_insert_with(|| began.elapsed());
                if pool.warm >= WORKERS {
                    break;
                }
            }
            if began.elapsed() > PATIENCE {
                let message = format!("not all workers are back after {PATIENCE:?}");
                return Err(Failure::new(1, message));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        adopted.push(ms(began.elapsed()));
        answered.push(ms(first.unwrap_or_default()));
        let after = ids(bench.warm().await?);
        let same = before.intersection(&after).count();
        if same < before.len() {
            let message = format!("only {same} of {} are the same workers", before.len());
            return Err(Failure::new(1, message));
        }
        bench.say(&format!("adopt: {} of {rounds}", round + 1));
    }
    let note = format!(
        "from kill -9 to the API showing the same 32 warm; it answered after {} ms",
        Series::of(answered).p50
    );
    Ok(vec![Figure::limited(
        ("adopt", "32 running workers", "ms"),
        &Series::of(adopted),
        (LIMIT, false),
        note,
    )])
}
