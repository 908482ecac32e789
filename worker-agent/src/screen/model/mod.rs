//! The terminal's state: `alacritty_terminal`'s grid plus all that it hides.
//!
//! Owns: the state ([`Model`]). What the parser calls is in `handler`; plain text takes the shortcut in
//! `text`. It never writes to a terminal: replies are collected, the caller sends them.

mod handler;
mod links;
mod motion;
mod osc;
mod palette;
mod text;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::grid::{Cursor, Dimensions, Grid};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::term::{Config, Osc52, Term, TermMode};
use alacritty_terminal::vte::ansi::{CharsetIndex, CursorStyle, StandardCharset};

use self::links::Links;
use super::event::ScreenEvent;

pub(super) use self::osc::notification;

/// A flag bit the crate leaves free: the cell blinks.
pub(super) const BLINK: Flags = Flags::from_bits_retain(1 << 15);
/// Deepest title and keyboard stacks that are kept.
pub(super) const MAX_STACK: usize = 32;
/// Most reply bytes kept between two calls.
const MAX_REPLY: usize = 64 * 1024;

/// A size in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GridSize {
    pub(super) columns: usize,
    pub(super) lines: usize,
}

impl Dimensions for GridSize {
    fn total_lines(&self) -> usize {
        self.lines
    }
    fn screen_lines(&self) -> usize {
        self.lines
    }
    fn columns(&self) -> usize {
        self.columns
    }
}

/// Collects what the terminal would write back to the program.
#[derive(Clone, Default)]
pub(super) struct Replies(Arc<Mutex<Vec<u8>>>);

impl Replies {
    pub(super) fn push(&self, text: &str) {
        let mut bytes = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if bytes.len() + text.len() <= MAX_REPLY {
            bytes.extend_from_slice(text.as_bytes());
        }
    }

    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(
            &mut *self
                .0
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner()),
        )
    }
}

impl EventListener for Replies {
    fn send_event(&self, event: Event) {
        if let Event::PtyWrite(text) = event {
            self.push(&text);
        }
    }
}

/// Kitty keyboard flags of one screen: those in effect and those pushed away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keyboard {
    pub(super) flags: u8,
    pub(super) stack: Vec<u8>,
}

/// The crate's [`Term`], with what it has but does not show (scroll region, tab stops, charset in
/// use) and what it does not keep at all (blink, the repeated character, kitty keyboard stacks,
/// further modes).
pub(super) struct Model {
    pub(super) term: Term<Replies>,
    pub(super) replies: Replies,
    pub(super) events: Vec<ScreenEvent>,
    /// Scroll region in screen lines, end excluded.
    pub(super) region: Range<i32>,
    /// One flag a column.
    pub(super) tabs: Vec<bool>,
    pub(super) active_charset: CharsetIndex,
    /// `None` is the terminal's own default.
    pub(super) cursor_style: Option<CursorStyle>,
    pub(super) title: String,
    pub(super) title_stack: Vec<String>,
    /// Of the screen in use.
    pub(super) keyboard: Keyboard,
    /// Of the screen not in use.
    pub(super) other_keyboard: Keyboard,
    pub(super) modify_other_keys: u8,
    /// Private modes that are set and that only the user's terminal knows.
    pub(super) passed_modes: BTreeSet<u16>,
    /// Palette entries the session has ever changed.
    pub(super) touched_colors: BTreeSet<usize>,
    /// What REP would repeat.
    pub(super) last_char: Option<char>,
    /// What the links under the cells take.
    links: Links,
}

