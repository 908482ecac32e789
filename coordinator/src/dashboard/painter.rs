//! Puts frames on the terminal: only what differs, in one write, as a synchronized update (private
//! mode 2026), and nothing at all when nothing differs.

use super::{state::State, term_guard, view};
use crossterm::{cursor, queue, terminal};
use ratatui::{
    backend::{Backend, CrosstermBackend},
    buffer::Buffer,
    layout::{Position, Rect},
};
use std::io;

/// What the terminal shows.
pub struct Painter {
    shown: Buffer,
    cursor: Option<Position>,
    /// Whether the terminal's content is unknown.
    dirty: bool,
}

impl Painter {
    /// On a cleared terminal.
    pub fn new() -> Self {
        Self {
            shown: Buffer::empty(Rect::default()),
            cursor: None,
            dirty: true,
        }
    }

    /// Forgets what the terminal shows.
    pub fn forget(&mut self) {
        self.dirty = true;
    }

    /// Draws the state; says whether anything was written.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn paint(&mut self, state: &State) -> io::Result<bool> {
        let bytes = self.frame(state)?;
        term_guard::write_all(&bytes)?;
        Ok(!bytes.is_empty())
    }

    /// The bytes of a frame; empty when the terminal shows it already.
    pub fn frame(&mut self, state: &State) -> io::Result<Vec<u8>> {
        let area = Rect::new(0, 0, state.size.cols, state.size.rows);
        let mut next = Buffer::empty(area);
        let cursor = view::draw(state, &mut next);
        let all = self.dirty || self.shown.area != area;
        if all {
            self.shown = Buffer::empty(area);
        }
        let changes = self.shown.diff(&next);
        if changes.is_empty() && cursor == self.cursor && !all {
            return Ok(Vec::new());
        }
        let mut bytes = Vec::with_capacity(changes.len() * 4 + 64);
        queue!(bytes, terminal::BeginSynchronizedUpdate, cursor::Hide)?;
        if all {
            queue!(bytes, terminal::Clear(terminal::ClearType::All))?;
        }
        CrosstermBackend::new(&mut bytes).draw(changes.into_iter())?;
        if let Some(place) = cursor {
            queue!(bytes, cursor::MoveTo(place.x, place.y), cursor::Show)?;
        }
        queue!(bytes, terminal::EndSynchronizedUpdate)?;
        (self.shown, self.cursor, self.dirty) = (next, cursor, false);
        Ok(bytes)
    }
}
