//! An attached session against tmux: throughput and keystrokes, each on an outer terminal that the
//! bench reads.

use crate::{
    instance::Bench,
    outer::{Outer, Prepared, Seen},
    report::{Figure, Target},
    rivals,
    scratch::TEXT,
    stats::{Series, ms},
    threads::blocking,
};
use coordinator::{cli::Failure, model::Isolation};
use podbay_protocol::{SessionIo, Size};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// The terminals' size.
const SIZE: Size = Size {
    cols: 160,
    rows: 50,
};
/// Megabytes of text.
const MEGABYTES: usize = 64;
/// Everything is on the screen by then.
const PATIENCE: Duration = Duration::from_secs(120);
/// A pause between keystrokes, in which late redraws are read.
const PAUSE: Duration = Duration::from_millis(8);
/// Keys that end no control sequence, so that an echo is told from a redraw.
const KEYS: [&str; 6] = ["q", "v", "w", "x", "y", "z"];

/// The figures.
pub async fn measure(bench: &Bench) -> Result<Vec<Figure>, Failure> {
    let tmux =
        rivals::find_tmux().ok_or_else(|| Failure::new(1, "tmux, the rival, is not installed"))?;
    let tmux = tmux.to_string_lossy().into_owned();
    bench.say("attach: making the text");
    let (project, size) = bench.scratch.text(MEGABYTES)?;
    let mut figures = throughput(bench, &tmux, &project, size).await?;
    figures.extend(keystrokes(bench, &tmux, &project).await?);
    Ok(figures)
}

/// A session in a claimed worker, and `podbay attach` to it on an outer terminal.
async fn ours(bench: &Bench, project: &Path, command: &str) -> Result<(Outer, String), Failure> {
    bench.fill(1).await?;
    bench.pause().await?;
    let mut request = bench.request(project, Isolation::Bind, command);
    request.io = SessionIo::Pty { size: SIZE };
    let name = bench.client.spawn(&request).await?.worker.name;
    let program = Prepared::new(&[
        &bench.program.to_string_lossy(),
        "--socket",
        &bench.socket.to_string_lossy(),
        "attach",
        &name,
    ])?;
    Ok((Outer::start(&program, SIZE)?, name))
}

/// The same command in a tmux server of the bench's own.
fn theirs(bench: &Bench, tmux: &str, command: &str) -> Result<Outer, Failure> {
    let server = rivals::tmux_server(&bench.run);
    let program = Prepared::new(&[
        tmux,
        "-L",
        &server,
        "-f",
        "/dev/null",
        "new-session",
        "/bin/sh",
        "-c",
        command,
    ])?;
    Outer::start(&program, SIZE)
}

fn printer(folder: &str) -> String {
    // The marker is put together by the shell, so that an echo of the command is none.
    format!(
        "stty -echo; echo READY; while read -r n; do cat {folder}/{TEXT}; printf '\\n@@%s@@\\n' \
         \"END$n\"; done"
    )
}

async fn throughput(
    bench: &Bench,
    tmux: &str,
    project: &Path,
    size: usize,
) -> Result<Vec<Figure>, Failure> {
    let rounds = if bench.quick { 3 } else { 7 };
    let here = printer(&project.to_string_lossy());
    let (attached, name) = ours(bench, project, &printer("/workspace")).await?;
    let rival = theirs(bench, tmux, &here)?;
    let plain = Outer::start(&Prepared::new(&["/bin/sh", "-c", &here])?, SIZE)?;
    let mut speeds = [const { Vec::new() }; 3];
    let mut reached = [const { Vec::new() }; 3];
    let mut outers = vec![attached, rival, plain];
    for outer in &outers {
        outer.until("READY", PATIENCE)?;
        outer.drain(Duration::from_millis(300))?;
    }
    for round in 0..rounds {
        for (index, (speeds, reached)) in speeds.iter_mut().zip(&mut reached).enumerate() {
            let outer = outers.remove(0);
            let print = move || -> Result<(Outer, Seen), Failure> {
                outer.write(format!("{round}{index}\r").as_bytes())?;
                let seen = outer.until(&format!("@@END{round}{index}@@"), PATIENCE)?;
                outer.drain(Duration::from_millis(100))?;
                Ok((outer, seen))
            };
            let (outer, seen) = blocking(print).await?;
            outers.push(outer);
            speeds.push((size as f64 / 1e3 / seen.took.as_secs_f64()).round() / 1e3);
            reached.push(seen.bytes as f64 / size as f64 * 100.0);
        }
        bench.say(&format!("attach: throughput {} of {rounds}", round + 1));
    }
    drop(outers);
    rivals::kill_tmux(&bench.run).await;
    bench.remove(vec![name]).await?;
    let [ours, theirs, plain] = speeds.map(Series::of);
    let [ours_reached, theirs_reached, _] = reached.map(Series::of);
    let note = format!(
        "{:.0} MB of coloured text a round; reached the outer terminal: ours {:.0} %, tmux's {:.0} \
         %; a plain PTY {:.0} MB/s",
        size as f64 / 1e6,
        ours_reached.p50,
        theirs_reached.p50,
        plain.p50
    );
    let label = ("attach", "throughput", "MB/s");
    Ok(vec![Figure::against(
        label,
        &ours,
        ("tmux", &theirs),
        Target::AtLeast(2.0),
        note,
    )])
}

async fn keystrokes(bench: &Bench, tmux: &str, project: &Path) -> Result<Vec<Figure>, Failure> {
    let keys = if bench.quick { 100 } else { 500 };
    let echo = "stty raw -echo; printf READY; exec cat";
    let (attached, name) = ours(bench, project, echo).await?;
    let rival = theirs(bench, tmux, echo)?;
    let plain = Outer::start(&Prepared::new(&["/bin/sh", "-c", echo])?, SIZE)?;
    let outers = [attached, rival, plain];
    let typing = move || -> Result<[Vec<f64>; 3], Failure> {
        for outer in &outers {
            outer.until("READY", PATIENCE)?;
            outer.drain(Duration::from_millis(300))?;
        }
        let mut samples = [const { Vec::new() }; 3];
        for (_, key) in (0..keys).zip(KEYS.iter().cycle()) {
            for (outer, samples) in outers.iter().zip(&mut samples) {
                let began = Instant::now();
                outer.write(key.as_bytes())?;
                outer.until(key, PATIENCE)?;
                samples.push(ms(began.elapsed()));
                outer.drain(PAUSE)?;
            }
        }
        Ok(samples)
    };
    bench.say(&format!("attach: {keys} keystrokes each"));
    let samples = blocking(typing).await?;
    rivals::kill_tmux(&bench.run).await;
    bench.remove(vec![name]).await?;
    let [ours, theirs, plain] = samples.map(Series::of);
    let note = format!(
        "key typed at the outer terminal until its echo is there, turn by turn; tmux's p99 {} ms, a \
         plain PTY's p50 {} ms",
        theirs.p99, plain.p50
    );
    let label = ("attach", "keystroke to echo", "ms");
    Ok(vec![Figure::against(
        label,
        &ours,
        ("tmux", &theirs),
        Target::AtMost(1.0),
        note,
    )])
}