impl Model {
    pub(super) fn new(size: GridSize, scrollback: usize) -> Self {
        let replies = Replies::default();
        let config = Config {
            scrolling_history: scrollback,
            osc52: Osc52::Disabled,
            // Kept here, not in the crate: its stack is hidden.
            kitty_keyboard: false,
            ..Config::default()
        };
        Self {
            term: Term::new(config, &size, replies.clone()),
            replies,
            events: Vec::new(),
            region: 0..to_i32(size.lines),
            tabs: default_tabs(0, size.columns),
            active_charset: CharsetIndex::G0,
            cursor_style: None,
            title: String::new(),
            title_stack: Vec::new(),
            keyboard: Keyboard::default(),
            other_keyboard: Keyboard::default(),
            modify_other_keys: 0,
            passed_modes: BTreeSet::new(),
            touched_colors: BTreeSet::new(),
            last_char: None,
            links: Links::default(),
        }
    }

    /// What RIS leaves, beyond the crate's own reset. The palette stays.
    pub(super) fn reset(&mut self) {
        self.region = 0..to_i32(self.term.screen_lines());
        self.tabs = default_tabs(0, self.term.columns());
        self.active_charset = CharsetIndex::G0;
        self.cursor_style = None;
        self.title.clear();
        self.title_stack.clear();
        self.keyboard = Keyboard::default();
        self.other_keyboard = Keyboard::default();
        self.modify_other_keys = 0;
        self.passed_modes.clear();
        self.last_char = None;
    }

    pub(super) fn size(&self) -> GridSize {
        GridSize {
            columns: self.term.columns(),
            lines: self.term.screen_lines(),
        }
    }

    pub(super) fn has(&self, mode: TermMode) -> bool {
        self.term.mode().contains(mode)
    }

    pub(super) fn alternate(&self) -> bool {
        self.has(TermMode::ALT_SCREEN)
    }

    pub(super) fn resize(&mut self, size: GridSize) {
        if size == self.size() {
            return;
        }
        self.term.resize(size);
        self.region = 0..to_i32(size.lines);
        let old = self.tabs.len();
        self.tabs.truncate(size.columns);
        self.tabs.extend(default_tabs(old, size.columns));
        normalise(self.term.grid_mut());
        self.with_other_grid(normalise);
    }

    pub(super) fn set_alternate(&mut self, on: bool) {
        if on != self.alternate() {
            self.term.swap_alt();
            std::mem::swap(&mut self.keyboard, &mut self.other_keyboard);
            self.clamp_to_region();
        }
    }

    /// Origin mode keeps the cursor inside the scroll region.
    pub(super) fn clamp_to_region(&mut self) {
        if self.has(TermMode::ORIGIN) {
            let line = &mut self.term.grid_mut().cursor.point.line.0;
            *line = (*line).clamp(self.region.start, self.region.end - 1);
        }
    }

    /// Runs `read` on the grid that is not in use, which the crate hides.
    ///
    /// While the alternate screen is up the primary's saved cursor becomes its
    /// cursor (as `CSI ? 1049 h` left it); otherwise only the alternate grid's
    /// saved cursor is meaningful.
    pub(super) fn with_other_grid<R>(&mut self, read: impl FnOnce(&mut Grid<Cell>) -> R) -> R {
        let alternate = self.alternate().then(|| self.term.grid().clone());
        let saved = self.term.grid().saved_cursor.clone();
        self.term.swap_alt();
        let result = read(self.term.grid_mut());
        self.term.swap_alt();
        match alternate {
            Some(grid) => *self.term.grid_mut() = grid,
            None => self.term.grid_mut().saved_cursor = saved,
        }
        result
    }

    /// Clears a wide character that straddles the boundary left of `column`,
    /// before an edit that would tear it apart.
    pub(super) fn split_wide(&mut self, line: Line, column: usize) {
        if column == 0 || column >= self.term.columns() {
            return;
        }
        let row = &mut self.term.grid_mut()[line];
        if row[Column(column)].flags.contains(Flags::WIDE_CHAR_SPACER) {
            row[Column(column - 1)].clear_wide();
            row[Column(column)].flags.remove(Flags::WIDE_CHAR_SPACER);
        }
    }

    /// Whether the charset in use draws lines instead of lower-case letters.
    pub(super) fn draws_lines(&self) -> bool {
        self.term.grid().cursor.charsets[self.active_charset] != StandardCharset::Ascii
    }
}

