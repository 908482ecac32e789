//! Typed bytes become keys for the dashboard, or bytes for a program, one event at a time: what
//! follows a key is read in the mode that the key led to. Never loses a byte, and never gives a
//! program what was meant for the dashboard.

use crate::{
    cli::attach::{Fed, Matcher},
    dashboard::input::{
        cut::{Cut, Unit, cut},
        decode,
        mouse::{MouseGrab, MouseReport},
    },
};
use crossterm::event::{Event, KeyEvent, MouseEvent};
use ratatui::layout::Rect;
use std::{collections::VecDeque, time::Duration};
use worker_agent::screen::Modes;

/// A lone Escape is one after so long.
pub const ESCAPE: Duration = Duration::from_millis(25);
/// What has begun as an escape sequence is given up after so long: a connection may cut it.
const SEQUENCE: Duration = Duration::from_millis(250);
/// A paste whose end does not come is one after so long.
const PASTE: Duration = Duration::from_secs(5);
/// Longest paste for the dashboard, in bytes; the rest is dropped.
const MAX_PASTE: usize = 1 << 20;
const PASTE_START: &[u8] = b"\x1b[200~";
const PASTE_END: &[u8] = b"\x1b[201~";

/// Where keys go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputMode {
    /// To the dashboard.
    Keys,
    /// To a program.
    Program {
        /// Where its screen is, when it is seen.
        area: Option<Rect>,
        /// How it wants to be typed to.
        modes: Modes,
    },
}

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// A key, for the dashboard.
    Key(KeyEvent),
    /// The mouse, for the dashboard.
    Mouse(MouseEvent),
    /// A paste, for the dashboard.
    Paste(String),
    /// The keys that lead back from a program.
    Leave,
    /// The terminal got or lost the focus; a program that asked for it has been told in `Bytes`.
    Focus(bool),
    /// For the program.
    Bytes(Vec<u8>),
}

/// A paste that has begun and not ended.
#[derive(Debug)]
enum Paste {
    /// For the dashboard: what has come.
    Keys(Vec<u8>),
    /// For the program; whether it is told where it ends.
    Program { bracketed: bool },
    /// For a program that went away meanwhile.
    Nobody,
}

/// What was typed and not taken out.
#[derive(Debug)]
pub struct InputDecoder {
    bytes: VecDeque<u8>,
    ready: VecDeque<Typed>,
    paste: Option<Paste>,
    leave: Matcher,
    grab: MouseGrab,
    /// More was waited for in vain.
    late: bool,
}

impl InputDecoder {
    /// Nothing typed; `leave` are the keys that lead back from a program.
    pub fn new(leave: Matcher) -> Self {
        Self {
            bytes: VecDeque::new(),
            ready: VecDeque::new(),
            paste: None,
            leave,
            grab: MouseGrab::default(),
            late: false,
        }
    }

