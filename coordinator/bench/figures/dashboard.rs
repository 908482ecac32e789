//! The dashboard with 32 workers: its start, its keys while some of them flood, its rest.

use super::adopt::WORKERS;
use crate::{
    instance::Bench,
    outer::{Outer, Prepared},
    process,
    report::Figure,
    stats::{Series, ms},
    threads::blocking,
};
use coordinator::{cli::Failure, model::Isolation};
use podbay_protocol::{SessionIo, Size};
use std::time::{Duration, Instant};
use worker_agent::screen::{Screen, ScreenOptions};

/// The dashboard's terminal.
const SIZE: Size = Size {
    cols: 160,
    rows: 50,
};
/// How many of the workers flood.
const FLOODING: usize = 4;
/// Milliseconds from exec to a full frame.
const START: f64 = 100.0;
/// Milliseconds from a key to the frame it changes, at the 99th percentile.
const KEY: f64 = 30.0;
/// Percent of one processor with floods.
const BUSY: f64 = 15.0;
/// Percent of one processor at rest.
const REST: f64 = 0.2;
/// Megabytes.
const MEMORY: f64 = 40.0;
/// What is to be seen is there by then.
const PATIENCE: Duration = Duration::from_secs(20);
/// Ends a frame (synchronized update).
const FRAME_END: &[u8] = b"\x1b[?2026l";
/// The row in which the selected worker is named: below the header and one pool.
const TABS_ROW: usize = 2;

/// The figures.
pub async fn measure(bench: &Bench) -> Result<Vec<Figure>, Failure> {
    let project = bench.scratch.folder("dashboard")?;
    bench.fill(8).await?;
    let mut names = Vec::new();
    let all = usize::try_from(WORKERS).unwrap_or(32);
    for i in 0..all {
        let command = match i < FLOODING {
            true => "exec yes \"$(printf '%0150d' 7)\"",
            false => "printf 'at rest\\n'; exec sleep 100000",
        };
        let mut request = bench.request(&project, Isolation::Bind, command);
        request.io = SessionIo::Pty { size: SIZE };
        names.push(bench.client.spawn(&request).await?.worker.name);
        bench.say(&format!("dashboard: {} of {all} workers", i + 1));
    }
    // Only sessions, so that nothing but the floods changes.
    bench.drain().await?;
    let socket = bench.socket.to_string_lossy().into_owned();
    let program = bench.program.to_string_lossy().into_owned();
    let quick = bench.quick;
    let start = move || Prepared::new(&[&program, "--socket", &socket, "dashboard"]);
    let begin = start.clone();
    let starts = blocking(move || starts(&begin()?, if quick { 5 } else { 20 })).await?;
    let begin = start.clone();
    let keys = if quick { 60 } else { 300 };
    let busy = blocking(move || busy(&begin()?, keys)).await?;
    bench.say("dashboard: the floods end");
    bench
        .remove(names.iter().take(FLOODING).cloned().collect())
        .await?;
    let window = Duration::from_secs(if quick { 20 } else { 60 });
    let rest = blocking(move || rest(&start()?, window)).await?;
    bench
        .remove(names.into_iter().skip(FLOODING).collect())
        .await?;
    let ways = format!("{all} workers, {FLOODING} of them flooding, one of these shown");
    Ok(vec![
        Figure::limited(
            ("dashboard", "exec to a full frame", "ms"),
            &Series::of(starts),
            (START, false),
            format!("{ways}: until the last of the list and the keys are drawn"),
        ),
        Figure::limited(
            ("dashboard", "key to its frame, p99", "ms"),
            &Series::one(busy.keys.p99),
            (KEY, true),
            format!("{ways}: j and k; median {} ms", busy.keys.p50),
        ),
        Figure::limited(
            ("dashboard", "processor with floods", "%"),
            &Series::one(busy.percent),
            (BUSY, true),
            format!("{ways}: of one processor over 15 s without keys"),
        ),
        Figure::limited(
            ("dashboard", "memory", "MB"),
            &Series::one(busy.memory),
            (MEMORY, true),
            format!("{ways}: resident, after all that"),
        ),
        Figure::limited(
            ("dashboard", "processor at rest", "%"),
            &Series::one(rest.percent),
            (REST, true),
            format!(
                "{} silent workers over {window:?}: {} frames, one of them a minute for the clock",
                all - FLOODING,
                rest.frames
            ),
        ),
    ])
}

/// A dashboard and what its terminal shows.
struct Shown {
    outer: Outer,
    screen: Screen,
    frames: usize,
    tail: Vec<u8>,
}