/// Puts both cursors into the grid and drops what resizing tore apart.
fn normalise(grid: &mut Grid<Cell>) {
    let (last, bottom) = (grid.columns() - 1, to_i32(grid.screen_lines()) - 1);
    let fix = |cursor: &mut Cursor<Cell>| {
        cursor.point.line.0 = cursor.point.line.0.clamp(0, bottom);
        cursor.point.column.0 = cursor.point.column.0.min(last);
        cursor.input_needs_wrap &= cursor.point.column.0 == last;
    };
    fix(&mut grid.cursor);
    fix(&mut grid.saved_cursor);
    for line in grid.topmost_line().0..=bottom {
        // A row the crate has widened is not wholly cleared later unless its
        // end counts as written.
        grid[Line(line)].last_mut();
        if line >= 0 {
            tidy_row(grid, Line(line));
        }
    }
}

/// Removes states of a row that no sequence can produce and no user can see:
/// halves of wide characters, wrap marks that no row follows.
pub(super) fn tidy_row(grid: &mut Grid<Cell>, line: Line) {
    let last = grid.columns() - 1;
    let bottom = to_i32(grid.screen_lines()) - 1;
    let next = (line.0 < bottom).then(|| grid[line + 1i32][Column(0)].clone());
    let row = &mut grid[line];
    for column in 0..=last {
        let flags = row[Column(column)].flags;
        let marks = Flags::WRAPLINE
            | Flags::LEADING_WIDE_CHAR_SPACER
            | Flags::WIDE_CHAR
            | Flags::WIDE_CHAR_SPACER;
        if !flags.intersects(marks) {
            continue;
        }
        let has_tail = column < last
            && row[Column(column + 1)]
                .flags
                .contains(Flags::WIDE_CHAR_SPACER)
            && !row[Column(column + 1)].flags.contains(Flags::WIDE_CHAR);
        let has_head = column > 0 && row[Column(column - 1)].flags.contains(Flags::WIDE_CHAR);
        let cell = &mut row[Column(column)];
        if flags.contains(Flags::WIDE_CHAR) && !has_tail {
            cell.clear_wide();
        }
        if flags.contains(Flags::WIDE_CHAR_SPACER) && !has_head {
            cell.flags.remove(Flags::WIDE_CHAR_SPACER);
        }
        if column < last || next.is_none() {
            cell.flags.remove(Flags::WRAPLINE);
        }
        let leads = flags.contains(Flags::WRAPLINE)
            && column == last
            && next
                .as_ref()
                .is_some_and(|next| next.flags.contains(Flags::WIDE_CHAR) && same_pen(next, cell));
        if !leads {
            cell.flags.remove(Flags::LEADING_WIDE_CHAR_SPACER);
        }
    }
}

/// Flags that belong to the pen, not to a cell's place.
pub(super) const PEN_FLAGS: Flags = Flags::from_bits_retain(
    Flags::INVERSE.bits()
        | Flags::BOLD.bits()
        | Flags::ITALIC.bits()
        | Flags::DIM.bits()
        | Flags::HIDDEN.bits()
        | Flags::STRIKEOUT.bits()
        | Flags::ALL_UNDERLINES.bits()
        | BLINK.bits(),
);

/// Whether two cells were written with the same attributes.
pub(super) fn same_pen(a: &Cell, b: &Cell) -> bool {
    a.fg == b.fg
        && a.bg == b.bg
        && a.flags & PEN_FLAGS == b.flags & PEN_FLAGS
        && a.underline_color() == b.underline_color()
        && a.hyperlink() == b.hyperlink()
}

/// Default tab stops (every eighth column) for the columns `from..to`.
pub(super) fn default_tabs(from: usize, to: usize) -> Vec<bool> {
    (from..to).map(|column| column % 8 == 0).collect()
}

pub(super) fn to_i32(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
