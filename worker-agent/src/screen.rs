//! The screen model: what a session's terminal shows, and how to show it again.
//!
//! [`Screen`] parses a session's output into a grid and can at any moment write
//! a byte string ([`Screen::restore`]) that puts a fresh terminal of the same
//! size into the same state: both screens, scrollback, cursor, pen, modes, and
//! the part of a sequence that was cut off. The grid is `alacritty_terminal`'s;
//! the restore writer and everything the crate hides is ours (`screen/`).
//!
//! Must never panic on any input (a panic of the crate is caught and the screen
//! rebuilt), never hold output back (synchronized updates are applied as they
//! come) and never grow without bound.

mod cells;
mod dump;
mod find;
mod frame;
mod handler;
mod links;
mod model;
mod motion;
mod osc;
mod paint;
mod palette;
mod restore;
mod text;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use alacritty_terminal::grid::{Dimensions, Scroll};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::vte::ansi::{Processor, Timeout};

pub use self::cells::{Attrs, Cell, Color, CursorShape, Modes, Mouse, Underline};
use self::find::Finder;
pub use self::find::Span;
use self::frame::{Framer, Kind, Sink};
use self::model::{Model, Size, to_i32};

/// Smallest and largest size that is modelled, in columns and rows.
const COLUMNS: (u16, u16) = (2, 1000);
const ROWS: (u16, u16) = (1, 500);

/// How a [`Screen`] is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScreenOptions {
    /// Lines kept above the visible ones.
    pub scrollback: usize,
}

impl Default for ScreenOptions {
    fn default() -> Self {
        Self { scrollback: 5_000 }
    }
}

/// What output did besides changing the grid.
///
/// Text is free of control characters and at most 1024 bytes. One call of
/// [`Screen::process`] reports a bell once, the last title and one joined reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScreenEvent {
    /// The title changed (OSC 0 or 2, or popped from the title stack).
    Title(String),
    /// BEL.
    Bell,
    /// A desktop notification: OSC 9, OSC 777 `notify`, OSC 99.
    Notification(String),
    /// A progress report, OSC 9;4: 0 none, 1 running, 2 error, 3 busy, 4 paused.
    Progress(u8),
    /// What the terminal answers to queries; to be written to the program only
    /// while no terminal is attached that answers itself.
    Reply(Vec<u8>),
    /// The grid had to be thrown away; the text says why. The program should
    /// be made to draw again.
    Rebuilt(String),
}

/// A terminal screen. See the module's text.
pub struct Screen {
    inner: Inner,
    framer: Framer,
    options: ScreenOptions,
    rebuilt: Option<String>,
    /// What is searched for.
    finder: Option<Finder>,
    /// The cell in view where the selection began when it was made.
    selecting: Option<(u16, u16)>,
}

// The recorder's thread owns it: held by the compiler.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Screen>();
};

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen")
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

struct Inner {
    model: Model,
    parser: Processor<Unsynchronized>,
}

/// Keeps the parser from holding back synchronized updates (mode 2026).
#[derive(Default)]
struct Unsynchronized;

impl Timeout for Unsynchronized {
    fn set_timeout(&mut self, _: Duration) {}
    fn clear_timeout(&mut self) {}
    fn pending_timeout(&self) -> bool {
        false
    }
}

impl Screen {
    /// An empty screen. Sizes are brought into 2×1 … 1000×500.
    pub fn new(cols: u16, rows: u16, options: ScreenOptions) -> Self {
        let inner = Inner::new(clamp(cols, rows), options);
        Self {
            inner,
            framer: Framer::default(),
            options,
            rebuilt: None,
            finder: None,
            selecting: None,
        }
    }

    /// Reads the next bytes of the session's output.
    pub fn process(&mut self, bytes: &[u8]) -> Vec<ScreenEvent> {
        let before = self.finder.is_some().then(|| self.place());
        let framer = &mut self.framer;
        let inner = &mut self.inner;
        let outcome = catch_unwind(AssertUnwindSafe(|| framer.feed(bytes, inner)));
        if let Some(before) = before {
            self.moved_since(before);
        }
        let reply = self.inner.model.replies.take();
        let mut events = std::mem::take(&mut self.inner.model.events);
        if !reply.is_empty() {
            events.push(ScreenEvent::Reply(reply));
        }
        if let Err(panic) = outcome {
            self.rebuild(panic.as_ref());
        }
        events.extend(self.rebuilt.take().map(ScreenEvent::Rebuilt));
        events
    }

