//! A worker's terminal as its output makes it, and pictures of it.
//! Bytes of a worker go no further than this file.

use crate::dashboard::{
    app::effect::ScrollTo,
    io::terminal::guard::contained,
    pages::terminal::{
        grid::{Grid, GridCell},
        picture::Picture,
    },
    widgets::text,
};
use compact_str::CompactString;
use podbay_protocol::Size;
use ratatui::style::{Color, Modifier, Style};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use worker_agent::screen::{self, Screen, ScreenOptions, Underline};

/// Matches are counted again at most this often while output comes.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The terminal, recreated when it panics.
pub struct TerminalModel {
    screen: Option<Screen>,
    size: Size,
    scrollback: usize,
    /// The last picture that was given.
    shown: Option<Arc<Picture>>,
    /// Whether something may differ from it.
    changed: bool,
    looked: Instant,
}

impl TerminalModel {
    /// Empty; `scrollback` lines are kept.
    pub fn new(size: Size, scrollback: usize) -> Self {
        let mut model = Self {
            screen: None,
            size,
            scrollback,
            shown: None,
            changed: true,
            looked: Instant::now(),
        };
        model.rebuild();
        model
    }

    /// As [`Self::new`], after the same worker's model: what was shown is not shown again.
    pub fn after(before: Self, size: Size, scrollback: usize) -> Self {
        Self {
            shown: before.shown,
            ..Self::new(size, scrollback)
        }
    }

    /// Lines that are kept.
    pub fn scrollback(&self) -> usize {
        self.scrollback
    }

    fn rebuild(&mut self) {
        let (cols, rows) = (self.size.cols, self.size.rows);
        let options = ScreenOptions {
            scrollback: self.scrollback,
        };
        self.screen = contained(|| Screen::new(cols, rows, options));
        self.changed = true;
    }

    /// Does something with the screen; a panic leaves a new one.
    fn with<T>(&mut self, work: impl FnOnce(&mut Screen) -> T) -> Option<T> {
        let screen = self.screen.as_mut()?;
        let result = contained(|| work(screen));
        if result.is_none() {
            self.rebuild();
        }
        result
    }

    /// Takes in output.
    pub fn process(&mut self, bytes: &[u8]) {
        self.changed = true;
        self.with(|screen| drop(screen.process(bytes)));
    }

    /// Another size.
    pub fn resize(&mut self, size: Size) {
        if size != self.size {
            self.size = size;
            self.changed = true;
            self.with(|screen| screen.resize(size.cols, size.rows));
        }
    }

    /// Moves what is in view, searches, selects; the text when it was to be copied.
    pub fn scroll(&mut self, to: ScrollTo) -> Option<String> {
        self.changed = true;
        self.with(|screen| {
            match to {
                // Further than any terminal goes, short of where numbers end.
                ScrollTo::Lines(lines) => screen.scroll(lines.clamp(-1_000_000, 1_000_000)),
                ScrollTo::Top => screen.scroll_to_top(),
                ScrollTo::Bottom => {
                    screen.search("");
                    screen.select(None);
                    screen.scroll_to_bottom();
                }
                ScrollTo::Search(text) => screen.search(&text),
                ScrollTo::Next { older } => screen.search_next(older),
                ScrollTo::Select(cells) => screen.select(cells),
                ScrollTo::Copy => {
                    // Too much for a clipboard is refused where it is put there.
                    return Some(screen.copy());
                }
            }
            None
        })
        .flatten()
    }

    /// A picture, when it differs from the last one, and when to ask again, if output alone does
    /// not say.
    pub fn picture(&mut self) -> (Option<Arc<Picture>>, Option<Instant>) {
        if !self.changed {
            return (None, None);
        }
        self.changed = false;
        let now = Instant::now();
        let stale = self.screen.as_ref().is_some_and(Screen::search_is_stale);
        let mut again = None;
        if stale && now.duration_since(self.looked) >= LOOK_EVERY {
            self.looked = now;
            self.with(Screen::look_again);
        } else if stale {
            again = Some(self.looked + LOOK_EVERY);
            self.changed = true;
        }
        let Some(picture) = self.with(draw) else {
            return (None, again);
        };
        if self.shown.as_deref() == Some(&picture) {
            return (None, again);
        }
        let picture = Arc::new(picture);
        self.shown = Some(picture.clone());
        (Some(picture), again)
    }
}

fn draw(screen: &mut Screen) -> Picture {
    let (cols, rows) = screen.size();
    let mut grid = Grid::new(cols, rows);
    screen.cells(|row, col, cell| grid.set(row, col, grid_cell(&cell)));
    grid.cursor = screen.cursor();
    grid.title = screen.title().to_owned();
    let (found, found_here) = screen.found();
    Picture {
        grid,
        modes: screen.modes(),
        history: screen.history_len(),
        offset: screen.offset(),
        found,
        found_here,
        found_at: screen.found_at(),
        selected: screen.selected(),
    }
}

fn grid_cell(cell: &screen::Cell<'_>) -> GridCell {
    let attrs = &cell.attrs;
    let symbol = match cell.text.as_bytes() {
        [] => CompactString::default(),
        _ if attrs.hidden => CompactString::const_new(if cell.wide { "  " } else { " " }),
        [0x20..=0x7e] => CompactString::new(cell.text),
        _ if cell.text.chars().any(char::is_control) => CompactString::const_new(" "),
        _ => text::clean_cell(cell.text).into(),
    };
    let modifiers = [
        (attrs.bold, Modifier::BOLD),
        (attrs.dim, Modifier::DIM),
        (attrs.italic, Modifier::ITALIC),
        (attrs.inverse, Modifier::REVERSED),
        (attrs.strike, Modifier::CROSSED_OUT),
        (attrs.underline != Underline::None, Modifier::UNDERLINED),
    ];
    let mut modifier = Modifier::empty();
    for (on, one) in modifiers {
        modifier.set(one, on);
    }
    let style = Style {
        fg: colour(cell.fg),
        bg: colour(cell.bg),
        ..Style::new().add_modifier(modifier)
    };
    GridCell { symbol, style }
}

fn colour(given: screen::Color) -> Option<Color> {
    match given {
        screen::Color::Default => None,
        screen::Color::Indexed(i) => Some(Color::Indexed(i)),
        screen::Color::Rgb(r, g, b) => Some(Color::Rgb(r, g, b)),
    }
}
