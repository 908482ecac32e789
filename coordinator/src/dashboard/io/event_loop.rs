//! The loop: messages in, effects out, a frame when something changed, at most 60 a second. Owns
//! what the dashboard holds of the system; never decides.

use crate::{
    cli::attach::{self, BorrowedTerminal, Matcher},
    client::Client,
    dashboard::{
        app::{
            effect::Effect,
            message::{FullscreenEnd, Msg},
            state::AppState,
            update::update,
        },
        dialogs::spawn::last_values::SpawnMemory,
        input::decoder::{InputDecoder, InputMode, Typed},
        io::{
            calls,
            fetch::Fetcher,
            form_memory,
            fullscreen::{self, FullscreenRequest},
            live::workers::LiveWorkers,
            signals::{Clock, Signalled, Signals},
            terminal::{
                frame_writer::FrameWriter,
                guard::{self, TerminalGuard},
                host_terminal::HostTerminal,
                painter::Painter,
            },
        },
    },
};
use anyhow::Context;
use bytes::Bytes;
use std::{future::Future, io::Write, pin::Pin, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use worker_agent::screen::{Modes, Mouse};

/// Shortest time between two frames: 60 a second at most.
const FRAME: Duration = Duration::from_millis(16);
/// Most messages taken in before a frame is drawn.
const BURST: usize = 4096;

type Fullscreen = Pin<Box<dyn Future<Output = (FullscreenEnd, BorrowedTerminal)> + Send>>;

/// The dashboard while it runs.
pub struct Runner {
    pub(super) client: Client,
    pub(super) fetcher: Fetcher,
    pub(super) keys: Matcher,
    pub(super) state: AppState,
    pub(super) painter: Painter,
    pub(super) writer: FrameWriter,
    pub(super) guard: TerminalGuard,
    /// What is read from the terminal; `None` while that is lent to a session.
    pub(super) pieces: Option<mpsc::Receiver<Bytes>>,
    /// The reading ends with it.
    pub(super) stop: attach::Reader,
    pub(super) input: InputDecoder,
    /// When what has begun in the input has to have gone on.
    pub(super) expires: Option<Instant>,
    pub(super) live_workers: LiveWorkers,
    pub(super) to: mpsc::Sender<Msg>,
    pub(super) messages: mpsc::Receiver<Msg>,
    pub(super) fullscreen: Option<Fullscreen>,
    pub(super) clock: Clock,
    /// Whether there may be something new to draw.
    pub(super) changed: bool,
    pub(super) quit: bool,
}

/// What woke the loop.
enum Woken {
    Msg(Msg),
    Live,
    Piece(Option<Bytes>),
    Expired,
    FullscreenEnded((FullscreenEnd, BorrowedTerminal)),
    Clock,
    Frame,
    Written(std::io::Result<()>),
    Signal(Signalled),
    Panicked,
}

impl Runner {
    pub(super) async fn run(mut self, mut signals: Signals) -> anyhow::Result<()> {
        let result = self.turn(&mut signals).await;
        // What was typed or pasted ahead is not for the shell.
        let in_paste = self.input.in_paste();
        let behind = self.input.take_rest();
        self.fullscreen = None;
        let lost = attach::drain_rest(self.pieces.as_mut(), &behind, in_paste).await;
        // Nothing reads the terminal any more, and it is the user's again.
        drop(self.stop);
        drop(self.guard);
        if let Some(said) = attach::thrown_away(lost) {
            // A failure to write it has nowhere to be told.
            drop(writeln!(std::io::stderr(), "[podbay: {said}]"));
        }
        self.live_workers.finish().await;
        result
    }

    async fn turn(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        let mut drawn = Instant::now() - FRAME;
        while !self.quit {
            let ready = self.changed && self.fullscreen.is_none() && !self.writer.is_busy();
            match self.wait(signals, ready.then_some(drawn + FRAME)).await {
                Woken::Msg(msg) => {
                    self.dispatch(msg)?;
                    for _ in 0..BURST {
                        match self.messages.try_recv() {
                            Ok(msg) => self.dispatch(msg)?,
                            Err(_) => break,
                        }
                    }
                }
                Woken::Live => {
                    while let Some(msg) = self.live_workers.next_message() {
                        self.dispatch(Msg::Live(msg))?;
                    }
                }
                Woken::Piece(Some(piece)) => {
                    self.input.feed(&piece);
                    self.forward_typed()?;
                }
                Woken::Expired => {
                    self.input.expire();
                    self.forward_typed()?;
                }
                // The terminal hung up.
                Woken::Piece(None) => break,
                Woken::FullscreenEnded((end, lent)) => self.take_back(end, lent)?,
                Woken::Clock => self.dispatch(Msg::Now(self.clock.now_ms()))?,
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
                    Signalled::Resized => self.redraw_all()?,
                },
                Woken::Panicked => anyhow::bail!("the dashboard failed; workers run on"),
            }
        }
        Ok(())
    }

    async fn wait(&mut self, signals: &mut Signals, frame: Option<Instant>) -> Woken {
        let clock = match (&self.fullscreen, self.state.next_change_ms()) {
            // Counted from when the state was told the time.
            (None, Some(ms)) => {
                let late = self.clock.now_ms().saturating_sub(self.state.now_ms);
                Some(Instant::now() + Duration::from_millis(ms.saturating_sub(late).max(1)))
            }
            _ => None,
        };
        let never = Instant::now();
        let expires = self.expires.filter(|_| self.fullscreen.is_none());
        let fullscreen = self.fullscreen.is_some();
        tokio::select! {
            biased;
            () = guard::panicked() => Woken::Panicked,
            signal = signals.next() => Woken::Signal(signal),
            piece = next_piece(&mut self.pieces) => Woken::Piece(piece),
            end = next_end(&mut self.fullscreen) => Woken::FullscreenEnded(end),
            () = sleep_until(expires.unwrap_or(never)), if expires.is_some() => Woken::Expired,
            written = self.writer.written() => Woken::Written(written),
            // Before the messages: a flood of them must not keep a frame from being drawn.
            () = sleep_until(frame.unwrap_or(never)), if frame.is_some() => Woken::Frame,
            Some(msg) = self.messages.recv() => Woken::Msg(msg),
            () = self.live_workers.filled(), if !fullscreen => Woken::Live,
            () = sleep_until(clock.unwrap_or(never)), if clock.is_some() => Woken::Clock,
        }
    }

    /// Updates the state with a message and executes the effects.
    fn dispatch(&mut self, msg: Msg) -> anyhow::Result<()> {
        match &msg {
            Msg::Api(event) => self.clock = Clock::new(event.at_ms),
            Msg::Now(_) => {}
            _ => self.state.now_ms = self.clock.now_ms(),
        }
        self.changed = true;
        for effect in update(&mut self.state, msg) {
            self.execute(effect)?;
        }
        Ok(())
    }

    /// Hands on what was typed, each thing to whom it is for by then.
    fn forward_typed(&mut self) -> anyhow::Result<()> {
        while !self.quit && self.fullscreen.is_none() {
            let Some(typed) = self.input.next(self.mode()) else {
                break;
            };
            match typed {
                Typed::Key(key) => self.dispatch(Msg::Key(key))?,
                Typed::Mouse(mouse) => self.dispatch(Msg::Mouse(mouse))?,
                Typed::Paste(text) => self.dispatch(Msg::Paste(text))?,
                Typed::Focus(focused) => self.dispatch(Msg::Focus(focused))?,
                Typed::Leave => self.dispatch(Msg::Leave)?,
                Typed::Bytes(bytes) => {
                    if let Some(id) = &self.state.typing {
                        self.live_workers.input(id, bytes);
                    }
                }
            }
        }
        self.expires = self.input.hold().map(|hold| Instant::now() + hold);
        Ok(())
    }

    /// To whom what is typed goes.
    fn mode(&self) -> InputMode {
        let Some(id) = &self.state.typing else {
            return InputMode::Keys;
        };
        InputMode::Program {
            area: self.state.typing_area(),
            modes: self.program_modes(id).unwrap_or_default(),
        }
    }

    /// How the program wants to be typed to.
    fn program_modes(&self, id: &str) -> Option<Modes> {
        let picture = self.live_workers.picture(id)?;
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
        let outer = HostTerminal::new(&self.state.title(), self.state.mouse, modes.as_ref());
        self.painter.set(outer);
        let frame = self.painter.frame(&self.state)?;
        self.writer.write(frame).context("drawing")
    }

    fn resized(&mut self) -> anyhow::Result<()> {
        match guard::size() {
            Some(size) if size != self.state.size && self.fullscreen.is_none() => {
                self.dispatch(Msg::Resize(size))
            }
            _ => Ok(()),
        }
    }

    /// Draws all again, for the size that the terminal has now.
    fn redraw_all(&mut self) -> anyhow::Result<()> {
        self.painter.forget();
        self.changed = true;
        self.resized()
    }

    fn execute(&mut self, effect: Effect) -> anyhow::Result<()> {
        match effect {
            Effect::Quit => self.quit = true,
            Effect::Suspend => self.suspend()?,
            Effect::Redraw => self.painter.forget(),
            Effect::Watch(targets) => self.live_workers.watch(targets),
            Effect::Scroll { id, to } => self.live_workers.scroll(&id, to),
            Effect::Fullscreen {
                id,
                session,
                takeover,
            } => self.enter_fullscreen(FullscreenRequest {
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
            Effect::Call { what, call } => calls::start(&self.client, &self.to, what, call),
            Effect::Fetch(fetch) => self.fetcher.fetch(fetch),
            Effect::Remember(memory) => self.remember(&memory),
        }
        Ok(())
    }

    fn remember(&mut self, values: &SpawnMemory) {
        let Some(file) = form_memory::file() else {
            return;
        };
        if let Err(error) = form_memory::save(&file, values) {
            let said = format!(
                "the form's values are not kept: {}: {error}",
                file.display()
            );
            self.state.refuse(said);
        }
    }

    /// Lends the terminal to a session.
    fn enter_fullscreen(&mut self, wanted: FullscreenRequest) -> anyhow::Result<()> {
        let Some(pieces) = self.pieces.take() else {
            return Ok(());
        };
        self.guard.lend().context("lending the terminal")?;
        let lent = BorrowedTerminal {
            pieces,
            typeahead: self.input.take_rest(),
            lost: 0,
            writer: true,
        };
        let (client, keys) = (self.client.clone(), self.keys.clone());
        self.fullscreen = Some(Box::pin(fullscreen::run(client, wanted, keys, lent)));
        Ok(())
    }

    fn take_back(&mut self, end: FullscreenEnd, lent: BorrowedTerminal) -> anyhow::Result<()> {
        self.fullscreen = None;
        self.guard.take_back().context("taking the terminal back")?;
        self.pieces = Some(lent.pieces);
        self.redraw_all()?;
        self.dispatch(Msg::FullscreenEnded(end))?;
        if let Some(said) = attach::thrown_away(lent.lost) {
            self.state.refuse(said);
        }
        self.input.feed(&lent.typeahead);
        self.forward_typed()
    }

    fn suspend(&mut self) -> anyhow::Result<()> {
        if self.fullscreen.is_some() {
            return Ok(());
        }
        if let Err(error) = self.guard.suspend() {
            self.state.refuse(format!("suspend: {error}"));
        }
        self.redraw_all()
    }

    /// Continued after a stop that could not be caught: the shell has set its own modes meanwhile.
    fn continued(&mut self) -> anyhow::Result<()> {
        if self.fullscreen.is_some() {
            return self.guard.raw_again().context("taking the terminal back");
        }
        self.guard.again().context("taking the terminal back")?;
        self.redraw_all()
    }
}

/// InputDecoder of the terminal while it is ours.
async fn next_piece(pieces: &mut Option<mpsc::Receiver<Bytes>>) -> Option<Bytes> {
    match pieces {
        Some(pieces) => pieces.recv().await,
        None => std::future::pending().await,
    }
}

/// The end of the full-screen attach while there is one.
async fn next_end(fullscreen: &mut Option<Fullscreen>) -> (FullscreenEnd, BorrowedTerminal) {
    match fullscreen {
        Some(fullscreen) => fullscreen.await,
        None => std::future::pending().await,
    }
}
