//! Warm claims with a project, from the request to the first byte of the command's output.

use crate::{
    instance::Bench,
    outer::{Prepared, first_byte},
    report::{Figure, Target},
    rivals,
    stats::{Series, ms},
};
use coordinator::{
    cli::Failure,
    client::{AttachStream, Incoming},
    model::Isolation,
    wire::{SpawnRequest, SpawnResponse},
};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// What every rival runs.
pub const COMMAND: &str = "echo ready; exec sleep 60";
/// Warm workers at the beginning of a round.
const ROUND: u32 = 8;
/// Between two claims: what follows a claim off its path (the record, the container's name) is
/// done by then.
const PAUSE: Duration = Duration::from_millis(50);
/// A command has written something by then.
const SILENCE: Duration = Duration::from_secs(30);

/// A claim that was answered.
pub struct Claimed {
    /// From the request to the first byte.
    pub took: Duration,
    /// From the request to the coordinator's answer.
    answered: Duration,
    /// What the coordinator said.
    pub response: SpawnResponse,
    /// The session's name, with its client still attached.
    pub name: String,
    /// The client.
    _stream: Box<dyn Send>,
}

/// Claims and waits for the first byte of output.
pub async fn claim(bench: &Bench, request: &SpawnRequest) -> Result<Claimed, Failure> {
    let began = Instant::now();
    let (response, stream) = bench.client.spawn_attached(request).await?;
    let answered = began.elapsed();
    let (sender, mut receiver) = AttachStream::split(stream);
    let first = tokio::time::timeout(SILENCE, async {
        loop {
            match receiver.next().await {
                Some(Ok(Incoming::Output(bytes))) if !bytes.is_empty() => return Ok(()),
                Some(Ok(Incoming::Output(_) | Incoming::Stderr(_))) => {}
                Some(Ok(Incoming::Message(message))) => {
                    tracing::debug!(?message, "before the first byte");
                }
                Some(Err(error)) => return Err(Failure::from(error)),
                None => return Err(Failure::new(1, "a claimed session closed without a byte")),
            }
        }
    });
    first
        .await
        .map_err(|_| Failure::new(1, "a claimed session wrote nothing"))??;
    Ok(Claimed {
        took: began.elapsed(),
        answered,
        name: response.worker.name.clone(),
        response,
        _stream: Box::new((sender, receiver)),
    })
}

/// What the claims of one mode took, and their rivals between them.
#[derive(Default)]
struct Samples {
    claims: Vec<f64>,
    plain: Vec<f64>,
    run: Vec<f64>,
    exec: Vec<f64>,
    steps: [Vec<f64>; STEPS.len()],
}

/// Where a claim's time goes, one after the other. `mount` and `start` are what the mounter and the agent
/// say they took; their ways are what the coordinator waited for them beyond that.
const STEPS: [&str; 7] = [
    "to and from the coordinator",
    "in it",
    "mount's way",
    "mount",
    "start's way",
    "start",
    "answer to first byte",
];

impl Samples {
    fn add(&mut self, claimed: &Claimed) {
        let it = claimed.response.timings;
        let answered = u64::try_from(claimed.answered.as_micros()).unwrap_or(u64::MAX);
        let first_byte = claimed.took.saturating_sub(claimed.answered);
        self.claims.push(ms(claimed.took));
        let steps = [
            answered.saturating_sub(it.total_us),
            it.total_us.saturating_sub(it.mount_us + it.start_us),
            it.mount_us.saturating_sub(it.mounter_us),
            it.mounter_us,
            it.start_us.saturating_sub(it.exec_us),
            it.exec_us,
            u64::try_from(first_byte.as_micros()).unwrap_or(u64::MAX),
        ];
        for (samples, us) in self.steps.iter_mut().zip(steps) {
            samples.push(ms(Duration::from_micros(us)));
        }
    }
}

/// What is claimed, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The project itself.
    Bind,
    /// Copy-on-write, of the project that was claimed before: its overlay is made ahead.
    RecentOverlay,
    /// Copy-on-write, of a project that nobody claimed before.
    NewOverlay,
}

impl Kind {
    fn mode(self) -> Isolation {
        match self {
            Self::Bind => Isolation::Bind,
            Self::RecentOverlay | Self::NewOverlay => Isolation::Overlay,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::RecentOverlay => "overlay",
            Self::NewOverlay => "overlay of a new project",
        }
    }

    /// At most so many times a fork and exec, and at least so many times faster than `docker exec`.
    fn targets(self) -> (f64, f64) {
        match self {
            Self::Bind => (2.0, 20.0),
            Self::RecentOverlay => (2.2, 20.0),
            Self::NewOverlay => (3.5, 12.0),
        }
    }
}

/// The projects that are claimed.
struct Projects<'a> {
    bench: &'a Bench,
    large: PathBuf,
}

impl Projects<'_> {
    fn next(&self, kind: Kind) -> Result<PathBuf, Failure> {
        match kind {
            Kind::Bind | Kind::RecentOverlay => Ok(self.large.clone()),
            Kind::NewOverlay => self.bench.scratch.small(&self.bench.name()),
        }
    }
}

