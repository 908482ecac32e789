//! What tests of the engine's faults share: counting sessions, and instances on engines that may
//! be broken.

use e2e::{
    instance::{Instance, faults_image, spawn, text},
    private_engine::{PrivateEngine, small_config},
    processes,
    proxy::Proxy,
    terminal::Terminal,
    unique, wait,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Counts, a number a line, in any shell.
pub(crate) const COUNTER: &str = "n=0; while :; do n=$((n+1)); echo \"n=$n\"; sleep 0.02; done";

/// An instance of the small image on a private engine, its pool full.
pub(crate) fn on(engine: &PrivateEngine, min_warm: u32, max_warm: u32) -> Instance {
    let config = quick(small_config(min_warm, max_warm));
    let mut instance = Instance::prepare_on(engine.engine(), None, &config);
    instance.image = faults_image();
    up(&instance, &engine.socket());
    instance.wait_warm("default", min_warm.into());
    instance
}

/// The same, with a proxy between the two that dials anew: as with a socket that systemd keeps.
pub(crate) fn on_behind(
    engine: &PrivateEngine,
    proxy: &Proxy,
    min_warm: u32,
    max_warm: u32,
) -> Instance {
    let config = quick(small_config(min_warm, max_warm));
    let mut instance = Instance::prepare_on(engine.engine(), None, &config);
    instance.image = faults_image();
    up(&instance, proxy.socket());
    instance.wait_warm("default", min_warm.into());
    instance
}

/// The same on the machine's engine, with the proxy between the two.
pub(crate) fn behind(proxy: &Proxy, min_warm: u32, max_warm: u32) -> Instance {
    let config = quick(e2e::instance::config(min_warm, max_warm));
    let mut instance = Instance::prepare(&config);
    instance.image = faults_image();
    up(&instance, proxy.socket());
    instance.wait_warm("default", min_warm.into());
    instance
}

/// Deadlines that tests can wait for.
pub(crate) fn quick(config: String) -> String {
    config + "\n[engine]\ntimeout = \"2s\"\ncreate_timeout = \"10s\"\n"
}

pub(crate) fn up(instance: &Instance, socket: &Path) {
    instance.up_or_panic(&[], &["--engine-socket", &socket.to_string_lossy()]);
}

/// A session that counts, watched by an attached client.
#[derive(Debug)]
pub(crate) struct Counting {
    mark: String,
    pub(crate) terminal: Terminal,
    pid: i32,
}

impl Counting {
    /// Starts it without a project and waits until it counts.
    pub(crate) fn start(instance: &Instance, name: &str) -> Self {
        let mark = unique("count");
        let marked = format!("E2E_MARK={mark}");
        let args = spawn(name, &["-e", &marked], &["sh", "-c", COUNTER]);
        let terminal = instance.direct_terminal(&args, 80, 24);
        terminal.wait_for("n=5");
        // What it starts has the mark as well, and may have a lower number.
        let shell = |pid: &i32| processes::argv(*pid).get(1).is_some_and(|arg| arg == "-c");
        let pid = processes::marked("E2E_MARK", &mark).into_iter().find(shell);
        let pid = pid.expect("the session's first process");
        Self {
            mark,
            terminal,
            pid,
        }
    }

    /// Whether the session's first process is the one it began with.
    pub(crate) fn lives(&self) -> bool {
        processes::marked("E2E_MARK", &self.mark).contains(&self.pid)
    }

    /// The numbers that the client was shown, in order, each once.
    pub(crate) fn seen(&self) -> Vec<u64> {
        let raw = text(&self.terminal.raw());
        // The last line may be half there.
        let whole = raw.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| line.trim_end_matches('\r'));
        lines
            .filter_map(|line| line.strip_prefix("n=")?.parse().ok())
            .collect()
    }

    /// The last number shown.
    pub(crate) fn last(&self) -> u64 {
        self.seen().last().copied().unwrap_or_default()
    }

    /// Waits until so many more were shown.
    pub(crate) fn goes_on(&self, more: u64) {
        let from = self.last();
        wait::until_true("the count to go on", Duration::from_secs(20), || {
            self.last() >= from + more
        });
    }

    /// Fails unless every number from the first to the last was shown exactly once.
    pub(crate) fn no_gap(&self) -> usize {
        let seen = self.seen();
        let first = seen.first().copied().unwrap_or(1);
        for (expected, number) in (first..).zip(&seen) {
            assert_eq!(*number, expected, "a number is missing or twice");
        }
        seen.len()
    }
}

/// Watches for the longest time in which the client was shown nothing new, until told to stop.
pub(crate) fn longest_silence(counting: &Counting, mut done: impl FnMut() -> bool) -> Duration {
    let (mut longest, mut changed, mut bytes) = (Duration::ZERO, Instant::now(), 0);
    while !done() {
        let now = counting.terminal.raw().len();
        if now != bytes {
            bytes = now;
            changed = Instant::now();
        }
        longest = longest.max(changed.elapsed());
        wait::pause(Duration::from_millis(5));
    }
    longest
}

/// `p50, p99 and the longest of n` of some times.
pub(crate) fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |p: usize| times[(times.len() * p / 100).min(times.len() - 1)];
    format!(
        "p50 {:.0?}, p99 {:.0?}, longest {:.0?} of {}",
        at(50),
        at(99),
        at(100),
        times.len()
    )
}

/// One word of `podbay status`.
pub(crate) fn reachable(instance: &Instance) -> Option<bool> {
    instance.ask(["status", "--json"])?["engine"]["reachable"].as_bool()
}

/// Waits until the coordinator finds the engine reachable, or not.
pub(crate) fn wait_reachable(instance: &Instance, wanted: bool, bound: Duration) -> Duration {
    let began = Instant::now();
    wait::until_true(
        if wanted {
            "the engine to be back"
        } else {
            "the engine to be missed"
        },
        bound,
        || reachable(instance) == Some(wanted),
    );
    began.elapsed()
}
