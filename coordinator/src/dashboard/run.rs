//! The loop: messages in, effects out, frames when something changed. The only file here that
//! knows tasks, signals and the wall clock.

use super::{
    attach,
    detach::Detach,
    effects,
    event::{AttachEnd, Effect, Msg},
    link,
    painter::Painter,
    preview::Watch,
    settings::Settings,
    state::State,
    term_guard::{self, TermGuard},
    update::{FALLBACK_SIZE, update},
};
use crate::client::Client;
use anyhow::Context;
use crossterm::event::{Event, EventStream};
use futures_util::StreamExt;
use podbay_protocol::Size;
use std::{
    future::Future,
    io::IsTerminal,
    pin::Pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// Shortest time between two frames: 60 a second at most.
const FRAME: Duration = Duration::from_millis(16);
/// Messages on their way. A full queue makes the event stream and the preview wait.
const QUEUE: usize = 1024;
/// Most messages taken in before a frame is drawn.
const BURST: usize = 4096;

/// How the dashboard behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DashboardOptions {
    /// Key sequences that lead back from a full-screen attach, as Docker writes them; the first
    /// one is shown to the user.
    pub detach_keys: Vec<String>,
}

impl Default for DashboardOptions {
    /// Ctrl-Q, Ctrl-P Ctrl-Q, Ctrl-\.
    fn default() -> Self {
        let detach_keys = ["ctrl-q", "ctrl-p,ctrl-q", "ctrl-\\"]
            .map(str::to_owned)
            .to_vec();
        Self { detach_keys }
    }
}

/// Opens the dashboard and blocks until it is left.
///
/// # Errors
/// There is no terminal, or it is lost.
pub fn open(client: Client) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(run(client, DashboardOptions::default()));
    // A thread may still be blocked in a read of the terminal; it must not hold the exit up.
    runtime.shutdown_background();
    result
}

/// Runs the dashboard on the terminal of stdin and stdout until the user leaves it or a signal
/// ends it (SIGTERM, SIGHUP, SIGINT: an ordinary return). Workers and sessions are not touched by
/// its end.
///
/// # Errors
/// When stdin or stdout is no terminal, when the terminal is lost, when the detach keys make no
/// sense, and after a panic in one of its tasks. A coordinator that cannot be reached is shown,
/// not returned.
pub async fn run(client: Client, options: DashboardOptions) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        anyhow::bail!("the dashboard needs a terminal; with docker exec, give -it");
    }
    let keys = Detach::new(&options.detach_keys).map_err(anyhow::Error::msg)?;
    let signals = Signals::new().context("watching for signals")?;
    let guard = TermGuard::enter().context("preparing the terminal")?;
    let state = State::new(
        Settings::default(),
        term_guard::size().unwrap_or(FALLBACK_SIZE),
        unix_ms(),
    );
    let (to, messages) = mpsc::channel(QUEUE);
    let follower = tokio::spawn(link::follow(client.clone(), to.clone()));
    let runner = Runner {
        client,
        keys,
        state,
        guard,
        painter: Painter::new(),
        input: Some(EventStream::new()),
        to,
        messages,
        watch: None,
        attached: None,
        clock: Clock::new(unix_ms()),
        quit: false,
    };
    let result = runner.run(signals).await;
    follower.abort();
    result
}

/// Signals that end or suspend the dashboard.
struct Signals {
    term: Signal,
    hup: Signal,
    int: Signal,
    tstp: Signal,
    cont: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        use nix::sys::signal::Signal as Number;
        let other = |number: Number| signal(SignalKind::from_raw(number as i32));
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            hup: signal(SignalKind::hangup())?,
            int: signal(SignalKind::interrupt())?,
            tstp: other(Number::SIGTSTP)?,
            cont: other(Number::SIGCONT)?,
        })
    }
}

/// The coordinator's clock: set by its events, run by the monotonic clock in between.
struct Clock {
    at_ms: u64,
    set: Instant,
}

impl Clock {
    fn new(at_ms: u64) -> Self {
        Self {
            at_ms,
            set: Instant::now(),
        }
    }

    fn now_ms(&self) -> u64 {
        let passed = u64::try_from(self.set.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at_ms.saturating_add(passed)
    }
}

type Attached = Pin<Box<dyn Future<Output = AttachEnd> + Send>>;

struct Runner {
    client: Client,
    keys: Detach,
    state: State,
    guard: TermGuard,
    painter: Painter,
    /// `None` while the terminal is lent to a session.
    input: Option<EventStream>,
    to: mpsc::Sender<Msg>,
    messages: mpsc::Receiver<Msg>,
    watch: Option<(String, Watch)>,
    attached: Option<Attached>,
    clock: Clock,
    quit: bool,
}

/// What woke the loop.
enum Woken {
    Msg(Msg),
    Input(Option<std::io::Result<Event>>),
    Attached(AttachEnd),
    Clock,
    Frame,
    Suspend,
    Continued,
    End,
    Panicked,
}

impl Runner {
    async fn run(mut self, mut signals: Signals) -> anyhow::Result<()> {
        let mut drawn = Instant::now() - FRAME;
        let mut changed = true;
        while !self.quit {
            let woken = self
                .wait(&mut signals, changed.then_some(drawn + FRAME))
                .await;
            match woken {
                Woken::Msg(msg) => {
                    self.take(msg)?;
                    for _ in 0..BURST {
                        match self.messages.try_recv() {
                            Ok(msg) => self.take(msg)?,
                            Err(_) => break,
                        }
                    }
                }
                Woken::Input(Some(Ok(event))) => match event {
                    Event::Key(key) => self.take(Msg::Key(key))?,
                    Event::Paste(text) => self.take(Msg::Paste(text))?,
                    Event::Resize(cols, rows) => {
                        let said = Size { cols, rows };
                        self.take(Msg::Resize(term_guard::size().unwrap_or(said)))?;
                    }
                    _ => continue,
                },
                Woken::Input(Some(Err(error))) => {
                    return Err(error).context("reading the terminal");
                }
                // The terminal hung up.
                Woken::Input(None) | Woken::End => break,
                Woken::Attached(end) => {
                    self.attached = None;
                    self.guard.take_back().context("taking the terminal back")?;
                    self.input = Some(EventStream::new());
                    self.resized()?;
                    self.take(Msg::ZoomEnded(end))?;
                }
                Woken::Clock => self.take(Msg::Now(self.clock.now_ms()))?,
                Woken::Suspend => self.suspend()?,
                Woken::Continued => {
                    // Continued after a stop that could not be caught: the shell has set its own
                    // modes meanwhile.
                    if self.attached.is_none() {
                        self.guard.again().context("taking the terminal back")?;
                        self.painter.forget();
                        self.resized()?;
                    }
                }
                Woken::Frame => {
                    (drawn, changed) = (Instant::now(), false);
                    self.painter.paint(&self.state).context("drawing")?;
                    continue;
                }
                Woken::Panicked => anyhow::bail!("the dashboard failed; workers run on"),
            }
            changed = self.attached.is_none();
        }
        Ok(())
    }

