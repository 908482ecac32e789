//! The loop: messages in, effects out, frames when something changed.

use super::{
    effects,
    event::{AttachEnd, Effect, Msg},
    fetch::Fetcher,
    input::{Input, Mode, Typed},
    link,
    live::Lives,
    memory,
    outer::Outer,
    painter::Painter,
    settings::Settings,
    signals::{Clock, Signalled, Signals},
    spawn::SpawnMemory,
    state::State,
    term_guard::{self, TermGuard},
    update::{FALLBACK_SIZE, update},
    writer::Writer,
    zoom,
};
use crate::{
    cli::attach::{self, BorrowedTerminal as Lent, Matcher},
    client::{Client, Discover},
};
use anyhow::Context;
use bytes::Bytes;
use std::{
    future::Future,
    io::{IsTerminal, Write},
    os::fd::OwnedFd,
    pin::Pin,
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use worker_agent::screen::{Modes, Mouse};

/// Shortest time between two frames: 60 a second at most.
const FRAME: Duration = Duration::from_millis(16);
/// Messages on their way. A full queue makes the event stream wait.
const QUEUE: usize = 1024;
/// Most messages taken in before a frame is drawn.
const BURST: usize = 4096;

/// How the dashboard behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DashboardOptions {
    /// Key sequences that lead back from a worker's terminal, as Docker writes them; the first
    /// one is shown to the user. Empty: the configuration's.
    pub detach_keys: Vec<String>,
    /// A worker to begin with, by name or id.
    pub worker: Option<String>,
}

/// Finds the coordinator and opens the dashboard, with a worker selected.
///
/// # Errors
/// There is no coordinator; as [`open`].
pub fn start(discover: &Discover, worker: Option<String>) -> anyhow::Result<()> {
    let options = DashboardOptions {
        worker,
        ..DashboardOptions::default()
    };
    open(Client::discover(discover)?, options)
}

/// Opens the dashboard and blocks until it is left.
///
/// # Errors
/// There is no terminal, or it is lost.
pub fn open(client: Client, options: DashboardOptions) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(run(client, options));
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
    let mut settings = Settings::load(&client).await;
    if !options.detach_keys.is_empty() {
        settings.leave_keys = options.detach_keys;
    }
    let keys = Matcher::new(&settings.leave_keys).map_err(anyhow::Error::msg)?;
    let signals = Signals::new().context("watching for signals")?;
    let guard = TermGuard::enter().context("preparing the terminal")?;
    let clock = Clock::of_the_system();
    let mut state = State::new(
        settings,
        term_guard::size().unwrap_or(FALLBACK_SIZE),
        clock.now_ms(),
    );
    if let Some(file) = memory::file() {
        match memory::load(&file) {
            Ok(values) => state.spawn_memory = values,
            Err(error) => state.refuse(format!("{}: {error}", file.display())),
        }
    }
    state.select_when_listed = options.worker;
    let (pieces, stop) = attach::Input::start(true)
        .context("reading the terminal")?
        .split();
    let (to, messages) = mpsc::channel(QUEUE);
    let follower = tokio::spawn(link::follow(client.clone(), to.clone()));
    let runner = Runner {
        lives: Lives::new(client.clone()),
        fetcher: Fetcher::new(client.clone(), to.clone()),
        client,
        input: Input::new(keys.clone()),
        keys,
        state,
        painter: Painter::new(),
        writer: Writer::start().context("writing to the terminal")?,
        guard,
        pieces: Some(pieces),
        stop,
        expires: None,
        to,
        messages,
        zoomed: None,
        clock,
        changed: true,
        quit: false,
    };
    let result = runner.run(signals).await;
    follower.abort();
    result
}

type Zoomed = Pin<Box<dyn Future<Output = (AttachEnd, Lent)> + Send>>;

struct Runner {
    client: Client,
    fetcher: Fetcher,
    keys: Matcher,
    state: State,
    painter: Painter,
    writer: Writer,
    guard: TermGuard,
    /// What is read from the terminal; `None` while that is lent to a session.
    pieces: Option<mpsc::Receiver<Bytes>>,
    /// The reading ends with it.
    stop: OwnedFd,
    input: Input,
    /// When what has begun in the input has to have gone on.
    expires: Option<Instant>,
    lives: Lives,
    to: mpsc::Sender<Msg>,
    messages: mpsc::Receiver<Msg>,
    zoomed: Option<Zoomed>,
    clock: Clock,
    /// Whether there may be something new to draw.
    changed: bool,
    quit: bool,
}

/// What woke the loop.
enum Woken {
    Msg(Msg),
    Live,
    Piece(Option<Bytes>),
    Expired,
    Zoomed((AttachEnd, Lent)),
    Clock,
    Frame,
    Written(std::io::Result<()>),
    Signal(Signalled),
    Panicked,
}

