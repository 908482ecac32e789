//! How soon a coordinator without workers answers.

use crate::{
    instance::Bench,
    report::Figure,
    stats::{Series, ms},
};
use coordinator::{
    cli::Failure,
    client::{Client, Target},
};
use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Milliseconds allowed.
const LIMIT: f64 = 50.0;
/// A coordinator that has not answered by then never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// A coordinator of the bench's own.
struct Coordinator(Child);

impl Drop for Coordinator {
    fn drop(&mut self) {
        // It has no workers to leave behind.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The figure.
pub async fn measure(bench: &Bench) -> Result<Vec<Figure>, Failure> {
    let rounds = if bench.quick { 10 } else { 20 };
    let mut samples = Vec::new();
    for round in 0..rounds {
        let state = bench.scratch.folder(&format!("state/{round}"))?;
        let client = Client::new(Target::Socket(state.join("run/podbay.sock")));
        let log = std::fs::File::create(state.join("stderr"))?;
        let began = Instant::now();
        let child = Command::new(&bench.program)
            .arg("serve")
            .arg("--state")
            .arg(&state)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("MIN_WARM_WORKERS", "0")
            .env("MAX_WARM_WORKERS", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut coordinator = Coordinator(child);
        while client.version().await.is_err() {
            let ended = coordinator.0.try_wait()?.is_some();
            if ended || began.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(state.join("stderr")).unwrap_or_default();
                let last = said.lines().last().unwrap_or("it said nothing");
                return Err(Failure::new(
                    1,
                    format!("a coordinator did not answer: {last}"),
                ));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        samples.push(ms(began.elapsed()));
    }
    bench.say("ready: done");
    Ok(vec![Figure::limited(
        ("ready", "coordinator, exec to answer", "ms"),
        &Series::of(samples),
        (LIMIT, false),
        "`podbay serve` on the host with an empty state folder and no workers, asked every ms",
    )])
}