    async fn wait(&mut self, signals: &mut Signals, frame: Option<Instant>) -> Woken {
        let clock = match (&self.attached, self.state.next_change_ms()) {
            // Counted from when the state was told the time.
            (None, Some(ms)) => {
                let late = self.clock.now_ms().saturating_sub(self.state.now_ms);
                Some(Instant::now() + Duration::from_millis(ms.saturating_sub(late).max(1)))
            }
            _ => None,
        };
        let far = Instant::now() + Duration::from_secs(3_600);
        tokio::select! {
            biased;
            () = term_guard::panicked() => Woken::Panicked,
            _ = signals.term.recv() => Woken::End,
            _ = signals.hup.recv() => Woken::End,
            _ = signals.int.recv() => Woken::End,
            _ = signals.tstp.recv() => Woken::Suspend,
            _ = signals.cont.recv() => Woken::Continued,
            event = next_input(&mut self.input) => Woken::Input(event),
            end = next_end(&mut self.attached) => Woken::Attached(end),
            // Before the messages: a flood of them must not keep a frame from being drawn.
            () = sleep_until(frame.unwrap_or(far)), if frame.is_some() => Woken::Frame,
            Some(msg) = self.messages.recv() => Woken::Msg(msg),
            () = sleep_until(clock.unwrap_or(far)), if clock.is_some() => Woken::Clock,
        }
    }

    /// Takes in a message and carries out what follows.
    fn take(&mut self, msg: Msg) -> anyhow::Result<()> {
        match &msg {
            Msg::Api(event) => self.clock = Clock::new(event.at_ms),
            Msg::Now(_) => {}
            _ => self.state.now_ms = self.clock.now_ms(),
        }
        for effect in update(&mut self.state, msg) {
            self.carry_out(effect)?;
        }
        Ok(())
    }

    fn resized(&mut self) -> anyhow::Result<()> {
        self.painter.forget();
        match term_guard::size() {
            Some(size) if size != self.state.size => self.take(Msg::Resize(size)),
            _ => Ok(()),
        }
    }

    fn carry_out(&mut self, effect: Effect) -> anyhow::Result<()> {
        let client = self.client.clone();
        match effect {
            Effect::Quit => self.quit = true,
            Effect::Suspend => self.suspend()?,
            Effect::Redraw => self.painter.forget(),
            Effect::Watch(targets) => {
                let target = targets.into_iter().next();
                match (target, &self.watch) {
                    (Some(target), Some((id, watch))) if target.id == *id => {
                        watch.resize(target.size);
                    }
                    (target, _) => {
                        self.watch = target
                            .map(|t| (t.id.clone(), Watch::start(client, t, self.to.clone())));
                    }
                }
            }
            Effect::Zoom { id, takeover, .. } => {
                // Its thread must not take keys that are for the session.
                self.input = None;
                self.guard.lend().context("lending the terminal")?;
                self.attached = Some(Box::pin(attach::run(
                    client,
                    id,
                    takeover,
                    self.keys.clone(),
                )));
            }
            Effect::Act { what, act } => effects::act(&self.client, &self.to, what, act),
            Effect::Scroll { .. }
            | Effect::Clipboard(_)
            | Effect::Notify { .. }
            | Effect::Fetch(_)
            | Effect::Remember(_) => {}
        }
        Ok(())
    }

    fn suspend(&mut self) -> anyhow::Result<()> {
        if self.attached.is_some() {
            return Ok(());
        }
        self.input = None;
        if let Err(error) = self.guard.suspend() {
            self.state.refuse(format!("suspend: {error}"));
        }
        self.input = Some(EventStream::new());
        self.resized()
    }
}

/// Input of the terminal while it is ours.
async fn next_input(input: &mut Option<EventStream>) -> Option<std::io::Result<Event>> {
    match input {
        Some(input) => input.next().await,
        None => std::future::pending().await,
    }
}

/// The end of the attach while there is one.
async fn next_end(attached: &mut Option<Attached>) -> AttachEnd {
    match attached {
        Some(attached) => attached.await,
        None => std::future::pending().await,
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