impl Runner {
    async fn run(mut self, mut signals: Signals) -> anyhow::Result<()> {
        let result = self.turn(&mut signals).await;
        // What was typed or pasted ahead is not for the shell.
        let in_paste = self.input.in_paste();
        let behind = self.input.take_rest();
        self.zoomed = None;
        let lost = attach::drain_rest(self.pieces.as_mut(), &behind, in_paste).await;
        // Nothing reads the terminal any more, and it is the user's again.
        drop(self.stop);
        drop(self.guard);
        if let Some(said) = attach::thrown_away(lost) {
            // A failure to write it has nowhere to be told.
            drop(writeln!(std::io::stderr(), "[podbay: {said}]"));
        }
        self.lives.finish().await;
        result
    }

    async fn turn(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        let mut drawn = Instant::now() - FRAME;
        while !self.quit {
            let ready = self.changed && self.zoomed.is_none() && !self.writer.is_busy();
            match self.wait(signals, ready.then_some(drawn + FRAME)).await {
                Woken::Msg(msg) => {
                    self.take(msg)?;
                    for _ in 0..BURST {
                        match self.messages.try_recv() {
                            Ok(msg) => self.take(msg)?,
                            Err(_) => break,
                        }
                    }
                }
                Woken::Live => {
                    while let Some(msg) = self.lives.take() {
                        self.take(Msg::Live(msg))?;
                    }
                }
                Woken::Piece(Some(piece)) => {
                    self.input.feed(&piece);
                    self.typed()?;
                }
                Woken::Expired => {
                    self.input.expire();
                    self.typed()?;
                }
                // The terminal hung up.
                Woken::Piece(None) => break,
                Woken::Zoomed((end, lent)) => self.take_back(end, lent)?,
                Woken::Clock => self.take(Msg::Now(self.clock.now_ms()))?,
                Woken::Frame => {
                    drawn = Instant::now();
                    self.draw()?;
                }
                Woken::Written(result) => result.context("drawing")?,
                Woken::Signal(signal) => match signal {
                    Signalled::End => break,
                    Signalled::Suspend => self.suspend()?,
                    Signalled::Continued => self.continued()?,
                    // Also when it has its former size again: what it shows went meanwhile.
                    Signalled::Resized => self.anew()?,
                },
                Woken::Panicked => anyhow::bail!("the dashboard failed; workers run on"),
            }
        }
        Ok(())
    }

    async fn wait(&mut self, signals: &mut Signals, frame: Option<Instant>) -> Woken {
        let clock = match (&self.zoomed, self.state.next_change_ms()) {
            // Counted from when the state was told the time.
            (None, Some(ms)) => {
                let late = self.clock.now_ms().saturating_sub(self.state.now_ms);
                Some(Instant::now() + Duration::from_millis(ms.saturating_sub(late).max(1)))
            }
            _ => None,
        };
        let never = Instant::now();
        let expires = self.expires.filter(|_| self.zoomed.is_none());
        let zoomed = self.zoomed.is_some();
        tokio::select! {
            biased;
            () = term_guard::panicked() => Woken::Panicked,
            signal = signals.next() => Woken::Signal(signal),
            piece = next_piece(&mut self.pieces) => Woken::Piece(piece),
            end = next_end(&mut self.zoomed) => Woken::Zoomed(end),
            () = sleep_until(expires.unwrap_or(never)), if expires.is_some() => Woken::Expired,
            written = self.writer.written() => Woken::Written(written),
            // Before the messages: a flood of them must not keep a frame from being drawn.
            () = sleep_until(frame.unwrap_or(never)), if frame.is_some() => Woken::Frame,
            Some(msg) = self.messages.recv() => Woken::Msg(msg),
            () = self.lives.filled(), if !zoomed => Woken::Live,
            () = sleep_until(clock.unwrap_or(never)), if clock.is_some() => Woken::Clock,
        }
    }

    /// Takes in a message and carries out what follows.
    fn take(&mut self, msg: Msg) -> anyhow::Result<()> {
        match &msg {
            Msg::Api(event) => self.clock = Clock::new(event.at_ms),
            Msg::Now(_) => {}
            _ => self.state.now_ms = self.clock.now_ms(),
        }
        self.changed = true;
        for effect in update(&mut self.state, msg) {
            self.carry_out(effect)?;
        }
        Ok(())
    }

    /// Hands on what was typed, each thing to whom it is for by then.
    fn typed(&mut self) -> anyhow::Result<()> {
        while !self.quit && self.zoomed.is_none() {
            let Some(typed) = self.input.next(self.mode()) else {
                break;
            };
            match typed {
                Typed::Key(key) => self.take(Msg::Key(key))?,
                Typed::Mouse(mouse) => self.take(Msg::Mouse(mouse))?,
                Typed::Paste(text) => self.take(Msg::Paste(text))?,
                Typed::Focus(focused) => self.take(Msg::Focus(focused))?,
                Typed::Leave => self.take(Msg::Leave)?,
                Typed::Bytes(bytes) => {
                    if let Some(id) = &self.state.typing {
                        self.lives.input(id, bytes);
                    }
                }
            }
        }
        self.expires = self.input.hold().map(|hold| Instant::now() + hold);
        Ok(())
    }