impl Shown {
    fn start(program: &Prepared) -> Result<Self, Failure> {
        Ok(Self {
            outer: Outer::start(program, SIZE)?,
            screen: Screen::new(SIZE.cols, SIZE.rows, ScreenOptions { scrollback: 0 }),
            frames: 0,
            tail: Vec::new(),
        })
    }

    /// Reads until a whole frame shows what is wanted.
    fn until(
        &mut self,
        what: &str,
        wanted: impl Fn(&[String]) -> bool,
    ) -> Result<Duration, Failure> {
        let began = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(began.elapsed());
            let mut buffer = vec![0; 64 << 10];
            let piece = match left.is_zero() {
                true => None,
                false => self.outer.piece(&mut buffer, left)?,
            };
            let Some(piece) = piece else {
                let shown = self.screen.text().join("\n");
                return Err(Failure::new(
                    1,
                    format!("the dashboard did not show {what}:\n{shown}"),
                ));
            };
            let piece = piece.to_vec();
            if self.take(&piece) > 0 && wanted(&self.screen.text()) {
                return Ok(began.elapsed());
            }
        }
    }

    /// Takes output in; gives the frames that it ended.
    fn take(&mut self, piece: &[u8]) -> usize {
        self.screen.process(piece);
        self.tail.extend_from_slice(piece);
        let ended = self
            .tail
            .windows(FRAME_END.len())
            .filter(|w| *w == FRAME_END)
            .count();
        let keep = self.tail.len().saturating_sub(FRAME_END.len() - 1);
        self.tail.drain(..keep);
        self.frames += ended;
        ended
    }

    /// Reads for so long.
    fn watch(&mut self, window: Duration) -> Result<(), Failure> {
        let began = Instant::now();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let left = window.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            if let Some(piece) = self.outer.piece(&mut buffer, left)? {
                let piece = piece.to_vec();
                self.take(&piece);
            }
        }
    }

    fn percent_over(&mut self, window: Duration) -> Result<f64, Failure> {
        let pid = self.outer.pid();
        let before = process::cpu_seconds(pid).ok_or_else(gone)?;
        let began = Instant::now();
        self.watch(window)?;
        let used = process::cpu_seconds(pid).ok_or_else(gone)? - before;
        Ok((used / began.elapsed().as_secs_f64() * 1e5).round() / 1e3)
    }
}

fn gone() -> Failure {
    Failure::new(1, "the dashboard went away")
}

/// All that a first look needs: the list with its workers, and the keys.
fn full(lines: &[String]) -> bool {
    lines.iter().any(|l| l.contains("bench-"))
        && lines.last().is_some_and(|l| l.contains("quit"))
        && lines.iter().any(|l| l.contains("Terminal"))
}

fn starts(program: &Prepared, rounds: usize) -> Result<Vec<f64>, Failure> {
    let mut samples = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        let mut shown = Shown::start(program)?;
        shown.until("its workers", full)?;
        samples.push(ms(began.elapsed()));
    }
    Ok(samples)
}

struct Busy {
    keys: Series,
    percent: f64,
    memory: f64,
}

fn busy(program: &Prepared, keys: usize) -> Result<Busy, Failure> {
    let mut shown = Shown::start(program)?;
    shown.until("its workers", full)?;
    // The floods are the first of the working ones: the first rows.
    let flood = |lines: &[String]| lines.iter().filter(|l| l.contains("0000000")).count() > 20;
    shown.until("a flood", flood)?;
    let percent = shown.percent_over(Duration::from_secs(15))?;
    let mut samples = Vec::new();
    for i in 0..keys {
        let named = |lines: &[String]| lines.get(TABS_ROW).cloned().unwrap_or_default();
        let before = named(&shown.screen.text());
        let began = Instant::now();
        let key: &[u8] = if i % 2 == 0 { b"j" } else { b"k" };
        shown.outer.write(key)?;
        shown.until("another selection", |lines| named(lines) != before)?;
        samples.push(ms(began.elapsed()));
        // A hand is not faster; the floods go on meanwhile.
        shown.watch(Duration::from_millis(60))?;
    }
    let memory = process::resident(shown.outer.pid()).ok_or_else(gone)?;
    Ok(Busy {
        keys: Series::of(samples),
        percent,
        memory: memory.total,
    })
}

struct Rest {
    percent: f64,
    frames: usize,
}

fn rest(program: &Prepared, window: Duration) -> Result<Rest, Failure> {
    let mut shown = Shown::start(program)?;
    shown.until("its workers", full)?;
    // Readings and pools come to rest.
    shown.watch(Duration::from_secs(10))?;
    shown.frames = 0;
    let percent = shown.percent_over(window)?;
    Ok(Rest {
        percent,
        frames: shown.frames,
    })
}