    /// Changes the size; long lines of the primary screen reflow.
    pub fn resize(&mut self, cols: u16, rows: u16) {
        let size = clamp(cols, rows);
        if let Some(finder) = &mut self.finder {
            finder.shifted(0);
        }
        let model = &mut self.inner.model;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| model.resize(size))) {
            self.rebuild(panic.as_ref());
            self.inner = Inner::new(size, self.options);
        }
    }

    /// What to send to a terminal of the same size so that it shows this
    /// screen and the live output can follow. Begins with a full reset (RIS).
    pub fn restore(&mut self) -> Vec<u8> {
        let (model, pending) = (&mut self.inner.model, self.framer.pending());
        match catch_unwind(AssertUnwindSafe(|| restore::write(model, pending))) {
            Ok(bytes) => bytes,
            Err(panic) => {
                self.rebuild(panic.as_ref());
                b"\x1bc".to_vec()
            }
        }
    }

    /// The live rows, without trailing blanks.
    pub fn text(&self) -> Vec<String> {
        let grid = self.inner.model.term.grid();
        let row = |line: i32| {
            let mut text = String::new();
            for cell in &grid[Line(line)] {
                if !cell.flags.contains(Flags::WIDE_CHAR_SPACER) {
                    text.push(cell.c);
                    text.extend(cell.zerowidth().into_iter().flatten());
                }
            }
            text.truncate(text.trim_end_matches(' ').len());
            text
        };
        (0..to_i32(grid.screen_lines())).map(row).collect()
    }

    /// The window title; empty until one is set.
    pub fn title(&self) -> &str {
        &self.inner.model.title
    }

    /// Columns and rows.
    pub fn size(&self) -> (u16, u16) {
        let size = self.inner.model.size();
        (to_u16(size.columns), to_u16(size.lines))
    }

    /// Calls `f(row, column, cell)` for every cell in view, row by row, at the
    /// present scroll position.
    pub fn cells(&self, mut f: impl FnMut(u16, u16, Cell<'_>)) {
        let term = &self.inner.model.term;
        let grid = term.grid();
        let offset = to_i32(grid.display_offset());
        let mut buffer = String::new();
        for row in 0..grid.screen_lines() {
            let cells = &grid[Line(to_i32(row) - offset)];
            for column in 0..grid.columns() {
                let cell = cells::view(&cells[Column(column)], term.colors(), &mut buffer);
                f(to_u16(row), to_u16(column), cell);
            }
        }
    }

    /// Row and column of the cursor in view; `None` if hidden or scrolled away.
    pub fn cursor(&self) -> Option<(u16, u16)> {
        let model = &self.inner.model;
        let grid = model.term.grid();
        let row = usize::try_from(grid.cursor.point.line.0).ok()? + grid.display_offset();
        let shown = model.has(TermMode::SHOW_CURSOR) && row < grid.screen_lines();
        shown.then(|| (to_u16(row), to_u16(grid.cursor.point.column.0)))
    }

    /// The modes a client needs.
    pub fn modes(&self) -> Modes {
        Modes::of(&self.inner.model)
    }

    /// Moves the view by `delta` lines; positive is back in time.
    pub fn scroll(&mut self, delta: i32) {
        self.inner.model.term.scroll_display(Scroll::Delta(delta));
    }

    /// Back to the live rows.
    pub fn scroll_to_bottom(&mut self) {
        self.inner.model.term.scroll_display(Scroll::Bottom);
    }

    /// Lines of scrollback there are to see.
    pub fn history_len(&self) -> usize {
        self.inner.model.term.grid().history_size()
    }

    /// The whole state as text, for comparing two screens.
    #[doc(hidden)]
    pub fn dump(&mut self) -> String {
        let pending = self.framer.pending().to_vec();
        format!(
            "{}pending {pending:?}\n",
            dump::write(&mut self.inner.model)
        )
    }

    fn rebuild(&mut self, panic: &(dyn std::any::Any + Send)) {
        let reason = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        self.rebuilt = Some(reason.unwrap_or("unknown").to_owned());
        self.inner = Inner::new(self.inner.model.size(), self.options);
        self.framer = Framer::default();
    }
}

impl Inner {
    fn new(size: Size, options: ScreenOptions) -> Self {
        Self {
            model: Model::new(size, options.scrollback),
            parser: Processor::new(),
        }
    }
}

impl Sink for Inner {
    fn text(&mut self, bytes: &[u8]) {
        self.model.text(bytes);
    }

    fn control(&mut self, byte: u8) {
        self.model.control(byte);
    }

    fn sequence(&mut self, kind: Kind, bytes: &[u8]) {
        match (kind, bytes) {
            (Kind::Csi, [.., b'b']) => match repeat_count(bytes) {
                Some(count) => self.model.repeat(count),
                None => self.parser.advance(&mut self.model, bytes),
            },
            (Kind::Osc, _) => {
                if let Some(event) = osc::notification(bytes) {
                    self.model.events.push(event);
                }
                self.parser.advance(&mut self.model, bytes);
                if !bytes.ends_with(b"\x07") {
                    self.parser.advance(&mut self.model, b"\x1b\\");
                }
            }
            _ => self.parser.advance(&mut self.model, bytes),
        }
    }
}

/// The count of a plain `CSI n b`.
fn repeat_count(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\x1b[")?.strip_suffix(b"b")?;
    digits.iter().try_fold(0u16, |count, byte| {
        let digit = byte.is_ascii_digit().then(|| u16::from(byte - b'0'))?;
        Some(count.saturating_mul(10).saturating_add(digit))
    })
}

fn clamp(cols: u16, rows: u16) -> Size {
    Size {
        columns: usize::from(cols.clamp(COLUMNS.0, COLUMNS.1)),
        lines: usize::from(rows.clamp(ROWS.0, ROWS.1)),
    }
}

fn to_u16(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_panic_the_screen_is_empty_and_says_so() {
        let mut screen = Screen::new(10, 3, ScreenOptions::default());
        screen.process(b"text\x1b]2;cut");
        screen.rebuild(&"out of range");
        let events = screen.process(b"more");
        assert_eq!(events, [ScreenEvent::Rebuilt("out of range".to_owned())]);
        assert_eq!(screen.text(), ["more", "", ""]);
        assert_eq!(screen.size(), (10, 3));
    }
}