/// The figures of all kinds.
pub async fn measure(bench: &Bench) -> Result<Vec<Figure>, Failure> {
    bench.say("claim: making a project of 10,000 files");
    let large = bench.scratch.project()?;
    let projects = Projects { bench, large };
    let mut figures = Vec::new();
    for kind in [Kind::Bind, Kind::RecentOverlay, Kind::NewOverlay] {
        let quiet = one_kind(bench, &projects, kind).await?;
        let busy = refilling(bench, &projects, kind).await?;
        figures.extend(report(kind, quiet, busy));
    }
    Ok(figures)
}

/// Rounds of eight claims with the pool paused, so that nothing is created meanwhile. A plain
/// fork before or after each claim; the engine's commands once a round.
async fn one_kind(bench: &Bench, projects: &Projects<'_>, kind: Kind) -> Result<Samples, Failure> {
    let plain = Prepared::new(&["/bin/sh", "-c", COMMAND])?;
    let mut samples = Samples::default();
    while samples.claims.len() < bench.count {
        bench.fill(ROUND).await?;
        bench.pause().await?;
        let mut names = Vec::new();
        let mut container = None;
        for turn in 0..ROUND {
            if turn % 2 == 0 {
                samples.plain.push(ms(first_byte(&plain)?));
            }
            let request = bench.request(&projects.next(kind)?, kind.mode(), COMMAND);
            let claimed = claim(bench, &request).await?;
            if turn % 2 == 1 {
                samples.plain.push(ms(first_byte(&plain)?));
            }
            check(&claimed.response, kind.mode())?;
            samples.add(&claimed);
            container = claimed.response.worker.container.clone();
            names.push(claimed.name);
            tokio::time::sleep(PAUSE).await;
        }
        if let Some(container) = container {
            let took = rivals::docker_exec(&container, COMMAND).await?;
            samples.exec.push(ms(took));
        }
        let took = rivals::docker_run(&bench.run, &bench.parent, &bench.image, COMMAND).await?;
        samples.run.push(ms(took));
        bench.remove(names).await?;
        let done = samples.claims.len();
        bench.say(&format!("claim {}: {done} of {}", kind.name(), bench.count));
    }
    Ok(samples)
}

/// Claims with the pool refilling meanwhile, 150 ms apart.
async fn refilling(
    bench: &Bench,
    projects: &Projects<'_>,
    kind: Kind,
) -> Result<Vec<f64>, Failure> {
    let mut claims = Vec::new();
    let count = (bench.count / 5).clamp(5, 40);
    let mut names = Vec::new();
    while claims.len() < count {
        bench.fill(ROUND).await?;
        for _ in 0..ROUND {
            let request = bench.request(&projects.next(kind)?, kind.mode(), COMMAND);
            let claimed = claim(bench, &request).await?;
            check(&claimed.response, kind.mode())?;
            claims.push(ms(claimed.took));
            names.push(claimed.name);
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        bench.remove(std::mem::take(&mut names)).await?;
    }
    Ok(claims)
}

/// A figure of cold or project-less claims would be a lie.
fn check(response: &SpawnResponse, mode: Isolation) -> Result<(), Failure> {
    if !response.warm {
        let why = response.cold_reason.clone().unwrap_or_default();
        return Err(Failure::new(1, format!("a claim was not warm: {why}")));
    }
    if response.worker.isolation != mode {
        let message = format!("asked for {mode:?}, got {:?}", response.worker.isolation);
        return Err(Failure::new(1, message));
    }
    Ok(())
}

fn report(kind: Kind, samples: Samples, busy: Vec<f64>) -> Vec<Figure> {
    let claims = Series::of(samples.claims);
    let busy = Series::of(busy);
    let steps = samples.steps.map(|samples| Series::of(samples).p50);
    let steps = STEPS
        .iter()
        .zip(steps)
        .map(|(step, ms)| format!("{step} {ms}"));
    let note = format!(
        "8 claims a round 50 ms apart, pool paused; ms of each step: {}; with the pool refilling beside: \
         p50 {} p99 {} ms (n {})",
        steps.collect::<Vec<_>>().join(", "),
        busy.p50,
        busy.p99,
        busy.n
    );
    let (plain, run, exec) = (
        Series::of(samples.plain),
        Series::of(samples.run),
        Series::of(samples.exec),
    );
    let name = format!("warm claim, {}", kind.name());
    let (most, faster) = kind.targets();
    let label = ("claim", name.as_str(), "ms");
    let between = "once a round of 8 claims; the rival has no project";
    let tail = format!(
        "the fork+exec between the claims: p99 {} ms, {:.2} × its p50",
        plain.p99,
        plain.p99 / plain.p50
    );
    vec![
        Figure::against(
            label,
            &claims,
            ("PTY fork+exec", &plain),
            Target::AtMost(most),
            note,
        ),
        Figure::against(
            label,
            &claims,
            ("docker run", &run),
            Target::TimesFaster(40.0),
            between,
        ),
        Figure::against(
            label,
            &claims,
            ("docker exec", &exec),
            Target::TimesFaster(faster),
            between,
        ),
        Figure::tail(label, &claims, 3.0, tail),
    ]
}
