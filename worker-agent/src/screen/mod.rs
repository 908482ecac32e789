//! The screen model: what a session's terminal shows, and how to show it again.
//!
//! Owns: a grid fed by the session's output ([`Screen`]). It never panics on any input, never holds
//! output back and never grows without bound.

mod cells;
mod event;
mod find;
mod finder;
mod frame;
mod model;
mod restore;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use alacritty_terminal::grid::{Dimensions, Scroll};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::vte::ansi::{Processor, Timeout};

pub use self::cells::{Attrs, Cell, Color, CursorShape, Modes, Mouse, Underline};
pub use self::event::ScreenEvent;
use self::finder::Finder;
pub use self::finder::Span;
use self::frame::{FrameSink, Framer, SequenceKind};
use self::model::{GridSize, Model, notification, to_i32};

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

/// A terminal screen.
///
/// It parses a session's output into a grid and can at any moment write a byte string
/// ([`Self::restore`]) that puts a new terminal of the same size into the same state: both screens,
/// scrollback, cursor, pen, modes, and the part of a sequence that was cut off. The grid is
/// `alacritty_terminal`'s; the restore writer and everything the crate hides is ours. A panic of the
/// crate is caught and the screen rebuilt; synchronized updates are applied as they come.
pub struct Screen {
    emulator: Emulator,
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

struct Emulator {
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
        let emulator = Emulator::new(clamp(cols, rows), options);
        Self {
            emulator,
            framer: Framer::default(),
            options,
            rebuilt: None,
            finder: None,
            selecting: None,
        }
    }

    /// Reads the next bytes of the session's output.
    pub fn process(&mut self, bytes: &[u8]) -> Vec<ScreenEvent> {
        let before = self.finder.is_some().then(|| self.view_position());
        let framer = &mut self.framer;
        let emulator = &mut self.emulator;
        let outcome = catch_unwind(AssertUnwindSafe(|| framer.feed(bytes, emulator)));
        if let Some(before) = before {
            self.moved_since(before);
        }
        let reply = self.emulator.model.replies.take();
        let mut events = std::mem::take(&mut self.emulator.model.events);
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
        let model = &mut self.emulator.model;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| model.resize(size))) {
            self.rebuild(panic.as_ref());
            self.emulator = Emulator::new(size, self.options);
        }
    }

    /// What to send to a terminal of the same size so that it shows this
    /// screen and the live output can follow. Begins with a full reset (RIS).
    pub fn restore(&mut self) -> Vec<u8> {
        let (model, pending) = (&mut self.emulator.model, self.framer.pending());
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
        let grid = self.emulator.model.term.grid();
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
        &self.emulator.model.title
    }

    /// Columns and rows.
    pub fn size(&self) -> (u16, u16) {
        let size = self.emulator.model.size();
        (to_u16(size.columns), to_u16(size.lines))
    }

    /// Calls `f(row, column, cell)` for every cell in view, row by row, at the
    /// present scroll position.
    pub fn cells(&self, mut f: impl FnMut(u16, u16, Cell<'_>)) {
        let term = &self.emulator.model.term;
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
        let model = &self.emulator.model;
        let grid = model.term.grid();
        let row = usize::try_from(grid.cursor.point.line.0).ok()? + grid.display_offset();
        let shown = model.has(TermMode::SHOW_CURSOR) && row < grid.screen_lines();
        shown.then(|| (to_u16(row), to_u16(grid.cursor.point.column.0)))
    }

    /// The modes a client needs.
    pub fn modes(&self) -> Modes {
        Modes::of(&self.emulator.model)
    }

    /// Moves the view by `delta` lines; positive is back in time.
    pub fn scroll(&mut self, delta: i32) {
        self.emulator
            .model
            .term
            .scroll_display(Scroll::Delta(delta));
    }

    /// Back to the live rows.
    pub fn scroll_to_bottom(&mut self) {
        self.emulator.model.term.scroll_display(Scroll::Bottom);
    }

    /// Lines of scrollback there are to see.
    pub fn history_len(&self) -> usize {
        self.emulator.model.term.grid().history_size()
    }

    /// The whole state as text, for comparing two screens.
    #[doc(hidden)]
    pub fn dump(&mut self) -> String {
        let pending = self.framer.pending().to_vec();
        format!(
            "{}pending {pending:?}\n",
            restore::dump::write(&mut self.emulator.model)
        )
    }

    fn rebuild(&mut self, panic: &(dyn std::any::Any + Send)) {
        let reason = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        self.rebuilt = Some(reason.unwrap_or("unknown").to_owned());
        self.emulator = Emulator::new(self.emulator.model.size(), self.options);
        self.framer = Framer::default();
    }
}

impl Emulator {
    fn new(size: GridSize, options: ScreenOptions) -> Self {
        Self {
            model: Model::new(size, options.scrollback),
            parser: Processor::new(),
        }
    }
}

impl FrameSink for Emulator {
    fn text(&mut self, bytes: &[u8]) {
        self.model.text(bytes);
    }

    fn control(&mut self, byte: u8) {
        self.model.control(byte);
    }

    fn sequence(&mut self, kind: SequenceKind, bytes: &[u8]) {
        match (kind, bytes) {
            (SequenceKind::Csi, [.., b'b']) => match repeat_count(bytes) {
                Some(count) => self.model.repeat(count),
                None => self.parser.advance(&mut self.model, bytes),
            },
            (SequenceKind::Osc, _) => {
                if let Some(event) = notification(bytes) {
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

fn clamp(cols: u16, rows: u16) -> GridSize {
    GridSize {
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