    /// Takes in what was read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.late = false;
        self.bytes.extend(bytes);
    }

    /// How long to wait for more before [`Self::expire`]; `None` when nothing has begun. Ask when
    /// [`Self::next`] gives nothing.
    pub fn hold(&self) -> Option<Duration> {
        if self.paste.is_some() {
            return Some(PASTE);
        }
        let beginning: Vec<u8> = self.bytes.iter().take(2).copied().collect();
        match beginning.as_slice() {
            [] => self.leave.hold(),
            [_] if self.bytes.len() == 1 => Some(ESCAPE),
            _ if self.bytes.len() == 2 => Some(ESCAPE * 2),
            _ => Some(SEQUENCE),
        }
    }

    /// Nothing more has come for [`Self::hold`].
    pub fn expire(&mut self) {
        self.late = true;
    }

    /// Takes the next event out.
    pub fn next(&mut self, mode: InputMode) -> Option<Typed> {
        if let Some(ready) = self.ready.pop_front() {
            return Some(ready);
        }
        match mode {
            InputMode::Keys => self.next_key(),
            InputMode::Program { area, modes } => self.next_raw(area, &modes),
        }
    }

    /// Whether a paste has begun and not ended.
    pub fn in_paste(&self) -> bool {
        self.paste.is_some()
    }

    /// What has not been taken out.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.leave.flush(&mut rest);
        rest.extend(self.bytes.drain(..));
        rest
    }

    fn next_key(&mut self) -> Option<Typed> {
        // What may have become the keys that lead back was not typed for the program any more.
        let mut held = Vec::new();
        self.leave.flush(&mut held);
        for byte in held.into_iter().rev() {
            self.bytes.push_front(byte);
        }
        self.grab = MouseGrab::default();
        if matches!(self.paste, Some(Paste::Program { .. })) {
            self.paste = Some(Paste::Nobody);
        }
        loop {
            if self.paste.is_some() {
                match self.pasted() {
                    Some(text) => return Some(Typed::Paste(text)),
                    None if self.paste.is_some() => return None,
                    None => continue,
                }
            }
            let (unit, length) = self.unit()?;
            let bytes: Vec<u8> = self.bytes.drain(..length).collect();
            if bytes == PASTE_START {
                self.paste = Some(Paste::Keys(Vec::new()));
                continue;
            }
            let typed = match decode::decode(unit, &bytes) {
                Some(Event::Key(key)) => Typed::Key(key),
                Some(Event::Mouse(mouse)) => Typed::Mouse(mouse),
                Some(Event::FocusGained) => Typed::Focus(true),
                Some(Event::FocusLost) => Typed::Focus(false),
                _ => continue,
            };
            return Some(typed);
        }
    }

    /// The next unit, also one that has only begun when nothing more has come.
    fn unit(&mut self) -> Option<(Unit, usize)> {
        match cut(self.bytes.make_contiguous()) {
            Cut::Whole(unit, length) => Some((unit, length)),
            Cut::Begun if self.bytes.is_empty() || !self.late => None,
            Cut::Begun => Some(given_up(self.bytes.make_contiguous())),
        }
    }

    /// Goes on with a paste for the dashboard, or for nobody. The text when it is whole.
    fn pasted(&mut self) -> Option<String> {
        let bytes = self.bytes.make_contiguous();
        let end = find(bytes, PASTE_END);
        let taken = match end {
            Some(at) => at,
            None if self.late => bytes.len(),
            // The end may have begun.
            None => bytes.len().saturating_sub(PASTE_END.len() - 1),
        };
        let done = end.is_some() || self.late;
        let piece: Vec<u8> = self.bytes.drain(..taken).collect();
        if end.is_some() {
            self.bytes.drain(..PASTE_END.len());
        }
        let whole = match &mut self.paste {
            Some(Paste::Keys(whole)) => {
                let room = MAX_PASTE.saturating_sub(whole.len());
                whole.extend(piece.iter().take(room));
                done.then(|| String::from_utf8_lossy(whole).into_owned())
            }
            _ => None,
        };
        if done {
            self.paste = None;
        }
        whole
    }

    fn next_raw(&mut self, area: Option<Rect>, modes: &Modes) -> Option<Typed> {
        if matches!(self.paste, Some(Paste::Keys(_) | Paste::Nobody))
            && let Some(text) = self.pasted()
        {
            return Some(Typed::Paste(text));
        }
        let mut out = Vec::new();
        let mut event = None;
        while event.is_none() {
            match self.paste {
                Some(Paste::Program { bracketed }) => {
                    if !self.paste_through(bracketed, &mut out) {
                        break;
                    }
                    continue;
                }
                Some(_) => break,
                None => {}
            }
            let Some((unit, length)) = self.unit() else {
                if self.late {
                    self.leave.expire(&mut out);
                    // The rest of the keys has its own time.
                    self.late = false;
                }
                break;
            };
            let bytes: Vec<u8> = self.bytes.drain(..length).collect();
            if unit == Unit::Csi {
                if bytes == PASTE_START {
                    let bracketed = modes.bracketed_paste;
                    if bracketed {
                        self.leave.flush(&mut out);
                        out.extend_from_slice(PASTE_START);
                    }
                    self.paste = Some(Paste::Program { bracketed });
                    continue;
                }
                // Of a paste that was given up.
                if bytes == PASTE_END {
                    continue;
                }
                if let Some(report) = MouseReport::parse(&bytes) {
                    match self.grab.is_programs(report, area, modes.mouse) {
                        true => out.extend(report.for_program(
                            area.unwrap_or_default(),
                            modes.mouse,
                            modes.sgr_mouse,
                        )),
                        false => event = report.event().map(Typed::Mouse),
                    }
                    continue;
                }
                if let b"\x1b[I" | b"\x1b[O" = bytes.as_slice() {
                    if modes.focus_events {
                        out.extend_from_slice(&bytes);
                    }
                    event = Some(Typed::Focus(bytes.ends_with(b"I")));
                    continue;
                }
            }
            let (fed, used) = self.leave.feed(&bytes, &mut out);
            if fed == Fed::Detach {
                for byte in bytes.iter().skip(used).rev() {
                    self.bytes.push_front(*byte);
                }
                event = Some(Typed::Leave);
            }
        }
        if out.is_empty() {
            return event;
        }
        self.ready.extend(event);
        Some(Typed::Bytes(out))
    }

    /// Passes a paste on; whether its end was there.
    fn paste_through(&mut self, bracketed: bool, out: &mut Vec<u8>) -> bool {
        let bytes = self.bytes.make_contiguous();
        if let Some(at) = find(bytes, PASTE_END) {
            out.extend(self.bytes.drain(..at));
            self.bytes.drain(..PASTE_END.len());
            if bracketed {
                out.extend_from_slice(PASTE_END);
            }
            self.paste = None;
            return true;
        }
        // What may be the beginning of the end waits for the rest.
        let begun = (1..PASTE_END.len())
            .rev()
            .find(|&n| PASTE_END.get(..n).is_some_and(|end| bytes.ends_with(end)))
            .unwrap_or(0);
        out.extend(self.bytes.drain(..self.bytes.len() - begun));
        if self.late {
            out.extend(self.bytes.drain(..));
            if bracketed {
                out.extend_from_slice(PASTE_END);
            }
            self.paste = None;
        }
        false
    }
}

/// What a beginning is when nothing follows it.
fn given_up(bytes: &[u8]) -> (Unit, usize) {
    match bytes {
        [_] | [0x1b, 0x1b, ..] => (Unit::Key, 1),
        // Alt with that key; if it was a string after all, the rest is noise anyway.
        [0x1b, _] | [0x1b, b']' | b'P' | b'_' | b'^' | b'X', ..] => (Unit::Key, 2),
        [0x1b, b'O', ..] => (Unit::Key, 2),
        _ => (Unit::Junk, bytes.len()),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|w| w == wanted)
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;