    /// To whom what is typed goes.
    fn mode(&self) -> Mode {
        let Some(id) = &self.state.typing else {
            return Mode::Keys;
        };
        Mode::Program {
            area: self.state.typing_area(),
            modes: self.program_modes(id).unwrap_or_default(),
        }
    }

    /// How the program wants to be typed to.
    fn program_modes(&self, id: &str) -> Option<Modes> {
        let picture = self.lives.picture(id)?;
        let mut modes = picture.modes;
        if picture.offset > 0 {
            // What is under the mouse is not what the program has there.
            modes.mouse = Mouse::Off;
        }
        Some(modes)
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        self.changed = false;
        let program = self.state.typing.as_ref();
        let modes = program.and_then(|id| self.program_modes(id));
        let outer = Outer::new(&self.state.title(), self.state.mouse, modes.as_ref());
        self.painter.set(outer);
        let frame = self.painter.frame(&self.state)?;
        self.writer.write(frame).context("drawing")
    }

    fn resized(&mut self) -> anyhow::Result<()> {
        match term_guard::size() {
            Some(size) if size != self.state.size && self.zoomed.is_none() => {
                self.take(Msg::Resize(size))
            }
            _ => Ok(()),
        }
    }

    /// Draws all anew, for the size that the terminal has now.
    fn anew(&mut self) -> anyhow::Result<()> {
        self.painter.forget();
        self.changed = true;
        self.resized()
    }

    fn carry_out(&mut self, effect: Effect) -> anyhow::Result<()> {
        match effect {
            Effect::Quit => self.quit = true,
            Effect::Suspend => self.suspend()?,
            Effect::Redraw => self.painter.forget(),
            Effect::Watch(targets) => self.lives.watch(targets),
            Effect::Scroll { id, to } => self.lives.scroll(&id, to),
            Effect::Zoom {
                id,
                session,
                takeover,
            } => self.zoom(zoom::Wanted {
                id,
                session,
                takeover,
                clipboard: self.state.settings.clipboard,
            })?,
            Effect::Clipboard(text) => {
                if !self.painter.copy(&text) {
                    self.state
                        .refuse("not copied: too much for the terminal's clipboard");
                }
            }
            Effect::Notify { title, text } => {
                let how = self.state.settings.notifications;
                self.painter.notify(how, &title, &text);
            }
            Effect::Act { what, act } => effects::act(&self.client, &self.to, what, act),
            Effect::Fetch(fetch) => self.fetcher.fetch(fetch),
            Effect::Remember(memory) => self.remember(&memory),
        }
        Ok(())
    }

    fn remember(&mut self, values: &SpawnMemory) {
        let Some(file) = memory::file() else { return };
        if let Err(error) = memory::save(&file, values) {
            let said = format!(
                "the form's values are not kept: {}: {error}",
                file.display()
            );
            self.state.refuse(said);
        }
    }

    /// Lends the terminal to a session.
    fn zoom(&mut self, wanted: zoom::Wanted) -> anyhow::Result<()> {
        let Some(pieces) = self.pieces.take() else {
            return Ok(());
        };
        self.guard.lend().context("lending the terminal")?;
        let lent = Lent {
            pieces,
            typeahead: self.input.take_rest(),
            lost: 0,
            writer: true,
        };
        let (client, keys) = (self.client.clone(), self.keys.clone());
        self.zoomed = Some(Box::pin(zoom::run(client, wanted, keys, lent)));
        Ok(())
    }

    fn take_back(&mut self, end: AttachEnd, lent: Lent) -> anyhow::Result<()> {
        self.zoomed = None;
        self.guard.take_back().context("taking the terminal back")?;
        self.pieces = Some(lent.pieces);
        self.anew()?;
        self.take(Msg::ZoomEnded(end))?;
        if let Some(said) = attach::thrown_away(lent.lost) {
            self.state.refuse(said);
        }
        self.input.feed(&lent.typeahead);
        self.typed()
    }

    fn suspend(&mut self) -> anyhow::Result<()> {
        if self.zoomed.is_some() {
            return Ok(());
        }
        if let Err(error) = self.guard.suspend() {
            self.state.refuse(format!("suspend: {error}"));
        }
        self.anew()
    }

    /// Continued after a stop that could not be caught: the shell has set its own modes meanwhile.
    fn continued(&mut self) -> anyhow::Result<()> {
        if self.zoomed.is_some() {
            return self.guard.raw_again().context("taking the terminal back");
        }
        self.guard.again().context("taking the terminal back")?;
        self.anew()
    }
}

/// Input of the terminal while it is ours.
async fn next_piece(pieces: &mut Option<mpsc::Receiver<Bytes>>) -> Option<Bytes> {
    match pieces {
        Some(pieces) => pieces.recv().await,
        None => std::future::pending().await,
    }
}

/// The end of the full-screen attach while there is one.
async fn next_end(zoomed: &mut Option<Zoomed>) -> (AttachEnd, Lent) {
    match zoomed {
        Some(zoomed) => zoomed.await,
        None => std::future::pending().await,
    }
}
