//! The coordinator's own log: where it goes, and how much of it there can be.
//!
//! Whatever workers do, it stays bounded: a line is cut at [`MAX_LOG_LINE`] bytes, one kind of line
//! is written once a minute for each worker, lines that nobody takes are dropped, and the files have
//! a size. Nobody who logs waits for a disk or for the engine that reads stderr.

use crate::{
    config::{LogConfig, LogFormat},
    model::{LeftOut, LogDecision, LogLimit},
    store::{LogFile, StateDir},
};
use anyhow::Context as _;
use std::{
    fmt::Debug,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tracing::{Event, Level, Subscriber, field::Field};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer, fmt,
    fmt::MakeWriter,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

/// Longest line, in bytes; what is behind is cut off.
const MAX_LOG_LINE: usize = 8 << 10;
/// Lines that wait to be written; further ones are dropped.
const MAX_WAITING: usize = 1024;
/// How often lines that were left out are counted in one.
const MINUTE: Duration = Duration::from_secs(60);
/// Lines of a kind in a minute that are about no worker.
const MAX_GENERAL: u32 = 60;
/// Lines a minute that say what was left out.
const MAX_TOLD: usize = 100;
/// What says that lines were left out is not left out.
const TARGET: &str = "podbay::log";

/// Flushes the log when it is dropped.
pub(in crate::daemon) struct LogGuards {
    _writers: [WorkerGuard; 2],
    limits: Arc<Limits>,
}

/// Logs to stderr and to files rotated by size.
///
/// # Errors
/// The filter cannot be read, or the file not opened.
pub(in crate::daemon) fn start(
    config: &LogConfig,
    state_dir: &StateDir,
) -> anyhow::Result<LogGuards> {
    let file = LogFile::open(state_dir.join("logs"), "coordinator", config.keep_files)
        .context("opening the log file")?;
    let (file, file_guard) = waiting(file);
    let (stderr, stderr_guard) = waiting(io::stderr());
    let mut filter = EnvFilter::try_new(&config.level).context("reading the log filter")?;
    // At its finest level it prints messages whole, those that carry an environment included.
    for quiet in ["tungstenite=info", "tokio_tungstenite=info"] {
        filter = filter.add_directive(quiet.parse().context("reading the log filter")?);
    }
    let limits = Arc::new(Limits::default());
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(Limited(limits.clone()));
    match config.format {
        LogFormat::Json => registry
            .with(fmt::layer().json().with_writer(stderr))
            .with(fmt::layer().json().with_writer(file))
            .try_init(),
        LogFormat::Text => registry
            .with(fmt::layer().with_ansi(false).with_writer(stderr))
            .with(fmt::layer().with_ansi(false).with_writer(file))
            .try_init(),
    }
    .context("starting the log")?;
    Ok(LogGuards {
        _writers: [file_guard, stderr_guard],
        limits,
    })
}

impl LogGuards {
    /// Says each minute how many lines were left out; ends with its runtime.
    pub(in crate::daemon) fn count(&self) {
        let limits = self.limits.clone();
        tokio::spawn(async move {
            let mut minutes = tokio::time::interval(MINUTE);
            loop {
                minutes.tick().await;
                limits.tell(Instant::now());
            }
        });
    }
}

fn waiting(to: impl Write + Send + 'static) -> (Cut, WorkerGuard) {
    let builder = NonBlockingBuilder::default().buffered_lines_limit(MAX_WAITING);
    let (writer, guard) = builder.lossy(true).finish(to);
    (Cut(writer), guard)
}

/// Cuts lines before they wait.
#[derive(Debug, Clone)]
struct Cut(NonBlocking);

impl Write for Cut {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match line.get(..MAX_LOG_LINE) {
            Some(head) if line.len() > MAX_LOG_LINE => {
                self.0.write_all(&[head, b"... (cut)\n"].concat())?;
            }
            _ => self.0.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<'a> MakeWriter<'a> for Cut {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[derive(Debug)]
struct Limits {
    inner: Mutex<Counted>,
}

#[derive(Debug)]
struct Counted {
    workers: LogLimit,
    general: LogLimit,
    /// Left out before a line that was written.
    owed: Vec<LeftOut>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Counted {
                workers: LogLimit::per_worker(),
                general: LogLimit::new(MINUTE, MAX_GENERAL, 1024),
                owed: Vec::new(),
            }),
        }
    }
}

impl Limits {
    fn lock(&self) -> std::sync::MutexGuard<'_, Counted> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, kind: &'static str, worker: Option<String>, now: Instant) -> bool {
        let mut counted = self.lock();
        let verdict = match &worker {
            Some(worker) => counted.workers.ask(kind, worker, now),
            None => counted.general.ask(kind, "", now),
        };
        match verdict {
            LogDecision::LeaveOut => false,
            LogDecision::Write { left_out: 0 } => true,
            LogDecision::Write { left_out } => {
                counted.owed.push(LeftOut {
                    kind,
                    subject: worker.unwrap_or_default(),
                    lines: left_out,
                });
                true
            }
        }
    }

    fn due(&self, now: Instant) -> Vec<LeftOut> {
        let mut counted = self.lock();
        let mut due = std::mem::take(&mut counted.owed);
        due.extend(counted.workers.due(now));
        due.extend(counted.general.due(now));
        due
    }

    fn tell(&self, now: Instant) {
        let due = self.due(now);
        let (told, untold) = due.split_at(due.len().min(MAX_TOLD));
        for LeftOut {
            kind,
            subject,
            lines,
        } in told
        {
            let place = kind.strip_prefix("event ").unwrap_or(kind);
            tracing::warn!(target: TARGET, place, subject, lines, "similar lines were left out");
        }
        let lines: u64 = untold.iter().map(|left| left.lines).sum();
        if lines > 0 {
            tracing::warn!(target: TARGET, lines, "further lines were left out");
        }
    }
}

