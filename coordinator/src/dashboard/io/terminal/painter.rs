//! Makes frames for the terminal: only what differs from what it shows, in one piece, as a
//! synchronized update (private mode 2026), and nothing at all when nothing differs.

use crate::{
    config::Notifications,
    dashboard::{
        app::state::AppState,
        io::terminal::host_terminal::{self, HostTerminal},
        view::draw,
        widgets::text,
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use crossterm::{cursor, queue, terminal};
use ratatui::{
    backend::{Backend, CrosstermBackend},
    buffer::Buffer,
    layout::{Position, Rect},
};
use std::io;

/// Longest text for the clipboard, in bytes: terminals take no more, or cut it.
pub const MAX_COPY: usize = 75_000;
/// Longest notification, in characters.
const MAX_NOTIFICATION: usize = 200;

/// What the terminal shows.
pub struct Painter {
    shown: Buffer,
    cursor: Option<Position>,
    outer: HostTerminal,
    /// What it is to be set to.
    wanted: HostTerminal,
    /// Whether the terminal's content is unknown.
    dirty: bool,
    /// What goes along with the next frame.
    beside: Vec<u8>,
}

impl Painter {
    /// On a cleared terminal.
    pub fn new() -> Self {
        Self {
            shown: Buffer::empty(Rect::default()),
            cursor: None,
            outer: HostTerminal::default(),
            wanted: HostTerminal::default(),
            dirty: true,
            beside: Vec::new(),
        }
    }

    /// Forgets what the terminal shows and how it is set.
    pub fn forget(&mut self) {
        self.dirty = true;
    }

    /// The terminal is to be set so, from the next frame on.
    pub fn set(&mut self, outer: HostTerminal) {
        self.wanted = outer;
    }

    /// Puts text into the terminal's clipboard, with the next frame (OSC 52); whether it fits.
    pub fn copy(&mut self, text: &str) -> bool {
        if text.len() > MAX_COPY {
            return false;
        }
        let encoded = BASE64_STANDARD.encode(text);
        self.beside
            .extend_from_slice(format!("\x1b]52;c;{encoded}\x07").as_bytes());
        true
    }

    /// Rings the terminal's bell with the next frame, and shows a notification where that is
    /// wanted; terminals that do not know it show nothing.
    pub fn notify(&mut self, how: Notifications, title: &str, said: &str) {
        self.beside.push(0x07);
        // A semicolon would end the title, or the note.
        let clean = |text: &str| -> String {
            let text = text::clean(text).replace(';', ",");
            text.chars().take(MAX_NOTIFICATION).collect()
        };
        let (title, said) = (clean(title), clean(said));
        let note = match how {
            Notifications::Bell | Notifications::Off => return,
            // A number first is a command in some terminals, such as a progress report.
            Notifications::All => format!("9;podbay: {title}: {said}"),
            Notifications::Osc777 => format!("777;notify;{title};{said}"),
            Notifications::Osc99 => format!("99;;{title}: {said}"),
        };
        self.beside
            .extend_from_slice(format!("\x1b]{note}\x1b\\").as_bytes());
    }

    /// The bytes of a frame that shows the state; empty when the terminal does already.
    ///
    /// # Errors
    /// None that is known: it writes into memory.
    pub fn frame(&mut self, state: &AppState) -> io::Result<Vec<u8>> {
        let area = Rect::new(0, 0, state.size.cols, state.size.rows);
        let mut next = Buffer::empty(area);
        let cursor = draw::draw(state, &mut next);
        let all = self.dirty || self.shown.area != area;
        if all {
            self.shown = Buffer::empty(area);
        }
        let changes = self.shown.diff(&next);
        let same = changes.is_empty() && cursor == self.cursor && self.wanted == self.outer;
        let mut bytes = std::mem::take(&mut self.beside);
        if same && !all {
            return Ok(bytes);
        }
        bytes.reserve(changes.len() * 4 + 64);
        queue!(bytes, terminal::BeginSynchronizedUpdate, cursor::Hide)?;
        if self.dirty {
            bytes.extend_from_slice(host_terminal::RESET.as_bytes());
            self.outer = HostTerminal::default();
        }
        bytes.extend_from_slice(self.outer.change(&self.wanted).as_bytes());
        if all {
            queue!(bytes, terminal::Clear(terminal::ClearType::All))?;
        }
        CrosstermBackend::new(&mut bytes).draw(changes.into_iter())?;
        if let Some(place) = cursor {
            queue!(bytes, cursor::MoveTo(place.x, place.y), cursor::Show)?;
        }
        queue!(bytes, terminal::EndSynchronizedUpdate)?;
        (self.shown, self.cursor, self.dirty) = (next, cursor, false);
        self.outer.clone_from(&self.wanted);
        Ok(bytes)
    }
}