/// Leaves lines out, whatever writes them.
struct Limited(Arc<Limits>);

impl<S: Subscriber> Layer<S> for Limited {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        // Finer levels are asked for, and bounded by the files' size.
        if *metadata.level() > Level::INFO || metadata.target() == TARGET {
            return true;
        }
        let mut worker = Worker(None);
        event.record(&mut worker);
        self.0.ask(metadata.name(), worker.0, Instant::now())
    }
}

/// Which worker a line is about.
struct Worker(Option<String>);

impl tracing::field::Visit for Worker {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "worker" {
            self.0 = Some(format!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_flood_is_one_line_for_each_worker_and_is_counted() {
        let lines = Lines::default();
        let to = lines.clone();
        let limits = Arc::new(Limits::default());
        let subscriber = tracing_subscriber::registry()
            .with(Limited(limits.clone()))
            .with(
                fmt::layer()
                    .with_ansi(false)
                    .with_writer(move || to.clone()),
            );
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..1000 {
                for worker in ["w1", "w2"] {
                    tracing::warn!(%worker, n, "refused a connection");
                    tracing::info!(worker, n, "as text");
                }
                tracing::error!(n, "about nobody");
                tracing::debug!(worker = "w1", n, "asked for");
            }
            limits.tell(Instant::now() + MINUTE);
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let count = |what: &str| text.matches(what).count();
        assert_eq!(count("refused a connection"), 2, "{text}");
        assert_eq!(count("as text"), 2);
        assert_eq!(count("about nobody"), MAX_GENERAL as usize);
        assert_eq!(count("asked for"), 1000);
        assert_eq!(count("lines=999"), 4);
        assert_eq!(count("lines=940"), 1);
        assert!(text.contains("logging.rs:"));
    }

    #[test]
    fn a_long_line_is_cut_before_it_waits() {
        let lines = Lines::default();
        let (mut to, guard) = waiting(lines.clone());
        to.write_all(&vec![b'x'; 1 << 20]).unwrap();
        to.write_all(b"short\n").unwrap();
        drop(guard);
        let text = lines.0.lock().unwrap().clone();
        assert!(text.len() < MAX_LOG_LINE + 50);
        assert!(text.ends_with(b"... (cut)\nshort\n"));
    }
}
